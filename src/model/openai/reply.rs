//! Requests and replies of chat completions as bytes, purely.

use std::collections::BTreeMap;

use serde::Deserialize;
#[cfg(feature = "live")]
use serde_json::Map;
use serde_json::{Value, json};

use super::identity::Kind;
use crate::model::error::shortened;
use crate::model::reply::{Grade, Reply, Stop, ToolCall};
use crate::model::wire::{self, Plan};
use crate::model::{Fault, Provider, Request, sse};

/// Returns the fields of a request to the server that the request's identity names.
pub(in crate::model) fn plan(request: &Request) -> Plan {
    let (sampling, tokens) = (&request.sampling, request.limits.max_tokens);
    let kind = Kind::of(&request.model);
    let mut plan = Plan::default();
    plan.must("model", request.model.name.as_str())
        .must("messages", wire::messages(&request.messages))
        .must("stream", true)
        .may("stream_options/include_usage", true)
        .decimal("temperature", &sampling.temperature)
        .decimal("top_p", &sampling.top_p)
        .may("seed", sampling.seed)
        .decimal("presence_penalty", &sampling.presence_penalty)
        .decimal("frequency_penalty", &sampling.frequency_penalty);
    match kind {
        Kind::LlamaCpp => plan
            .must("max_tokens", tokens)
            .may("top_k", sampling.top_k)
            .decimal("min_p", &sampling.min_p)
            .decimal("typical_p", &sampling.typical_p)
            .decimal("repeat_penalty", &sampling.repeat_penalty)
            .may("repeat_last_n", sampling.repeat_last_n)
            .may("dry_multiplier", 0)
            .may("xtc_probability", 0)
            .may("mirostat", 0)
            .may("dynatemp_range", 0)
            .may("samplers", json!(["top_k", "temperature"]))
            .may("cache_prompt", false)
            .may("n_cache_reuse", 0)
            .may("id_slot", 0)
            .may("t_max_predict_ms", 0)
            .may("timings_per_token", false),
        Kind::Vllm | Kind::Sglang => plan
            .must("max_tokens", tokens)
            .may("top_k", sampling.top_k)
            .decimal("min_p", &sampling.min_p)
            .decimal("repetition_penalty", &sampling.repeat_penalty),
        Kind::OpenAi => plan
            .must("max_completion_tokens", tokens)
            // Random padding in the stream otherwise.
            .may("stream_options/include_obfuscation", false)
            .may("store", false)
            .may("service_tier", "default"),
        Kind::Other => plan.must("max_tokens", tokens),
    };
    plan
}

/// Returns what has to go together with a refused field: the models that take no temperature take none of these.
#[cfg(any(feature = "live", test))]
pub(super) fn along_with(field: &str) -> &'static [&'static str] {
    match field {
        "temperature" | "top_p" => &["temperature", "top_p", "presence_penalty", "frequency_penalty"],
        _ => &[],
    }
}

#[derive(Deserialize)]
struct Chunk {
    error: Option<Value>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    #[serde(alias = "reasoning")]
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<Piece>>,
}

#[derive(Deserialize)]
struct Piece {
    index: u32,
    function: Option<Function>,
}

#[derive(Default, Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
}

