//! Providers against servers of this machine: the good way, and every way in which a server can be bad.

use std::time::Duration;

use runproof::model::{
    Anthropic, AnthropicSettings, ApiKey, Fault, Grade, Identity, Limits, Message, Model, ModelError, Network, Ollama,
    OllamaSettings, OpenAi, OpenAiSettings, Progress, Provider, Reply, Request, Role, Sampling, identity, normalise,
};

use crate::stub::{End, Framing, OLLAMA_DIGEST, Reaction, Seen, Stub, ollama};

const KEY: &str = "sk-CANARY-0123456789";

fn network() -> Network {
    Network { silence: Duration::from_secs(30), ..Network::default() }
}

fn request(model: Identity) -> Request {
    Request {
        model,
        messages: vec![
            Message { role: Role::System, content: "You repair bugs.".into() },
            Message { role: Role::User, content: "Why is the sky blue?".into() },
        ],
        sampling: Sampling::greedy(42),
        limits: Limits { context_tokens: 4096, max_tokens: 64 },
        constraint: None,
    }
}

fn resolved(model: &mut dyn Model, provider: Provider) -> Identity {
    let raw = model.resolve().expect("the stub knows the model").raw;
    Identity::from_bytes(&identity(provider, &raw).expect("the stub's model is sound")).expect("canonical bytes")
}

fn ollama_at(stub: &Stub) -> Ollama {
    let settings = OllamaSettings { address: Some(stub.url()), ..OllamaSettings::default() };
    Ollama::new("llama3.1:8b", &settings, &network()).expect("a sound address")
}

/// The same with so little patience that a test can wait for it.
fn impatient_at(stub: &Stub) -> Ollama {
    let settings = OllamaSettings { address: Some(stub.url()), ..OllamaSettings::default() };
    let network = Network { silence: Duration::from_millis(300), ..network() };
    Ollama::new("llama3.1:8b", &settings, &network).expect("a sound address")
}

fn openai_at(url: &str, model: &str) -> OpenAi {
    let key = Some(ApiKey::new(Provider::OpenAi, KEY).expect("a sound key"));
    OpenAi::new(model, &OpenAiSettings { address: Some(url.to_owned()), key }, &network()).expect("a sound address")
}

fn anthropic_at(url: &str) -> Anthropic {
    let key = Some(ApiKey::new(Provider::Anthropic, KEY).expect("a sound key"));
    let settings = AnthropicSettings { address: Some(url.to_owned()), key };
    Anthropic::new("claude-haiku-4-5-20251001", &settings, &network()).expect("a sound address")
}

fn ask(model: &mut dyn Model, request: &Request) -> Result<Reply, ModelError> {
    let answer = model.call(request, &mut |_| ())?;
    let bytes = normalise(request, &answer.sent, &answer.raw).expect("a call yields only what can be read again");
    Ok(Reply::from_bytes(&bytes).expect("canonical bytes"))
}

/// An Ollama whose `/api/chat` does something of its own.
fn odd_ollama(mut chat: impl FnMut(&Seen) -> Reaction + Send + 'static) -> Stub {
    let mut sound = ollama("llama3.1:8b", Vec::new());
    Stub::start(move |seen| if seen.path == "/api/chat" { chat(seen) } else { sound(seen) })
}

const LINES: &str = "{\"message\":{\"content\":\"Hel\"},\"done\":false}\n{\"message\":{\"content\":\"lo é\"},\"done\":false}\n\
    {\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":20,\"eval_count\":2}\n";

#[test]
fn ollama_answers_and_is_known_by_its_digest() {
    let stub = Stub::start(ollama("llama3.1:8b", vec!["FILE: a.py\nLINES: 1-2\n".into()]));
    let mut model = ollama_at(&stub);
    let identity = resolved(&mut model, Provider::Ollama);
    assert_eq!(identity.digest, Some(format!("sha256:{OLLAMA_DIGEST}")));
    let request = request(identity);
    let mut seen = Vec::new();
    let answer = model.call(&request, &mut |progress: Progress| seen.push(progress.tokens)).unwrap();
    let reply = Reply::from_bytes(&normalise(&request, &answer.sent, &answer.raw).unwrap()).unwrap();
    assert_eq!((reply.text.as_str(), reply.grade), ("FILE: a.py\nLINES: 1-2\n", Grade::Seeded));
    assert_eq!(answer.observation["context_effective"], 4096);
    assert_eq!(answer.observation["eval_duration"], 500_000_000);
    assert!(seen.last() > Some(&0), "{seen:?}");
    let chat = &stub.asked("/api/chat")[0];
    assert_eq!(chat.body, answer.sent);
    assert_eq!(
        (chat.header("content-type"), chat.header("accept-encoding")),
        (Some("application/json"), Some("identity"))
    );
    assert!(model.call(&request, &mut |_| ()).unwrap_err().to_string().contains("no more replies"));
}

