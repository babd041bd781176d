//! Ollama's own chat and generate, one object a line.

use serde_json::Value;

use super::Reply;
use super::request::call_of;

pub(super) fn reply(lines: &[Value]) -> Option<Reply> {
    let mut reply = Reply::default();
    for line in lines {
        let text = |name: &str| line.get(name).and_then(Value::as_str);
        if let Some(error) = text("error") {
            reply.error = error.into();
        }
        if let Some(model) = text("model") {
            reply.model = model.into();
        }
        let message = line.get("message");
        let said = message.and_then(|message| message.get("content")?.as_str()).or(text("response"));
        reply.turn.text.push_str(said.unwrap_or_default());
        let thought = message.and_then(|message| message.get("thinking")?.as_str()).or(text("thinking"));
        reply.turn.reasoning.push_str(thought.unwrap_or_default());
        let calls = message.and_then(|message| message.get("tool_calls")?.as_array()).into_iter().flatten();
        reply.turn.calls.extend(calls.map(call_of));
        if let Some(stop) = text("done_reason") {
            reply.stop = stop.into();
        }
        let count = |name: &str| line.get(name).and_then(Value::as_u64);
        reply.input_tokens = count("prompt_eval_count").or(reply.input_tokens);
        reply.output_tokens = count("eval_count").or(reply.output_tokens);
    }
    Some(reply)
}
