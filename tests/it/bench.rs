//! `bench` as a person uses it: arms and seeds over task folders with the scripted model, killed, resumed, in shards.

use std::fs;

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
    let found: Value = serde_json::from_str(&output.stdout).unwrap();
    let direct = &found["arms"][0];
    assert_eq!((&direct["of"], &direct["done"], &direct["environment_errors"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!(env.run(&[&SMALL[..], &["--resume"]].concat()).code, 4, "it is tried again");
}
