//! `bench` as a person uses it: arms and seeds over task folders with the scripted model, killed, resumed, in shards.

use std::fs;
use std::path::Path;

use runproof::campaign::{KIND, Plan, VALIDATION, validated, validation_id};
use runproof::canon::{Blake3, RunId, Sha256};
use runproof::instance::{Instance, load};
use runproof::rung::Profile;
use runproof::statistics::wilson;
use runproof::store::{Access, Durability, NewEvent, NewRun, RunEnd, RunStatus, Store};
use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::solve::{RIGHT, WRONG, place};

const BENCH: [&str; 11] = [
    "bench",
    "tasks",
    "--arms",
    "patch,direct-6",
    "--seeds",
    "42,137",
    "--red-runs",
    "1",
    "--model",
    "scripted:script.jsonl",
    "--json",
];

/// One arm and one seed of it.
const SMALL: [&str; 9] = [
    "bench",
    "tasks",
    "--arms=direct-2",
    "--seeds=42",
    "--red-runs=1",
    "--tests=oracle",
    "--model",
    "scripted:script.jsonl",
    "--json",
];

/// Copies of one task, wrong at first and right after feedback.
pub(crate) fn campaign(count: usize) -> TestEnv {
    let env = place(&[WRONG, RIGHT]);
    for number in 0..count {
        let task = env.work().join(format!("tasks/task{number}"));
        fs::create_dir_all(task.join("repo")).unwrap();
        for name in ["issue.md", "repo/basket.py", "repo/test_basket.py"] {
            fs::copy(env.work().join("task").join(name), task.join(name)).unwrap();
        }
        let text = format!("id = \"task{number}\"\ntest_command = \"python3 -m unittest -v\"\n");
        fs::write(task.join("task.toml"), text).unwrap();
    }
    fs::write(env.work().join("p.toml"), "instances = 1\nseeds = [42, 137]\n").unwrap();
    env
}

fn bench(env: &TestEnv, base: &[&str], more: &[&str]) -> Value {
    let output = env.run(&[base, more].concat()).sound();
    serde_json::from_str(&output).unwrap()
}

#[test]
fn a_campaign_is_counted_by_arm_checked_and_certified_by_its_name() {
    let env = campaign(1);
    let found = bench(&env, &BENCH, &["--jobs", "2", "--profile", "p.toml"]);
    assert_eq!(
        (&found["name"], &found["tests"], &found["instances"]),
        (&json!("tasks"), &json!("existing-tests"), &json!(1))
    );
    let arms = found["arms"].as_array().unwrap();
    let figures: Vec<[&Value; 5]> =
        arms.iter().map(|arm| [&arm["arm"], &arm["of"], &arm["done"], &arm["resolved"], &arm["failed"]]).collect();
    let (direct, patch) = (json!("direct-6"), json!("patch"));
    let (none, one) = (json!(0), json!(1));
    assert_eq!(figures[0], [&direct, &one, &one, &one, &none]);
    assert_eq!(figures[3], [&patch, &one, &one, &none, &one]);
    assert_eq!(arms[0]["resolved_at"], json!({"2": 1}));
    assert_eq!(env.run(&["check", "tasks", "--rung", "274177"]).code, 0, "{:?}", env.run(&["check", "tasks"]));
    env.run(&["check", "--runs", "all", "--profile", "p.toml"]).sound();
    env.run(&["key", "new", "k"]).sound();
    env.run(&["certify", "tasks", "--key", "k", "-o", "c.json", "--evidence", "evidence"]).sound();
    env.run(&["verify", "c.json", "--key", "k.pub", "--evidence", "evidence"]).sound();
    env.run(&["store", "verify"]).sound();
    assert_eq!(env.run(&["replay", "tasks"]).code, 2, "a campaign is no run");
    for (more, word) in [
        (&[][..], "already"),
        (&["--resume", "--seeds", "42"], "seeds: [42,137] recorded, [42] now"),
        (&["--resume", "--arms", "patch"], "arms.direct-6: recorded, and not there now"),
        (&["--resume", "--model", "scripted:other.jsonl"], "scripted:other.jsonl\" now"),
        (&["--resume"], "profile: "),
        (&["--resume", "--name", "other"], "holds no campaign other"),
        (&["--name", "other", "--shard", "3/2"], "no shard"),
    ] {
        let mut args: Vec<&str> = BENCH.to_vec();
        // An option that is said again replaces what stands there.
        let (place, more) = match more {
            [.., option, value] if args.contains(option) => {
                let at = args.iter().position(|arg| arg == option).unwrap();
                args[at + 1] = value;
                (args, &more[..more.len() - 2])
            }
            _ => (args, more),
        };
        let output = env.run(&[&place[..], more].concat());
        assert!(output.code == 2 && output.stderr.contains(word) && output.stderr.contains("hint:"), "{output:?}");
    }
}

