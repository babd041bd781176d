//! OpenTelemetry spans in OTLP/JSON, by the semantic conventions for generative AI.
//!
//! The conventions are pinned to [`CONVENTIONS`], the last version that was published with the general ones. Messages
//! are JSON texts, as they allow on spans. Ids of trace and spans are made of the run's id and the event's number, so a
//! run exported twice is one trace. What has no place in the conventions is named `runproof.…`.

use serde_json::{Value, json};

use super::{Redaction, Step};
use crate::canon::{Blake3, digest::hex};
use crate::proxy::view::{Conversation, Reply, Turn};
use crate::proxy::{Api, Exchange};
use crate::store::RunRow;

/// Version of the semantic conventions.
pub const CONVENTIONS: &str = "1.41.0";

/// What comes after the spans.
pub(super) const CLOSING: &str = "\n]}]}]}\n";

/// Span kinds and the error status, as OTLP numbers them.
const INTERNAL: u8 = 1;
const CLIENT: u8 = 3;
const ERROR: u8 = 2;

/// The type of an attribute that a request's member becomes.
#[derive(Clone, Copy)]
enum Number {
    Whole,
    Double,
}

/// Attributes of sampling and limits, and where the APIs have them.
const ASKED: [(&str, Number, &[&str]); 8] = [
    ("gen_ai.request.temperature", Number::Double, &["/temperature", "/options/temperature"]),
    ("gen_ai.request.top_p", Number::Double, &["/top_p", "/options/top_p"]),
    ("gen_ai.request.top_k", Number::Double, &["/top_k", "/options/top_k"]),
    ("gen_ai.request.frequency_penalty", Number::Double, &["/frequency_penalty", "/options/frequency_penalty"]),
    ("gen_ai.request.presence_penalty", Number::Double, &["/presence_penalty", "/options/presence_penalty"]),
    ("gen_ai.request.seed", Number::Whole, &["/seed", "/options/seed"]),
    (
        "gen_ai.request.max_tokens",
        Number::Whole,
        &["/max_tokens", "/max_completion_tokens", "/max_output_tokens", "/options/num_predict"],
    ),
    ("gen_ai.request.choice.count", Number::Whole, &["/n"]),
];

/// What comes before the spans of the exchanges: the resource, the scope, and the span of the run itself.
pub(super) fn opening(run: &RunRow, redaction: &mut Redaction) -> String {
    let schema = json!(format!("https://opentelemetry.io/schemas/{CONVENTIONS}"));
    let version = env!("CARGO_PKG_VERSION");
    let resource = json!({"attributes": [string("service.name", "runproof"), string("service.version", version)]});
    let scope = json!({"name": "runproof", "version": version});
    let ended = run.finished_ms.unwrap_or(run.started_ms);
    let mut root = json!({
        "traceId": trace(run),
        "spanId": span_id(run, None),
        "name": format!("record {}", run.name),
        "kind": INTERNAL,
        "startTimeUnixNano": nanoseconds(run.started_ms.saturating_mul(1000)),
        "endTimeUnixNano": nanoseconds(ended.saturating_mul(1000)),
        "attributes": [string("runproof.run", &run.id.to_string()), string("runproof.status", run.status.as_str())],
    });
    redaction.value(&mut root);
    format!(
        "{{\"resourceSpans\":[{{\"resource\":{resource},\"schemaUrl\":{schema},\"scopeSpans\":[{{\"scope\":{scope},\
         \"schemaUrl\":{schema},\"spans\":[\n{root},\n"
    )
}

