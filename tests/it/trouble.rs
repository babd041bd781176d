//! Campaigns in trouble: servers that die, answer nonsense or hang, a second process, a disk without room.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::bench::campaign;
use crate::solve::{RIGHT, WRONG};
use crate::stub::{End, Framing, Reaction, Stub, ollama};

/// One arm of one attempt over an Ollama at `url`.
fn asked<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let base = ["bench", "tasks", "--seeds=42", "--red-runs=1", "--tests=oracle", "--model=ollama:m", "--json"];
    [&base[..], &["--base-url", url], more].concat()
}

/// The second and the third pause between tries are one and two seconds.
#[test]
fn a_server_that_dies_in_a_reply_and_comes_back_after_three_seconds_changes_nothing() {
    let arms = ["--arms=direct-2", "--patience=60"];
    let env = campaign(1);
    let stub = Stub::start(ollama("m", vec![WRONG.into(), RIGHT.into()]));
    let undisturbed: Value = serde_json::from_str(&env.run(&asked(&stub.url(), &arms)).sound()).unwrap();
    drop(stub);

    let env = campaign(1);
    let mut healthy = ollama("m", vec![WRONG.into()]);
    let stub = Stub::start(move |seen| match healthy(seen) {
        // Dies in the middle of a token.
        reply if seen.path == "/api/chat" => reply.cut_at([150]).ending(End::Cut),
        reply => reply,
    });
    let url = stub.url();
    let mut command = env.command(&asked(&url, &arms));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("try 1 of")));
    drop(stub);
    assert!(said.any(|line| line.contains("try 2 of") && line.contains("ollama cannot be reached: ")));
    // Back, with everything else that a server under load answers.
    let mut healthy = ollama("m", vec![WRONG.into(), RIGHT.into()]);
    let mut trouble = [500, 429, 503].into_iter();
    let stub = Stub::listen(url.strip_prefix("http://").unwrap(), move |seen| {
        match trouble.next().filter(|_| seen.path == "/api/chat") {
            Some(status) => Reaction::json(status, r#"{"error":"busy"}"#).header("retry-after", "0"),
            None => healthy(seen),
        }
    })
    .unwrap();
    let rest: Vec<String> = said.collect();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{rest:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["arms"][0]["resolved_at"], json!({"2": 1}));
    assert_eq!(found["canonical_root"], undisturbed["canonical_root"]);
    assert!(env.run(&["log", "last"]).sound().contains("failed_try"), "the tries are on record");
    env.run(&["replay", "last"]).sound();
    env.run(&["check", "last"]).sound();
    drop(stub);
}

