//! The arms of the comparison as a person uses them: what an arm's name says, and nothing else, differs.

use std::fs;

use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::solve::{RIGHT, WRONG, place};

const PATCH: &str = "--- a/basket.py\n+++ b/basket.py\n@@ -2,4 +2,4 @@\n     result = 0\n     for price in prices:\n-        result = price\n+        result += price\n     return result\n";

fn solve(env: &TestEnv, more: &[&str]) -> (i32, Value) {
    let args = ["solve", "task", "--model", "scripted:script.jsonl", "--tests", "oracle", "--json", "--quiet"];
    let output = env.run(&args.iter().chain(more).copied().collect::<Vec<_>>());
    (output.code, serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}")))
}

/// Returns the last message of every prompt of the last run.
fn prompts(env: &TestEnv) -> Vec<(String, String)> {
    let events = env.run(&["log", "last", "--json"]).sound();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let calls = events.iter().enumerate().filter(|(_, event)| event["kind"] == "model_call");
    calls
        .map(|(index, _)| {
            let body = env.run(&["show", "--event", &index.to_string(), "--body", "request"]).sound();
            let request: Value = serde_json::from_str(&body).unwrap();
            let content = |index: usize| request["messages"][index]["content"].as_str().unwrap().to_owned();
            (content(0), content(1))
        })
        .collect()
}