#[test]
fn threads_layers_and_a_cold_cache_are_sent_and_not_keyed() {
    let stub = Stub::start(ollama("llama3.1:8b", vec!["a".into()]));
    let settings = OllamaSettings { address: Some(stub.url()), threads: Some(2), gpu_layers: Some(0), cold: true };
    let mut model = Ollama::new("llama3.1:8b", &settings, &network()).unwrap();
    let request = request(resolved(&mut model, Provider::Ollama));
    assert_eq!(ask(&mut model, &request).unwrap().grade, Grade::Seeded);
    let body = stub.asked("/api/chat")[0].json();
    assert_eq!(
        (&body["keep_alive"], &body["options"]["num_thread"], &body["options"]["num_gpu"]),
        (&0.into(), &2.into(), &0.into())
    );
}

#[test]
fn the_cuts_of_a_stream_do_not_matter() {
    for framing in [Framing::Chunked, Framing::Length, Framing::Close] {
        for step in [1, 2, 7, 40] {
            let stub =
                odd_ollama(move |_| Reaction::stream(LINES).framed(framing).cut_at((0..LINES.len()).step_by(step)));
            let mut model = ollama_at(&stub);
            let request = request(resolved(&mut model, Provider::Ollama));
            let answer = model.call(&request, &mut |_| ()).unwrap();
            assert_eq!(answer.raw, LINES.as_bytes());
        }
    }
}

#[test]
fn a_stream_that_ends_early_keeps_its_bytes_and_may_be_tried_again() {
    let part = &LINES[..60];
    for reaction in [
        Reaction::stream(part),
        Reaction::stream(part).ending(End::Cut),
        Reaction::stream(part).framed(Framing::Close),
        Reaction::stream(part).framed(Framing::WrongLength(500)),
    ] {
        let shown = format!("{:?} {:?}", reaction.framing, reaction.end);
        let stub = odd_ollama(move |_| reaction.clone());
        let mut model = ollama_at(&stub);
        let request = request(resolved(&mut model, Provider::Ollama));
        let error = model.call(&request, &mut |_| ()).unwrap_err();
        assert!(matches!(error.fault(), Fault::Cut { .. }), "{shown}: {error}");
        assert!(error.retry().is_some());
        let (sent, raw) = error.partial();
        assert_eq!((sent, raw), (&stub.asked("/api/chat")[0].body[..], part.as_bytes()), "{shown}");
    }
}

#[test]
fn a_server_that_hangs_is_left_after_the_silence() {
    for (part, kept) in [("", 0), (&LINES[..60], 60)] {
        let stub = odd_ollama(move |_| Reaction::stream(part).ending(End::Hang));
        let request = request(resolved(&mut ollama_at(&stub), Provider::Ollama));
        let error = impatient_at(&stub).call(&request, &mut |_| ()).unwrap_err();
        assert!(matches!(error.fault(), Fault::Timeout { phase: "silence", .. }), "{error}");
        assert_eq!((error.partial().1.len(), error.retry().is_some()), (kept, true));
    }
    let stub = odd_ollama(|_| Reaction::json(200, "").framed(Framing::Raw).ending(End::Hang));
    let request = request(resolved(&mut ollama_at(&stub), Provider::Ollama));
    assert!(matches!(impatient_at(&stub).call(&request, &mut |_| ()).unwrap_err().fault(), Fault::Timeout { .. }));
}

#[test]
fn garbage_is_called_garbage() {
    for reaction in [
        Reaction::json(200, "SSH-2.0-OpenSSH_9.6\r\n").framed(Framing::Raw),
        Reaction::json(200, "<html>It works!</html>\n"),
        Reaction::json(200, [0xff, 0xfe, b'\n']),
        Reaction::json(200, format!("{LINES}more\n")),
        Reaction::json(200, LINES).framed(Framing::WrongLength(-20)).ending(End::Well),
    ] {
        let shown = format!("{:?}", reaction.framing);
        let stub = odd_ollama(move |_| reaction.clone());
        let mut model = ollama_at(&stub);
        let request = request(resolved(&mut model, Provider::Ollama));
        let error = model.call(&request, &mut |_| ()).unwrap_err();
        assert!(matches!(error.fault(), Fault::Garbage { .. } | Fault::Cut { .. }), "{shown}: {error}");
    }
    let stub = Stub::start(|_| Reaction::json(200, "<html>It works!</html>"));
    let error = ollama_at(&stub).resolve().unwrap_err();
    assert!(matches!(error.fault(), Fault::Garbage { .. }) && error.hint().is_some());
}

