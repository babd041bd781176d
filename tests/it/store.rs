//! The store: what goes in comes out again, whatever happens in between.

use std::collections::BTreeMap;
use std::path::Path;

use crate::env::TestEnv;
use proptest::prelude::*;
use runproof::canon::{Blake3, RunId, Sha256};
use runproof::store::{Access, Durability, NewAttempt, NewEvent, NewRun, RunEnd, RunStatus, Store, StoreError};

pub(crate) fn run_id(number: u8) -> RunId {
    RunId::from_bytes([number; 12])
}

pub(crate) fn new_run(id: RunId) -> NewRun<'static> {
    NewRun {
        id,
        name: "a run",
        kind: "solve",
        instance: "example__example-1",
        arm: "direct-6",
        model: "scripted:replies.json",
        tests: "existing",
        orchestration: "blake3:0",
        started_ms: 1_700_000_000_000,
    }
}

pub(crate) fn run_end() -> RunEnd<'static> {
    RunEnd {
        status: RunStatus::Finished,
        outcome: "resolved",
        attempts: 2,
        raw_root: Sha256::of(b"raw"),
        canonical_root: Sha256::of(b"canonical"),
        finished_ms: 1_700_000_060_000,
    }
}

pub(crate) fn open(path: &Path, access: Access) -> Result<Store, StoreError> {
    Store::open(path, access, Durability::Normal)
}

/// What a test appended, to hold against what the store gives back.
pub(crate) type Bodies = BTreeMap<String, Vec<u8>>;