pub(in crate::model) fn normalise(request: &Request, sent: &[u8], raw: &[u8]) -> Result<Reply, Fault> {
    let provider = Provider::OpenAi;
    let dropped = plan(request).missing(sent, &[])?;
    let mut reply = Reply::empty(provider);
    let (mut stop, mut done) = (None, false);
    // By the server's index: pieces of several calls may interleave.
    let mut calls: BTreeMap<u32, Function> = BTreeMap::new();
    let too_long = |sse::TooLong| Fault::TooLarge { provider, limit: sse::LONGEST };
    for event in sse::events(raw).map_err(too_long)? {
        if event.data.trim_ascii() == b"[DONE]" {
            done = true;
            break;
        }
        let chunk: Chunk = match serde_json::from_slice(&event.data) {
            Err(_) if !event.complete => break,
            chunk => chunk.map_err(|error| Fault::Garbage { provider, reason: error.to_string() })?,
        };
        if let Some(error) = chunk.error {
            let message = error.get("message").and_then(Value::as_str).or(error.as_str()).unwrap_or_default();
            return Err(Fault::Server { provider, message: shortened(message), transient: true });
        }
        if reply.served.is_none() {
            reply.served = chunk.model;
        }
        for choice in chunk.choices.into_iter().filter(|choice| choice.index == 0) {
            let delta = choice.delta;
            reply.text.push_str(delta.content.as_deref().or(delta.refusal.as_deref()).unwrap_or_default());
            reply.reasoning.push_str(delta.reasoning_content.as_deref().unwrap_or_default());
            for piece in delta.tool_calls.into_iter().flatten() {
                let function = piece.function.unwrap_or_default();
                let call = calls.entry(piece.index).or_default();
                call.name.get_or_insert_default().push_str(function.name.as_deref().unwrap_or_default());
                call.arguments.get_or_insert_default().push_str(function.arguments.as_deref().unwrap_or_default());
            }
            stop = choice.finish_reason.or(stop);
        }
        if let Some(usage) = chunk.usage {
            (reply.prompt_tokens, reply.completion_tokens) = (usage.prompt_tokens, usage.completion_tokens);
        }
    }
    // Some servers end without `[DONE]`; none ends well without a reason.
    let Some(stop) = stop else {
        let reason = if done { "no reason to stop was given" } else { "the stream has no end" };
        return Err(Fault::Cut { provider, reason: reason.into() });
    };
    reply.stop = match stop.as_str() {
        "stop" => Stop::End,
        "length" => Stop::Length,
        other => Stop::Other(shortened(other)),
    };
    let named = |(i, call): (usize, Function)| ToolCall {
        id: format!("call#{i}"),
        name: call.name.unwrap_or_default(),
        arguments: call.arguments.unwrap_or_default(),
    };
    reply.tool_calls = calls.into_values().enumerate().map(named).collect();
    // A local server gives back the name that was asked for, or a path.
    reply.served = reply.served.filter(|_| Kind::of(&request.model) == Kind::OpenAi);
    wire::whole_prompt(request, reply.prompt_tokens)?;
    reply.grade = Grade::of(&request.sampling, &dropped);
    reply.dropped = dropped;
    Ok(reply)
}

