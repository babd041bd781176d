//! Recorded agents in the formats of other tools: HAR, JSON Lines, OTLP/JSON, and what is taken out of them.

use std::time::Duration;

use runproof::canon::RunId;
use runproof::proxy::{self, Aborted, By, Ending, Exchange, Head, Header, Sampling, Scan};
use runproof::store::{Access, Durability, NewRun, RunEnd, RunStatus, Store};
use runproof::transcript::{Clock, Recorder, Retries};
use serde_json::{Map, Value, json};

use crate::env::{Output, TestEnv};
use crate::snap;

const RUN: RunId = RunId::from_bytes([7; 12]);
/// 2023-11-14T22:13:20Z.
const START: u64 = 1_700_000_000_000_000;
const KEY: &str = "sk-proj-a1b2c3d4e5f6a1b2c3d4e5f6";

fn head(target: &str, status: u16, kind: &str) -> Head {
    let mut head = Head { method: "POST".into(), service: "openai".into(), status, ..Head::default() };
    head.set_target(target, None);
    head.keep_request("content-type", b"application/json");
    head.keep_reply("content-type", kind.as_bytes());
    head
}

/// A streamed call with a tool's result in it, one in which a key stands, one that the agent left, and a list of models.
fn exchanges() -> Vec<Exchange> {
    let asked = json!({"model": "m", "stream": true, "temperature": 0, "seed": 42, "max_tokens": 9, "stop": "END", "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2 and 2?"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_x", "type": "function", "function": {"name": "add", "arguments": "{\"a\":2}"}}]},
        {"role": "tool", "tool_call_id": "call_x", "content": "4"},
    ]});
    let stream = "data: {\"id\":\"c\",\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Fo\"}}]}\n\n\
        data: {\"id\":\"c\",\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ur.\"},\"finish_reason\":\"stop\"}]}\n\n\
        data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
    let said = json!({"model": "m", "choices": [{"message": {"role": "assistant", "content": format!("Use {KEY}, {}", "x")},
        "finish_reason": "length"}]});
    let mut left = head("/v1/chat/completions", 200, "text/event-stream");
    left.aborted = Some(Aborted { at: 3, by: By::Client });
    let mut models = head("/v1/models", 404, "image/png");
    models.method = "GET".into();
    models.set_target("/v1/models", Some("limit=2&api_key=secret"));
    let plain = json!({"model": "m", "messages": [{"role": "user", "content": "again"}]});
    let exchange =
        |head, sent: String, reply: &[u8]| Exchange { head, received: None, sent: sent.into(), reply: reply.into() };
    vec![
        exchange(head("/v1/chat/completions", 200, "text/event-stream"), asked.to_string(), stream.as_bytes()),
        exchange(head("/v1/chat/completions", 200, "application/json"), plain.to_string(), said.to_string().as_bytes()),
        exchange(left, plain.to_string(), b"dat"),
        exchange(models, String::new(), b"\xff\x00"),
    ]
}

/// A place whose store holds one recording, made as the proxy makes one.
fn recorded() -> TestEnv {
    let env = TestEnv::new();
    let path = env.work().join(".runproof/transcripts.sqlite");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut store = Store::open(&path, Access::Create, Durability::Full).unwrap();
    store
        .begin_run(&NewRun {
            id: RUN,
            name: "agent",
            kind: "record",
            instance: "agent",
            arm: "",
            model: "",
            tests: "",
            orchestration: proxy::NORMALISER,
            started_ms: START / 1000,
        })
        .unwrap();
    let header = Header {
        sampling: Sampling::Observe,
        seed: 42,
        secrets: Scan::Warn,
        normalise: Vec::new(),
        version: "0".into(),
    };
    let retries = Retries { tries: 1, first_pause: Duration::ZERO, longest_pause: Duration::ZERO };
    let clock = Clock { now_us: || START, sleep: |_| {} };
    let mut recorder = Recorder::new(&mut store, RUN, clock, retries);
    proxy::begin(&mut recorder, &header).unwrap();
    for (number, exchange) in exchanges().iter().enumerate() {
        let mut observation = Map::new();
        observation.insert("t".into(), json!([1000 * number as u64, 250_500]));
        if number == 0 {
            observation.insert("chunks".into(), json!([5, 101, 400, 149]));
        }
        proxy::perform(&mut recorder, &header, exchange, observation).unwrap();
    }
    proxy::end(&mut recorder, Ending { exit: Some(0) }).unwrap();
    let roots = recorder.roots().clone();
    let (raw_root, canonical_root) = (roots.raw(), roots.canonical());
    let finished_ms = START / 1000 + 5000;
    let end = RunEnd { status: RunStatus::Finished, outcome: "", attempts: 0, raw_root, canonical_root, finished_ms };
    store.finish_run(RUN, &end).unwrap();
    store.close().unwrap();
    env
}