pub(crate) fn append(store: &mut Store, run: RunId, kind: &str, bodies: &Bodies) -> u32 {
    let bodies: Vec<_> = bodies.iter().map(|(slot, body)| (&**slot, &**body)).collect();
    let event = NewEvent { kind, data: br#"{"a":1}"#, bodies: &bodies, observation: r#"{"ms":5}"# };
    store.append(run, &event).unwrap()
}

pub(crate) fn assert_holds(store: &Store, run: RunId, expected: &[(String, Bodies)]) {
    let events = store.events(run).unwrap();
    assert_eq!(events.len(), expected.len());
    assert_eq!(store.run(run).unwrap().unwrap().events as usize, expected.len());
    for (event, (kind, bodies)) in events.iter().zip(expected) {
        assert_eq!((&event.kind, &*event.data, &*event.observation), (kind, &br#"{"a":1}"#[..], r#"{"ms":5}"#));
        assert_eq!(event.bodies.len(), bodies.len());
        for (slot, body) in bodies {
            let stored = event.body(slot).unwrap();
            assert_eq!((stored.digest, stored.size), (Blake3::of(body), body.len() as u64));
            assert!(store.body(run, event.seq, slot).unwrap() == *body, "slot {slot} of event {}", event.seq);
            assert!(store.blob(&stored.digest).unwrap().as_ref() == Some(body));
        }
    }
}

/// A conversation that grows, as an agent's does.
pub(crate) fn conversation(turns: usize) -> Vec<(String, Bodies)> {
    let mut messages = String::new();
    (0..turns)
        .map(|turn| {
            messages +=
                &format!("{{\"role\":\"user\",\"content\":\"turn {turn}: {}\"}},", "what now? ".repeat(turn % 7 * 20));
            let request = format!("{{\"messages\":[{messages}],\"temperature\":0}}").into_bytes();
            let reply = format!("{{\"content\":\"answer {turn}\",\"took\":{}}}", turn * 7919).into_bytes();
            let canonical = format!("{{\"content\":\"answer {turn}\"}}").into_bytes();
            let bodies = [("request", request), ("reply", reply), ("canonical", canonical)];
            ("model_call".to_owned(), bodies.map(|(slot, body)| (slot.to_owned(), body)).into())
        })
        .collect()
}

#[test]
fn a_run_comes_back_after_a_close_and_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    for close in [true, false] {
        let path = folder.path().join(format!("{close}/store.sqlite"));
        let turns = conversation(40);
        let mut store = open(&path, Access::Create).unwrap();
        store.begin_run(&new_run(run_id(1))).unwrap();
        for (index, (kind, bodies)) in turns.iter().enumerate() {
            assert_eq!(append(&mut store, run_id(1), kind, bodies) as usize, index);
            if index % 10 == 9 {
                assert_holds(&store, run_id(1), &turns[..=index]);
                if close {
                    store.close().unwrap()
                } else {
                    drop(store)
                }
                store = open(&path, Access::Write).unwrap();
            }
        }
        store.finish_run(run_id(1), &run_end()).unwrap();
        assert_holds(&store, run_id(1), &turns);
        store.close().unwrap();
        let store = open(&path, Access::Read).unwrap();
        assert_holds(&store, run_id(1), &turns);
        let run = store.run(run_id(1)).unwrap().unwrap();
        assert_eq!(
            (run.status, &*run.outcome, run.raw_root),
            (RunStatus::Finished, "resolved", Some(Sha256::of(b"raw")))
        );
        drop(store);
        assert_holds(&open(&path, Access::Foreign).unwrap(), run_id(1), &turns);
    }
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    // Small alphabets and repeated parts make the cases that the extents are for; raw bytes make all others.
    let word = prop_oneof![Just("event: x\ndata: {\"text\":\"a\"}\n\n".to_owned()), "[ab]{0,40}", "(abcd){0,400}"];
    prop_oneof![
        proptest::collection::vec(word, 0..12).prop_map(|words| words.concat().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..3000),
    ]
}

fn event() -> impl Strategy<Value = (u8, String, Bodies)> {
    let slots = proptest::collection::btree_map("request|reply|canonical|sent|file:[ab]", body(), 0..5);
    (0..3_u8, "model_call|test", slots)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_events_of_interleaved_runs_come_back(
        events in proptest::collection::vec((event(), 0..12_u8), 1..30),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        let mut expected = BTreeMap::<u8, Vec<_>>::new();
        let mut store = open(&path, Access::Create).unwrap();
        for ((run, kind, bodies), then) in events {
            if !expected.contains_key(&run) {
                store.begin_run(&new_run(run_id(run))).unwrap();
            }
            append(&mut store, run_id(run), &kind, &bodies);
            expected.entry(run).or_default().push((kind, bodies));
            match then {
                0 => store.close().unwrap(),
                1 => drop(store),
                _ => continue,
            }
            store = open(&path, Access::Write).unwrap();
        }
        for (run, expected) in &expected {
            assert_holds(&store, run_id(*run), expected);
        }
        store.close().unwrap();
        let store = open(&path, Access::Foreign).unwrap();
        assert_eq!(store.verify(&mut |_, _| {}).unwrap().damage, []);
        drop(store);
        Store::compact(&path, &mut |_, _| {}).unwrap();
        let store = open(&path, Access::Foreign).unwrap();
        assert_eq!(store.verify(&mut |_, _| {}).unwrap().damage, []);
        for (run, expected) in &expected {
            assert_holds(&store, run_id(*run), expected);
        }
    }
}

/// A closed store with two runs of a few calls each.
pub(crate) fn small_store(path: &Path) -> Vec<(String, Bodies)> {
    let turns = conversation(6);
    let mut store = open(path, Access::Create).unwrap();
    for run in [1, 2] {
        store.begin_run(&new_run(run_id(run))).unwrap();
        for (kind, bodies) in &turns {
            append(&mut store, run_id(run), kind, bodies);
        }
        let attempt = NewAttempt { number: 1, outcome: "resolved", codes: "[]" };
        store.record_attempt(run_id(run), &attempt).unwrap();
        assert!(matches!(store.record_attempt(run_id(run), &attempt), Err(StoreError::Invalid(_))));
        store.finish_run(run_id(run), &run_end()).unwrap();
    }
    store.close().unwrap();
    turns
}

#[test]
fn a_closed_store_is_one_file() {
    let folder = tempfile::tempdir().unwrap();
    small_store(&folder.path().join("store.sqlite"));
    let store = open(&folder.path().join("store.sqlite"), Access::Read).unwrap();
    assert_eq!(store.runs().unwrap().len(), 2);
    drop(store);
    let names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["store.sqlite"]);
}

#[test]
fn an_exported_run_comes_back_equal_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("store.sqlite"), folder.path().join("run.sqlite"));
    let turns = small_store(&path);
    let store = open(&path, Access::Read).unwrap();
    store.export(run_id(2), &out).unwrap();
    assert!(matches!(store.export(run_id(2), &out), Err(StoreError::Io { .. })));
    assert!(matches!(store.export(run_id(9), &folder.path().join("x")), Err(StoreError::MissingRun(_))));
    assert!(!folder.path().join("x").exists());

    let mut other = open(&folder.path().join("other.sqlite"), Access::Create).unwrap();
    assert_eq!(other.import(&out).unwrap().added, [run_id(2)]);
    assert_eq!(other.import(&out).unwrap().present, [run_id(2)]);
    assert_holds(&other, run_id(2), &turns);
    assert_eq!(other.run(run_id(2)).unwrap(), store.run(run_id(2)).unwrap());
    assert_eq!(other.attempts(run_id(2)).unwrap(), store.attempts(run_id(2)).unwrap());
    // The whole store brings the other run along.
    assert_eq!(other.import(&path).unwrap().added, [run_id(1)]);
    assert_eq!(other.verify(&mut |_, _| {}).unwrap().damage, []);
    // The file depends on the run alone.
    let again = folder.path().join("again.sqlite");
    other.export(run_id(2), &again).unwrap();
    assert!(std::fs::read(&out).unwrap() == std::fs::read(&again).unwrap());
}