/// Returns one exchange as a span.
pub(super) fn span(step: &Step, run: &RunRow) -> Value {
    let (exchange, head) = (&step.exchange, &step.exchange.head);
    let api = exchange.api();
    let (conversation, reply) = (exchange.conversation(), exchange.turn());
    let path = head.target.split('?').next().unwrap_or_default();
    let mut attributes = vec![
        string("http.request.method", &head.method),
        string("url.path", path),
        whole("runproof.event", step.seq.into()),
    ];
    if head.status > 0 {
        attributes.push(whole("http.response.status_code", head.status.into()));
    }
    let asked: Value = serde_json::from_slice(&sent(exchange)).unwrap_or_default();
    let model = asked.get("model").and_then(Value::as_str).unwrap_or_default();
    let name = match operation(api) {
        Some(operation) => {
            attributes.push(string("gen_ai.operation.name", operation));
            attributes.push(string("gen_ai.provider.name", &head.service));
            attributes.push(string("gen_ai.request.model", model));
            format!("{operation} {model}")
        }
        None => head.method.clone(),
    };
    if let Some(conversation) = &conversation {
        request_attributes(&mut attributes, &asked, conversation);
    }
    if let (true, Some(first)) = (head.streams(), step.first_us) {
        attributes.push(json!({
            "key": "gen_ai.response.time_to_first_chunk",
            "value": {"doubleValue": first as f64 / 1_000_000.0},
        }));
    }
    if let Some(grade) = exchange.grade() {
        attributes.push(string("runproof.grade", json!(grade).as_str().unwrap_or_default()));
    }
    let trouble = trouble(exchange, reply.as_ref());
    if let Some(reply) = &reply {
        reply_attributes(&mut attributes, reply, trouble.is_some());
    }
    let mut span = json!({
        "traceId": trace(run),
        "spanId": span_id(run, Some(step.seq)),
        "parentSpanId": span_id(run, None),
        "name": name.trim_end(),
        "kind": CLIENT,
        "startTimeUnixNano": nanoseconds(step.started_us),
        "endTimeUnixNano": nanoseconds(step.started_us.saturating_add(step.elapsed_us)),
    });
    if let Some((kind, message)) = trouble {
        attributes.push(string("error.type", &kind));
        span["status"] = json!({"code": ERROR, "message": message});
    }
    span["attributes"] = attributes.into();
    span
}

/// Returns what the conventions call it.
fn operation(api: Api) -> Option<&'static str> {
    match api {
        Api::Chat | Api::Responses | Api::Messages | Api::OllamaChat => Some("chat"),
        Api::Completions | Api::OllamaGenerate => Some("text_completion"),
        Api::Embeddings => Some("embeddings"),
        Api::Unread | Api::Other => None,
    }
}

/// Returns the body that the server got, without content encoding.
fn sent(exchange: &Exchange) -> Vec<u8> {
    match exchange.received {
        Some(_) => exchange.sent.clone(),
        None => exchange.asked_decoded(),
    }
}