#[test]
fn an_endless_body_is_cut_at_64_mib() {
    let stub = odd_ollama(|_| Reaction::stream(vec![b'x'; 65 << 20]));
    let mut model = ollama_at(&stub);
    let request = request(resolved(&mut model, Provider::Ollama));
    let error = model.call(&request, &mut |_| ()).unwrap_err();
    assert!(matches!(error.fault(), Fault::TooLarge { .. }), "{error}");
    assert_eq!(error.partial().1.len(), 64 << 20);
}

#[test]
fn no_server_and_no_model_say_what_to_do() {
    let gone = Stub::start(|_| Reaction::json(200, "{}")).url();
    let settings = OllamaSettings { address: Some(gone.clone()), ..OllamaSettings::default() };
    let error = Ollama::new("m", &settings, &network()).unwrap().resolve().unwrap_err();
    assert!(matches!(error.fault(), Fault::Unreachable { .. }), "{error}");
    let port = gone.rsplit(':').next().unwrap();
    assert!(error.hint().unwrap().contains("ollama serve") && !error.to_string().contains(port), "{error}");

    let stub = Stub::start(ollama("other:1b", Vec::new()));
    let error = ollama_at(&stub).resolve().unwrap_err();
    assert_eq!(error.to_string(), "ollama has no model \"llama3.1:8b\"");
    assert_eq!(error.hint().unwrap(), "get it with `ollama pull llama3.1:8b`");
}

