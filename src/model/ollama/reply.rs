//! Requests and replies of Ollama as bytes, purely.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::canon;
use crate::model::error::shortened;
use crate::model::reply::{Grade, Reply, Stop, ToolCall};
use crate::model::wire::{self, Plan};
use crate::model::{Fault, Identity, Provider, Request, ndjson};

/// Fields that the provider's settings may add; none of them is the request's.
const EXTRA: [&str; 3] = ["keep_alive", "options/num_thread", "options/num_gpu"];

/// The answers that name a model, joined: each is the exact text of its body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resolved {
    /// The name asked for.
    pub(super) model: String,
    /// `/api/show`.
    pub(super) show: String,
    /// `/api/tags`.
    pub(super) tags: String,
    /// `/api/version`.
    pub(super) version: String,
}

#[derive(Deserialize)]
struct Tags {
    models: Vec<Tag>,
}

#[derive(Deserialize)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) digest: String,
    #[serde(default)]
    remote_model: String,
    #[serde(default)]
    remote_host: String,
    #[serde(default)]
    details: Map<String, Value>,
    /// Only in `/api/ps`.
    #[cfg(feature = "live")]
    pub(super) context_length: Option<u32>,
}

#[derive(Deserialize)]
struct Show {
    #[serde(default)]
    remote_model: String,
    #[serde(default)]
    remote_host: String,
    #[serde(default)]
    model_info: Map<String, Value>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// Parses one JSON body of the server.
pub(super) fn parse<'a, T: Deserialize<'a>>(what: &str, body: &'a [u8]) -> Result<T, Fault> {
    let reason = |error| format!("{what}: {error}");
    serde_json::from_slice(body).map_err(|error| Fault::Garbage { provider: Provider::Ollama, reason: reason(error) })
}

/// Returns the entry of `model` in the list of `/api/tags` or `/api/ps`; a name without a tag means `:latest`.
pub(super) fn entry(list: &[u8], what: &str, model: &str) -> Result<Result<Tag, Vec<String>>, Fault> {
    let mut tags: Tags = parse(what, list)?;
    let tagged = format!("{model}:latest");
    let tag = |name: &str| name.eq_ignore_ascii_case(model) || name.eq_ignore_ascii_case(&tagged);
    match tags.models.iter().position(|entry| tag(&entry.name)) {
        Some(at) => Ok(Ok(tags.models.swap_remove(at))),
        None => Ok(Err(tags.models.into_iter().map(|entry| entry.name).collect())),
    }
}

pub(in crate::model) fn identity(raw: &[u8]) -> Result<Identity, Fault> {
    let provider = Provider::Ollama;
    let malformed =
        |error: canon::CanonError| Fault::Malformed { what: "the recorded model", reason: error.to_string() };
    let resolved: Resolved = canon::json::from_bytes(raw).map_err(malformed)?;
    let tag = entry(resolved.tags.as_bytes(), "/api/tags", &resolved.model)?
        .map_err(|available| Fault::NoSuchModel { provider, model: resolved.model.clone(), available })?;
    let show: Show = parse("/api/show", resolved.show.as_bytes())?;
    let version: Version = parse("/api/version", resolved.version.as_bytes())?;
    if [&tag.remote_model, &tag.remote_host, &show.remote_model, &show.remote_host].iter().any(|text| !text.is_empty())
    {
        return Err(Fault::Remote(tag.name));
    }
    // Ollama leaves the algorithm out.
    let digest = if tag.digest.contains(':') { tag.digest } else { format!("sha256:{}", tag.digest) };
    if digest.parse::<canon::Sha256>().is_err() {
        return Err(Fault::Garbage { provider, reason: "/api/tags: a digest that is none".into() });
    }
    let architecture = show.model_info.get("general.architecture").and_then(Value::as_str).unwrap_or_default();
    let context = show.model_info.get(&format!("{architecture}.context_length")).and_then(Value::as_u64);
    let mut details = BTreeMap::from([("version".to_owned(), version.version)]);
    for key in ["family", "parameter_size", "quantization_level"] {
        if let Some(text) = tag.details.get(key).and_then(Value::as_str) {
            details.insert(key.to_owned(), text.to_owned());
        }
    }
    let context = context.and_then(|context| u32::try_from(context).ok());
    Ok(Identity { provider, name: tag.name, digest: Some(digest), context, details })
}

/// Returns the fields of a chat request; nothing that could change a token is left to a default.
pub(in crate::model) fn plan(request: &Request) -> Plan {
    let (sampling, limits) = (&request.sampling, request.limits);
    let mut plan = Plan::default();
    plan.must("model", request.model.name.as_str())
        .must("messages", wire::messages(&request.messages))
        .must("stream", true)
        .must("truncate", false)
        .must("shift", false)
        .may("think", false)
        .decimal("options/temperature", &sampling.temperature)
        .may("options/seed", sampling.seed)
        .may("options/top_k", sampling.top_k)
        .decimal("options/top_p", &sampling.top_p)
        .decimal("options/min_p", &sampling.min_p)
        .decimal("options/typical_p", &sampling.typical_p)
        .decimal("options/repeat_penalty", &sampling.repeat_penalty)
        .may("options/repeat_last_n", sampling.repeat_last_n)
        .decimal("options/presence_penalty", &sampling.presence_penalty)
        .decimal("options/frequency_penalty", &sampling.frequency_penalty)
        .must("options/num_ctx", limits.context_tokens)
        .must("options/num_predict", limits.max_tokens)
        .may("options/num_keep", 4)
        .may("options/num_batch", 512)
        .may("options/draft_num_predict", 0);
    plan
}

#[derive(Deserialize)]
struct Chunk {
    error: Option<String>,
    #[serde(default)]
    message: Part,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u32>,
    eval_count: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Part {
    content: String,
    thinking: String,
    tool_calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Value,
}

pub(in crate::model) fn normalise(request: &Request, sent: &[u8], raw: &[u8]) -> Result<Reply, Fault> {
    let provider = Provider::Ollama;
    let dropped = plan(request).missing(sent, &EXTRA)?;
    let mut reply = Reply::empty(provider);
    let mut done = false;
    for (line, complete) in ndjson::lines(raw) {
        if done {
            return Err(Fault::Garbage { provider, reason: "bytes after the end of the reply".into() });
        }
        let chunk: Chunk = match parse("/api/chat", line) {
            Err(_) if !complete => break,
            chunk => chunk?,
        };
        if let Some(message) = chunk.error {
            return Err(Fault::Server { provider, message: shortened(&message), transient: true });
        }
        reply.text.push_str(&chunk.message.content);
        reply.reasoning.push_str(&chunk.message.thinking);
        for call in chunk.message.tool_calls {
            let id = format!("call#{}", reply.tool_calls.len());
            let arguments = call.function.arguments.to_string();
            reply.tool_calls.push(ToolCall { id, name: call.function.name, arguments });
        }
        if chunk.done {
            done = true;
            reply.stop = match chunk.done_reason.as_deref() {
                None | Some("stop") => Stop::End,
                Some("length") => Stop::Length,
                Some(other) => Stop::Other(shortened(other)),
            };
            (reply.prompt_tokens, reply.completion_tokens) = (chunk.prompt_eval_count, chunk.eval_count);
        }
    }
    if !done {
        return Err(Fault::Cut { provider, reason: "no line says that it is done".into() });
    }
    wire::whole_prompt(request, reply.prompt_tokens)?;
    reply.grade = Grade::of(&request.sampling, &dropped);
    reply.dropped = dropped;
    Ok(reply)
}

/// Returns the durations (nanoseconds) and counts of the last line, which no digest covers.
#[cfg(feature = "live")]
pub(super) fn observation(raw: &[u8]) -> Map<String, Value> {
    const KEYS: [&str; 6] =
        ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration", "prompt_eval_count", "eval_count"];
    let last = ndjson::lines(raw).last().and_then(|(line, _)| serde_json::from_slice::<Map<String, Value>>(line).ok());
    last.unwrap_or_default().into_iter().filter(|(key, _)| KEYS.contains(&key.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::tests::request;

    const STREAM: &str = concat!(
        r#"{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"Hel"},"done":false}"#,
        "\n",
        r#"{"model":"m","message":{"role":"assistant","content":"lo"},"done":false}"#,
        "\n",
        r#"{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":9,"#,
        r#""prompt_eval_count":12,"eval_count":2}"#,
        "\n"
    );

    fn sent(request: &Request) -> Vec<u8> {
        plan(request).body(&[], &[])
    }

    #[test]
    fn every_setting_of_a_greedy_call_is_sent_in_the_options() {
        assert_eq!(
            String::from_utf8(sent(&request(Provider::Ollama))).unwrap(),
            "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"You repair bugs.\"},\
             {\"role\":\"user\",\"content\":\"Why is the sky blue?\"}],\"stream\":true,\"truncate\":false,\
             \"shift\":false,\"think\":false,\"options\":{\"temperature\":0,\"seed\":42,\"top_k\":1,\"top_p\":1,\
             \"min_p\":0,\"typical_p\":1,\"repeat_penalty\":1,\"repeat_last_n\":0,\"presence_penalty\":0,\
             \"frequency_penalty\":0,\"num_ctx\":4096,\"num_predict\":256,\"num_keep\":4,\"num_batch\":512,\
             \"draft_num_predict\":0}}"
        );
    }

    #[test]
    fn a_stream_becomes_its_words() {
        let request = request(Provider::Ollama);
        let reply = normalise(&request, &sent(&request), STREAM.as_bytes()).unwrap();
        assert_eq!((reply.text.as_str(), &reply.stop, reply.grade), ("Hello", &Stop::End, Grade::Seeded));
        assert_eq!((reply.prompt_tokens, reply.completion_tokens), (Some(12), Some(2)));
    }

    #[test]
    fn dates_durations_and_chunk_borders_vanish() {
        let request = request(Provider::Ollama);
        let other = concat!(
            r#"{"created_at":"2030-01-01T00:00:00Z","message":{"content":"Hello"},"done":true,"done_reason":"stop","#,
            r#""load_duration":77,"eval_count":2,"prompt_eval_count":12}"#
        );
        let bytes = |raw: &str| normalise(&request, &sent(&request), raw.as_bytes()).unwrap().to_bytes();
        assert_eq!(bytes(STREAM), bytes(other));
    }

    #[test]
    fn random_ids_of_tool_calls_become_their_order() {
        let request = request(Provider::Ollama);
        let raw = concat!(
            r#"{"message":{"tool_calls":[{"id":"call_x81","function":{"name":"run","arguments":{"b":1,"a":2}}}]},"done":false}"#,
            "\n",
            r#"{"message":{"tool_calls":[{"id":"call_9","function":{"name":"stop"}}]},"done":true,"done_reason":"length"}"#,
            "\n"
        );
        let reply = normalise(&request, &sent(&request), raw.as_bytes()).unwrap();
        let calls: Vec<_> = reply.tool_calls.iter().map(|c| (c.id.as_str(), c.arguments.as_str())).collect();
        assert_eq!(calls, [("call#0", r#"{"b":1,"a":2}"#), ("call#1", "null")]);
        assert_eq!(reply.stop, Stop::Length);
    }

    #[test]
    fn a_reply_that_is_cut_broken_or_garbage_says_which() {
        let request = request(Provider::Ollama);
        let fault = |raw: &str| normalise(&request, &sent(&request), raw.as_bytes()).unwrap_err();
        for end in [0, 20, 130, STREAM.len() - 2] {
            assert!(matches!(fault(&STREAM[..end]), Fault::Cut { .. }), "{end}: {}", fault(&STREAM[..end]));
        }
        let error = "{\"message\":{\"content\":\"x\"},\"done\":false}\n{\"error\":\"out of memory\"}\n";
        assert!(matches!(fault(error), Fault::Server { message, .. } if message == "out of memory"));
        for garbage in ["<html>\n", "[]\n", "{\"done\":1}\n", &format!("{STREAM}x\n")] {
            assert!(matches!(fault(garbage), Fault::Garbage { .. }), "{garbage}");
        }
    }

    #[test]
    fn the_grade_follows_from_the_body_that_was_sent() {
        let request = request(Provider::Ollama);
        let reply = |dropped: &[&str]| {
            let dropped: Vec<String> = dropped.iter().map(|&name| name.into()).collect();
            normalise(&request, &plan(&request).body(&dropped, &[("keep_alive", 0.into())]), STREAM.as_bytes()).unwrap()
        };
        assert_eq!(reply(&["options/seed"]).grade, Grade::Greedy);
        assert_eq!(reply(&["options/seed"]).dropped, ["options/seed"]);
        assert_eq!(reply(&["options/temperature"]).grade, Grade::NotReexecutable);
    }

    fn resolved(model: &str, tags: &str, show: &str) -> Vec<u8> {
        let version = r#"{"version":"0.12.3"}"#.into();
        let resolved = Resolved { model: model.into(), show: show.into(), tags: tags.into(), version };
        canon::json::to_bytes(&resolved).unwrap()
    }

    #[test]
    fn the_identity_is_the_digest_behind_the_tag() {
        let hex = "46e0c10c039e019119339687c3c1757cc81b9da49709a3b3924863ba87ca666e";
        let tags = format!(
            r#"{{"models":[{{"name":"a:1b","digest":"00"}},{{"name":"llama3.1:latest","digest":"{hex}","size":1,
               "details":{{"family":"llama","parameter_size":"8.0B","quantization_level":"Q4_K_M"}}}}]}}"#
        );
        let show = r#"{"model_info":{"general.architecture":"llama","llama.context_length":131072,"x":1.5}}"#;
        let identity = identity(&resolved("llama3.1", &tags, show)).unwrap();
        assert_eq!((identity.name.as_str(), identity.context), ("llama3.1:latest", Some(131_072)));
        assert_eq!(identity.digest, Some(format!("sha256:{hex}")));
        let details: Vec<_> = identity.details.values().map(String::as_str).collect();
        assert_eq!(details, ["llama", "8.0B", "Q4_K_M", "0.12.3"]);
    }

    #[test]
    fn models_elsewhere_and_models_that_are_not_there_are_refused() {
        let hex = "00".repeat(32);
        let tags = format!(r#"{{"models":[{{"name":"m:latest","digest":"{hex}"}}]}}"#);
        let remote = r#"{"remote_host":"https://ollama.com","remote_model":"m"}"#;
        assert!(matches!(identity(&resolved("m", &tags, remote)), Err(Fault::Remote(_))));
        let error = identity(&resolved("n:8b", &tags, "{}")).unwrap_err();
        assert_eq!(error.hint().unwrap(), "get it with `ollama pull n:8b`");
        assert!(matches!(identity(&resolved("m", "{}", "{}")), Err(Fault::Garbage { .. })));
        assert!(matches!(identity(b"{}"), Err(Fault::Malformed { .. })));
    }
}
