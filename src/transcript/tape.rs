//! The recorded events of a run, read in order and checked against what is asked for.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::canon::{Blake3, BlobRef, RunId, json as canonical};
use crate::store::{Store, StoreError, StoredEvent};

use super::divergence::Divergence;
use super::event::{CANONICAL, Kind, REPLY, REQUEST, SENT};
use super::roots::Roots;
use super::seam::{ActFailure, Ask, TranscriptError};

/// A run's events with a position in them.
pub(super) struct Tape {
    run: RunId,
    events: Vec<StoredEvent>,
    position: usize,
    pub(super) roots: Roots,
    /// Whether a run that ended with a failed act is to be gone on with instead of failing again.
    go_on: bool,
}

impl Tape {
    pub(super) fn load(store: &Store, run: RunId, go_on: bool) -> Result<Self, StoreError> {
        Ok(Self { run, events: store.events(run)?, position: 0, roots: Roots::default(), go_on })
    }

    pub(super) fn empty(run: RunId) -> Self {
        Self { run, events: Vec::new(), position: 0, roots: Roots::default(), go_on: false }
    }

    /// Returns the number of events that were reached.
    pub(super) fn position(&self) -> u32 {
        u32::try_from(self.position).unwrap_or(u32::MAX)
    }

    /// Returns the event that was not reached, if any.
    pub(super) fn rest(&self) -> Option<&StoredEvent> {
        self.events.get(self.position)
    }

    /// Counts an event that was appended live.
    pub(super) fn passed_end(&mut self) {
        self.position += 1;
    }

    /// Returns the recorded canonical reply to `ask`, or nothing at the end of the tape.
    pub(super) fn answer(&mut self, store: &Store, ask: &Ask<'_>) -> Result<Option<Vec<u8>>, TranscriptError> {
        self.pass_failed_tries(store, ask)?;
        let Some(event) = self.events.get(self.position) else { return Ok(None) };
        let seq = event.seq;
        if event.kind != ask.kind.name() {
            return Err(self.other_kind(ask.kind));
        }
        self.compare(store, REQUEST, ask.request)?;
        self.compare_data(&performed_data(ask))?;
        let raw = store.body(self.run, seq, REPLY)?;
        let sent = match event.bodies.iter().any(|body| body.slot == SENT) {
            true => store.body(self.run, seq, SENT)?,
            false => Vec::new(),
        };
        let reply = (ask.normaliser.apply)(&sent, &raw)
            .map_err(|reason| TranscriptError::Unreadable { kind: ask.kind.name(), reason })?;
        self.compare(store, CANONICAL, &reply)?;
        self.advance(store, Some(&raw))?;
        Ok(Some(reply))
    }

    /// Checks a derived event against the recorded one; says whether there was one.
    pub(super) fn confirm(
        &mut self,
        store: &Store,
        kind: Kind,
        data: &Map<String, Value>,
        parts: &[(&str, &[u8])],
    ) -> Result<bool, TranscriptError> {
        let Some(event) = self.events.get(self.position) else { return Ok(false) };
        if event.kind != kind.name() {
            return Err(self.other_kind(kind));
        }
        self.compare_data(data)?;
        let recorded: BTreeSet<&str> = event.bodies.iter().map(|body| body.slot.as_str()).collect();
        let replayed: BTreeSet<&str> = parts.iter().map(|(slot, _)| *slot).collect();
        if recorded != replayed {
            let remark = format!("the parts differ: recorded {recorded:?}, replayed {replayed:?}");
            return Err(self.diverged("parts", remark));
        }
        for (slot, bytes) in parts {
            self.compare(store, slot, bytes)?;
        }
        self.advance(store, None)?;
        Ok(true)
    }

    /// Passes over the failed tries before the event that answers `ask`.
    ///
    /// A try that ended the run fails again, with the recorded words, unless the run is to be gone on with.
    fn pass_failed_tries(&mut self, store: &Store, ask: &Ask<'_>) -> Result<(), TranscriptError> {
        while let Some(event) = self.events.get(self.position).filter(|e| e.kind == Kind::FailedTry.name()) {
            let failure: FailedTry = canonical::from_bytes(&event.data)
                .map_err(|_| self.diverged("data", "the failed try cannot be read".into()))?;
            self.compare(store, REQUEST, ask.request)?;
            self.advance(store, None)?;
            if failure.last && self.position == self.events.len() && !self.go_on {
                return Err(TranscriptError::Act(ActFailure::fatal(failure.message)));
            }
        }
        Ok(())
    }

    /// Adds the current event to the roots, from the bytes as stored, and moves on.
    fn advance(&mut self, store: &Store, reply: Option<&[u8]>) -> Result<(), TranscriptError> {
        let event = &self.events[self.position];
        let mut bodies = Vec::with_capacity(event.bodies.len());
        for body in &event.bodies {
            let blob = match reply.filter(|_| body.slot == REPLY) {
                Some(bytes) => BlobRef::of(bytes),
                None => BlobRef::of(&store.body(self.run, event.seq, &body.slot)?),
            };
            bodies.push((body.slot.as_str(), blob));
        }
        self.roots.push(event.seq, &event.kind, &event.data, &bodies)?;
        self.position += 1;
        Ok(())
    }

    fn compare(&self, store: &Store, slot: &str, replayed: &[u8]) -> Result<(), TranscriptError> {
        let event = &self.events[self.position];
        let Some(body) = event.bodies.iter().find(|body| body.slot == slot) else {
            return Err(self.diverged(slot, format!("the recording has no {slot}")));
        };
        if body.digest == Blake3::of(replayed) {
            return Ok(());
        }
        let recorded = store.body(self.run, event.seq, slot)?;
        let divergence = Divergence::of_bytes(event.seq, &event.kind, slot, &recorded, replayed);
        Err(TranscriptError::Diverged(Box::new(divergence)))
    }

    fn compare_data(&self, data: &Map<String, Value>) -> Result<(), TranscriptError> {
        let event = &self.events[self.position];
        let replayed = canonical::to_bytes(data).map_err(super::event::ManifestError::from)?;
        if event.data == replayed {
            return Ok(());
        }
        let divergence = Divergence::of_bytes(event.seq, &event.kind, "data", &event.data, &replayed);
        Err(TranscriptError::Diverged(Box::new(divergence)))
    }

    fn other_kind(&self, asked: Kind) -> TranscriptError {
        let recorded = &self.events[self.position].kind;
        self.diverged("kind", format!("the recording holds a {recorded}, the replay asks for a {}", asked.name()))
    }

    fn diverged(&self, what: &str, remark: String) -> TranscriptError {
        let (seq, kind) = self.events.get(self.position).map_or((self.position(), "end"), |e| (e.seq, e.kind.as_str()));
        TranscriptError::Diverged(Box::new(Divergence::remark(seq, kind, what, remark)))
    }
}

/// The own data of a performed event.
pub(super) fn performed_data(ask: &Ask<'_>) -> Map<String, Value> {
    let mut data = Map::new();
    // The header of a recording names it once for all its exchanges.
    if ask.kind != Kind::Exchange {
        data.insert("normaliser".into(), json!(ask.normaliser.name));
    }
    data
}

/// The own data of a failed try.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FailedTry {
    /// The kind of event that was tried.
    pub(super) of: String,
    /// Number of the try, from 1.
    pub(super) number: u32,
    /// Whether no further try followed.
    pub(super) last: bool,
    /// What went wrong.
    pub(super) message: String,
}
