//! A campaign on several machines: each with a store of its own, joined, and certified like that of a single one.

use std::fs;

use serde_json::{Value, json};

use crate::bench::campaign;
use crate::env::TestEnv;

const BENCH: [&str; 11] = [
    "bench",
    "tasks",
    "--name",
    "c",
    "--arms=direct-2",
    "--seeds=42",
    "--red-runs=1",
    "--tests=oracle",
    "--profile=p.toml",
    "--model=scripted:script.jsonl",
    "--quiet",
];

/// Tests that print no times, so that a run is equal to the byte wherever it happens.
const TIMELESS: &str = "python3 -m unittest -v >\\\"$TMPDIR/log\\\" 2>&1; code=$?; sed 's/ in [0-9.]*s$/ in 0.000s/' \\\"$TMPDIR/log\\\"; exit $code";

fn place(count: usize) -> TestEnv {
    let env = campaign(count);
    for number in 0..count {
        let text = format!("id = \"task{number}\"\ntest_command = \"{TIMELESS}\"\nlog_parser = \"unittest\"\n");
        fs::write(env.work().join(format!("tasks/task{number}/task.toml")), text).unwrap();
    }
    fs::write(env.work().join("p.toml"), "instances = 1\nseeds = [42]\n").unwrap();
    env.run(&["key", "new", "k"]).sound();
    env
}

fn certificate(env: &TestEnv, store: &str) -> Vec<u8> {
    let name = format!("{store}.dsse.json");
    env.run(&["certify", "c", "--store", store, "--key", "k", "-o", &name]).sound();
    fs::read(env.work().join(name)).unwrap()
}

#[test]
fn shards_merged_in_any_order_certify_like_a_single_machine() {
    let env = place(2);
    let bench = |store: &str, more: &[&str]| env.run(&[&BENCH[..], &["--store", store], more].concat()).sound();
    let whole = bench("whole.sqlite", &[]);
    bench("one.sqlite", &["--shard", "1/2"]);
    bench("two.sqlite", &["--shard", "2/2"]);
    let merge = |files: &[&str]| {
        let output = env.run(&[&["store", "merge", "--json"], files].concat()).sound();
        serde_json::from_str::<Value>(&output).unwrap()
    };
    let found = merge(&["ab.sqlite", "one.sqlite", "two.sqlite"]);
    merge(&["ba.sqlite", "two.sqlite", "one.sqlite", "two.sqlite"]);
    let bytes = |name: &str| fs::read(env.work().join(name)).unwrap();
    assert!(bytes("ab.sqlite") == bytes("ba.sqlite"));
    assert_eq!((&found["runs"], &found["stores"]), (&json!(3), &json!(2)));
    assert_eq!(found["campaigns"][0]["missing"], json!([]));
    assert_eq!(found["equal"].as_array().unwrap().len(), 1, "the plan");
    assert_eq!(bench("ab.sqlite", &["--resume"]), whole, "nothing is left to do, and the figures are equal");
    let single = certificate(&env, "whole.sqlite");
    for store in ["ba.sqlite", "ab.sqlite"] {
        assert!(certificate(&env, store) == single, "{store}");
    }
    env.run(&["verify", "ba.sqlite.dsse.json", "--key", "k.pub", "--evidence", "ab.sqlite", "--profile", "p.toml"])
        .sound();
    // The whole campaign run once more, on the machine of a shard: equal to the byte, and one.
    let twice = merge(&["twice.sqlite", "whole.sqlite", "two.sqlite", "one.sqlite"]);
    assert_eq!((&twice["runs"], &twice["twice"]), (&json!(3), &json!([])));
    assert!(certificate(&env, "twice.sqlite") == single);
}

#[test]
fn a_lost_shard_is_named_run_by_run_and_resumed() {
    let env = place(2);
    env.run(&[&BENCH[..], &["--store", "two.sqlite", "--shard", "2/2"]].concat()).sound();
    let output = env.run(&["store", "merge", "all.sqlite", "two.sqlite"]);
    assert!(output.stdout.contains("1 of 2 runs have ended"), "{output:?}");
    assert!(output.stdout.contains("missing: task0  direct-2  seed 42"), "{output:?}");
    assert!(output.stderr.contains("--resume"), "{output:?}");
    let part = env.run(&["check", "c", "--store", "all.sqlite", "--rung", "641", "--json"]);
    assert!(part.code == 5 && part.stdout.contains("\"missing\":1"), "the runs that ended are all sound: {part:?}");
    let certify = || env.run(&["certify", "c", "--store", "all.sqlite", "--key", "k", "-o", "c.json"]);
    let refused = certify();
    assert!(refused.code == 5 && refused.stderr.contains("missing runs is not certified"), "{refused:?}");
    assert!(refused.stderr.contains("hint: perform them") && !env.work().join("c.json").exists(), "{refused:?}");
    let resume = ["--store", "all.sqlite", "--resume", "--key", "k", "--certificates", "certs"];
    let of_campaign = env.work().join("certs/campaign.dsse.json");
    let part = env.run(&[&BENCH[..], &resume, &["--total-seconds", "0"]].concat());
    assert!(part.code == 5 && !of_campaign.exists(), "{part:?}");
    env.run(&[&BENCH[..], &resume].concat()).sound();
    assert!(of_campaign.exists());
    certify().sound();
    assert_eq!(env.run(&["check", "c", "--store", "all.sqlite", "--rung", "641"]).code, 0);
    let again = env.run(&["store", "merge", "all.sqlite", "two.sqlite"]);
    assert!(again.code == 2 && again.stderr.contains("hint: name a new file"), "{again:?}");
    env.run(&["store", "merge", "all.sqlite", "two.sqlite", "all.sqlite", "--force", "--json"]).sound();
}