fn request_attributes(attributes: &mut Vec<Value>, asked: &Value, conversation: &Conversation) {
    for (key, number, places) in ASKED {
        let Some(value) = places.iter().find_map(|place| asked.pointer(place)) else { continue };
        match number {
            Number::Whole => attributes.extend(value.as_i64().map(|value| whole(key, value))),
            Number::Double => {
                let value = value.as_f64();
                attributes.extend(value.map(|value| json!({"key": key, "value": {"doubleValue": value}})));
            }
        }
    }
    let stops = ["/stop", "/stop_sequences", "/options/stop"].iter().find_map(|place| asked.pointer(place));
    let stops: Vec<&str> = match stops {
        Some(Value::String(stop)) => vec![stop],
        Some(Value::Array(stops)) => stops.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !stops.is_empty() {
        attributes.push(strings("gen_ai.request.stop_sequences", &stops));
    }
    attributes.push(json!({"key": "gen_ai.request.stream", "value": {"boolValue": conversation.streams}}));
    let messages: Vec<Value> = conversation.turns.iter().map(|turn| message(turn, None)).collect();
    attributes.push(string("gen_ai.input.messages", &json!(messages).to_string()));
}

fn reply_attributes(attributes: &mut Vec<Value>, reply: &Reply, failed: bool) {
    if !reply.model.is_empty() {
        attributes.push(string("gen_ai.response.model", &reply.model));
    }
    if !reply.stop.is_empty() {
        attributes.push(strings("gen_ai.response.finish_reasons", &[&reply.stop]));
    }
    let counts =
        [("gen_ai.usage.input_tokens", reply.input_tokens), ("gen_ai.usage.output_tokens", reply.output_tokens)];
    for (key, count) in counts {
        attributes.extend(count.and_then(|count| i64::try_from(count).ok()).map(|count| whole(key, count)));
    }
    let messages = [message(&reply.turn, Some(finish(reply, failed)))];
    attributes.push(string("gen_ai.output.messages", &json!(messages).to_string()));
}

/// Returns a turn in the conventions' form: a role, and parts that have types.
fn message(turn: &Turn, finish: Option<&str>) -> Value {
    let mut parts = Vec::new();
    if !turn.reasoning.is_empty() {
        parts.push(json!({"type": "reasoning", "content": turn.reasoning}));
    }
    if turn.role == "tool" {
        parts.push(json!({"type": "tool_call_response", "response": turn.text}));
    } else if !turn.text.is_empty() {
        parts.push(json!({"type": "text", "content": turn.text}));
    }
    parts.extend(turn.calls.iter().map(|call| {
        let arguments = serde_json::from_str(&call.arguments).unwrap_or_else(|_| Value::from(&*call.arguments));
        json!({"type": "tool_call", "name": call.name, "arguments": arguments})
    }));
    let mut message = json!({"role": turn.role, "parts": parts});
    if let Some(finish) = finish {
        message["finish_reason"] = finish.into();
    }
    message
}

/// Returns the conventions' word for why the model ended, or the server's own where they have none.
fn finish(reply: &Reply, failed: bool) -> &str {
    match &*reply.stop {
        _ if failed => "error",
        "stop" | "end_turn" | "completed" | "stop_sequence" | "" if reply.turn.calls.is_empty() => "stop",
        "tool_calls" | "tool_use" | "function_call" | "stop" | "completed" => "tool_call",
        "length" | "max_tokens" | "incomplete" => "length",
        "content_filter" | "refusal" => "content_filter",
        other => other,
    }
}

/// Returns the type and the words of what went wrong.
fn trouble(exchange: &Exchange, reply: Option<&Reply>) -> Option<(String, String)> {
    let head = &exchange.head;
    if let Some(aborted) = &head.aborted {
        let by = aborted.by.word();
        return Some((format!("aborted_by_{by}"), format!("the {by} ended it after {} bytes", aborted.at)));
    }
    let words = reply.map(|reply| reply.error.clone()).filter(|error| !error.is_empty());
    match head.status {
        0 => Some(("no_reply".into(), words.unwrap_or_default())),
        status if status >= 400 => Some((status.to_string(), words.unwrap_or_default())),
        _ => words.map(|words| ("error_in_reply".into(), words)),
    }
}

fn string(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// Whole numbers are texts in OTLP/JSON, as in every JSON form of protocol buffers.
fn whole(key: &str, value: i64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

fn strings(key: &str, values: &[&str]) -> Value {
    let values: Vec<Value> = values.iter().map(|value| json!({"stringValue": value})).collect();
    json!({"key": key, "value": {"arrayValue": {"values": values}}})
}

fn nanoseconds(us: u64) -> String {
    us.saturating_mul(1000).to_string()
}

fn trace(run: &RunRow) -> String {
    hex(&derived(run, "trace")[..16])
}

fn span_id(run: &RunRow, event: Option<u32>) -> String {
    hex(&derived(run, &event.map_or_else(|| "run".to_owned(), |event| format!("event {event}")))[..8])
}

fn derived(run: &RunRow, what: &str) -> [u8; 32] {
    *Blake3::of(format!("runproof otlp {} {what}", run.id).as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::view::Call;

    #[test]
    fn ends_are_told_in_the_words_of_the_conventions() {
        let reply = |stop: &str, calls: usize| Reply {
            stop: stop.into(),
            turn: Turn { calls: vec![Call::default(); calls], ..Turn::default() },
            ..Reply::default()
        };
        for (stop, calls, word) in [
            ("stop", 0, "stop"),
            ("end_turn", 0, "stop"),
            ("completed", 1, "tool_call"),
            ("tool_use", 1, "tool_call"),
            ("max_tokens", 0, "length"),
            ("pause_turn", 0, "pause_turn"),
        ] {
            assert_eq!(finish(&reply(stop, calls), false), word, "{stop}");
        }
        assert_eq!(finish(&reply("stop", 0), true), "error");
    }

    #[test]
    fn turns_become_parts() {
        let call = Call { name: "add".into(), arguments: "{\"a\":2}".into() };
        let turn = Turn { role: "assistant".into(), text: "so".into(), reasoning: "hm".into(), calls: vec![call] };
        let expected = json!({"role": "assistant", "parts": [
            {"type": "reasoning", "content": "hm"},
            {"type": "text", "content": "so"},
            {"type": "tool_call", "name": "add", "arguments": {"a": 2}},
        ], "finish_reason": "tool_call"});
        assert_eq!(message(&turn, Some("tool_call")), expected);
        let tool = Turn { role: "tool".into(), text: "4".into(), ..Turn::default() };
        assert_eq!(message(&tool, None)["parts"], json!([{"type": "tool_call_response", "response": "4"}]));
    }
}