#[test]
fn a_busy_server_is_tried_again_when_it_says() {
    let mut first = true;
    let stub = odd_ollama(move |_| match std::mem::take(&mut first) {
        true => Reaction::json(429, r#"{"error":"busy"}"#).header("retry-after", "7"),
        false => Reaction::stream(LINES),
    });
    let mut model = ollama_at(&stub);
    let request = request(resolved(&mut model, Provider::Ollama));
    let error = model.call(&request, &mut |_| ()).unwrap_err();
    assert_eq!(error.retry().unwrap().after, Some(Duration::from_secs(7)));
    assert_eq!(error.partial().1, br#"{"error":"busy"}"#);
    assert_eq!(ask(&mut model, &request).unwrap().text, "Hello é");
}

#[test]
fn a_prompt_that_does_not_fit_or_was_cut_is_refused() {
    let stub = Stub::start(ollama("llama3.1:8b", vec!["a".into()]));
    let mut model = ollama_at(&stub);
    let mut long = request(resolved(&mut model, Provider::Ollama));
    long.messages[1].content = "def f(x):\n    return x\n".repeat(2000);
    let error = model.call(&long, &mut |_| ()).unwrap_err();
    assert!(matches!(error.fault(), Fault::PromptTooLong { context: 4096, .. }) && error.retry().is_none(), "{error}");

    let stub = odd_ollama(|_| Reaction::stream(LINES));
    let mut model = ollama_at(&stub);
    let error = model.call(&long, &mut |_| ()).unwrap_err();
    assert!(matches!(error.fault(), Fault::PromptTruncated { counted: 20, .. }) && error.hint().is_some(), "{error}");
    assert_eq!(error.partial().1, LINES.as_bytes());
}

#[test]
fn a_smaller_context_or_other_weights_than_asked_are_noticed() {
    let running = |digest: &str, context: u32| {
        format!(r#"{{"models":[{{"name":"llama3.1:8b","digest":"{digest}","context_length":{context}}}]}}"#)
    };
    for (digest, context) in [(OLLAMA_DIGEST.to_owned(), 2048), ("00".repeat(32), 4096)] {
        let (mut sound, ps) = (ollama("llama3.1:8b", vec!["a".into()]), running(&digest, context));
        let stub = Stub::start(move |seen| match seen.path.as_str() {
            "/api/ps" => Reaction::json(200, ps.as_str()),
            _ => sound(seen),
        });
        let mut model = ollama_at(&stub);
        let request = request(resolved(&mut model, Provider::Ollama));
        let error = model.call(&request, &mut |_| ()).unwrap_err();
        match context {
            2048 => assert_eq!(error.fault(), &Fault::ContextReduced { asked: 4096, effective: 2048 }),
            _ => assert!(matches!(error.fault(), Fault::Digest { .. }), "{error}"),
        }
    }
}

const EVENTS: &str = "data: {\"model\":\"m-2026\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n\
    data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":1},\"timings\":{\"prompt_ms\":2.5}}\n\n\
    data: [DONE]\n\n";

/// A server with OpenAI's API whose model belongs to `owner`.
fn openai(owner: &'static str, mut chat: impl FnMut(&Seen) -> Reaction + Send + 'static) -> Stub {
    Stub::start(move |seen| match seen.path.as_str() {
        "/v1/models" => Reaction::json(200, format!(r#"{{"data":[{{"id":"m","owned_by":"{owner}"}}]}}"#)),
        "/v1/chat/completions" => chat(seen),
        _ => Reaction::json(404, "{}"),
    })
}

#[test]
fn a_field_that_is_refused_is_left_out_and_the_grade_says_so() {
    let stub = openai("openai", |seen| match seen.json() {
        body if body.get("temperature").is_some() => Reaction::json(
            400,
            r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0","param":"temperature"}}"#,
        ),
        body if body.get("seed").is_some() => Reaction::json(400, r#"{"error":{"message":"Unknown field `seed`"}}"#),
        _ => Reaction::stream(EVENTS),
    });
    let mut model = openai_at(&stub.url(), "m");
    let request = request(resolved(&mut model, Provider::OpenAi));
    for field in ["temperature", "seed"] {
        let error = model.call(&request, &mut |_| ()).unwrap_err();
        assert!(matches!(error.fault(), Fault::FieldRefused { field: found, .. } if found == field), "{error}");
        assert_eq!(error.retry().unwrap().after, Some(Duration::ZERO));
        assert!(!error.partial().0.is_empty() && !error.partial().1.is_empty());
    }
    let reply = ask(&mut model, &request).unwrap();
    assert_eq!((reply.text.as_str(), reply.grade), ("Hi", Grade::NotReexecutable));
    assert_eq!(reply.dropped, ["frequency_penalty", "presence_penalty", "seed", "temperature", "top_p"]);
    assert_eq!(reply.served.as_deref(), Some("m-2026"));
}

#[test]
fn a_llama_cpp_server_gets_its_own_fields_and_is_known_by_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("tiny.gguf");
    std::fs::write(&weights, b"GGUF and the rest").unwrap();
    let path = weights.to_string_lossy().into_owned();
    let stub = Stub::start(move |seen| match seen.path.as_str() {
        "/v1/models" => Reaction::json(200, format!(r#"{{"data":[{{"id":"{path}","owned_by":"llamacpp"}}]}}"#)),
        "/props" => Reaction::json(
            200,
            format!(
                r#"{{"model_path":"{path}","build_info":"b1","total_slots":1,"default_generation_settings":{{"n_ctx":4096}}}}"#
            ),
        ),
        "/slots" => Reaction::json(200, r#"[{"id":0,"params":{"temperature":0.0,"top_k":1,"seed":42,"other":1}}]"#),
        _ => Reaction::stream(EVENTS).cut_at(0..EVENTS.len()),
    });
    let mut model = openai_at(&format!("{}/v1/", stub.url()), "tiny");
    let identity = resolved(&mut model, Provider::OpenAi);
    let digest = runproof::canon::Sha256::of(b"GGUF and the rest").to_string();
    assert_eq!((identity.name.as_str(), identity.digest.as_ref()), ("tiny.gguf", Some(&digest)));
    let mut request = request(identity);
    let answer = model.call(&request, &mut |_| ()).unwrap();
    assert_eq!(answer.observation["sampling_effective"]["seed"], 42);
    assert_eq!(answer.observation["timings"]["prompt_ms"], 2.5);
    let body = stub.asked("/v1/chat/completions")[0].json();
    assert_eq!((&body["cache_prompt"], &body["top_k"]), (&false.into(), &1.into()));
    request.limits.context_tokens = 8192;
    let error = model.call(&request, &mut |_| ()).unwrap_err();
    assert_eq!(error.fault(), &Fault::ContextReduced { asked: 8192, effective: 4096 });
}

const MESSAGES: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-haiku-4-5-20251001\",\
    \"usage\":{\"input_tokens\":20}}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
    \"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\
    \"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":1}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

#[test]
fn anthropic_is_asked_to_be_greedy_and_recorded_when_it_will_not() {
    for (refuses, grade) in [(false, Grade::Greedy), (true, Grade::NotReexecutable)] {
        let stub = Stub::start(move |seen| match seen.path.as_str() {
            "/v1/messages" if refuses && seen.json().get("temperature").is_some() => Reaction::json(
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"`temperature` is not supported"}}"#,
            ),
            "/v1/messages" => Reaction::stream(MESSAGES),
            path => Reaction::json(200, format!(r#"{{"type":"model","id":"{}"}}"#, path.rsplit('/').next().unwrap())),
        });
        let mut model = anthropic_at(&stub.url());
        let request = request(resolved(&mut model, Provider::Anthropic));
        if refuses {
            assert!(matches!(model.call(&request, &mut |_| ()).unwrap_err().fault(), Fault::FieldRefused { .. }));
        }
        assert_eq!(ask(&mut model, &request).unwrap().grade, grade);
        let seen = stub.asked("/v1/messages");
        assert_eq!((seen[0].header("anthropic-version"), seen[0].header("x-api-key")), (Some("2023-06-01"), Some(KEY)));
    }
}

#[test]
fn a_redirect_is_not_followed_and_the_key_stays_here() {
    let other = Stub::start(|_| Reaction::json(200, "{}"));
    let target = other.url();
    let stub = Stub::start(move |_| Reaction::json(307, "").header("location", target.clone()));
    let error = openai_at(&stub.url(), "m").resolve().unwrap_err();
    assert!(matches!(error.fault(), Fault::Redirect { status: 307, .. }), "{error}");
    assert!(other.seen().is_empty());
}

#[test]
fn a_key_is_sent_in_its_header_and_shown_nowhere() {
    let shown = |what: &dyn std::fmt::Debug| assert!(!format!("{what:?}").contains("CANARY"), "{what:?}");
    let no_trace = |error: &ModelError| {
        shown(error);
        shown(&error.to_string());
        shown(&error.hint());
        let (sent, raw) = error.partial();
        shown(&String::from_utf8_lossy(sent));
        shown(&String::from_utf8_lossy(raw));
    };
    // A server that says everything back that it was sent.
    let echo = |seen: &Seen, status| {
        Reaction::json(
            status,
            format!(r#"{{"error":{{"message":"{:?}"}}}}"#, seen.headers)
                .replace("(\"", "")
                .replace("\")", "")
                .replace("\", \"", " "),
        )
    };
    let stub = Stub::start(move |seen| echo(seen, 401));
    let mut openai_model = openai_at(&stub.url(), "m");
    let error = openai_model.resolve().unwrap_err();
    assert!(
        matches!(error.fault(), Fault::Status { status: 401, .. }) && error.to_string().contains("****"),
        "{error}"
    );
    no_trace(&error);
    no_trace(&anthropic_at(&stub.url()).resolve().unwrap_err());
    assert_eq!(stub.seen()[0].header("authorization"), Some(format!("Bearer {KEY}").as_str()));

    // A reply that holds it, and a prompt that holds it.
    let stub =
        openai("x", |seen| Reaction::stream(EVENTS.replace("Hi", seen.header("authorization").unwrap_or_default())));
    let mut model = openai_at(&stub.url(), "m");
    let mut request = request(resolved(&mut model, Provider::OpenAi));
    let answer = model.call(&request, &mut |_| ()).unwrap();
    shown(&answer);
    shown(&String::from_utf8_lossy(&answer.raw));
    shown(&String::from_utf8_lossy(&answer.sent));
    request.messages[1].content = format!("OPENAI_API_KEY={KEY}");
    let error = model.call(&request, &mut |_| ()).unwrap_err();
    assert!(matches!(error.fault(), Fault::Request { .. }), "{error}");
    no_trace(&error);
    assert_eq!(stub.asked("/v1/chat/completions").len(), 1);

    let key = || Some(ApiKey::new(Provider::OpenAi, KEY).unwrap());
    shown(&OpenAiSettings { address: None, key: key() });
    shown(&AnthropicSettings { address: None, key: key() });
    let address = Some(format!("http://user:{KEY}@box"));
    let error = OpenAi::new("m", &OpenAiSettings { address, key: None }, &network()).err().unwrap();
    no_trace(&error);
}
