//! The drive of a recording over the seam: a header, exchanges in the order in which they became durable, an ending.
//!
//! Live, the writer drives it with what crosses the proxy; in a replay it is driven with what the store holds, and
//! every canonical form is computed again and compared.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::exchange::{Exchange, ExchangeError};
use super::key::NORMALISER;
use super::normalise::Normalise;
use super::sampling::Sampling;
use super::secret::Scan;
use crate::canon::{RunId, json as canonical};
use crate::store::{RunEnd, RunStatus, Store, StoreError, StoredEvent};
use crate::transcript::{
    ActFailure, Ask, Clock, Done, Kind, Normaliser, Player, RECEIVED, Recorder, ReplayOutcome, Retries, Transcript,
    TranscriptError,
};

/// What a recording was begun with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What happened to calls that were not greedy and seeded.
    pub sampling: Sampling,
    /// The seed that was set where one was missing.
    pub seed: u32,
    /// What happened to requests that held something like a credential.
    pub secrets: Scan,
    /// What was left out of keys.
    pub normalise: Vec<Normalise>,
    /// The version of this program that recorded.
    pub version: String,
}

/// How a recording ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ending {
    /// The exit code of the recorded command; 128 and the number of the signal that ended it.
    pub exit: Option<i32>,
}

/// Says why a run cannot be read as a recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Another kind of run.
    #[error("the run is no recording of an agent")]
    NotARecording,
    /// A canonical form of another version.
    #[error("the recording was made with the canonical form {0:?}, this version has {NORMALISER:?}")]
    OtherVersion(String),
    /// A header that we would not have written.
    #[error("the header of the recording is malformed")]
    Malformed,
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Header {
    fn data(&self) -> Map<String, Value> {
        let normalise: Vec<&str> = self.normalise.iter().map(|way| way.name()).collect();
        let data = json!({
            "exchange": NORMALISER,
            "kind": "record",
            "normalise": normalise,
            "sampling": self.sampling.word(),
            "secrets": self.secrets.word(),
            "seed": self.seed,
            "version": self.version,
        });
        data.as_object().cloned().unwrap_or_default()
    }

    /// Reads the own data of a run's first event.
    ///
    /// # Errors
    /// Another kind of run, another version, or a malformed header.
    pub fn read(data: &Map<String, Value>) -> Result<Self, HeaderError> {
        if !is_recording(data) {
            return Err(HeaderError::NotARecording);
        }
        let version = data.get("exchange").and_then(Value::as_str).unwrap_or_default();
        if version != NORMALISER {
            return Err(HeaderError::OtherVersion(version.chars().take(60).collect()));
        }
        let names = data.get("normalise").and_then(Value::as_array).ok_or(HeaderError::Malformed)?;
        let find = |name: &Value| Normalise::ALL.into_iter().find(|way| name.as_str() == Some(way.name()));
        let normalise = names.iter().map(find).collect::<Option<Vec<_>>>().ok_or(HeaderError::Malformed)?;
        let word = |name: &str| data.get(name).and_then(Value::as_str).ok_or(HeaderError::Malformed);
        let (rule, scan, version) = (word("sampling")?, word("secrets")?, word("version")?.to_owned());
        let rules = [Sampling::Require, Sampling::Enforce, Sampling::Observe];
        let sampling = rules.into_iter().find(|known| known.word() == rule).ok_or(HeaderError::Malformed)?;
        let scans = [Scan::Warn, Scan::Refuse];
        let secrets = scans.into_iter().find(|known| known.word() == scan).ok_or(HeaderError::Malformed)?;
        let seed = data.get("seed").and_then(Value::as_u64).and_then(|seed| u32::try_from(seed).ok());
        let header = Self { sampling, seed: seed.ok_or(HeaderError::Malformed)?, secrets, normalise, version };
        if header.data() == *data { Ok(header) } else { Err(HeaderError::Malformed) }
    }
}

/// Says whether the own data of a run's first event is that of a recording.
pub fn is_recording(data: &Map<String, Value>) -> bool {
    data.get("kind").and_then(Value::as_str) == Some("record")
}

