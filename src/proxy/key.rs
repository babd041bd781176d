//! The canonical request that an exchange is found by: server, method, target, the features that a header asks for, and
//! canonical body.
//!
//! Ids of tool calls, which servers draw at random and agents echo, are renamed in order of first appearance, here only;
//! the bytes as they came are kept beside it. Nothing else is left out: what a request says, its key says.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::api::Api;
use super::body;
use super::head::Head;
use super::normalise::{self, Normalise};
use crate::canon::{Blake3, json as canonical};

/// Name and version of the canonical form of exchanges, requests and replies.
pub const NORMALISER: &str = "exchange/2";

/// Members whose value names a tool call or an item that the server made.
const REFERENCES: [&str; 3] = ["tool_call_id", "tool_use_id", "call_id"];
/// Kinds of objects whose own `id` the server made.
const MADE: [&str; 9] = [
    "tool_use",
    "server_tool_use",
    "mcp_tool_use",
    "function_call",
    "custom_tool_call",
    "local_shell_call",
    "web_search_call",
    "reasoning",
    "message",
];
/// Headers that change what a server does with the same body.
const FEATURES: [&str; 3] = ["anthropic-beta", "anthropic-version", "openai-beta"];
/// Members that hold whatever a tool wants; nothing in there is an id of ours.
const FOREIGN: [&str; 2] = ["input", "arguments"];

/// The canonical bytes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// Returns the key of a request: its body is `raw` as it came.
    pub fn of(head: &Head, raw: &[u8], normalise: &[Normalise]) -> Self {
        let mut members = Map::new();
        members.insert("method".into(), head.method.as_str().into());
        members.insert("target".into(), head.target.as_str().into());
        if !head.service.is_empty() {
            members.insert("service".into(), head.service.as_str().into());
        }
        members.extend(features(head).map(|(name, value)| (name.to_owned(), value.into())));
        let body = body::decoded(raw, head.encoding()).ok();
        if !raw.is_empty() {
            let (name, value) = match body.as_deref().and_then(|body| canonical_body(head, body, normalise)) {
                Some(value) => ("body", value),
                None => ("bytes", json!(Blake3::of(body.as_deref().unwrap_or(raw)))),
            };
            members.insert(name.into(), value);
        }
        let bytes = canonical::foreign(&Value::Object(members)).expect("the body was written before");
        Self(bytes)
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the digest that a tape looks for.
    pub fn digest(&self) -> Blake3 {
        Blake3::of(&self.0)
    }
}

/// Returns the headers that ask for features, with their values.
pub(super) fn features(head: &Head) -> impl Iterator<Item = (&'static str, &str)> {
    FEATURES.into_iter().filter_map(|name| Some((name, head.request_headers.get(name)?.as_str())))
}

/// Returns a JSON body in the form that is compared; nothing if it is no JSON, or has no exact canonical form.
fn canonical_body(head: &Head, body: &[u8], normalise: &[Normalise]) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    canonical::foreign(&value).ok()?;
    if Api::of(&head.method, &head.target).is_read() {
        let mut ids = Ids::default();
        if let Some(members) = value.as_object_mut() {
            // An earlier response is not renamed: a replay hands its id out again, and two conversations may go on at once.
            for part in ["messages", "input"] {
                if let Some(list @ Value::Array(_)) = members.get_mut(part) {
                    ids.rename(list, part);
                }
            }
        }
    }
    normalise::apply(&mut value, normalise);
    Some(value)
}

/// The ids seen so far.
#[derive(Default)]
struct Ids(BTreeMap<String, String>);

impl Ids {
    fn name(&mut self, id: &str) -> String {
        let next = self.0.len();
        self.0.entry(id.to_owned()).or_insert_with(|| format!("id#{next}")).clone()
    }

    /// Renames what lies below `value`, which is the member `under` of something.
    fn rename(&mut self, value: &mut Value, under: &str) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.rename(item, under)),
            Value::Object(members) => {
                let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
                let owns = under == "tool_calls" || MADE.contains(&kind);
                let mut names: Vec<String> = members.keys().cloned().collect();
                names.sort();
                for name in names {
                    let is_id = (owns && name == "id") || REFERENCES.contains(&name.as_str());
                    match members.get_mut(&name) {
                        Some(Value::String(id)) if is_id => *id = self.name(id),
                        Some(below @ (Value::Array(_) | Value::Object(_))) if !FOREIGN.contains(&name.as_str()) => {
                            self.rename(below, &name);
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(target: &str, body: &str) -> String {
        let head = Head { method: "POST".into(), target: target.into(), ..Head::default() };
        String::from_utf8(Key::of(&head, body.as_bytes(), &[]).bytes().to_vec()).unwrap()
    }

    #[test]
    fn whitespace_and_order_do_not_matter_and_everything_else_does() {
        let chat = "/v1/chat/completions";
        assert_eq!(key(chat, "{\"a\":1,\"b\":[0.50]}"), key(chat, "{ \"b\" : [5e-1], \"a\" : 1 }"));
        assert_ne!(key(chat, "{\"a\":1}"), key(chat, "{\"a\":2}"));
        assert_ne!(key(chat, "{\"a\":1}"), key("/v1/embeddings", "{\"a\":1}"));
        assert_ne!(key(chat, ""), key(chat, "null "));
        assert!(key(chat, "{\"seed\":12345678901234567890}").contains("\"bytes\":\"blake3:"));
        assert!(key(chat, "{\"a\":").contains("\"bytes\":\"blake3:"));
    }

    #[test]
    fn ids_of_tool_calls_are_renamed_in_order_and_nothing_else() {
        let chat = |a: &str, b: &str| {
            format!(
                r#"{{"messages":[{{"role":"assistant","tool_calls":[{{"id":"{a}","type":"function","function":{{"name":"f","arguments":"{{\"id\":\"{a}x\"}}"}}}}]}},{{"role":"tool","tool_call_id":"{a}","content":"{b}"}}]}}"#
            )
        };
        let one = key("/v1/chat/completions", &chat("call_a1", "same").replace("call_a1x", "z"));
        let two = key("/v1/chat/completions", &chat("call_b2", "same").replace("call_b2x", "z"));
        assert_eq!(one, two);
        assert!(one.contains("id#0") && !one.contains("id#1"), "{one}");
        assert_ne!(one, key("/v1/chat/completions", &chat("call_a1", "other").replace("call_a1x", "z")));

        let messages = |id: &str| {
            format!(
                r#"{{"messages":[{{"role":"assistant","content":[{{"type":"tool_use","id":"{id}","name":"f","input":{{"call_id":"mine"}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"{id}","content":"ok"}}]}}]}}"#
            )
        };
        let one = key("/v1/messages", &messages("toolu_1"));
        assert_eq!(one, key("/v1/messages", &messages("toolu_2")));
        assert!(one.contains("\"call_id\":\"mine\""), "{one}");

        let responses = |id: &str| {
            format!(
                r#"{{"input":[{{"type":"function_call","id":"fc_{id}","call_id":"call_{id}","name":"f","arguments":"{{}}"}},{{"type":"function_call_output","call_id":"call_{id}","output":"o"}}],"previous_response_id":"resp"}}"#
            )
        };
        assert_eq!(key("/v1/responses", &responses("1")), key("/v1/responses", &responses("2")));
    }
}
