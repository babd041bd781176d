//! The conversation in the body of a request.

use serde_json::Value;

use super::{Call, Conversation, Turn};
use crate::proxy::Api;

/// Returns what a decoded request body says, where it is a call of a kind that is known.
pub fn conversation(api: Api, body: &[u8]) -> Option<Conversation> {
    if !api.samples() || !api.is_read() {
        return None;
    }
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut turns = Vec::new();
    let mut system = |role: &str, value: Option<&Value>| {
        let text = value.map(content).unwrap_or_default();
        if !text.is_empty() {
            turns.push(Turn { role: role.into(), text, ..Turn::default() });
        }
    };
    match api {
        Api::Messages => system("system", value.get("system")),
        Api::Responses => {
            system("system", value.get("instructions"));
            system("user", value.get("input").filter(|input| input.is_string()));
        }
        Api::Completions | Api::OllamaGenerate => {
            system("system", value.get("system"));
            system("user", value.get("prompt"));
        }
        _ => {}
    }
    let list = if api == Api::Responses { "input" } else { "messages" };
    let items = value.get(list).and_then(Value::as_array).into_iter().flatten();
    turns.extend(items.flat_map(turns_of));
    let tools = value.get("tools").and_then(Value::as_array).into_iter().flatten();
    let tools = tools.filter_map(|tool| tool.pointer("/function/name").or(tool.get("name"))?.as_str());
    let streams = match api {
        Api::OllamaChat | Api::OllamaGenerate => value.get("stream") != Some(&Value::Bool(false)),
        _ => value.get("stream") == Some(&Value::Bool(true)),
    };
    Some(Conversation { model: text("model").into(), turns, tools: tools.map(str::to_owned).collect(), streams })
}

/// Returns the turns in one message or item; a message of Anthropic may hold several tool results.
fn turns_of(item: &Value) -> Vec<Turn> {
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = text("type");
    match kind.as_str() {
        "function_call" | "custom_tool_call" => {
            let arguments = if kind == "function_call" { text("arguments") } else { text("input") };
            let calls = vec![Call { name: text("name"), arguments }];
            return vec![Turn { role: "assistant".into(), calls, ..Turn::default() }];
        }
        "function_call_output" | "custom_tool_call_output" => {
            let text = item.get("output").map(content).unwrap_or_default();
            return vec![Turn { role: "tool".into(), text, ..Turn::default() }];
        }
        "reasoning" => {
            let reasoning = item.get("summary").map(content).unwrap_or_default();
            return vec![Turn { role: "assistant".into(), reasoning, ..Turn::default() }];
        }
        _ => {}
    }
    let mut turn = Turn { role: text("role"), reasoning: text("reasoning_content"), ..Turn::default() };
    let mut results = Vec::new();
    match item.get("content") {
        Some(Value::Array(parts)) => {
            for part in parts {
                match part.get("type").and_then(Value::as_str) {
                    Some("tool_use") => turn.calls.push(Call {
                        name: part.get("name").and_then(Value::as_str).unwrap_or_default().into(),
                        arguments: part.get("input").map(Value::to_string).unwrap_or_default(),
                    }),
                    Some("tool_result") => results.push(Turn {
                        role: "tool".into(),
                        text: part.get("content").map(content).unwrap_or_default(),
                        ..Turn::default()
                    }),
                    Some("thinking") => push(&mut turn.reasoning, part.get("thinking")),
                    _ => {
                        let more = content(part);
                        if !turn.text.is_empty() && !more.is_empty() {
                            turn.text.push('\n');
                        }
                        turn.text.push_str(&more);
                    }
                }
            }
        }
        Some(other) => turn.text = content(other),
        None => {}
    }
    for call in item.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        turn.calls.push(call_of(call));
    }
    let is_empty = turn.text.is_empty() && turn.reasoning.is_empty() && turn.calls.is_empty();
    if !is_empty || results.is_empty() {
        results.push(turn);
    }
    results
}

fn push(text: &mut String, value: Option<&Value>) {
    text.push_str(value.and_then(Value::as_str).unwrap_or_default());
}

/// Returns a call as OpenAI and Ollama write it.
pub(super) fn call_of(call: &Value) -> Call {
    let name = call.pointer("/function/name").and_then(Value::as_str).unwrap_or_default().into();
    let arguments = match call.pointer("/function/arguments") {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    Call { name, arguments }
}

/// Returns content as text: a string, parts with a text each, or the kind of a part in brackets.
pub(super) fn content(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(content).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n"),
        Value::Object(part) => match part.get("text").and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => format!("[{}]", part.get("type").and_then(Value::as_str).unwrap_or("content")),
        },
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(api: Api, body: &str) -> Vec<String> {
        let conversation = conversation(api, body.as_bytes()).unwrap();
        let line = |turn: &Turn| {
            let calls: Vec<String> =
                turn.calls.iter().map(|call| format!("{}({})", call.name, call.arguments)).collect();
            format!("{}: {}{}", turn.role, turn.text, calls.join(","))
        };
        conversation.turns.iter().map(line).collect()
    }

    #[test]
    fn every_api_reads_as_the_same_turns() {
        let chat = r#"{"model":"m","messages":[{"role":"system","content":"be"},{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url"}]},{"role":"assistant","content":null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"ok"}]}"#;
        assert_eq!(said(Api::Chat, chat), ["system: be", "user: hi\n[image_url]", "assistant: f({})", "tool: ok"]);
        let messages = r#"{"model":"m","system":[{"type":"text","text":"be"}],"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"text","text":"so"},{"type":"tool_use","id":"1","name":"f","input":{"a":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"ok"}]}]}]}"#;
        assert_eq!(said(Api::Messages, messages), ["system: be", "user: hi", "assistant: sof({\"a\":1})", "tool: ok"]);
        let responses = r#"{"model":"m","instructions":"be","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]},{"type":"function_call","name":"f","arguments":"{}","call_id":"1"},{"type":"function_call_output","call_id":"1","output":"ok"}],"tools":[{"type":"function","name":"f"}]}"#;
        assert_eq!(said(Api::Responses, responses), ["system: be", "user: hi", "assistant: f({})", "tool: ok"]);
        assert_eq!(said(Api::OllamaGenerate, r#"{"prompt":"hi"}"#), ["user: hi"]);
        assert_eq!(conversation(Api::Other, b"{}"), None);
        assert_eq!(conversation(Api::Chat, b"{"), None);
    }
}