/// Reads the header of a run in a store.
///
/// # Errors
/// As [`Header::read`]; a store that fails.
pub fn header(store: &Store, run: RunId) -> Result<Header, HeaderError> {
    let events = store.events(run)?;
    let first = events.first().filter(|event| event.kind == Kind::Run.name()).ok_or(HeaderError::NotARecording)?;
    Header::read(&canonical::from_bytes(&first.data).map_err(|_| HeaderError::Malformed)?)
}

/// Begins a recording.
///
/// # Errors
/// As [`Transcript::note`].
pub fn begin(transcript: &mut dyn Transcript, header: &Header) -> Result<(), TranscriptError> {
    transcript.note(Kind::Run, &header.data(), &[])
}

/// Passes one exchange through the seam.
///
/// # Errors
/// As [`Transcript::perform`].
pub fn perform(
    transcript: &mut dyn Transcript,
    header: &Header,
    exchange: &Exchange,
    observation: Map<String, Value>,
) -> Result<(), TranscriptError> {
    let key = exchange.key(&header.normalise);
    let normalise = |_: &[u8], _: &[u8]| Ok(exchange.canonical_reply());
    let normaliser = Normaliser { name: NORMALISER, apply: &normalise };
    let ask = Ask { kind: Kind::Exchange, request: key.bytes(), normaliser };
    let mut observation = Some(observation);
    transcript.perform(&ask, &mut || {
        let sent = exchange.sent_slot().map_err(|error| ActFailure::fatal(error.to_string()))?;
        let parts = exchange.received.iter().map(|bytes| (RECEIVED, bytes.clone())).collect();
        let observation = observation.take().unwrap_or_default();
        Ok(Done { sent: Some(sent), raw: exchange.reply.clone(), parts, observation })
    })?;
    Ok(())
}

/// Ends a recording.
///
/// # Errors
/// As [`Transcript::note`].
pub fn end(transcript: &mut dyn Transcript, ending: Ending) -> Result<(), TranscriptError> {
    let mut data = Map::new();
    data.insert("exit".into(), json!(ending.exit));
    transcript.note(Kind::Result, &data, &[])
}

/// Returns how a recorded run ended; nothing if it was cut off.
pub fn ending(events: &[StoredEvent]) -> Option<Ending> {
    let last = events.last().filter(|event| event.kind == Kind::Result.name())?;
    let data: Value = serde_json::from_slice(&last.data).ok()?;
    Some(Ending { exit: data.get("exit")?.as_i64().and_then(|exit| i32::try_from(exit).ok()) })
}

/// Replays a recording without its agent: every exchange is read, its canonical forms are computed again from the raw
/// bytes, and both roots over everything.
///
/// # Errors
/// A store that fails, or holds bytes that are not what their digests say.
pub fn replay(store: &Store, run: RunId, header: &Header) -> Result<ReplayOutcome, TranscriptError> {
    let mut player = Player::open(store, run)?;
    let ended = drive(&mut player, store, run, header);
    player.finish(ended)
}

/// Puts exchanges that were under way when a recorder was killed into their run, and ends it as interrupted.
///
/// # Errors
/// A store that cannot be written, or a recording whose own bytes are not what they should be.
pub fn salvage(store: &mut Store, run: RunId, exchanges: &[Exchange], clock: Clock) -> Result<(), TranscriptError> {
    let Ok(header) = header(store, run) else { return Ok(()) };
    if store.run(run)?.is_none_or(|row| row.status == RunStatus::Finished) {
        return Ok(());
    }
    let events = store.events(run)?;
    let recorded: Vec<Exchange> = events
        .iter()
        .filter(|event| event.kind == Kind::Exchange.name())
        .map(|event| Exchange::of_store(store, run, event).map_err(unreadable))
        .collect::<Result<_, _>>()?;
    let mut recorder = Recorder::resume(store, run, clock, Retries::default())?;
    begin(&mut recorder, &header)?;
    // One may have become durable just before the recorder was killed, and then is in both.
    let mut place = 0;
    let mut arrived = BTreeSet::new();
    for exchange in &recorded {
        arrived.insert(exchange.head.arrival.unwrap_or(place));
        perform(&mut recorder, &header, exchange, Map::new())?;
        place += 1;
    }
    for exchange in exchanges.iter().filter(|exchange| exchange.head.arrival.is_none_or(|at| !arrived.contains(&at))) {
        perform(&mut recorder, &header, &exchange.clone().at(place), Map::new())?;
        place += 1;
    }
    let roots = recorder.roots().clone();
    let end = RunEnd {
        status: RunStatus::Interrupted,
        outcome: "cut-off",
        attempts: 0,
        raw_root: roots.raw(),
        canonical_root: roots.canonical(),
        finished_ms: (clock.now_us)() / 1000,
    };
    Ok(store.finish_run(run, &end)?)
}

