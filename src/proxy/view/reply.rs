//! The turn in the body of a reply, and the canonical form of replies.

use serde_json::{Map, Value, json};

use super::{Reply, anthropic, chat, ollama, responses};
use crate::canon::{Blake3, json as canonical_json};
use crate::model::{ndjson, sse};
use crate::proxy::{Api, Head, decoded};

/// Members that servers make up anew for every reply.
const VOLATILE: [&str; 9] = [
    "id",
    "created",
    "created_at",
    "total_duration",
    "load_duration",
    "prompt_eval_duration",
    "eval_duration",
    "timings",
    "system_fingerprint",
];

/// Returns what a reply says, where it answers a call of a kind that is known and can be read.
pub fn turn(head: &Head, raw: &[u8]) -> Option<Reply> {
    let api = Api::of(&head.method, &head.target);
    if !api.samples() {
        return None;
    }
    let body = decoded(raw, head.header("content-encoding")).ok()?;
    let mut reply = match head.header("content-type") {
        kind if kind.starts_with("text/event-stream") => streamed(api, &body)?,
        _ => match api {
            // A line each, one line if it was not to be streamed.
            Api::OllamaChat | Api::OllamaGenerate => ollama::reply(&lines(&body)?)?,
            _ => whole(api, &serde_json::from_slice(&body).ok()?)?,
        },
    };
    reply.turn.role = "assistant".into();
    Some(reply)
}

fn lines(body: &[u8]) -> Option<Vec<Value>> {
    // What a cut left of the last line is no message.
    let lines = ndjson::lines(body);
    let read = lines.map(|(line, ended)| (serde_json::from_slice::<Value>(line), ended));
    let mut values = Vec::new();
    for (value, ended) in read {
        match value {
            Ok(value) => values.push(value),
            Err(_) if !ended => {}
            Err(_) => return None,
        }
    }
    (!values.is_empty()).then_some(values)
}

fn whole(api: Api, value: &Value) -> Option<Reply> {
    if let Some(error) = error_of(value) {
        return Some(Reply { error, ..Reply::default() });
    }
    match api {
        Api::Chat | Api::Completions => chat::whole(value),
        Api::Responses => responses::whole(value),
        Api::Messages => anthropic::whole(value),
        _ => None,
    }
}

fn streamed(api: Api, body: &[u8]) -> Option<Reply> {
    let mut events = Vec::new();
    for event in sse::events(body).ok()? {
        if event.data == b"[DONE]" {
            continue;
        }
        match serde_json::from_slice::<Value>(&event.data) {
            Ok(value) => events.push(value),
            Err(_) if !event.complete => {}
            Err(_) => return None,
        }
    }
    let error = events.iter().find_map(error_of);
    let reply = match api {
        Api::Chat | Api::Completions => chat::streamed(&events),
        Api::Responses => responses::streamed(&events),
        Api::Messages => anthropic::streamed(&events),
        _ => None,
    };
    match error {
        Some(error) => Some(Reply { error, ..reply.unwrap_or_default() }),
        None => reply,
    }
}

/// Returns the words of an error, as any of the APIs writes one.
fn error_of(value: &Value) -> Option<String> {
    let error = value.get("error").filter(|error| !error.is_null())?;
    let words = error.as_str().or_else(|| error.get("message")?.as_str());
    Some(words.map_or_else(|| error.to_string(), str::to_owned))
}

/// Returns the canonical form of a reply: what a server makes up anew each time, and how the bytes were cut, is left
/// out. A reply that cannot be read is named by its bytes.
pub fn canonical(head: &Head, raw: &[u8]) -> Vec<u8> {
    let mut members = Map::new();
    members.insert("status".into(), head.status.into());
    if let Some(aborted) = &head.aborted {
        members.insert("aborted".into(), aborted.by.word().into());
    }
    let (name, value) = match turn(head, raw) {
        Some(reply) => ("reply", json!(reply)),
        None => match json_body(head, raw) {
            Some(value) => ("body", value),
            None => ("bytes", json!(Blake3::of(raw))),
        },
    };
    members.insert(name.into(), value);
    canonical_json::foreign(&Value::Object(members.clone())).unwrap_or_else(|_| {
        members.remove(name);
        members.insert("bytes".into(), json!(Blake3::of(raw)));
        canonical_json::foreign(&Value::Object(members)).expect("a digest and a status have a canonical form")
    })
}

