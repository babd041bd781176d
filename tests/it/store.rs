//! The store: what goes in comes out again, whatever happens in between.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use runproof::canon::{Blake3, RunId, Sha256};
use runproof::store::{Access, Durability, NewEvent, NewRun, RunEnd, RunStatus, Store, StoreError};

fn run_id(number: u8) -> RunId {
    RunId::from_bytes([number; 12])
}

fn new_run(id: RunId) -> NewRun<'static> {
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

fn run_end() -> RunEnd<'static> {
    RunEnd {
        status: RunStatus::Finished,
        outcome: "resolved",
        attempts: 2,
        raw_root: Sha256::of(b"raw"),
        canonical_root: Sha256::of(b"canonical"),
        finished_ms: 1_700_000_060_000,
    }
}

fn open(path: &Path, access: Access) -> Result<Store, StoreError> {
    Store::open(path, access, Durability::Normal)
}

/// What a test appended, to hold against what the store gives back.
type Bodies = BTreeMap<String, Vec<u8>>;

fn append(store: &mut Store, run: RunId, kind: &str, bodies: &Bodies) -> u32 {
    let bodies: Vec<_> = bodies.iter().map(|(slot, body)| (&**slot, &**body)).collect();
    let event = NewEvent { kind, data: br#"{"a":1}"#, bodies: &bodies, observation: r#"{"ms":5}"# };
    store.append(run, &event).unwrap()
}

fn assert_holds(store: &Store, run: RunId, expected: &[(String, Bodies)]) {
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
fn conversation(turns: usize) -> Vec<(String, Bodies)> {
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
        for (run, expected) in &expected {
            assert_holds(&store, run_id(*run), expected);
        }
    }
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
