//! Requests and replies of the messages API as bytes, purely.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
#[cfg(feature = "live")]
use serde_json::{Map, Value};

use crate::canon;
use crate::model::error::shortened;
use crate::model::reply::{Grade, Reply, Stop, ToolCall};
use crate::model::request::{Message, Role};
use crate::model::wire::{self, Plan};
use crate::model::{Fault, Identity, Provider, Request, sse};

/// The last version of the API that takes a temperature.
#[cfg(any(feature = "live", test))]
pub(super) const VERSION: &str = "2023-06-01";

/// The answer that names a model: the exact text of `/v1/models/NAME`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resolved {
    pub(super) model: String,
    pub(super) version: String,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    max_input_tokens: Option<u32>,
}

pub(in crate::model) fn identity(raw: &[u8]) -> Result<Identity, Fault> {
    let provider = Provider::Anthropic;
    let malformed =
        |error: canon::CanonError| Fault::Malformed { what: "the recorded model", reason: error.to_string() };
    let resolved: Resolved = canon::json::from_bytes(raw).map_err(malformed)?;
    let reason = |error| format!("/v1/models: {error}");
    let model: Model =
        serde_json::from_str(&resolved.model).map_err(|error| Fault::Garbage { provider, reason: reason(error) })?;
    let details = BTreeMap::from([("version".to_owned(), resolved.version)]);
    Ok(Identity { provider, name: model.id, digest: None, context: model.max_input_tokens, details })
}

