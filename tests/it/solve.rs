//! `solve`, `replay`, `show`, `log`, `diff` as a person uses them, with the scripted model, real git and real tests.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::snap;

pub(crate) const WRONG: &str = "FILE: basket.py\nLINES: 4-4\nREASONING: guess\n```\n        result = price + 1\n```\n";
pub(crate) const RIGHT: &str = "FILE: basket.py\nLINES: 4-4\nREASONING: add up\n```\n        result += price\n```\n";
const CHEAT: &str = "FILE: basket.py\nLINES: 5-5\nREASONING: the test says 5\n```\n    return 5\n```\n";

/// A place with a task folder and a script of replies.
pub(crate) fn place(replies: &[&str]) -> TestEnv {
    let env = TestEnv::new();
    let task = env.work().join("task");
    let files = [
        ("task.toml", "id = \"total\"\ntest_command = \"python3 -m unittest -v\"\n"),
        ("issue.md", "The total of a basket counts only the last price.\n"),
        (
            "repo/basket.py",
            "def total(prices):\n    result = 0\n    for price in prices:\n        result = price\n    return result\n",
        ),
        (
            "repo/test_basket.py",
            "import unittest\nfrom basket import total\n\n\nclass Two(unittest.TestCase):\n    def test_two(self):\n        self.assertEqual(total([2, 3]), 5)\n",
        ),
        (
            "held_out/test_held.py",
            "import unittest\nfrom basket import total\n\n\nclass Held(unittest.TestCase):\n    def test_three(self):\n        self.assertEqual(total([1, 2, 4]), 7)\n",
        ),
    ];
    for (name, text) in files {
        write(&task.join(name), text);
    }
    let script: String = replies.iter().map(|reply| format!("{}\n", json!({ "reply": reply }))).collect();
    write(&env.work().join("script.jsonl"), &script);
    env
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder can be made");
    fs::write(path, text).expect("a file can be written");
}

const SOLVE: [&str; 4] = ["solve", "task", "--model", "scripted:script.jsonl"];

fn solve_json(env: &TestEnv, more: &[&str]) -> (i32, Value) {
    let args: Vec<&str> = SOLVE.iter().chain(more).chain(&["--json", "--quiet"]).copied().collect();
    let output = env.run(&args);
    let value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.code, value)
}