fn export(env: &TestEnv, more: &[&str]) -> (Output, String) {
    let file = env.work().join("out");
    let _ = std::fs::remove_file(&file);
    let done = env.run(&[&["store", "export", "last", "out"], more].concat());
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    (done, text)
}

fn pretty(text: &str) -> String {
    serde_json::to_string_pretty(&serde_json::from_str::<Value>(text).unwrap()).unwrap()
}

#[test]
fn a_recording_is_an_http_archive() {
    let (done, text) = export(&recorded(), &["--har"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.stderr.contains("wrote 4 exchanges of run") && done.stderr.contains("1 piece of text"),
        "{}",
        done.stderr
    );
    snap!("proxy", "har", pretty(&text));
}

#[test]
fn a_recording_is_spans_by_the_conventions_for_generative_ai() {
    let env = recorded();
    let (done, text) = export(&env, &["--otlp"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    snap!("proxy", "otlp", pretty(&text));
    // Messages are JSON texts within the JSON.
    let value: Value = serde_json::from_str(&text).unwrap();
    let attributes = value["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["attributes"].as_array().unwrap();
    let input = attributes.iter().find(|attribute| attribute["key"] == "gen_ai.input.messages").unwrap();
    let messages: Value = serde_json::from_str(input["value"]["stringValue"].as_str().unwrap()).unwrap();
    assert_eq!(messages[3], json!({"role": "tool", "parts": [{"type": "tool_call_response", "response": "4"}]}));
    // The same run is the same trace.
    assert_eq!(export(&env, &["--otlp"]).1, text);
}

#[test]
fn json_lines_hold_the_bodies_and_what_was_read_in_them() {
    let (done, text) = export(&recorded(), &["--jsonl"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    let first = &exchanges()[0];
    assert_eq!(lines[0]["request"].as_str().unwrap().as_bytes(), first.sent);
    assert_eq!(lines[0]["reply"].as_str().unwrap().as_bytes(), first.reply);
    assert_eq!(lines[0]["turn"]["turn"]["text"], "Four.");
    assert_eq!(lines[0]["conversation"]["turns"][2]["calls"][0], json!({"name": "add", "arguments": "{\"a\":2}"}));
    assert_eq!((lines[0]["turn"]["input_tokens"].clone(), lines[0]["grade"].clone()), (json!(11), json!("seeded")));
    assert_eq!(lines[2]["aborted"], json!({"by": "client", "at": 3}));
    assert_eq!(
        (lines[3]["reply"].clone(), lines[3]["target"].clone()),
        (json!({"bytes": 2, "redacted": false}), json!("/v1/models?limit=2&api_key=<secret>"))
    );
}

#[test]
fn credentials_are_taken_out_of_exports_and_stay_in_the_store() {
    let env = recorded();
    for form in ["--har", "--jsonl", "--otlp"] {
        let (done, text) = export(&env, &[form, "--redact", "2 and \\d", "--json"]);
        let said: Value = serde_json::from_str(&done.sound()).unwrap();
        assert!(
            !text.contains(KEY) && text.contains("Use [redacted], x") && !text.contains("2 and 2"),
            "{form}: {text}"
        );
        assert!(said["redacted"].as_u64() >= Some(2) && said["exchanges"] == 4, "{said}");
        let (done, text) = export(&env, &[form, "--unredacted"]);
        assert!(done.code == 0 && text.contains(KEY) && !done.stderr.contains("taken out"), "{form}: {}", done.stderr);
    }
    assert!(env.run(&["show", "last", "--event", "2", "--body", "reply"]).sound().contains(KEY));
}

#[test]
fn an_export_is_refused_where_it_makes_no_sense_and_overwrites_nothing() {
    let env = recorded();
    std::fs::write(env.work().join("there"), "mine").unwrap();
    let done = env.run(&["store", "export", "last", "there", "--har"]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    assert_eq!(std::fs::read_to_string(env.work().join("there")).unwrap(), "mine");
    for wrong in [&["--har", "--otlp"][..], &["--unredacted"], &["--jsonl", "--redact", "("]] {
        let (done, _) = export(&env, wrong);
        assert_eq!(done.code, 2, "{wrong:?}: {}", done.stderr);
        assert!(!env.work().join("out").exists());
    }
}