#[test]
fn killed_twice_and_resumed_or_in_shards_it_has_the_root_of_an_uninterrupted_one() {
    let whole = campaign(2);
    let found = bench(&whole, &SMALL, &[]);
    assert_eq!((&found["tests"], &found["arms"][0]["resolved"]), (&json!("oracle-tests"), &json!(2)));
    let root = &found["canonical_root"];
    let env = campaign(2);
    let store = env.work().join(".runproof/transcripts.sqlite");
    // Killed during the first run and during the second: the plan's row comes before theirs.
    for (rows, more) in [(2, &["--quiet"][..]), (3, &["--quiet", "--resume"])] {
        let mut command = env.command(&[&SMALL[..], more].concat());
        let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        while !store.exists() || env.run(&["log", "--json"]).stdout.lines().count() < rows {
            assert!(child.try_wait().unwrap().is_none(), "it ended before {rows} rows were there");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(env.run(&["log", "--json"]).stdout.contains("\"open\""));
    assert_eq!(&bench(&env, &SMALL, &["--resume"])["canonical_root"], root);
    assert_eq!(&bench(&env, &SMALL, &["--resume"])["canonical_root"], root, "nothing was left to do");
    let shards = campaign(2);
    let first = bench(&shards, &SMALL, &["--shard", "1/2"]);
    assert_eq!((&first["arms"][0]["done"], &first["arms"][0]["open"]), (&json!(1), &json!(1)));
    let mut command = shards.command(&[&SMALL[..], &["--resume", "--shard", "2"]].concat());
    let second = shards.finish(command.env("JOB_COMPLETION_INDEX", "1")).sound();
    assert_eq!(&serde_json::from_str::<Value>(&second).unwrap()["canonical_root"], root);
}

#[test]
fn an_instance_that_cannot_be_run_stops_no_other_and_is_done_again() {
    let env = campaign(2);
    let row = fs::read_to_string(env.work().join("tasks/task0/task.toml")).unwrap();
    let lost = format!("{row}env_python = \"3.9\"\nenv_packages = [\"x==1\"]\n");
    fs::write(env.work().join("tasks/task0/task.toml"), lost).unwrap();
    let output = env.run(&SMALL);
    assert_eq!(output.code, 4, "{output:?}");
    assert!(output.stderr.contains("is not built"), "{output:?}");
    assert!(output.stderr.contains("hint: build it with `runproof prepare INSTANCES`"), "{output:?}");
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    let direct = &found["arms"][0];
    assert_eq!((&direct["of"], &direct["done"], &direct["environment_errors"]), (&json!(2), &json!(1), &json!(1)));
    let row = |env: &TestEnv| -> Value {
        let log = env.run(&["log", "--json"]).sound();
        let rows: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        rows.into_iter().find(|row| row["instance"] == "task0" && row["kind"] == "solve").unwrap()
    };
    assert_eq!(row(&env)["status"], "failed");
    assert!(row(&env)["outcome"].as_str().unwrap().starts_with("environment: "), "{}", row(&env));
    assert_eq!(env.run(&[&SMALL[..], &["--resume"]].concat()).code, 4, "it is tried again");
    env.run(&["store", "verify"]).sound();
}

#[test]
fn the_known_fix_says_which_instances_count_here() {
    let env = campaign(2);
    let fix = |new: &str| {
        format!(
            "--- a/basket.py\n+++ b/basket.py\n@@ -3,3 +3,3 @@\n     for price in prices:\n-        result = price\n+        {new}\n     return result\n"
        )
    };
    fs::write(env.work().join("tasks/task0/fix.patch"), fix("result += price")).unwrap();
    fs::write(env.work().join("tasks/task1/fix.patch"), fix("result = price + 1")).unwrap();
    let validate = |more: &[&str]| {
        let output = env.run(&[&["bench", "validate", "tasks", "--json"], more].concat());
        let lines: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.code, lines)
    };
    let (code, lines) = validate(&["--jobs", "2"]);
    assert_eq!((code, lines.len()), (1, 3));
    assert_eq!((&lines[0]["instance"], &lines[0]["outcome"]), (&json!("task0"), &json!("valid")));
    assert_eq!(lines[1]["outcome"], "environment-invalid");
    assert!(lines[1]["reason"].as_str().unwrap().contains("G-NOT-FIXED"), "{lines:?}");
    let sums = &lines[2]["repositories"]["(task folders)"];
    assert_eq!((&sums["valid"], &sums["environment_invalid"]), (&json!(1), &json!(1)));
    let known = validate(&[]).1;
    assert_eq!(
        (&known[0]["known"], &known[1]["known"]),
        (&json!(true), &json!(false)),
        "an invalid one is checked again"
    );
    let found = bench(&env, &SMALL, &[]);
    assert_eq!(
        (&found["environment_invalid"], &found["arms"][0]["environment_invalid"]),
        (&json!(["task1"]), &json!(1))
    );
    assert_eq!(found["arms"][0]["of"], 2, "the full denominator stays");
    env.run(&["store", "verify"]).sound();
    let output = env.run(&["replay", "validate/task0"]);
    assert!(output.code == 2 && output.stderr.contains("validate INSTANCES --again"), "{output:?}");
}

#[test]
fn an_invalid_instance_that_was_resolved_is_in_neither_part_of_the_other_share() {
    let env = campaign(2);
    let wrong = "--- a/basket.py\n+++ b/basket.py\n@@ -3,3 +3,3 @@\n     for price in prices:\n-        result = price\n+        result = 1\n     return result\n";
    fs::write(env.work().join("tasks/task1/fix.patch"), wrong).unwrap();
    // What the model does is not enough for this one.
    let tests = env.work().join("tasks/task0/repo/test_basket.py");
    let more = "\n\nclass Empty(unittest.TestCase):\n    def test_empty(self):\n        self.assertIsNone(total([]))\n";
    fs::write(&tests, fs::read_to_string(&tests).unwrap() + more).unwrap();
    let right = "--- a/basket.py\n+++ b/basket.py\n@@ -1,5 +1,7 @@\n def total(prices):\n+    if not prices:\n+        return None\n     result = 0\n     for price in prices:\n-        result = price\n+        result += price\n     return result\n";
    fs::write(env.work().join("tasks/task0/fix.patch"), right).unwrap();
    assert_eq!(env.run(&["bench", "validate", "tasks"]).code, 1);
    let arm = &bench(&env, &SMALL, &[])["arms"][0];
    assert_eq!([&arm["of"], &arm["resolved"], &arm["environment_invalid"]], [&json!(2), &json!(1), &json!(1)]);
    assert_eq!((&arm["resolved_invalid"], &arm["interval_valid"]), (&json!(1), &json!(wilson(0, 1))));
}

#[test]
fn of_two_campaigns_of_one_name_in_a_joined_store_the_one_that_is_meant_goes_on() {
    let env = campaign(1);
    env.run(&["key", "new", "k"]).sound();
    for (store, seed) in [("a.sqlite", "--seeds=1"), ("b.sqlite", "--seeds=2")] {
        bench(&env, &SMALL, &[seed, "--store", store]);
    }
    env.run(&["store", "merge", "all.sqlite", "a.sqlite", "b.sqlite"]).sound();
    for seed in ["--seeds=1", "--seeds=2"] {
        bench(&env, &SMALL, &[seed, "--store", "all.sqlite", "--resume"]);
    }
    for verb in ["check", "report", "certify"] {
        let key: &[&str] = if verb == "certify" { &["--key", "k"] } else { &[] };
        let output = env.run(&[&[verb, "tasks", "--store", "all.sqlite"][..], key].concat());
        let word = "names 2 campaigns with different plans: ";
        assert!(output.code == 2 && output.stderr.contains(word), "{output:?}");
        let id = output.stderr.split_once(word).unwrap().1.split(',').next().unwrap().to_owned();
        env.run(&["report", &id, "--no-check", "--store", "all.sqlite"]).sound();
    }
    let other = env.run(&[&SMALL[..], &["--seeds=3", "--store", "all.sqlite", "--resume"]].concat());
    assert!(other.code == 2 && other.stderr.contains("was begun otherwise"), "{other:?}");
}

#[test]
fn a_run_that_was_cut_off_is_kept_where_a_campaign_of_the_same_name_ended() {
    let env = campaign(2);
    let late = [&SMALL[..], &["--name=c", "--store=a.sqlite", "--max-seconds=0"]].concat();
    assert_eq!(env.run(&late).code, 5);
    let mut one = SMALL.to_vec();
    one[1] = "tasks/task0";
    bench(&env, &one, &["--name=c", "--store=b.sqlite"]);
    env.run(&["store", "merge", "all.sqlite", "a.sqlite", "b.sqlite"]).sound();
    let found: Value =
        serde_json::from_str(&env.run(&["store", "gc", "--store=all.sqlite", "--json"]).sound()).unwrap();
    assert_eq!(found["runs"], json!([]), "{found}");
    bench(&env, &SMALL, &["--name=c", "--store=all.sqlite", "--resume"]);
}

#[test]
fn limits_stop_runs_and_the_campaign_and_are_counted_apart() {
    let env = campaign(1);
    let output = env.run(&[&SMALL[..], &["--max-tokens", "100"]].concat());
    assert!(output.code == 2 && output.stderr.contains("no call could begin"), "{output:?}");
    // The script counts no tokens, so each call is taken for all that it can have been.
    let found = bench(&env, &SMALL, &["--max-tokens", "20000"]);
    let arm = &found["arms"][0];
    assert_eq!((&arm["resolved"], &arm["failed"], &arm["limited"]), (&json!(0), &json!(1), &json!(1)));
    let run = env.run(&["log", "--json"]).sound();
    let run: Value = serde_json::from_str(run.lines().last().unwrap()).unwrap();
    assert_eq!((&run["outcome"], &run["attempts"]), (&json!("limit"), &json!(1)));
    env.run(&["replay", "last"]).sound();
    env.run(&["check", "last"]).sound();
    let priced = ["--name", "priced", "--price", "1,2", "--max-cost", "0.02", "--max-tokens", "40000"];
    assert_eq!(bench(&env, &SMALL, &priced)["arms"][0]["limited"], 1);

    let used = env.run(&[&SMALL[..], &["--name", "used", "--seeds=137", "--total-tokens", "1"]].concat());
    let found: Value = serde_json::from_str(&used.stdout).unwrap();
    assert_eq!(
        (used.code, &found["arms"][0]["done"], &found["arms"][1]["done"]),
        (5, &json!(1), &json!(0)),
        "{used:?}"
    );
    let none = env.run(&[&SMALL[..], &["--name", "late", "--total-seconds", "0"]].concat());
    assert!(none.code == 5 && none.stderr.contains("no further run was begun"), "{none:?}");
    let cut = env.run(&[&SMALL[..], &["--name", "late", "--resume", "--max-seconds", "0"]].concat());
    let found: Value = serde_json::from_str(&cut.stdout).unwrap();
    let arm = &found["arms"][0];
    assert_eq!((cut.code, &arm["out_of_time"], &arm["environment_errors"]), (5, &json!(1), &json!(0)), "{cut:?}");
    let late = bench(&env, &SMALL, &["--name", "late", "--resume"]);
    assert_eq!((&late["arms"][0]["resolved"], &late["arms"][0]["out_of_time"]), (&json!(1), &json!(0)));
    // Being cut off leaves no trace in what the run is.
    let whole = bench(&env, &SMALL, &["--name", "whole"]);
    assert_eq!(late["canonical_root"], whole["canonical_root"]);
}

#[test]
fn a_folder_that_cannot_be_there_is_said_before_the_work() {
    let env = campaign(1);
    env.run(&["key", "new", "k"]).sound();
    fs::write(env.work().join("file"), "").unwrap();
    for more in [&["--results", "file/out"][..], &["--key", "k", "--certificates", "file"]] {
        let output = env.run(&[&SMALL[..], more].concat());
        assert!(output.code == 4 && output.stderr.contains("cannot write file"), "{output:?}");
        assert!(output.stderr.contains("hint: check that the folder can be written"), "{output:?}");
        assert!(!env.work().join(".runproof/transcripts.sqlite").exists(), "nothing is begun");
    }
}

#[test]
fn a_campaign_leaves_predictions_reports_and_certificates() {
    let env = campaign(1);
    env.run(&["key", "new", "k"]).sound();
    let given = ["--results", "out", "--key", "k", "--certificates", "certs", "--profile", "p.toml"];
    bench(&env, &BENCH, &given);
    let read = |name: &str| fs::read_to_string(env.work().join("out").join(name)).unwrap();
    let prediction: Value = serde_json::from_str(read("direct-6/seed-42/predictions.jsonl").trim()).unwrap();
    assert_eq!(prediction["instance_id"], "task0");
    assert!(prediction["model_patch"].as_str().unwrap().contains("+        result += price"), "{prediction}");
    let report: Value = serde_json::from_str(&read("patch/seed-137/task0/report.json")).unwrap();
    assert_eq!((&report["task0"]["resolved"], &report["task0"]["patch_exists"]), (&json!(false), &json!(false)));
    assert_eq!(certified(&env, "k.pub"), 3, "two resolved runs and the campaign");
}

/// Verifies the certificates in `certs`; returns how many there are.
fn certified(env: &TestEnv, key: &str) -> usize {
    let paths = fs::read_dir(env.work().join("certs")).unwrap().map(|entry| entry.unwrap().path());
    let paths: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(".dsse.json")).collect();
    for path in &paths {
        env.run(&["verify", path.to_str().unwrap(), "--key", key, "--require", "signature"]).sound();
    }
    paths.len()
}