#[test]
fn a_failure_is_fed_back_and_the_run_replays_to_the_byte() {
    let env = place(&[WRONG, RIGHT]);
    let output = env.run(&SOLVE);
    assert_eq!(output.code, 0, "{output:?}");
    let prompt = env.run(&["show", "--event", "18", "--body", "request"]).sound();
    assert!(prompt.contains("Attempt 1 did not repair the bug"), "{prompt}");
    let replay = env.run(&["replay", "last", "--json"]).sound();
    let replay: Value = serde_json::from_str(&replay).unwrap();
    assert_eq!((&replay["equal"], &replay["divergence"]), (&json!(true), &Value::Null));
    snap!("solve", "patch", env.run(&["show", "--patch"]).sound());

    let events = env.run(&["log", "last", "--json"]).sound();
    let kinds: Vec<String> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    snap!("solve", "events", kinds.join("\n"));

    let report = fs::read_to_string(env.work().join(".runproof/results/total/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["total"]["resolved"], json!(true));
    let predictions = fs::read_to_string(env.work().join(".runproof/results/predictions.jsonl")).unwrap();
    let prediction: Value = serde_json::from_str(&predictions).unwrap();
    assert!(prediction["model_patch"].as_str().unwrap().contains("+        result += price"));
}

#[test]
fn the_tests_run_again_give_the_same_canonical_logs() {
    let env = place(&[RIGHT]);
    assert_eq!(solve_json(&env, &[]).0, 0);
    let again = env.run(&["replay", "last", "--tests", "--instance", "task", "--json"]);
    let value: Value = serde_json::from_str(&again.stdout).unwrap_or_else(|_| panic!("{again:?}"));
    assert_eq!((&value["equal"], &value["performed_again"]), (&json!(true), &json!(4)));
}

#[test]
fn a_whole_id_means_its_run_also_where_another_one_has_it_for_a_name() {
    let env = place(&[RIGHT]);
    let id = solve_json(&env, &[]).1["run"].as_str().unwrap().to_owned();
    solve_json(&env, &["--name", &id]);
    let found: Value = serde_json::from_str(&env.run(&["check", &id, "--json"]).sound()).unwrap();
    assert_eq!(found["run"], id.as_str());
    let twice = env.run(&["report", "--runs", &format!("{id},{}", &id[..8])]);
    assert!(twice.code == 2 && twice.stderr.contains("is named twice"), "{twice:?}");
    let both = env.run(&["report", "--runs", "all", "--no-check"]);
    assert!(both.stderr.contains("1 run is on the same instance, arm and seed as another one"), "{both:?}");
}

#[test]
fn a_fix_that_satisfies_only_the_visible_test_is_reported_as_that() {
    let env = place(&[CHEAT]);
    let (code, value) = solve_json(&env, &[]);
    assert_eq!((code, &value["outcome"], &value["tests"]), (1, &json!("visible-only"), &json!("existing-tests")));
    assert_eq!(env.run(&["replay"]).code, 0);
}

#[test]
fn with_the_hidden_tests_visible_every_figure_says_so() {
    let env = place(&[CHEAT, RIGHT]);
    let (code, value) = solve_json(&env, &["--tests", "oracle"]);
    assert_eq!((code, &value["outcome"], &value["tests"]), (0, &json!("resolved"), &json!("oracle-tests")));
    assert_eq!(value["attempts"].as_array().unwrap().len(), 2);
}

#[test]
fn refused_and_repeated_answers_leave_the_tree_and_change_the_prompt() {
    let env = place(&["I cannot help.", WRONG, WRONG, RIGHT]);
    let (code, value) = solve_json(&env, &[]);
    assert_eq!(code, 0, "{value}");
    let ends: Vec<&Value> = value["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["end"]).collect();
    assert_eq!(ends, ["refused", "tested", "repeated", "tested"]);
    let events = env.run(&["log", "last", "--json"]).sound();
    let requests: std::collections::BTreeSet<String> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["kind"] == "model_call")
        .map(|event| event["bodies"]["request"]["blake3"].to_string())
        .collect();
    assert_eq!(requests.len(), 4, "every prompt differs");
}

#[test]
fn the_same_run_in_another_place_has_the_same_canonical_root() {
    let (here, there) = (place(&[WRONG, RIGHT]), place(&[WRONG, RIGHT]));
    let (_, first) = solve_json(&here, &[]);
    let mut command = there.command(&SOLVE);
    command.args(["--json", "--quiet"]).env("TZ", "Asia/Kathmandu").env("LANG", "de_DE.UTF-8").env("LC_ALL", "tr_TR");
    command.env("USER", "somebody").env("LOGNAME", "somebody").env("PYTHONHASHSEED", "7").env("COLUMNS", "33");
    let second: Value = serde_json::from_str(&there.finish(&mut command).stdout).unwrap();
    assert_eq!(first["canonical_root"], second["canonical_root"]);
    assert_ne!(first["run"], second["run"]);

    // The recording alone, taken elsewhere, replays without repository, script or worktree.
    let elsewhere = TestEnv::new();
    let store = elsewhere.work().join("other.sqlite");
    fs::copy(here.work().join(".runproof/transcripts.sqlite"), &store).unwrap();
    let replay = elsewhere.run(&["--store", "other.sqlite", "replay", "--json"]).sound();
    let replay: Value = serde_json::from_str(&replay).unwrap();
    assert_eq!((&replay["equal"], &replay["raw_root"]), (&json!(true), &first["raw_root"]));
    assert!(replay["not_recomputed"].as_array().unwrap().contains(&json!("selection")));
    let manifest = |env: &TestEnv, store: &str| env.run(&["--store", store, "show", "--manifest"]).sound();
    assert_eq!(manifest(&here, ".runproof/transcripts.sqlite"), manifest(&elsewhere, "other.sqlite"));
}

#[test]
fn two_runs_are_compared_up_to_where_they_part() {
    let env = place(&[WRONG, RIGHT]);
    solve_json(&env, &["--name", "a"]);
    solve_json(&env, &["--name", "b"]);
    assert_eq!(env.run(&["diff", "a", "b"]).code, 0);
    solve_json(&env, &["--name", "c", "--seed", "7"]);
    let output = env.run(&["diff", "a", "c"]);
    assert_eq!(output.code, 1);
    assert!(output.stdout.contains("/options/seed"), "{}", output.stdout);
}

#[test]
fn a_script_that_runs_out_fails_the_run_and_keeps_what_was_recorded() {
    let env = place(&[WRONG]);
    let output = env.run(&SOLVE);
    assert_eq!(output.code, 4, "{output:?}");
    assert!(output.stderr.contains("hint:") && output.stderr.contains("--resume"), "{}", output.stderr);
    let runs = env.run(&["log", "--json"]).sound();
    assert_eq!(serde_json::from_str::<Value>(&runs).unwrap()["status"], "failed");
    assert_eq!(env.run(&["replay"]).code, 0, "the failure replays as it was");
}

#[test]
fn a_run_goes_on_with_its_own_model_whatever_the_environment_says() {
    let env = place(&[WRONG]);
    assert_eq!(env.run(&SOLVE).code, 4);
    let script = fs::read_to_string(env.work().join("script.jsonl")).unwrap();
    write(&env.work().join("script.jsonl"), &format!("{script}{}\n", json!({ "reply": RIGHT })));
    let resume = ["solve", "task", "--resume", "last", "--json", "--quiet"];
    for (more, word) in [(["--model", "scripted:other.jsonl"], "was begun with the model"), (["--seed", "7"], "--seed")]
    {
        let refused = env.run(&[&resume[..], &more].concat());
        assert!(refused.code == 2 && refused.stderr.contains(word) && refused.stderr.contains("hint:"), "{refused:?}");
    }
    let mut command = env.command(&resume);
    command.env("RUNPROOF_MODEL", "ollama:another").env("RUNPROOF_FALLBACK", "ollama:third");
    let value: Value = serde_json::from_str(&env.finish(command.env("RUNPROOF_ARM", "patch")).sound()).unwrap();
    assert_eq!((&value["outcome"], &value["model"]), (&json!("resolved"), &json!("scripted:script.jsonl")), "{value}");
}

#[test]
fn flaky_tests_are_shown_by_name() {
    let env = place(&[RIGHT]);
    let test = "import os, unittest\n\n\nclass Odd(unittest.TestCase):\n    def test_odd(self):\n        self.assertTrue(os.environ['ODD'])\n";
    write(&env.work().join("task/repo/test_odd.py"), test);
    // Every second run finds the mark; only without a sandbox does it outlive a run.
    let mark = env.work().join("mark");
    let mark = mark.display();
    let command = format!("if [ -e {mark} ]; then rm {mark}; export ODD=1; else touch {mark}; export ODD=; fi");
    let task = format!("id = \"total\"\ntest_command = \"{command}; python3 -m unittest -v\"\n");
    write(&env.work().join("task/task.toml"), &task);
    let output = env.run(&[&SOLVE[..], &["--sandbox", "none"]].concat());
    assert!(output.stderr.contains("1 flaky: "), "{output:?}");
    let shown = env.run(&["show"]).sound();
    let list = shown.split("-- flaky tests").nth(1).and_then(|rest| rest.lines().nth(1)).unwrap_or_default();
    assert!(list.contains("test_odd"), "{shown}");
}

#[test]
fn mistakes_are_named_with_their_exit_codes() {
    let env = place(&[RIGHT]);
    let cases: [(&[&str], i32, &str); 6] = [
        (&["solve", "nowhere", "--model", "scripted:script.jsonl"], 4, "nowhere"),
        (&["solve", "task", "--model", "magic:x"], 2, "magic"),
        (&["solve", "task", "--model", "scripted:missing.jsonl"], 4, "missing.jsonl"),
        (&["replay"], 4, "no store"),
        (&["solve", "task", "--attempts", "0"], 2, "attempts"),
        (&["show", "nothing"], 4, "no store"),
    ];
    for (args, code, word) in cases {
        let output = env.run(args);
        assert_eq!(output.code, code, "{args:?} {output:?}");
        assert!(output.stderr.contains(word), "{args:?} {output:?}");
    }
    solve_json(&env, &[]);
    let output = env.run(&["replay", "zzz"]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("hint:"), "{output:?}");
}

#[test]
fn an_instance_that_cannot_be_run_is_refused_before_anything_is_recorded() {
    let env = place(&[RIGHT]);
    let clone = env.work().join("clones/o__n");
    fs::create_dir_all(env.work().join("clones")).unwrap();
    fs::rename(env.work().join("task/repo"), &clone).unwrap();
    let git = |args: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
        let output =
            std::process::Command::new("git").arg("-C").arg(&clone).args(identity).args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "x"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let diff = |path: &str| format!("diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n");
    let changed = |key: &str, value: &str| {
        let mut row = json!({"instance_id": "x", "repo": "o/n", "base_commit": commit, "problem_statement": "It is wrong.",
            "test_command": "python3 -m unittest -v"});
        row[key] = json!(value);
        row.to_string()
    };
    let cases = [
        (changed("test_patch", &diff("nope.py")), 3, "the test_patch of x does not apply"),
        (changed("test_patch", &diff("../../evil.py")), 3, "../../evil.py"),
        (changed("test_command", "true\0"), 3, "without NUL"),
        (changed("base_commit", &"1".repeat(40)), 4, "is not in"),
        (changed("repo", "o/other"), 4, "no local clone"),
        (changed("instance_id", "../x"), 3, "instance_id"),
        (format!("{0}\n{0}", changed("version", "1")), 3, "already used"),
        (changed("version", "1") + "\n{\"half", 3, ":2 is not JSON"),
    ];
    for (rows, code, word) in cases {
        write(&env.work().join("rows.jsonl"), &(rows + "\n"));
        let output = env.run(&["solve", "rows.jsonl#x", "--repos", "clones", "--model", "scripted:script.jsonl"]);
        assert_eq!(output.code, code, "{output:?}");
        assert!(output.stderr.contains(word) && output.stderr.contains("hint:"), "{output:?}");
        assert!(!env.work().join(".runproof/transcripts.sqlite").exists(), "{output:?}");
    }
    write(&env.work().join("rows.jsonl"), &changed("test_command", "no-such-program"));
    let output = env.run(&["solve", "rows.jsonl", "--repos", "clones", "--model", "scripted:script.jsonl"]);
    assert!(output.code == 1 && output.stdout.contains("G-NO-TESTS"), "{output:?}");
    assert!(output.stderr.contains("hint:") && output.stderr.contains("runproof show"), "{output:?}");
}

#[test]
fn asking_the_model_again_is_recorded_and_compared() {
    let env = place(&[WRONG, RIGHT]);
    env.run(&SOLVE).sound();
    let again = env.run(&["replay", "total", "--live", "3", "--model", "scripted:script.jsonl", "--json"]);
    assert_eq!(again.code, 0, "{again:?}");
    let line = again.stdout.lines().nth(1).expect("a line about the re-execution");
    let value: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&value["outcome"], &value["tries"], &value["identical"]), (&json!("identical"), &json!(6), &json!(6)));
    let text = env.run(&["replay", "total", "--live", "1", "--model", "scripted:script.jsonl"]).sound();
    assert!(text.contains("2 of 2 replies equal") && text.contains("95.0 %"), "{text}");
    let replay = env.run(&["replay", "last"]).sound();
    assert!(replay.contains("equal to the byte"), "{replay}");
    env.run(&["store", "verify"]).sound();
}

#[test]
fn another_model_is_refused_when_asked_again() {
    let env = place(&[WRONG, RIGHT]);
    env.run(&SOLVE).sound();
    write(&env.work().join("other.jsonl"), &format!("{}\n", json!({ "reply": RIGHT })));
    let again = env.run(&["replay", "total", "--live", "1", "--model", "scripted:other.jsonl"]);
    assert_eq!(again.code, 4, "{again:?}");
    assert!(again.stderr.contains("another model than the one that answered"), "{}", again.stderr);
}