#[test]
fn a_run_of_the_same_id_with_other_content_is_a_conflict_and_nothing_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    small_store(&path);
    let mut other = open(&folder.path().join("other.sqlite"), Access::Create).unwrap();
    other.begin_run(&new_run(run_id(2))).unwrap();
    assert!(matches!(other.import(&path), Err(StoreError::Conflict(id)) if id == run_id(2)));
    assert_eq!(other.runs().unwrap().len(), 1);
}

#[test]
fn an_interrupted_run_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let turns = conversation(9);
    let mut store = open(&path, Access::Create).unwrap();
    store.begin_run(&new_run(run_id(1))).unwrap();
    for part in turns.chunks(3) {
        store.reopen_run(run_id(1)).unwrap();
        for (kind, bodies) in part {
            append(&mut store, run_id(1), kind, bodies);
            drop(store);
            store = open(&path, Access::Write).unwrap();
        }
        store.finish_run(run_id(1), &RunEnd { status: RunStatus::Interrupted, ..run_end() }).unwrap();
        assert_eq!(store.verify(&mut |_, _| {}).unwrap().damage, []);
    }
    assert_holds(&store, run_id(1), &turns);
    store.reopen_run(run_id(1)).unwrap();
    store.finish_run(run_id(1), &run_end()).unwrap();
    assert!(matches!(store.reopen_run(run_id(1)), Err(StoreError::RunEnded(_))));
}

#[test]
fn equal_bodies_cost_an_extent_list() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let mut store = open(&path, Access::Create).unwrap();
    let noise: Vec<u8> = (0..1000_u32).flat_map(|number| *Blake3::of(&number.to_le_bytes()).as_bytes()).collect();
    for run in 0..5 {
        store.begin_run(&new_run(run_id(run))).unwrap();
        for kind in ["model_call", "test"] {
            let bodies = [("reply", &*noise), ("canonical", &*noise), ("file:a", &*noise)];
            let event = NewEvent { kind, data: b"{}", bodies: &bodies, observation: "" };
            store.append(run_id(run), &event).unwrap();
        }
    }
    assert_eq!(store.stats().unwrap().body_bytes, 30 * noise.len() as u64);
    store.close().unwrap();
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < noise.len() as u64 + 16_000, "{size}");
}

#[test]
fn two_writers_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let mut stores = [open(&path, Access::Create).unwrap(), open(&path, Access::Create).unwrap()];
    let turns = conversation(30);
    for (index, store) in stores.iter_mut().enumerate() {
        store.begin_run(&new_run(run_id(index as u8))).unwrap();
    }
    for (kind, bodies) in &turns {
        for (index, store) in stores.iter_mut().enumerate() {
            append(store, run_id(index as u8), kind, bodies);
        }
    }
    for store in stores {
        store.close().unwrap();
    }
    let store = open(&path, Access::Read).unwrap();
    assert_holds(&store, run_id(0), &turns);
    assert_holds(&store, run_id(1), &turns);
}

#[test]
fn a_writer_waits_while_another_one_tidies_up() {
    let env = TestEnv::new();
    let path = env.work().join("s");
    let mut store = open(&path, Access::Create).unwrap();
    store.begin_run(&new_run(run_id(0))).unwrap();
    store.close().unwrap();
    // So does the last to leave: it has no write-ahead log any more, and rewrites the file.
    let leaving = rusqlite::Connection::open(&path).unwrap();
    leaving.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let coming = scope.spawn(|| {
            let mut store = open(&path, Access::Create)?;
            store.begin_run(&new_run(run_id(1)))?;
            store.close()
        });
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(!coming.is_finished(), "it did not wait: {:?}", coming.join());
        leaving.execute_batch("COMMIT").unwrap();
        drop(leaving);
        coming.join().unwrap().unwrap();
    });
}