#[test]
fn every_arm_selects_the_same_files_and_says_how_it_differs() {
    let env = campaign(1);
    let arms = "patch,direct-1,direct-1+window,direct-1+whole,direct-1+no-gate,direct-1+no-numbers,direct-1+two-step,\
                direct-6+skills";
    let mut args: Vec<&str> = BENCH.to_vec();
    args[3] = arms;
    let found = bench(&env, &args, &["--context", "8192", "--reply", "512"]);
    assert_eq!(found["arms"].as_array().unwrap().len(), 16);
    for run in env.run(&["log", "--json"]).sound().lines().skip(1) {
        let run: Value = serde_json::from_str(run).unwrap();
        env.run(&["check", run["id"].as_str().or(run["run"].as_str()).unwrap()]).sound();
    }
    let output = env.run(&["check", "tasks", "--json"]);
    let paired = output.stdout.split("\"instances-paired\"").nth(1).expect("the criterion");
    assert!(!paired.chars().take(400).collect::<String>().contains("other files"), "{output:?}");
    let refused = env.run(&["bench", "tasks", "--arms", "patch+window"]);
    assert!(refused.code == 2 && refused.stderr.contains("+no-numbers"), "{refused:?}");
}

#[test]
fn runs_that_had_other_room_or_began_at_another_tree_are_no_pair() {
    let env = campaign(1);
    let mut runs = Vec::new();
    for (arm, context) in [("patch", "8192"), ("direct-2", "8192"), ("direct-2", "8191"), ("direct-2", "8192")] {
        if runs.len() == 3 {
            fs::write(env.work().join("tasks/task0/repo/notes.txt"), "new\n").unwrap();
        }
        let base = ["solve", "tasks/task0", "--red-runs=1", "--model=scripted:script.jsonl", "--json", "--quiet"];
        let output = env.run(&[&base[..], &["--arm", arm, "--context", context, "--reply=512"]].concat());
        let value: Value = serde_json::from_str(&output.stdout).unwrap();
        runs.push(value["run"].as_str().unwrap().to_owned());
    }
    fs::write(env.work().join("two.toml"), "instances = 1\nseeds = [42]\ndirect = \"direct-2\"\n").unwrap();
    let paired = |direct: &str| {
        let output = env.run(&["check", "--runs", &format!("{},{direct}", runs[0]), "--profile", "two.toml", "--json"]);
        let found: Value = serde_json::from_str(&output.stdout).unwrap();
        let criteria = found["rungs"][1]["criteria"].as_array().unwrap().clone();
        let paired = criteria.into_iter().find(|criterion| criterion["name"] == "instances-paired").unwrap();
        (paired["verdict"].clone(), paired["reason"].as_str().unwrap().to_owned())
    };
    assert_eq!(paired(&runs[1]).0, "passed", "{}", paired(&runs[1]).1);
    let (verdict, reason) = paired(&runs[2]);
    assert!(
        verdict == "failed" && reason.contains("with another context_tokens in the other arm"),
        "{verdict} {reason}"
    );
    let (verdict, reason) = paired(&runs[3]);
    assert!(verdict == "failed" && reason.contains("began at another tree"), "{verdict} {reason}");
}

