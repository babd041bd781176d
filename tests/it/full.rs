//! Rung 65537 on a small campaign of `bench`: reached with everything there, and not with one thing wrong.

use std::fs;
use std::path::Path;

use runproof::canon::RunId;
use serde_json::{Value, json};

use crate::bench::campaign;
use crate::env::TestEnv;
use crate::tamper;

const STORE: &str = ".runproof/transcripts.sqlite";
const COUNT: usize = 2;

/// A campaign with certificates and re-executions of its direct runs, and a profile that pins its instances.
fn full() -> TestEnv {
    let env = campaign(COUNT);
    let model = ["--model", "scripted:script.jsonl", "--quiet"];
    let bench =
        ["bench", "tasks", "--arms", "patch,direct-2", "--seeds", "42,137", "--red-runs", "1", "--tests", "oracle"];
    env.run(&[&bench[..], &model].concat()).sound();
    env.run(&["key", "new", "k"]).sound();
    fs::create_dir(env.work().join("certificates")).unwrap();
    for run in runs(&env, 42) {
        env.run(&["certify", &run, "--key", "k", "-o", &format!("certificates/{run}.dsse.json")]).sound();
        env.run(&[&["replay", &run, "--live", "1"], &model[..2]].concat()).sound();
    }
    let base = format!("direct = \"direct-2\"\ninstances = {COUNT}\nseeds = [42, 137]\nexecutions = 1\n");
    let set = |digest: &str| format!("{base}[data_set]\nname = \"tasks\"\ncount = {COUNT}\ndigest = \"{digest}\"\n");
    let write = |text: String| fs::write(env.work().join("p.toml"), text).unwrap();
    write(set(&format!("sha256:{}", "0".repeat(64))));
    let (_, failed) = check(&env, &[]);
    let (name, reason) = failed.last().unwrap();
    assert_eq!(name, "data-set-complete");
    write(set(reason.rsplit(' ').next().unwrap()));
    env
}

/// Ids of the runs of the direct arm with a seed.
fn runs(env: &TestEnv, seed: u32) -> Vec<String> {
    let listed = env.run(&["log", "--json"]).sound();
    let rows = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    rows.filter(|row| text(row, "name").ends_with(&format!("/direct-2/{seed}"))).map(|row| text(&row, "id")).collect()
}

/// Returns the exit code of a check on 65537 and the criteria that fail.
fn check(env: &TestEnv, more: &[&str]) -> (i32, Vec<(String, String)>) {
    let base = [
        "check",
        "--rung",
        "65537",
        "--profile",
        "p.toml",
        "--certificates",
        "certificates",
        "--key",
        "k.pub",
        "--json",
    ];
    let which = if more.is_empty() { &["tasks"] } else { more };
    let output = env.run(&[&base[..], which].concat());
    let found: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let criteria = found["rungs"].as_array().unwrap().iter().flat_map(|rung| rung["criteria"].as_array().unwrap());
    let failed =
        criteria.filter(|one| one["verdict"] == json!("failed") && !one["name"].as_str().unwrap().starts_with("rung-"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (output.code, failed.map(|one| (text(&one["name"]), text(&one["reason"]))).collect())
}

/// Each thing is done to the sound campaign, and undone.
#[test]
fn takes_seconds_the_whole_data_set_reaches_65537_and_not_with_one_thing_wrong() {
    let env = full();
    assert_eq!(check(&env, &[]), (0, Vec::new()));
    let store = env.work().join(STORE);
    let (run, other) = (runs(&env, 42)[0].clone(), runs(&env, 137)[0].clone());
    let with = |harm: &dyn Fn(&Path), more: &[&str]| {
        let before = fs::read(&store).unwrap();
        harm(&store);
        let found = check(&env, more);
        fs::write(&store, before).unwrap();
        assert_eq!(found.0, 1, "{found:?}");
        found.1
    };
    let has = |failed: &[(String, String)], name: &str, part: &str| {
        assert!(failed.iter().any(|one| one.0 == name && one.1.contains(part)), "{name} {part}: {failed:?}");
    };
    let id = |text: &str| text.parse::<RunId>().unwrap();
    let missing = with(&|_| env.run(&["store", "gc", "--run", &run]).sound().clear(), &[]);
    has(&missing, "data-set-complete", "1 instance of the 2 of tasks");
    // Also where all runs of the store count.
    let twice = with(&|path| tamper::twice(path, id(&run)).unwrap(), &["--runs", "all"]);
    has(&twice, "data-set-complete", "task0 (direct-2, seed 42) is there twice");
    let changed = with(&|path| tamper::reply(path, id(&other)).unwrap(), &[]);
    has(&changed, "every-run-replays", "task0 (direct-2, seed 137) does not replay");
    let certificate = env.work().join(format!("certificates/{run}.dsse.json"));
    let bytes = fs::read(&certificate).unwrap();
    let mut cut = bytes.clone();
    let at = bytes.len() - 20;
    cut[at] = if cut[at] == b'A' { b'B' } else { b'A' };
    fs::write(&certificate, cut).unwrap();
    has(&check(&env, &[]).1, "runs-certified", "task0 (direct-2, seed 42) has no certificate");
    fs::write(&certificate, bytes).unwrap();
    assert_eq!(check(&env, &[]).0, 0);
}
