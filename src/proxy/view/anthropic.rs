//! Anthropic's messages.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Call, Reply};

pub(super) fn whole(value: &Value) -> Option<Reply> {
    let mut reply = Reply::default();
    facts(value, &mut reply);
    for block in value.get("content")?.as_array()? {
        match text(block, "type") {
            "tool_use" => {
                let arguments = block.get("input").map(Value::to_string).unwrap_or_default();
                reply.turn.calls.push(Call { name: text(block, "name").into(), arguments });
            }
            "thinking" => reply.turn.reasoning.push_str(text(block, "thinking")),
            _ => reply.turn.text.push_str(text(block, "text")),
        }
    }
    Some(reply)
}

pub(super) fn streamed(events: &[Value]) -> Option<Reply> {
    let mut reply = Reply::default();
    let mut calls: BTreeMap<u64, Call> = BTreeMap::new();
    for event in events {
        let index = event.get("index").and_then(Value::as_u64).unwrap_or(0);
        match text(event, "type") {
            "message_start" => facts(event.get("message")?, &mut reply),
            "content_block_start" => {
                let block = event.get("content_block")?;
                if text(block, "type") == "tool_use" {
                    calls.insert(index, Call { name: text(block, "name").into(), ..Call::default() });
                }
                reply.turn.text.push_str(text(block, "text"));
            }
            "content_block_delta" => {
                let delta = event.get("delta")?;
                reply.turn.text.push_str(text(delta, "text"));
                reply.turn.reasoning.push_str(text(delta, "thinking"));
                if let Some(call) = calls.get_mut(&index) {
                    call.arguments.push_str(text(delta, "partial_json"));
                }
            }
            "message_delta" => {
                facts(event, &mut reply);
                if let Some(delta) = event.get("delta") {
                    facts(delta, &mut reply);
                }
            }
            _ => {}
        }
    }
    reply.turn.calls = calls.into_values().collect();
    Some(reply)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn facts(value: &Value, reply: &mut Reply) {
    if let Some(model) = value.get("model").and_then(Value::as_str) {
        reply.model = model.into();
    }
    if let Some(stop) = value.get("stop_reason").and_then(Value::as_str) {
        reply.stop = stop.into();
    }
    let count = |name: &str| value.get("usage")?.get(name)?.as_u64();
    reply.input_tokens = count("input_tokens").or(reply.input_tokens);
    reply.output_tokens = count("output_tokens").or(reply.output_tokens);
}