#[test]
fn a_campaign_does_not_go_on_with_a_repository_that_has_changed() {
    let env = campaign(1);
    let mut two = SMALL;
    two[3] = "--seeds=42,137";
    assert_eq!(env.run(&[&two[..], &["--total-tokens=1"]].concat()).code, 5, "the second run is not begun");
    let file = env.work().join("tasks/task0/repo/notes.txt");
    fs::write(&file, "new\n").unwrap();
    let resumed = env.run(&[&two[..], &["--resume"]].concat());
    assert!(resumed.code == 4 && resumed.stderr.contains("the repository of task0 is not as it was"), "{resumed:?}");
    assert!(resumed.stderr.contains("hint: put the repository back"), "{resumed:?}");
    fs::remove_file(&file).unwrap();
    let found = bench(&env, &two, &["--resume"]);
    assert_eq!((&found["arms"][0]["resolved"], &found["arms"][1]["resolved"]), (&json!(1), &json!(1)));
}

/// An event: its kind, its data, its bodies.
type Event<'a> = (&'a str, &'a str, &'a [(&'a str, &'a [u8])]);

/// Adds a run to a store, ended with an outcome or cut off.
fn add(path: &Path, run: &NewRun<'_>, events: &[Event<'_>], outcome: Option<&str>) {
    let mut store = Store::open(path, Access::Create, Durability::Full).unwrap();
    store.begin_run(run).unwrap();
    for (kind, data, bodies) in events {
        store.append(run.id, &NewEvent { kind, data: data.as_bytes(), bodies, observation: "{}" }).unwrap();
    }
    if let Some(outcome) = outcome {
        let (status, root) = (RunStatus::Finished, Sha256::of(b""));
        let end = RunEnd { status, outcome, attempts: 1, raw_root: root, canonical_root: root, finished_ms: 0 };
        store.finish_run(run.id, &end).unwrap();
    }
    store.close().unwrap();
}