#[test]
fn the_patch_arm_has_one_attempt_and_refuses_by_its_own_codes() {
    let cases = [
        (PATCH.to_owned(), 0, "N-GITAPPLY"),
        (PATCH.replace("@@ -2,4 +2,4 @@", "@@ -2,9 +2,9 @@"), 1, "E-MALFORMED"),
        (PATCH.replace("-        result = price", "-        result = cost"), 1, "E-NOAPPLY"),
        (RIGHT.to_owned(), 1, "E-NODIFF"),
    ];
    for (reply, code, word) in cases {
        let env = place(&[&reply, PATCH]);
        let (exit, value) = solve(&env, &["--arm", "patch"]);
        assert_eq!((exit, &value["arm"]), (code, &json!("patch")), "{value}");
        let attempts = value["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1);
        assert!(attempts[0]["codes"].as_array().unwrap().contains(&json!(word)), "{value}");
        let replay = env.run(&["replay", "last", "--json"]).sound();
        assert_eq!(serde_json::from_str::<Value>(&replay).unwrap()["equal"], json!(true));
        let check = env.run(&["check", "last"]);
        assert_eq!(check.code, 0, "{check:?}");
    }
}

#[test]
fn all_arms_show_the_same_context() {
    let shown = |arm: &str, reply: &str| {
        let env = place(&[reply]);
        solve(&env, &["--arm", arm]);
        prompts(&env).remove(0)
    };
    let cut = |text: &str| text.split_once("Find the line").unwrap().0.to_owned();
    let (patch, direct, skills) = (shown("patch", PATCH), shown("direct-1", RIGHT), shown("direct-6+skills", RIGHT));
    assert_eq!((cut(&patch.1), cut(&direct.1)), (cut(&direct.1), cut(&skills.1)));
    assert!(patch.0.contains("one unified diff") && !direct.0.contains("unified diff"));
    assert!(skills.0.starts_with(direct.0.as_str()) && skills.0.contains("# Make the smallest change"));
}

#[test]
fn two_steps_ask_for_the_place_and_then_for_its_text() {
    let at = "FILE: basket.py\nLINES: 4-4\n";
    let (wrong, right) = ("```\n        result = price + 1\n```\n", "```\n        result += price\n```\n");
    let env = place(&["The loop is wrong.", at, wrong, at, wrong, at, right]);
    let (exit, value) = solve(&env, &["--arm", "direct-6+two-step"]);
    assert_eq!((exit, &value["arm"]), (0, &json!("direct-6+two-step")), "{value}");
    let attempts = value["attempts"].as_array().unwrap();
    let ends: Vec<&str> = attempts.iter().map(|attempt| attempt["end"].as_str().unwrap()).collect();
    assert_eq!(ends, ["refused", "tested", "repeated", "tested"], "{value}");
    assert_eq!(attempts[0]["codes"], json!(["N-PROSE", "E-NOEDIT"]));
    assert_eq!(attempts[3]["codes"], json!(["N-FENCE"]));
    let prompts = prompts(&env);
    assert_eq!(prompts.len(), 7);
    assert!(prompts[1].1.contains("   4|         result = price\n") && prompts[1].1.ends_with("beginning with FILE:"));
    let (system, second) = &prompts[2];
    assert!(
        second.contains("FILE: basket.py\n```\n        result = price\n```\n") && !second.contains("4|"),
        "{second}"
    );
    assert!(system.contains("the new text of these lines") && !second.contains("for price in prices"), "{system}");
    // Both questions of a retry tell of the failure before it.
    assert!(prompts[5].1.contains("Attempt 3") && prompts[6].1.contains("Attempt 3"), "{}", prompts[6].1);
    let replay = env.run(&["replay", "last", "--json"]).sound();
    assert_eq!(serde_json::from_str::<Value>(&replay).unwrap()["equal"], json!(true));
    let check = env.run(&["check", "last", "--json"]).sound();
    assert!(check.contains("7 calls, each greedy and seeded"), "{check}");
    let report = env.run(&["report", "last", "--format", "json"]).sound();
    assert!(report.contains("place-reply"), "{report}");
}

#[test]
fn a_place_whose_lines_do_not_fit_is_refused_and_the_next_attempt_goes_on() {
    let env = place(&["FILE: long.py\nLINES: 1-300\n", "FILE: basket.py\nLINES: 4-4\n", "        result += price"]);
    let long = "value = \"total of the prices in the basket, with the result of the sum\"\n".repeat(300);
    fs::write(env.work().join("task/repo/long.py"), long).unwrap();
    let more = ["--arm", "direct-2+two-step", "--context", "4096", "--reply", "512"];
    let (exit, value) = solve(&env, &more);
    assert_eq!((exit, &value["attempts"][0]["codes"]), (0, &json!(["E-SIZE"])), "{value}");
    env.run(&["replay", "last"]).sound();
    env.run(&["check", "last"]).sound();
}

#[test]
fn a_fallback_takes_over_after_so_many_attempts_and_is_reported_apart() {
    let env = place(&[WRONG, "I do not know."]);
    fs::write(env.work().join("strong.jsonl"), format!("{}\n", json!({ "reply": RIGHT }))).unwrap();
    let more = ["--arm", "direct-6+fallback", "--fallback", "scripted:strong.jsonl", "--fallback-after", "2"];
    let (exit, value) = solve(&env, &more);
    assert_eq!(exit, 0, "{value}");
    let asked: Vec<&Value> = value["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["model"]).collect();
    assert_eq!(asked.len(), 3);
    assert!(asked[0] == asked[1] && asked[1] != asked[2], "{value}");
    assert_eq!(value["solved_by"], json!({"attempt": 3, "model": asked[2], "fallback": true}));
    let report = fs::read_to_string(env.work().join(".runproof/results/total/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["total"]["runproof"]["solved_by"], value["solved_by"]);
    let predictions = fs::read_to_string(env.work().join(".runproof/results/predictions.jsonl")).unwrap();
    let prediction: Value = serde_json::from_str(&predictions).unwrap();
    assert_eq!(prediction["runproof_solved_by"], value["solved_by"]);
    assert!(prediction["model_name_or_path"].as_str().unwrap().contains("strong"));
    env.run(&["replay", "last"]).sound();
}

#[test]
fn skills_are_in_the_recording_so_that_a_replay_needs_no_folder() {
    let env = place(&[RIGHT]);
    let folder = env.work().join("skills");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("add.md"), "# Add up\nSums need +=.\n").unwrap();
    let (exit, value) = solve(&env, &["--skills", "skills"]);
    assert_eq!((exit, &value["arm"], &value["skills"][0]["name"]), (0, &json!("direct-6+skills"), &json!("add")));
    assert!(prompts(&env)[0].0.contains("Sums need +=."));
    fs::remove_dir_all(&folder).unwrap();
    env.run(&["replay", "last"]).sound();
}

#[test]
fn each_retry_says_more_than_the_attempt_before() {
    let other = WRONG.replace("price + 1", "price + 2");
    let broken = "FILE: basket.py\nLINES: 4-4\n```\n        result += (price\n```\n";
    let env = place(&[WRONG, WRONG, broken, &other, "no", RIGHT]);
    let (exit, value) = solve(&env, &[]);
    assert_eq!(exit, 0, "{value}");
    let prompts = prompts(&env);
    let attempts = value["attempts"].as_array().unwrap();
    assert_eq!((prompts.len(), attempts[1]["end"].as_str()), (6, Some("repeated")));
    for (index, pair) in prompts.windows(2).enumerate() {
        assert_ne!(pair[0], pair[1]);
        let summary = attempts[index]["summary"].as_str().unwrap();
        let first: String = summary.lines().next().unwrap().chars().take(200).collect();
        assert!(pair[1].1.contains(&first), "attempt {}: {first}", index + 1);
        assert!(pair[1].1.contains(&format!("Attempt {} did not repair the bug", index + 1)));
    }
    assert!(prompts[2].1.contains("the same as that of attempt 1"), "{}", prompts[2].1);
    // Tested once before the attempts twice, and then for each answer that was new and sound.
    let events = env.run(&["log", "last", "--json"]).sound();
    let tests = events.lines().filter(|line| line.contains("\"kind\":\"test\"")).count();
    assert_eq!(tests, 2 + 3);
}

#[test]
fn what_contradicts_an_arm_is_a_usage_error_with_a_hint() {
    let env = place(&[RIGHT]);
    let cases: [&[&str]; 5] = [
        &["--arm", "direct-2", "--attempts", "6"],
        &["--arm", "direct-6+fallback"],
        &["--arm", "patch", "--skills", "default"],
        &["--arm", "direct-1", "--fallback", "scripted:script.jsonl"],
        &["--arm", "direct-9"],
    ];
    for more in cases {
        let args: Vec<&str> =
            ["solve", "task", "--model", "scripted:script.jsonl"].iter().chain(more).copied().collect();
        let output = env.run(&args);
        assert_eq!(output.code, 2, "{more:?} {output:?}");
        assert!(output.stderr.contains("hint:") || output.stderr.contains("the arms are"), "{output:?}");
    }
}
