//! Runs removed from a store: only those meant, with their bytes, and never half of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use runproof::canon::RunId;
use runproof::store::{Access, NewEvent, NewRun, Store, StoreError, Unneeded};

use crate::env::TestEnv;
use crate::store::{append, assert_holds, conversation, new_run, open, run_end, run_id};

/// A run with a first event that holds its options; ended, or cut off.
fn record(store: &mut Store, run: NewRun<'_>, options: &str, turns: usize, is_finished: bool) {
    store.begin_run(&run).unwrap();
    let event = NewEvent { kind: "run", data: options.as_bytes(), bodies: &[], observation: "{}" };
    store.append(run.id, &event).unwrap();
    for (kind, bodies) in conversation(turns) {
        append(store, run.id, &kind, &bodies);
    }
    if is_finished {
        store.finish_run(run.id, &run_end()).unwrap();
    }
}

fn ids(path: &Path) -> Vec<RunId> {
    open(path, Access::Read).unwrap().runs().unwrap().iter().map(|row| row.id).collect()
}

fn superseded() -> Unneeded {
    Unneeded::Superseded(Default::default())
}

#[test]
fn only_what_a_later_run_of_the_same_options_supersedes_goes_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = open(&path, Access::Create).unwrap();
    let run = |number| new_run(run_id(number));
    record(&mut store, run(1), r#"{"seed":1}"#, 5, false);
    record(&mut store, run(2), r#"{"seed":2}"#, 1, false);
    record(&mut store, NewRun { instance: "", ..run(3) }, r#"{"seed":1}"#, 1, false);
    record(&mut store, NewRun { name: "other", ..run(4) }, r#"{"seed":1}"#, 1, false);
    record(&mut store, run(5), r#"{"seed":1}"#, 6, true);
    record(&mut store, NewRun { instance: "", ..run(6) }, r#"{"seed":1}"#, 1, true);
    record(&mut store, run(7), r#"{"seed":1}"#, 1, false);
    let locked = Store::gc(&path, &superseded(), false, &mut |_, _| {});
    assert!(matches!(locked, Err(StoreError::Locked)), "{locked:?}");
    store.close().unwrap();
    let before = fs::read(&path).unwrap();
    let planned = Store::gc(&path, &superseded(), true, &mut |_, _| {}).unwrap();
    assert!(fs::read(&path).unwrap() == before, "a dry run changes nothing");
    let done = Store::gc(&path, &superseded(), false, &mut |_, _| {}).unwrap();
    assert_eq!(done.runs.iter().map(|row| row.id).collect::<Vec<_>>(), [run_id(1)]);
    assert_eq!((&planned.runs, planned.body_bytes), (&done.runs, done.body_bytes));
    assert!(done.body_bytes > 0 && done.after == fs::metadata(&path).unwrap().len());
    assert_eq!(ids(&path), [2, 3, 4, 5, 6, 7].map(run_id));
}

#[test]
fn a_check_of_an_instance_that_was_cut_off_stays_for_it_leads_to_those_after_it() {
    let env = TestEnv::new();
    let path = env.work().join("store");
    let mut store = open(&path, Access::Create).unwrap();
    for (number, kind) in [(1, "validation"), (2, "validation"), (3, "solve"), (4, "solve")] {
        record(&mut store, NewRun { kind, ..new_run(run_id(number)) }, "{}", 1, number % 2 == 0);
    }
    store.close().unwrap();
    env.run(&["store", "gc", "--store", "store"]).sound();
    assert_eq!(ids(&path), [1, 2, 4].map(run_id));
}

#[test]
fn named_runs_go_with_the_bytes_that_only_they_needed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = open(&path, Access::Create).unwrap();
    for number in [1, 2] {
        store.begin_run(&new_run(run_id(number))).unwrap();
    }
    // Two runs in one block, each with text that the other repeats and text of its own.
    let shared = conversation(20);
    for (kind, bodies) in &shared {
        append(&mut store, run_id(1), kind, bodies);
        append(&mut store, run_id(2), kind, bodies);
        let noise = blake3_noise(bodies["reply"].len() as u64);
        append(&mut store, run_id(1), "test", &[("reply".to_owned(), noise)].into());
    }
    for number in [1, 2] {
        store.finish_run(run_id(number), &run_end()).unwrap();
    }
    store.close().unwrap();
    let exported = folder.path().join("exported");
    open(&path, Access::Read).unwrap().export(run_id(2), &exported).unwrap();
    let missing = Store::gc(&path, &Unneeded::Runs(vec![run_id(9)]), false, &mut |_, _| {});
    assert!(matches!(missing, Err(StoreError::MissingRun(_))));
    let done = Store::gc(&path, &Unneeded::Runs(vec![run_id(1)]), false, &mut |_, _| {}).unwrap();
    assert!(done.after + 20_000 < done.before, "{} to {}", done.before, done.after);
    let mut store = open(&path, Access::Write).unwrap();
    assert_holds(&store, run_id(2), &shared);
    assert_eq!(store.verify(&mut |_, _| {}).unwrap().damage, []);
    let again = folder.path().join("again");
    store.export(run_id(2), &again).unwrap();
    assert!(fs::read(&again).unwrap() == fs::read(&exported).unwrap());
    // It can be recorded into as before, also with text that is found again.
    store.begin_run(&new_run(run_id(3))).unwrap();
    for (kind, bodies) in &shared {
        append(&mut store, run_id(3), kind, bodies);
    }
    assert_holds(&store, run_id(3), &shared);
    assert_eq!(store.verify(&mut |_, _| {}).unwrap().damage, []);
}

/// Bytes that nothing makes smaller.
fn blake3_noise(seed: u64) -> Vec<u8> {
    let mut noise = vec![0; 4000];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut noise);
    noise
}

const FILE: &str = "RUNPROOF_TEST_GC";

/// The removing process of the test below.
#[test]
#[ignore = "a child process of another test"]
#[expect(clippy::disallowed_methods, reason = "speaks with its parent")]
fn removes_until_it_dies() {
    let Some(path) = std::env::var_os(FILE) else { return };
    Store::gc(Path::new(&path), &Unneeded::Runs(vec![run_id(1)]), false, &mut |_, _| {}).unwrap();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the child is this very program")]
fn killed_it_leaves_the_store_before_or_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = open(&path, Access::Create).unwrap();
    for number in [1, 2] {
        record(&mut store, new_run(run_id(number)), "{}", 60, true);
    }
    store.close().unwrap();
    let mut waited = 0;
    while ids(&path).len() == 2 {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["store_gc::removes_until_it_dies", "--exact", "--ignored", "--quiet"]).env(FILE, &path);
        let mut child = child.stdout(Stdio::null()).spawn().unwrap();
        // Later each time, in turns of looking whether it has ended.
        for _ in 0..waited {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            fs::metadata(&path).unwrap();
        }
        waited = 2 * waited + 1000;
        child.kill().unwrap();
        child.wait().unwrap();
        let store = open(&path, Access::Read).unwrap();
        assert_eq!(store.verify(&mut |_, _| {}).unwrap().damage, []);
    }
    assert_eq!(ids(&path), [run_id(2)]);
}

#[test]
fn a_person_names_runs_and_kinds_and_sees_what_goes() {
    let env = TestEnv::new();
    let path = env.work().join("s");
    let mut store = open(&path, Access::Create).unwrap();
    record(&mut store, new_run(run_id(1)), "{}", 2, true);
    record(&mut store, NewRun { kind: "record", name: "an agent", ..new_run(run_id(2)) }, "{}", 2, true);
    store.close().unwrap();
    let gc = |more: &[&str]| env.run(&[&["store", "gc", "--store", "s"], more].concat());
    assert_eq!(gc(&[]).sound(), "");
    let output = gc(&["--kind", "record", "--dry-run"]);
    assert!(output.stdout.contains("finished  record  an agent"), "{output:?}");
    assert!(output.stderr.contains("1 run with"), "{output:?}");
    let wrong = gc(&["--kind", "recording"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("hint:"), "{wrong:?}");
    let done: serde_json::Value = serde_json::from_str(&gc(&["--run", "an agent", "--json"]).sound()).unwrap();
    assert_eq!(done["runs"], serde_json::json!([run_id(2).to_string()]));
    assert_eq!(ids(&path), [run_id(1)]);
}