/// Returns the fields of a request; the API has no seed, and none of the other settings.
pub(in crate::model) fn plan(request: &Request) -> Plan {
    let system: Vec<&str> =
        request.messages.iter().filter(|message| message.role == Role::System).map(|m| m.content.as_str()).collect();
    let spoken = request.messages.iter().filter(|message: &&Message| message.role != Role::System);
    let mut plan = Plan::default();
    plan.must("model", request.model.name.as_str()).must("max_tokens", request.limits.max_tokens);
    if !system.is_empty() {
        plan.must("system", system.join("\n\n"));
    }
    plan.must("messages", wire::messages(spoken))
        .must("stream", true)
        .decimal("temperature", &request.sampling.temperature)
        .may("top_k", request.sampling.top_k);
    plan
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        index: u32,
        content_block: Block,
    },
    ContentBlockDelta {
        index: u32,
        delta: Delta,
    },
    MessageDelta {
        delta: End,
        usage: Option<Usage>,
    },
    MessageStop,
    Error {
        error: Problem,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    model: Option<String>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    ToolUse {
        name: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct End {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Usage {
    input_tokens: Option<u32>,
    cache_creation_input_tokens: Option<u32>,
    cache_read_input_tokens: Option<u32>,
    output_tokens: Option<u32>,
}

impl Usage {
    /// Returns the tokens of the whole prompt: what was cached is counted apart.
    fn prompt(&self) -> Option<u32> {
        let cached = [self.cache_creation_input_tokens, self.cache_read_input_tokens];
        Some(cached.into_iter().flatten().fold(self.input_tokens?, u32::saturating_add))
    }
}

pub(in crate::model) fn normalise(request: &Request, sent: &[u8], raw: &[u8]) -> Result<Reply, Fault> {
    let provider = Provider::Anthropic;
    let dropped = plan(request).missing(sent, &[])?;
    let mut reply = Reply::empty(provider);
    let (mut stop, mut done) = (None, false);
    let mut calls: BTreeMap<u32, (String, String)> = BTreeMap::new();
    let too_long = |sse::TooLong| Fault::TooLarge { provider, limit: sse::LONGEST };
    for event in sse::events(raw).map_err(too_long)? {
        let part: Part = match serde_json::from_slice(&event.data) {
            Err(_) if !event.complete => break,
            part => part.map_err(|error| Fault::Garbage { provider, reason: error.to_string() })?,
        };
        match part {
            Part::MessageStart { message } => {
                reply.served = message.model;
                reply.prompt_tokens = message.usage.and_then(|usage| usage.prompt());
            }
            Part::ContentBlockStart { index, content_block: Block::ToolUse { name } } => {
                calls.insert(index, (name, String::new()));
            }
            Part::ContentBlockDelta { index, delta } => match delta {
                Delta::Text { text } => reply.text.push_str(&text),
                Delta::Thinking { thinking } => reply.reasoning.push_str(&thinking),
                Delta::InputJson { partial_json } => {
                    if let Some((_, arguments)) = calls.get_mut(&index) {
                        arguments.push_str(&partial_json);
                    }
                }
                Delta::Other => {}
            },
            Part::MessageDelta { delta, usage } => {
                stop = delta.stop_reason.or(stop);
                reply.completion_tokens = usage.and_then(|usage| usage.output_tokens).or(reply.completion_tokens);
            }
            Part::MessageStop => {
                done = true;
                break;
            }
            Part::Error { error } => {
                let transient = matches!(error.kind.as_str(), "overloaded_error" | "api_error" | "rate_limit_error");
                return Err(Fault::Server { provider, message: shortened(&error.message), transient });
            }
            Part::ContentBlockStart { .. } | Part::Other => {}
        }
    }
    if !done {
        return Err(Fault::Cut { provider, reason: "no message_stop".into() });
    }
    reply.stop = match stop.as_deref() {
        Some("end_turn" | "stop_sequence") | None => Stop::End,
        Some("max_tokens" | "model_context_window_exceeded") => Stop::Length,
        Some(other) => Stop::Other(shortened(other)),
    };
    let named =
        |(i, (name, arguments)): (usize, (String, String))| ToolCall { id: format!("call#{i}"), name, arguments };
    reply.tool_calls = calls.into_values().enumerate().map(named).collect();
    wire::whole_prompt(request, reply.prompt_tokens)?;
    // Greedy at best: the seed that the request asks for cannot be sent.
    reply.grade = Grade::of(&request.sampling, &dropped).min(Grade::Greedy);
    reply.dropped = dropped;
    Ok(reply)
}

/// Returns the token counts as the server reports them, cache included, which no digest covers.
#[cfg(feature = "live")]
pub(super) fn observation(raw: &[u8]) -> Map<String, Value> {
    let events = sse::events(raw).unwrap_or_default();
    let mut parts = events.iter().filter_map(|event| serde_json::from_slice::<Value>(&event.data).ok());
    let usage = parts.find_map(|part| part.pointer("/message/usage").cloned());
    usage.map(|usage| ("usage".to_owned(), usage)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::tests::request;

    const STREAM: &str = concat!(
        "event: message_start\n",
        r#"data: {"type":"message_start","message":{"id":"msg_01","model":"claude-x-20251001","usage":{"input_tokens":20,"cache_read_input_tokens":5,"output_tokens":1}}}"#,
        "\n\nevent: content_block_start\n",
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        "\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}"#,
        "\n\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}"#,
        "\n\n",
        r#"data: {"type":"content_block_stop","index":0}"#,
        "\n\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2}}"#,
        "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
    );

    fn sent(request: &Request) -> Vec<u8> {
        plan(request).body(&[], &[])
    }

    #[test]
    fn the_body_has_what_the_api_knows() {
        assert_eq!(
            String::from_utf8(sent(&request(Provider::Anthropic))).unwrap(),
            "{\"model\":\"m\",\"max_tokens\":256,\"system\":\"You repair bugs.\",\
             \"messages\":[{\"role\":\"user\",\"content\":\"Why is the sky blue?\"}],\"stream\":true,\
             \"temperature\":0,\"top_k\":1}"
        );
    }

    #[test]
    fn a_stream_becomes_its_words_and_is_greedy_at_best() {
        let request = request(Provider::Anthropic);
        let reply = normalise(&request, &sent(&request), STREAM.as_bytes()).unwrap();
        assert_eq!((reply.text.as_str(), &reply.stop, reply.grade), ("Hello", &Stop::End, Grade::Greedy));
        assert_eq!((reply.prompt_tokens, reply.completion_tokens), (Some(25), Some(2)));
        assert_eq!(reply.served.as_deref(), Some("claude-x-20251001"));
        let without = plan(&request).body(&["temperature".into(), "top_k".into()], &[]);
        let reply = normalise(&request, &without, STREAM.as_bytes()).unwrap();
        assert_eq!((reply.grade, reply.dropped.len()), (Grade::NotReexecutable, 2));
    }

    #[test]
    fn ids_pings_and_cache_counts_vanish() {
        let request = request(Provider::Anthropic);
        let other = STREAM
            .replace("msg_01", "msg_99")
            .replace("\"input_tokens\":20,\"cache_read_input_tokens\":5", "\"input_tokens\":25")
            .replace("event: ping\ndata: {\"type\":\"ping\"}\n\n", "");
        let bytes = |raw: &str| normalise(&request, &sent(&request), raw.as_bytes()).unwrap().to_bytes();
        assert_eq!(bytes(STREAM), bytes(&other));
    }

    #[test]
    fn an_error_inside_the_stream_and_a_cut_stream_are_told_apart() {
        let request = request(Provider::Anthropic);
        let fault = |raw: &str| normalise(&request, &sent(&request), raw.as_bytes()).unwrap_err();
        let overloaded =
            "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
        assert!(fault(overloaded).retry().is_some());
        let invalid = overloaded.replace("overloaded_error", "invalid_request_error");
        assert!(matches!(fault(&invalid), Fault::Server { transient: false, .. }));
        assert!(matches!(fault(&STREAM[..STREAM.len() - 40]), Fault::Cut { .. }));
        assert!(matches!(fault("data: <html>\n\n"), Fault::Garbage { .. }));
    }

    #[test]
    fn the_identity_is_the_dated_name_and_the_version_of_the_api() {
        let model = r#"{"type":"model","id":"claude-x-20251001","created_at":"2025-10-01T00:00:00Z"}"#;
        let resolved = Resolved { model: model.into(), version: VERSION.into() };
        let identity = identity(&canon::json::to_bytes(&resolved).unwrap()).unwrap();
        assert_eq!((identity.name.as_str(), identity.digest), ("claude-x-20251001", None));
        assert_eq!(identity.details["version"], "2023-06-01");
    }
}