fn row<'a>(id: RunId, kind: &'a str, arm: &'a str) -> NewRun<'a> {
    let (name, instance, model, tests, orchestration) = ("tasks", "task0", "m", "oracle-tests", "o");
    NewRun { id, name, kind, instance, arm, model, tests, orchestration, started_ms: 0 }
}

/// Returns the recorded plan of the campaign in an environment's store, and its profile.
fn planned(env: &TestEnv) -> (Plan, String, Vec<u8>) {
    let path = env.work().join(".runproof/transcripts.sqlite");
    let store = Store::open(&path, Access::Read, Durability::Full).unwrap();
    let row = store.runs().unwrap().into_iter().find(|row| row.kind == KIND).unwrap();
    let data = store.events(row.id).unwrap()[0].data.clone();
    let plan = Plan::from_bytes(&data).unwrap();
    assert_eq!(plan.id(), row.id);
    (plan, String::from_utf8(data).unwrap(), store.body(row.id, 0, "profile").unwrap())
}

#[test]
fn a_plan_or_profile_that_was_exchanged_in_a_store_is_refused() {
    let env = campaign(1);
    bench(&env, &SMALL, &[]);
    let (plan, data, profile) = planned(&env);
    let other = Profile { instances: 1, ..Profile::default() }.to_bytes().unwrap();
    for (number, id, profile, words) in [
        (1, RunId::from_bytes([7; 12]), &profile, "its plan is that of another campaign"),
        (2, plan.id(), &other, "its profile is not the one of the plan"),
    ] {
        let name = format!("{number}.sqlite");
        add(&env.work().join(&name), &row(id, KIND, ""), &[("run", &data, &[("profile", profile)])], Some("planned"));
        for verb in [&["check", "tasks"][..], &["report", "tasks", "--no-check"]] {
            let output = env.run(&[verb, &["--store", &name]].concat());
            assert!(output.code == 3 && output.stderr.contains(words), "{output:?}");
        }
    }
}