fn unreadable(error: ExchangeError) -> TranscriptError {
    match error {
        ExchangeError::Store(error) => TranscriptError::Store(error),
        other => TranscriptError::Unreadable { kind: Kind::Exchange.name(), reason: other.to_string() },
    }
}

fn drive(player: &mut Player<'_>, store: &Store, run: RunId, header: &Header) -> Result<(), TranscriptError> {
    let events = store.events(run)?;
    begin(player, header)?;
    for event in events.iter().filter(|event| event.kind == Kind::Exchange.name()) {
        let exchange = Exchange::of_store(store, run, event).map_err(unreadable)?;
        perform(player, header, &exchange, Map::new())?;
    }
    match ending(&events) {
        Some(ending) => end(player, ending),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::{Aborted, By, Head};
    use crate::store::{Access, Durability, NewRun};

    fn exchange(text: &str, arrival: Option<u32>) -> Exchange {
        let head = Head { method: "POST".into(), target: "/x".into(), status: 200, arrival, ..Head::default() };
        Exchange { head, sent: text.into(), reply: text.into(), received: None }
    }

    #[test]
    fn a_call_that_became_durable_before_the_kill_is_not_there_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("s.sqlite"), Access::Create, Durability::Normal).unwrap();
        let run = RunId::from_bytes([1; 12]);
        let (name, none) = ("x", "");
        store
            .begin_run(&NewRun {
                id: run,
                name,
                kind: "record",
                instance: name,
                arm: none,
                model: none,
                tests: none,
                orchestration: NORMALISER,
                started_ms: 0,
            })
            .unwrap();
        let clock = Clock { now_us: || 0, sleep: |_| {} };
        let header = Header {
            sampling: Sampling::Observe,
            seed: 42,
            secrets: Scan::Warn,
            normalise: Vec::new(),
            version: "0".into(),
        };
        let mut recorder = Recorder::new(&mut store, run, clock, Retries::default());
        begin(&mut recorder, &header).unwrap();
        // The second one to arrive was the first to end.
        for (place, one) in
            [exchange("b", Some(1)), exchange("a", Some(0)), exchange("c", Some(2))].into_iter().enumerate()
        {
            perform(&mut recorder, &header, &one.at(place as u32), Map::new()).unwrap();
        }
        drop(recorder);
        // The file beside the store still has the third as under way, and a fourth.
        let cut = |text: &str, arrival| {
            let mut cut = exchange(text, Some(arrival));
            cut.head.aborted = Some(Aborted { at: 1, by: By::Recorder });
            cut
        };
        salvage(&mut store, run, &[cut("c", 2), cut("d", 3)], clock).unwrap();
        let events = store.events(run).unwrap();
        let kept = events.iter().filter(|event| event.kind == Kind::Exchange.name());
        let kept: Vec<Exchange> = kept.map(|event| Exchange::of_store(&store, run, event).unwrap()).collect();
        let arrivals: Vec<_> = kept.iter().map(|one| (one.sent.as_slice(), one.head.arrival)).collect();
        assert_eq!(arrivals, [(&b"b"[..], Some(1)), (&b"a"[..], Some(0)), (&b"c"[..], None), (&b"d"[..], None)]);
        assert_eq!(kept[2].head.aborted, None);
    }
}
