//! The seam: what is recorded is replayed to the byte, what was not is refused, failures are events.

use std::cell::Cell;
use std::time::Duration;

use runproof::canon::RunId;
use runproof::store::{Access, Durability, NewRun, RunEnd, RunStatus, Store};
use runproof::transcript::{
    ActFailure, Ask, Clock, Done, Kind, Normaliser, Player, Recorder, Retries, Retry, Roots, Transcript,
    TranscriptError, check_manifest,
};
use serde_json::{Map, json};
use tempfile::TempDir;

const RUN: RunId = RunId::from_bytes([7; 12]);
const CLOCK: Clock = Clock { now_us: || 1_000_000, sleep: |_| {} };
const RETRIES: Retries =
    Retries { tries: 3, first_pause: Duration::from_millis(1), longest_pause: Duration::from_millis(4) };

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let mut store = place.open();
        store
            .begin_run(&NewRun {
                id: RUN,
                name: "n",
                kind: "solve",
                instance: "i",
                arm: "a",
                model: "m",
                tests: "t",
                orchestration: "o",
                started_ms: 1,
            })
            .unwrap();
        place
    }

    fn open(&self) -> Store {
        Store::open(&self.folder.path().join("s.sqlite"), Access::Create, Durability::Full).unwrap()
    }
}

/// Upper-cases what came, so that raw and canonical differ.
fn shout(_: &[u8], raw: &[u8]) -> Result<Vec<u8>, String> {
    if raw.is_empty() { Err("nothing came".into()) } else { Ok(raw.to_ascii_uppercase()) }
}

fn ask(request: &[u8]) -> Ask<'_> {
    Ask { kind: Kind::ModelCall, request, normaliser: Normaliser { name: "shout/1", apply: &shout } }
}

fn answer(text: &str) -> Result<Done, ActFailure> {
    Ok(Done { sent: Some(b"wire".to_vec()), raw: text.as_bytes().to_vec(), ..Done::default() })
}