#[test]
fn a_run_that_only_has_the_id_of_a_member_is_refused() {
    let env = campaign(1);
    bench(&env, &SMALL, &[]);
    let (plan, data, profile) = planned(&env);
    let run = plan.members()[0].run;
    let path = env.work().join(".runproof/transcripts.sqlite");
    let store = Store::open(&path, Access::Read, Durability::Full).unwrap();
    let data_of = |seq: usize| String::from_utf8(store.events(run).unwrap().remove(seq).data).unwrap();
    let (header, named, instance) = (data_of(0), data_of(1), store.body(run, 1, "instance").unwrap());
    let check = |number: u32, header: &str, named: &str, instance: &[u8]| {
        let (name, path) = (format!("{number}.sqlite"), env.work().join(format!("{number}.sqlite")));
        add(&path, &row(plan.id(), KIND, ""), &[("run", &data, &[("profile", &profile)])], Some("planned"));
        let events: [Event<'_>; 2] = [("run", header, &[]), ("instance", named, &[("instance", instance)])];
        add(&path, &row(run, "solve", "direct-2"), &events, Some("resolved"));
        env.run(&["check", &plan.id().to_string(), "--store", &name])
    };
    assert_eq!(check(1, &header, &named, &instance).code, 1, "it is a member, and cut off");
    let more = header.replace("\"attempts\":2", "\"attempts\":50");
    let other = String::from_utf8(instance.clone()).unwrap().replace("task0", "task1");
    let image = |issue: &str| {
        let instance = Instance { problem_statement: issue.into(), ..Instance::from_bytes(&instance).unwrap() };
        instance.in_image("mine:1".into(), Some(format!("sha256:{}", "0".repeat(64)))).to_bytes()
    };
    let issue = Instance::from_bytes(&instance).unwrap().problem_statement;
    assert_eq!(check(5, &header, &named, &image(&issue)).code, 1, "its image came after the plan");
    for (number, header, named, instance) in [
        (2, &more, &named, &instance),
        (3, &header, &named.replace("task0", "task1"), &instance),
        (4, &header, &named, &other.into_bytes()),
        (6, &header, &named, &image("something else")),
    ] {
        let output = check(number, header, named, instance);
        assert!(output.code == 3 && output.stderr.contains("not the one that the campaign's plan names"), "{output:?}");
        assert!(output.stderr.contains("hint: remove it"), "{output:?}");
    }
}

#[test]
fn a_certificate_of_another_key_or_of_an_earlier_recording_is_issued_anew() {
    let env = campaign(1);
    for key in ["k", "l"] {
        env.run(&["key", "new", key]).sound();
        bench(&env, &SMALL, &["--certificates", "certs", "--key", key]);
        fs::remove_file(env.work().join(".runproof/transcripts.sqlite")).unwrap();
    }
    assert_eq!(certified(&env, "l.pub"), 2, "of the run and of the campaign");
}

#[test]
fn results_lie_where_the_plan_says_and_not_where_a_row_does() {
    let env = campaign(1);
    bench(&env, &SMALL, &[]);
    let (plan, data, profile) = planned(&env);
    let path = env.work().join("other.sqlite");
    add(&path, &row(plan.id(), KIND, ""), &[("run", &data, &[("profile", &profile)])], Some("planned"));
    let run = row(plan.members()[0].run, "solve", "../../away");
    add(&path, &run, &[("result", "{}", &[("patch", b"")])], Some("unresolved"));
    bench(&env, &SMALL, &["--store=other.sqlite", "--resume", "--results", "a/b/out"]);
    assert!(env.work().join("a/b/out/direct-2/seed-42/task0/report.json").exists());
    assert!(!env.work().join("a/away").exists());
}

#[test]
fn a_check_that_was_cut_off_is_begun_anew_with_other_options() {
    let env = campaign(1);
    let fix = "--- a/basket.py\n+++ b/basket.py\n@@ -3,3 +3,3 @@\n     for price in prices:\n-        result = price\n+        result += price\n     return result\n";
    fs::write(env.work().join("tasks/task0/fix.patch"), fix).unwrap();
    let instance = load(env.work().join("tasks/task0").to_str().unwrap()).unwrap();
    let digest = Blake3::of(&instance.to_bytes());
    let open = |name: &str| Store::open(&env.work().join(name), Access::Read, Durability::Full).unwrap();
    let validate = |store: &str, seconds: &str| {
        let output = env.run(&["bench", "validate", "tasks", "--json", "--store", store, "--timeout", seconds]).sound();
        serde_json::from_str::<Value>(output.lines().next().unwrap()).unwrap()
    };
    assert_eq!(validate("whole.sqlite", "7")["outcome"], "valid");
    let first = open("whole.sqlite").events(validation_id(&digest, 0)).unwrap().remove(0);
    let data = String::from_utf8(first.data).unwrap();
    let run = row(validation_id(&digest, 0), VALIDATION, "known-fix");
    add(&env.work().join("cut.sqlite"), &run, &[("run", &data, &[])], None);
    assert_eq!(validated(&open("cut.sqlite"), &digest).unwrap().valid, None);
    let found = validate("cut.sqlite", "8");
    assert_eq!((&found["outcome"], &found["known"]), (&json!("valid"), &json!(false)));
    assert_eq!(validate("cut.sqlite", "9")["known"], true);
}