/// Returns times and the server's build from the stream, which no digest covers.
#[cfg(feature = "live")]
pub(super) fn observation(raw: &[u8]) -> Map<String, Value> {
    let mut found = Map::new();
    for event in sse::events(raw).unwrap_or_default() {
        let Ok(mut chunk) = serde_json::from_slice::<Map<String, Value>>(&event.data) else { continue };
        for key in ["timings", "system_fingerprint", "service_tier"] {
            found.extend(chunk.shift_remove(key).map(|value| (key.to_owned(), value)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::tests::request as any_request;

    fn request(server: &str) -> Request {
        let mut request = any_request(Provider::OpenAi);
        request.model.details.insert("server".into(), server.into());
        request
    }

    fn sent(request: &Request) -> Vec<u8> {
        plan(request).body(&[], &[])
    }

    /// A stream of a llama.cpp server, with the ids and times of one call.
    const STREAM: &str = concat!(
        r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"#,
        r#""created":1795387881,"id":"chatcmpl-nePf","model":"/srv/x.gguf","system_fingerprint":"b0","object":"chat.completion.chunk"}"#,
        "\n\n: ping\n\n",
        r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"I'm"}}],"id":"chatcmpl-nePf"}"#,
        "\n\n",
        r#"data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":" glad"}}],"id":"chatcmpl-nePf"}"#,
        "\n\n",
        r#"data: {"choices":[{"finish_reason":"length","index":0,"delta":{}}],"id":"chatcmpl-nePf"}"#,
        "\n\n",
        r#"data: {"choices":[],"usage":{"completion_tokens":2,"prompt_tokens":32,"prompt_tokens_details":{"cached_tokens":0}},"timings":{"prompt_ms":2825.871}}"#,
        "\n\ndata: [DONE]\n\n"
    );

    #[test]
    fn each_server_gets_the_fields_that_it_knows() {
        let text = |server: &str| String::from_utf8(sent(&request(server))).unwrap();
        let start = "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"You repair bugs.\"},\
                     {\"role\":\"user\",\"content\":\"Why is the sky blue?\"}],\"stream\":true,\"stream_options\":";
        let greedy = "\"temperature\":0,\"top_p\":1,\"seed\":42,\"presence_penalty\":0,\"frequency_penalty\":0,";
        let usage = "{\"include_usage\":true},";
        assert_eq!(
            text("llama.cpp"),
            format!(
                "{start}{usage}{greedy}\"max_tokens\":256,\"top_k\":1,\"min_p\":0,\"typical_p\":1,\
                 \"repeat_penalty\":1,\"repeat_last_n\":0,\"dry_multiplier\":0,\"xtc_probability\":0,\"mirostat\":0,\
                 \"dynatemp_range\":0,\"samplers\":[\"top_k\",\"temperature\"],\"cache_prompt\":false,\
                 \"n_cache_reuse\":0,\"id_slot\":0,\"t_max_predict_ms\":0,\"timings_per_token\":false}}"
            )
        );
        assert_eq!(
            text("vllm"),
            format!("{start}{usage}{greedy}\"max_tokens\":256,\"top_k\":1,\"min_p\":0,\"repetition_penalty\":1}}")
        );
        assert_eq!(
            text("openai"),
            format!(
                "{start}{{\"include_usage\":true,\"include_obfuscation\":false}},{greedy}\
                 \"max_completion_tokens\":256,\"store\":false,\"service_tier\":\"default\"}}"
            )
        );
        assert_eq!(text("other"), format!("{start}{usage}{greedy}\"max_tokens\":256}}"));
    }

    #[test]
    fn a_stream_becomes_its_words() {
        let request = request("llama.cpp");
        let reply = normalise(&request, &sent(&request), STREAM.as_bytes()).unwrap();
        assert_eq!((reply.text.as_str(), &reply.stop, reply.grade), ("I'm glad", &Stop::Length, Grade::Seeded));
        assert_eq!((reply.prompt_tokens, reply.completion_tokens), (Some(32), Some(2)));
        let text = String::from_utf8(reply.to_bytes()).unwrap();
        assert!(!text.contains("/srv") && !text.contains("nePf"), "{text}");
    }

    #[test]
    fn ids_times_line_endings_and_cuts_of_the_text_vanish() {
        let request = request("llama.cpp");
        let other = STREAM
            .replace("nePf", "Q1x2")
            .replace("1795387881", "7")
            .replace("2825.871", "1.5")
            .replace(": ping\n\n", "")
            .replace("\"I'm\"", "\"I\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"'m\"")
            .replace('\n', "\r\n");
        let bytes = |raw: &str| normalise(&request, &sent(&request), raw.as_bytes()).unwrap().to_bytes();
        assert_eq!(bytes(STREAM), bytes(&other));
    }

    #[test]
    fn the_exact_model_of_a_moving_name_is_kept() {
        let request = request("openai");
        let raw = "data: {\"model\":\"m-2026-01-01\",\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]";
        let reply = normalise(&request, &sent(&request), raw.as_bytes()).unwrap();
        assert_eq!(reply.served.as_deref(), Some("m-2026-01-01"));
    }

    #[test]
    fn pieces_of_tool_calls_are_joined_and_renamed() {
        let request = request("other");
        let raw = concat!(
            r#"data: {"choices":[{"delta":{"tool_calls":[{"index":1,"id":"call_b","function":{"name":"b","arguments":""}}]}}]}"#,
            "\n\n",
            r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_a","function":{"name":"a","arguments":"{\"x\""}}]}}]}"#,
            "\n\n",
            r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"finish_reason":"tool_calls"}]}"#,
            "\n\n"
        );
        let reply = normalise(&request, &sent(&request), raw.as_bytes()).unwrap();
        let calls: Vec<_> =
            reply.tool_calls.iter().map(|c| (c.id.as_str(), c.name.as_str(), c.arguments.as_str())).collect();
        assert_eq!(calls, [("call#0", "a", "{\"x\":1}"), ("call#1", "b", "")]);
        assert_eq!(reply.stop, Stop::Other("tool_calls".into()));
    }

    #[test]
    fn refused_fields_lower_the_grade() {
        let request = request("openai");
        let grade = |dropped: &[&str]| {
            let dropped: Vec<String> = dropped.iter().map(|&name| name.into()).collect();
            normalise(&request, &plan(&request).body(&dropped, &[]), STREAM.as_bytes()).unwrap().grade
        };
        assert_eq!(grade(&["seed"]), Grade::Greedy);
        assert_eq!(grade(along_with("temperature")), Grade::NotReexecutable);
    }

    #[test]
    fn a_reply_that_is_cut_broken_or_garbage_says_which() {
        let request = request("llama.cpp");
        let fault = |raw: &str| normalise(&request, &sent(&request), raw.as_bytes()).unwrap_err();
        let last_word = STREAM.find("length").unwrap();
        for end in [0, 10, 300, last_word] {
            assert!(matches!(fault(&STREAM[..end]), Fault::Cut { .. }), "{end}: {}", fault(&STREAM[..end]));
        }
        assert!(matches!(fault("data: [DONE]\n\n"), Fault::Cut { .. }));
        assert!(
            matches!(fault("data: {\"error\":{\"message\":\"slot busy\"}}\n\n"), Fault::Server { message, .. } if message == "slot busy")
        );
        for garbage in ["data: <html>\n\n", "data: 1\n\n", "data: {\"choices\":{}}\n\n"] {
            assert!(matches!(fault(garbage), Fault::Garbage { .. }), "{garbage}");
        }
        let all = STREAM.replace("32", "4096");
        assert!(matches!(fault(&all), Fault::PromptTruncated { counted: 4096, .. }));
    }
}