fn two_calls_and_a_note(transcript: &mut dyn Transcript, words: [&str; 2]) -> Result<(), TranscriptError> {
    for (i, word) in words.into_iter().enumerate() {
        let request = format!(r#"{{"call":{i}}}"#);
        let reply = transcript.perform(&ask(request.as_bytes()), &mut || answer(word))?;
        let mut data = Map::new();
        data.insert("length".into(), json!(reply.len()));
        transcript.note(Kind::Edit, &data, &[("edits", &reply)])?;
    }
    Ok(())
}

fn record(place: &Place, words: [&str; 2]) -> Roots {
    let mut store = place.open();
    let mut recorder = Recorder::new(&mut store, RUN, CLOCK, RETRIES);
    two_calls_and_a_note(&mut recorder, words).unwrap();
    let roots = recorder.roots().clone();
    finish(&mut store, &roots, RunStatus::Finished);
    store.close().unwrap();
    roots
}

fn finish(store: &mut Store, roots: &Roots, status: RunStatus) {
    let (raw_root, canonical_root) = (roots.raw(), roots.canonical());
    let end = RunEnd { status, outcome: "x", attempts: 1, raw_root, canonical_root, finished_ms: 2 };
    store.finish_run(RUN, &end).unwrap();
}

#[test]
fn a_replay_performs_nothing_and_ends_with_the_same_roots() {
    let place = Place::new();
    let roots = record(&place, ["one", "two"]);
    let store = place.open();
    let mut player = Player::open(&store, RUN).unwrap();
    let ended = two_calls_and_a_note(&mut player, ["never", "performed"]);
    let outcome = player.finish(ended).unwrap();
    assert_eq!(outcome.divergence, None);
    assert_eq!((outcome.events, outcome.raw_root, outcome.canonical_root), (4, roots.raw(), roots.canonical()));
    let manifest = check_manifest(&store, RUN, &mut |_| {}).unwrap();
    assert_eq!((manifest.raw(), manifest.canonical()), (roots.raw(), roots.canonical()));
}

#[test]
fn raw_bytes_change_the_raw_root_only() {
    let (lower, mixed) = (record(&Place::new(), ["one", "two"]), record(&Place::new(), ["One", "twO"]));
    assert_ne!(lower.raw(), mixed.raw());
    assert_eq!(lower.canonical(), mixed.canonical());
    assert_ne!(lower.canonical(), record(&Place::new(), ["one", "three"]).canonical());
}

#[test]
fn a_changed_request_is_named_and_nothing_is_performed() {
    let place = Place::new();
    record(&place, ["one", "two"]);
    let store = place.open();
    let mut player = Player::open(&store, RUN).unwrap();
    let performed = Cell::new(false);
    let ended = player.perform(&ask(br#"{"call":9}"#), &mut || {
        performed.set(true);
        answer("x")
    });
    let outcome = player.finish(ended.map(|_| ())).unwrap();
    let divergence = outcome.divergence.unwrap();
    assert_eq!((divergence.event, divergence.what.as_str(), divergence.offset), (0, "request", 8));
    assert_eq!(divergence.pointer.as_deref(), Some("/call"));
    assert!(!performed.get());
}

#[test]
fn a_changed_derived_event_is_named() {
    let place = Place::new();
    record(&place, ["one", "two"]);
    let store = place.open();
    let mut player = Player::open(&store, RUN).unwrap();
    player.perform(&ask(br#"{"call":0}"#), &mut || answer("one")).unwrap();
    let ended = player.note(Kind::Edit, &Map::from_iter([("length".into(), json!(3))]), &[("edits", b"ONX")]);
    let divergence = player.finish(ended).unwrap().divergence.unwrap();
    assert_eq!((divergence.event, divergence.what.as_str(), divergence.offset), (1, "edits", 2));
}

#[test]
fn a_replay_that_stops_early_or_goes_on_has_diverged() {
    let place = Place::new();
    record(&place, ["one", "two"]);
    let store = place.open();
    let mut early = Player::open(&store, RUN).unwrap();
    let ended = early.perform(&ask(br#"{"call":0}"#), &mut || answer("x")).map(|_| ());
    assert_eq!(early.finish(ended).unwrap().divergence.unwrap().event, 1);

    let mut long = Player::open(&store, RUN).unwrap();
    two_calls_and_a_note(&mut long, ["one", "two"]).unwrap();
    let ended = long.perform(&ask(br#"{"call":0}"#), &mut || answer("one")).map(|_| ());
    assert_eq!(long.finish(ended).unwrap().divergence.unwrap().event, 4);
}

#[test]
fn each_failed_try_is_an_event_and_replays() {
    let place = Place::new();
    let mut store = place.open();
    let tries = Cell::new(0);
    let mut recorder = Recorder::new(&mut store, RUN, CLOCK, RETRIES);
    let mut act = || {
        tries.set(tries.get() + 1);
        if tries.get() < 3 {
            return Err(ActFailure {
                message: format!("busy {}", tries.get()),
                retry: Some(Retry::default()),
                raw: b"429".to_vec(),
                ..ActFailure::default()
            });
        }
        answer("ok")
    };
    assert_eq!(recorder.perform(&ask(b"{}"), &mut act).unwrap(), b"OK");
    let roots = recorder.roots().clone();
    finish(&mut store, &roots, RunStatus::Finished);
    let kinds: Vec<String> = store.events(RUN).unwrap().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["failed_try", "failed_try", "model_call"]);

    let mut player = Player::open(&store, RUN).unwrap();
    let ended = player.perform(&ask(b"{}"), &mut || answer("never")).map(|_| ());
    assert_eq!(player.finish(ended).unwrap().divergence, None);

    // Failed tries are raw facts: without them the canonical root is the same.
    let calm = Place::new();
    let mut store = calm.open();
    let mut recorder = Recorder::new(&mut store, RUN, CLOCK, RETRIES);
    recorder.perform(&ask(b"{}"), &mut || answer("ok")).unwrap();
    assert_eq!(recorder.roots().canonical(), roots.canonical());
    assert_ne!(recorder.roots().raw(), roots.raw());
}

#[test]
fn a_run_that_failed_fails_again_in_replay_and_goes_on_when_resumed() {
    let place = Place::new();
    let mut store = place.open();
    let mut recorder = Recorder::new(&mut store, RUN, CLOCK, RETRIES);
    recorder.perform(&ask(br#"{"call":0}"#), &mut || answer("one")).unwrap();
    recorder.note(Kind::Edit, &Map::from_iter([("length".into(), json!(3))]), &[("edits", b"ONE")]).unwrap();
    let failed = recorder.perform(&ask(br#"{"call":1}"#), &mut || Err(ActFailure::fatal("the server is gone")));
    assert!(matches!(failed, Err(TranscriptError::Act(_))));
    let roots = recorder.roots().clone();
    finish(&mut store, &roots, RunStatus::Failed);

    let mut player = Player::open(&store, RUN).unwrap();
    let ended = two_calls_and_a_note(&mut player, ["x", "y"]);
    assert!(matches!(&ended, Err(TranscriptError::Act(failure)) if failure.message == "the server is gone"));
    assert_eq!(player.finish(ended).unwrap().divergence, None);

    let mut recorder = Recorder::resume(&mut store, RUN, CLOCK, RETRIES).unwrap();
    two_calls_and_a_note(&mut recorder, ["never", "two"]).unwrap();
    let roots = recorder.roots().clone();
    finish(&mut store, &roots, RunStatus::Finished);
    let mut player = Player::open(&store, RUN).unwrap();
    let ended = two_calls_and_a_note(&mut player, ["x", "y"]);
    assert_eq!(player.finish(ended).unwrap().divergence, None);
    assert_eq!(roots.canonical(), record(&Place::new(), ["one", "two"]).canonical());
}

#[test]
fn an_unreadable_reply_is_recorded_and_fails_the_run() {
    let place = Place::new();
    let mut store = place.open();
    let mut recorder = Recorder::new(&mut store, RUN, CLOCK, RETRIES);
    let failed = recorder.perform(&ask(b"{}"), &mut || answer(""));
    assert!(matches!(failed, Err(TranscriptError::Act(_))));
    assert_eq!(store.events(RUN).unwrap()[0].kind, "failed_try");
}

#[test]
fn what_is_performed_again_is_compared_in_canonical_form() {
    let place = Place::new();
    record(&place, ["one", "two"]);
    let store = place.open();
    let again = |words| {
        let mut player = Player::open(&store, RUN).unwrap().performing(&[Kind::ModelCall]);
        let ended = two_calls_and_a_note(&mut player, words);
        player.finish(ended).unwrap()
    };
    let equal = again(["ONE", "Two"]);
    assert_eq!((equal.divergence, equal.performed_again), (None, 2));
    let differs = again(["one", "other"]).divergence.unwrap();
    assert_eq!((differs.event, differs.what.as_str()), (2, "result"));
}