fn json_body(head: &Head, raw: &[u8]) -> Option<Value> {
    let body = decoded(raw, head.header("content-encoding")).ok()?;
    let mut value: Value = serde_json::from_slice(&body).ok()?;
    if let Some(members) = value.as_object_mut().filter(|_| Api::of(&head.method, &head.target).is_read()) {
        VOLATILE.iter().for_each(|name| drop(members.remove(*name)));
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, kind: &str) -> Head {
        let mut head = Head { method: "POST".into(), target: target.into(), status: 200, ..Head::default() };
        head.keep_reply("content-type", kind.as_bytes());
        head
    }

    fn said(target: &str, kind: &str, body: &str) -> Reply {
        turn(&head(target, kind), body.as_bytes()).unwrap()
    }

    const SSE: &str = "text/event-stream";

    #[test]
    fn whole_and_streamed_replies_of_a_chat_say_the_same() {
        let whole = r#"{"id":"x1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":3,"completion_tokens":5}}"#;
        let streamed = concat!(
            ": ping\r\n\r\n",
            "data: {\"id\":\"y\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hel\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"d\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\"}}]}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\":1}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5}}\n\n",
            "data: [DONE]",
        );
        let one = said("/v1/chat/completions", "application/json", whole);
        assert_eq!(one, said("/v1/chat/completions", SSE, streamed));
        assert_eq!((one.turn.text.as_str(), one.stop.as_str(), one.output_tokens), ("Hello", "tool_calls", Some(5)));
        assert_eq!(one.turn.calls[0].arguments, "{\"a\":1}");
    }

    #[test]
    fn anthropic_responses_and_ollama_are_read() {
        let messages = concat!(
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"c\",\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n",
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
            "event: ping\ndata: {\"type\":\"ping\"}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n",
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":1}\"}}\n\n",
            "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":9}}\n\n",
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        );
        let whole = r#"{"model":"c","content":[{"type":"text","text":"Hi"},{"type":"tool_use","id":"u","name":"f","input":{"a":1}}],"stop_reason":"tool_use","usage":{"input_tokens":7,"output_tokens":9}}"#;
        assert_eq!(said("/v1/messages", SSE, messages), said("/v1/messages", "application/json", whole));

        let response = r#"{"id":"resp_1","model":"m","status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Hi"}]},{"type":"function_call","name":"f","arguments":"{}"}],"usage":{"input_tokens":1,"output_tokens":2}}"#;
        let events = format!(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}}\n\nevent: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{response}}}\n\n"
        );
        let one = said("/v1/responses", "application/json", response);
        assert_eq!(one, said("/v1/responses", SSE, &events));
        assert_eq!((one.turn.text.as_str(), one.turn.calls.len()), ("Hi", 1));

        let lines = "{\"model\":\"o\",\"message\":{\"role\":\"assistant\",\"content\":\"H\"},\"done\":false}\n{\"model\":\"o\",\"message\":{\"content\":\"i\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":4,\"eval_count\":2}\n";
        let one = said("/api/chat", "application/x-ndjson", lines);
        assert_eq!((one.turn.text.as_str(), one.stop.as_str(), one.input_tokens), ("Hi", "stop", Some(4)));
    }

    #[test]
    fn an_error_within_a_good_status_is_seen() {
        let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
        assert_eq!(said("/v1/messages", SSE, error).error, "Overloaded");
        assert_eq!(said("/api/chat", "application/json", r#"{"error":"no such model"}"#).error, "no such model");
    }

    #[test]
    fn ids_times_and_cuts_leave_the_canonical_form_as_it_is() {
        let head = head("/v1/chat/completions", "application/json");
        let body = |id: &str| {
            format!(
                r#"{{"id":"{id}","created":{},"model":"m","choices":[{{"message":{{"content":"x"}},"finish_reason":"stop"}}]}}"#,
                id.len()
            )
        };
        assert_eq!(canonical(&head, body("a").as_bytes()), canonical(&head, body("bcd").as_bytes()));
        let other = Head { status: 500, ..head.clone() };
        assert_ne!(canonical(&head, body("a").as_bytes()), canonical(&other, body("a").as_bytes()));
        assert!(String::from_utf8(canonical(&head, b"\xff")).unwrap().contains("blake3:"));
    }
}
