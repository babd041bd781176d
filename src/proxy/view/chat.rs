//! OpenAI's chat completions and completions.

use std::collections::BTreeMap;

use serde_json::Value;

use super::request::{call_of, content};
use super::{Call, Reply, Turn};

pub(super) fn whole(value: &Value) -> Option<Reply> {
    let mut reply = Reply::default();
    facts(value, &mut reply);
    let choice = value.get("choices")?.get(0)?;
    let message = choice.get("message");
    let text = message.and_then(|message| message.get("content")).or(choice.get("text"));
    reply.turn = Turn {
        text: text.map(content).unwrap_or_default(),
        reasoning: message.map(reasoning).unwrap_or_default(),
        calls: message
            .and_then(|message| message.get("tool_calls")?.as_array())
            .into_iter()
            .flatten()
            .map(call_of)
            .collect(),
        ..Turn::default()
    };
    reply.stop = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default().into();
    Some(reply)
}

pub(super) fn streamed(events: &[Value]) -> Option<Reply> {
    let mut reply = Reply::default();
    let mut calls: BTreeMap<u64, Call> = BTreeMap::new();
    for event in events {
        facts(event, &mut reply);
        // Further choices are further answers to the same question; the first is the one that agents go on with.
        let choices = event.get("choices").and_then(Value::as_array).into_iter().flatten();
        for choice in choices.filter(|choice| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0) {
            let delta = choice.get("delta");
            let text = delta.and_then(|delta| delta.get("content")).or(choice.get("text"));
            reply.turn.text.push_str(text.and_then(Value::as_str).unwrap_or_default());
            reply.turn.reasoning.push_str(&delta.map(reasoning).unwrap_or_default());
            let parts = delta.and_then(|delta| delta.get("tool_calls")?.as_array()).into_iter().flatten();
            for (position, part) in parts.enumerate() {
                let index = part.get("index").and_then(Value::as_u64).unwrap_or(position as u64);
                let (call, more) = (calls.entry(index).or_default(), call_of(part));
                call.name.push_str(&more.name);
                call.arguments.push_str(&more.arguments);
            }
            if let Some(stop) = choice.get("finish_reason").and_then(Value::as_str) {
                reply.stop = stop.into();
            }
        }
    }
    reply.turn.calls = calls.into_values().collect();
    Some(reply)
}

fn reasoning(message: &Value) -> String {
    let text = message.get("reasoning_content").or(message.get("reasoning"));
    text.and_then(Value::as_str).unwrap_or_default().into()
}

fn facts(value: &Value, reply: &mut Reply) {
    if let Some(model) = value.get("model").and_then(Value::as_str) {
        reply.model = model.into();
    }
    let count = |name: &str| value.get("usage")?.get(name)?.as_u64();
    reply.input_tokens = count("prompt_tokens").or(reply.input_tokens);
    reply.output_tokens = count("completion_tokens").or(reply.output_tokens);
}
