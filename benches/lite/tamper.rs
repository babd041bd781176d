//! Changes a store as somebody could who wants to get away with it: all digests and roots are computed anew.
//!
//! `tamper STORE twice RUN` adds a run once more under another id; `tamper STORE reply RUN` changes a word in what a model
//! is recorded to have answered.

use std::path::Path;

use runproof::canon::{BlobRef, RunId, Sha256};
use runproof::store::{Access, Durability, NewAttempt, NewEvent, NewRun, RunEnd, Store, Unneeded};
use runproof::transcript::Roots;

/// What went wrong.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// A body by its slot.
type Bodies = Vec<(String, Vec<u8>)>;

/// Adds a run once more under another id.
pub(crate) fn twice(path: &Path, run: RunId) -> Result<(), Failure> {
    let digest = Sha256::of(run.as_bytes());
    let other = RunId::from_bytes(digest.as_bytes()[..12].try_into()?);
    copy(path, run, other, &|_, _| {})
}

/// Changes the word `REASONING` in the run's first answer.
pub(crate) fn reply(path: &Path, run: RunId) -> Result<(), Failure> {
    copy(path, run, run, &|kind, bodies| {
        for (slot, bytes) in bodies {
            if kind == "model_call" && (slot == "reply" || slot == "canonical") {
                *bytes = String::from_utf8_lossy(bytes).replace("REASONING", "REASONINGS").into_bytes();
            }
        }
    })
}

fn copy(path: &Path, run: RunId, to: RunId, change: &dyn Fn(&str, &mut Bodies)) -> Result<(), Failure> {
    let mut store = Store::open(path, Access::Write, Durability::Normal)?;
    let row = store.run(run)?.ok_or("no such run")?;
    let mut events = Vec::new();
    for event in store.events(run)? {
        let body = |slot: &str| store.body(run, event.seq, slot);
        let bodies = event.bodies.iter().map(|stored| Ok((stored.slot.clone(), body(&stored.slot)?)));
        let mut bodies = bodies.collect::<Result<Bodies, Failure>>()?;
        change(&event.kind, &mut bodies);
        events.push((event, bodies));
    }
    let attempts = store.attempts(run)?;
    if run == to {
        store.close()?;
        Store::gc(path, &Unneeded::Runs(vec![run]), false, &mut |_, _| {})?;
        store = Store::open(path, Access::Write, Durability::Normal)?;
    }
    store.begin_run(&NewRun {
        id: to,
        name: &row.name,
        kind: &row.kind,
        instance: &row.instance,
        arm: &row.arm,
        model: &row.model,
        tests: &row.tests,
        orchestration: &row.orchestration,
        started_ms: row.started_ms,
    })?;
    let mut roots = Roots::default();
    for (event, bodies) in &events {
        let bodies: Vec<(&str, &[u8])> = bodies.iter().map(|(slot, bytes)| (&**slot, &**bytes)).collect();
        let new = NewEvent { kind: &event.kind, data: &event.data, bodies: &bodies, observation: &event.observation };
        store.append(to, &new)?;
        let blobs: Vec<_> = bodies.iter().map(|(slot, bytes)| (*slot, BlobRef::of(bytes))).collect();
        roots.push(event.seq, &event.kind, &event.data, &blobs)?;
    }
    for attempt in &attempts {
        let new = NewAttempt { number: attempt.number, outcome: &attempt.outcome, codes: &attempt.codes };
        store.record_attempt(to, &new)?;
    }
    let (raw_root, canonical_root, finished_ms) = (roots.raw(), roots.canonical(), row.finished_ms.unwrap_or_default());
    let (status, outcome, attempts) = (row.status, &*row.outcome, row.attempts);
    store.finish_run(to, &RunEnd { status, outcome, attempts, raw_root, canonical_root, finished_ms })?;
    Ok(store.close()?)
}

#[expect(clippy::disallowed_methods, reason = "a program reads its arguments")]
fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &*words {
        [store, what, run] if what == "twice" => twice(Path::new(store), run.parse()?),
        [store, what, run] if what == "reply" => reply(Path::new(store), run.parse()?),
        _ => Err("tamper STORE twice|reply RUN".into()),
    }
}