#[test]
fn a_server_that_answers_nonsense_costs_its_run_only_and_is_asked_again_on_resume() {
    let env = campaign(4);
    let arms = ["--arms=direct-1", "--patience=0"];
    let mut healthy = ollama("m", vec![RIGHT.into()]);
    let mut trouble = [
        Reaction::json(200, "<html>Bad gateway</html>"),
        Reaction::json(200, r#"{"model":"m","message":{"role":"assistant","content":"FI"#),
        Reaction::json(200, "").framed(Framing::Raw),
    ]
    .into_iter();
    let stub = Stub::start(move |seen| match trouble.next().filter(|_| seen.path == "/api/chat") {
        Some(reaction) => reaction,
        None => healthy(seen),
    });
    let output = env.run(&asked(&stub.url(), &arms));
    assert_eq!(output.code, 4, "{output:?}");
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    let arm = &found["arms"][0];
    assert_eq!((&arm["done"], &arm["environment_errors"]), (&json!(1), &json!(3)), "{output:?}");
    let log = env.run(&["log", "--json"]).sound();
    let errors = log.lines().filter(|line| line.contains("\"outcome\":\"environment: ollama ")).count();
    assert_eq!(errors, 3, "{log}");

    let good = |count| Stub::start(ollama("m", vec![RIGHT.into(); count]));
    let stub = good(3);
    let resumed: Value = serde_json::from_str(&env.run(&asked(&stub.url(), &["--resume", arms[0]])).sound()).unwrap();
    assert_eq!(stub.asked("/api/chat").len(), 3, "what had ended is not asked again");
    let whole = campaign(4);
    let stub = good(4);
    let undisturbed: Value = serde_json::from_str(&whole.run(&asked(&stub.url(), &arms)).sound()).unwrap();
    assert_eq!(resumed["canonical_root"], undisturbed["canonical_root"]);
}

#[test]
fn a_campaign_that_is_under_way_is_not_begun_or_resumed_a_second_time() {
    let env = campaign(1);
    let (reached, is_reached) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let mut healthy = ollama("m", vec![RIGHT.into()]);
    let stub = Stub::start(move |seen| {
        if seen.path == "/api/chat" {
            reached.send(()).unwrap();
            may_go.recv().unwrap();
        }
        healthy(seen)
    });
    let url = stub.url();
    let mut first = env.command(&asked(&url, &["--arms=direct-1"]));
    let first = first.stdout(Stdio::piped()).spawn().unwrap();
    is_reached.recv().unwrap();
    let log = env.run(&["log", "--json"]).sound();
    let run: Value = serde_json::from_str(log.lines().find(|line| line.contains("task0")).unwrap()).unwrap();
    let run = run["id"].as_str().unwrap();
    for args in [
        asked(&url, &["--arms=direct-1"]),
        asked(&url, &["--arms=direct-1", "--resume"]),
        vec!["solve", "tasks/task0", "--resume", run, "--base-url", &url],
    ] {
        let output = env.run(&args);
        assert!(output.code == 4 && output.stderr.contains("is under way in another process"), "{output:?}");
        assert!(output.stderr.contains("hint: wait until it has ended"), "{output:?}");
    }
    go.send(()).unwrap();
    let found: Value = serde_json::from_slice(&first.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(found["arms"][0]["resolved"], 1, "the first one had its worktree all the while");
    assert_eq!(fs::read_dir(env.work().join(".runproof/work")).unwrap().count(), 0, "nothing stays");
}

#[test]
fn a_server_that_was_away_is_asked_again_by_whoever_resumes() {
    let env = campaign(1);
    let dead = "http://127.0.0.1:9";
    let args = |url| {
        let base = ["bench", "tasks", "--arms=direct-2", "--seeds=42", "--red-runs=1", "--model=ollama:m", "--json"];
        [&base[..], &["--patience=1", "--base-url", url]].concat()
    };
    let output = env.run(&args(dead));
    assert!(output.code == 4 && output.stderr.contains("try 1 of 2 failed"), "{output:?}");
    let stub = Stub::start(ollama("m", vec![WRONG.into(), RIGHT.into()]));
    let url = stub.url();
    let found: Value = serde_json::from_str(&env.run(&[&args(&url)[..], &["--resume"]].concat()).sound()).unwrap();
    assert_eq!(found["arms"][0]["done"], 1);
}

/// A file system of its own needs namespaces; where there are none, this says so and is no test.
#[test]
fn a_full_disk_ends_the_campaign_and_leaves_no_verdict() {
    let env = campaign(2);
    let bench = ["bench", "tasks", "--arms=direct-2", "--seeds=42", "--red-runs=1", "--model=scripted:script.jsonl"];
    let whole = env.run(&[&bench[..], &["--json", "--store", "whole.sqlite"]].concat()).sound();
    let root = serde_json::from_str::<Value>(&whole).unwrap()["canonical_root"].clone();
    let script = format!(
        "mkdir .runproof && mount -t tmpfs -o size=40m none .runproof || exit 99\n\
         head -c 36m /dev/zero > .runproof/filler\n\"$0\" {0} >&2; echo $?\n\"$0\" store verify >&2; echo $?\n\
         rm .runproof/filler\n\"$0\" {0} --resume --quiet --json\n",
        bench.join(" ")
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_runproof")]);
    let output = env.finish(command.current_dir(env.work()).env("TMPDIR", env.work()));
    if output.code == 99 || output.stderr.starts_with("unshare:") {
        eprintln!("SKIPPED: no file system of its own can be had here: {}", output.stderr);
        return;
    }
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[..2], ["4", "0"], "{output:?}");
    assert!(output.stderr.contains("error: the disk with the worktrees is full\nhint: free"), "{output:?}");
    assert!(!output.stderr.contains("2/2"), "the other one is not begun: {output:?}");
    let resumed: Value = serde_json::from_str(lines[2]).unwrap();
    assert_eq!((&resumed["arms"][0]["resolved"], &resumed["canonical_root"]), (&json!(2), &root));
}

#[test]
fn what_a_run_has_used_that_was_cut_off_counts_for_the_limit_of_all() {
    let env = campaign(1);
    let mut healthy = ollama("m", vec![WRONG.into()]);
    let mut calls = 0;
    let stub = Stub::start(move |seen| {
        calls += usize::from(seen.path == "/api/chat");
        if calls > 1 { Reaction::json(500, r#"{"error":"gone"}"#) } else { healthy(seen) }
    });
    let url = stub.url();
    let cut = env.run(&asked(&url, &["--arms=direct-2", "--patience=0"]));
    assert_eq!(cut.code, 4, "{cut:?}");
    let output = env.run(&asked(&url, &["--arms=direct-2", "--patience=0", "--resume", "--total-tokens=1"]));
    assert!(output.code == 5 && output.stderr.contains("no further run was begun"), "{output:?}");
}