#[test]
fn a_reader_follows_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let mut writer = open(&path, Access::Create).unwrap();
    writer.begin_run(&new_run(run_id(1))).unwrap();
    let reader = open(&path, Access::Read).unwrap();
    let turns = conversation(20);
    for (index, (kind, bodies)) in turns.iter().enumerate() {
        append(&mut writer, run_id(1), kind, bodies);
        assert_eq!(reader.body(run_id(1), index as u32, "request").unwrap(), bodies["request"]);
    }
}

#[test]
fn wrong_uses_are_named_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    assert!(matches!(open(&path, Access::Write), Err(StoreError::Missing(_))));
    assert!(matches!(open(&path, Access::Read), Err(StoreError::Missing(_))));
    let mut store = open(&path, Access::Create).unwrap();
    let turn = NewEvent { kind: "test", data: b"{}", bodies: &[("reply", b"x")], observation: "{}" };
    assert!(matches!(store.append(run_id(1), &turn), Err(StoreError::MissingRun(_))));
    store.begin_run(&new_run(run_id(1))).unwrap();
    assert!(matches!(store.begin_run(&new_run(run_id(1))), Err(StoreError::RunExists(_))));
    let twice = NewEvent { bodies: &[("reply", b"x"), ("reply", b"y")], ..turn };
    assert!(matches!(store.append(run_id(1), &twice), Err(StoreError::Invalid(_))));
    let binary = NewEvent { data: b"\xff", ..turn };
    assert!(matches!(store.append(run_id(1), &binary), Err(StoreError::Invalid(_))));
    let large = vec![0; 64 << 20 | 1];
    let large = NewEvent { bodies: &[("reply", &large)], ..turn };
    assert!(matches!(store.append(run_id(1), &large), Err(StoreError::TooLarge { .. })));
    assert_eq!(store.append(run_id(1), &turn).unwrap(), 0);
    store.finish_run(run_id(1), &run_end()).unwrap();
    assert!(matches!(store.append(run_id(1), &turn), Err(StoreError::RunEnded(_))));
    assert!(matches!(store.body(run_id(1), 0, "request"), Err(StoreError::MissingBody { .. })));
    assert!(matches!(store.body(run_id(1), 7, "reply"), Err(StoreError::MissingBody { .. })));
    assert_eq!(store.body(run_id(1), 0, "reply").unwrap(), b"x");
    assert_eq!(store.blob(&Blake3::of(b"nobody stored this")).unwrap(), None);
    store.close().unwrap();
    let mut reader = open(&path, Access::Read).unwrap();
    assert!(matches!(reader.append(run_id(1), &turn), Err(StoreError::ReadOnly)));
}

#[test]
fn the_verbs_of_the_store_speak_and_exit_as_documented() {
    let env = TestEnv::new();
    let path = env.work().join("store.sqlite");
    small_store(&path);
    let run = |args: &[&str]| env.run(&[&["--store", "store.sqlite", "store"], args].concat());

    assert!(run(&["verify"]).sound().starts_with("sound: 2 runs, 12 events, 36 bodies"));
    assert!(run(&["verify", "--foreign", "--json"]).sound().contains(r#""sound":true"#));
    assert!(run(&["stats", "--json"]).sound().contains(r#""events":12"#));
    assert!(run(&["stats"]).sound().contains("bodies          36"));
    assert!(run(&["compact", "--json"]).sound().contains(r#""blocks_after":1"#));
    let id = run_id(2).to_string();
    assert_eq!(run(&["export", &id, "run.sqlite"]).code, 0);
    let again = run(&["export", &id, "run.sqlite"]);
    assert_eq!(again.code, 2, "{}", again.stderr);
    assert_eq!(run(&["export", "ffff", "other.sqlite"]).code, 2);

    let import = |file: &str| env.run(&["--store", "new.sqlite", "store", "import", file]);
    assert_eq!(import("run.sqlite").sound(), "020202  added\n");
    assert_eq!(import("run.sqlite").sound(), "020202  was here already, equal\n");
    std::fs::write(env.work().join("text"), "no store").unwrap();
    let text = import("text");
    assert_eq!((text.code, text.stderr.contains("hint: ")), (3, true), "{}", text.stderr);
    assert_eq!(import("nowhere").code, 4);
    assert_eq!(env.run(&["--store", "nowhere", "store", "stats"]).code, 4);

    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("UPDATE event SET kind = 'test' WHERE run = 1 AND seq = 3", []).unwrap();
    connection.close().unwrap();
    let damaged = run(&["verify"]);
    assert_eq!(damaged.code, 1, "{}", damaged.stderr);
    assert!(damaged.stdout.contains("do not match its mark") && damaged.stdout.contains("damaged in 1 place"));
}
