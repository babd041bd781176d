//! OpenAI's responses.

use serde_json::Value;

use super::request::content;
use super::{Call, Reply};

pub(super) fn whole(value: &Value) -> Option<Reply> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let count = |name: &str| value.get("usage")?.get(name)?.as_u64();
    let mut reply = Reply {
        model: text(value, "model"),
        stop: text(value, "status"),
        input_tokens: count("input_tokens"),
        output_tokens: count("output_tokens"),
        ..Reply::default()
    };
    for item in value.get("output")?.as_array()? {
        match item.get("type").and_then(Value::as_str) {
            Some("function_call") => {
                reply.turn.calls.push(Call { name: text(item, "name"), arguments: text(item, "arguments") });
            }
            Some("custom_tool_call") => {
                reply.turn.calls.push(Call { name: text(item, "name"), arguments: text(item, "input") });
            }
            Some("reasoning") => reply.turn.reasoning.push_str(&item.get("summary").map(content).unwrap_or_default()),
            _ => reply.turn.text.push_str(&item.get("content").map(content).unwrap_or_default()),
        }
    }
    Some(reply)
}

/// The last event repeats the whole response; before it there is only the text that came so far.
pub(super) fn streamed(events: &[Value]) -> Option<Reply> {
    let kind = |event: &Value| event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let ends = ["response.completed", "response.incomplete", "response.failed"];
    if let Some(end) = events.iter().rfind(|event| ends.contains(&kind(event).as_str())) {
        let response = end.get("response")?;
        let mut reply = whole(response)?;
        if let Some(error) = response.pointer("/error/message").and_then(Value::as_str) {
            reply.error = error.into();
        }
        return Some(reply);
    }
    let mut reply = Reply::default();
    for event in events.iter().filter(|event| kind(event) == "response.output_text.delta") {
        reply.turn.text.push_str(event.get("delta").and_then(Value::as_str).unwrap_or_default());
    }
    Some(reply)
}
