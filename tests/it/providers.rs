//! Whole runs through a server: recorded live, replayed when the server is gone.

use serde_json::Value;

use crate::env::TestEnv;
use crate::solve::{RIGHT, WRONG, place};
use crate::stub::{Reaction, Stub, ollama};

/// Runs `solve` on the task with the server's model, and replays it without the server.
fn solved_and_replayed(env: &TestEnv, stub: Stub, model: &str) {
    let output = env.run(&["solve", "task", "--model", model, "--base-url", &stub.url()]);
    assert_eq!(output.code, 0, "{output:?}");
    drop(stub);
    let replay: Value = serde_json::from_str(&env.run(&["replay", "last", "--json"]).sound()).expect("JSON");
    assert_eq!(replay["equal"], true, "{replay}");
}

#[test]
fn ollama_answers_wrong_then_right_and_the_run_replays_without_it() {
    let env = place(&[]);
    let stub = Stub::start(ollama("llama3.1:8b", vec![WRONG.into(), RIGHT.into()]));
    solved_and_replayed(&env, stub, "ollama:llama3.1:8b");
}

/// The stream of a chat completion that says `text`.
fn events(text: &str) -> String {
    let part = |choice: Value| format!("data: {}\n\n", serde_json::json!({"id": "chatcmpl-1", "choices": [choice]}));
    let delta = part(serde_json::json!({"index": 0, "delta": {"content": text}}));
    delta + &part(serde_json::json!({"index": 0, "delta": {}, "finish_reason": "stop"})) + "data: [DONE]\n\n"
}

#[test]
fn refusals_and_a_busy_server_are_tries_of_one_call_and_replay_with_it() {
    let env = place(&[]);
    let (mut calls, mut replies) = (0, [WRONG, RIGHT].into_iter());
    let stub = Stub::start(move |seen| {
        if seen.path == "/v1/models" {
            return Reaction::json(200, r#"{"data":[{"id":"m","owned_by":"somebody"}]}"#);
        }
        calls += 1;
        match (seen.json().get("seed").is_some(), calls) {
            (true, _) => Reaction::json(400, r#"{"error":{"message":"no","param":"seed"}}"#),
            (false, 2) => Reaction::json(503, r#"{"error":{"message":"busy"}}"#).header("retry-after", "0"),
            _ => replies.next().map_or(Reaction::json(400, "{}"), |reply| Reaction::stream(events(reply))),
        }
    });
    solved_and_replayed(&env, stub, "openai:m");
    let events = env.run(&["log", "last", "--json"]).sound();
    let tries = events.lines().filter(|line| line.contains("\"model_call\"")).count();
    assert!(tries >= 2, "{events}");
}
