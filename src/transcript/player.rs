//! The replaying side of the seam: answers from the store, performs nothing, refuses what was not recorded.

use serde_json::{Map, Value};

use crate::canon::{BlobRef, RunId, Sha256};
use crate::store::{Store, StoreError};

use super::divergence::Divergence;
use super::event::{Kind, ManifestError};
use super::roots::Roots;
use super::seam::{ActFailure, Ask, Done, Transcript, TranscriptError};
use super::tape::Tape;

/// Replays the events of one run in order.
pub struct Player<'a> {
    store: &'a Store,
    run: RunId,
    tape: Tape,
    again: Vec<Kind>,
    performed_again: u32,
}

/// What a replay showed: plain data for whoever judges it.
#[derive(Debug, Clone)]
pub struct ReplayOutcome {
    /// Events that came out equal to the byte.
    pub events: u32,
    /// Root over the manifest lines of those events.
    pub raw_root: Sha256,
    /// Root over their canonical leaves.
    pub canonical_root: Sha256,
    /// The first difference; none if every event was reached and equal.
    pub divergence: Option<Divergence>,
    /// Events that were really performed again, with an equal result.
    pub performed_again: u32,
}

impl ReplayOutcome {
    /// Says whether every byte came out equal.
    pub fn is_equal(&self) -> bool {
        self.divergence.is_none()
    }
}

impl<'a> Player<'a> {
    /// Opens the recording of `run`.
    ///
    /// # Errors
    /// A store that cannot be read, or does not hold the run.
    pub fn open(store: &'a Store, run: RunId) -> Result<Self, StoreError> {
        Ok(Self { store, run, tape: Tape::load(store, run, false)?, again: Vec::new(), performed_again: 0 })
    }

    /// Has events of these kinds really performed again, and their canonical replies compared with the recorded ones.
    #[must_use]
    pub fn performing(mut self, kinds: &[Kind]) -> Self {
        self.again = kinds.to_vec();
        self
    }

    /// Ends the replay: `ended` is how the code that was driven over this player came back.
    ///
    /// # Errors
    /// A store that fails, or holds bytes that are not what their digests say. A run that failed when it was recorded
    /// and fails in the same way now is equal.
    pub fn finish(self, ended: Result<(), TranscriptError>) -> Result<ReplayOutcome, TranscriptError> {
        let mut divergence = match ended {
            Ok(()) => None,
            Err(TranscriptError::Act(failure)) if self.tape.rest().is_some() => {
                let remark = format!("the replay failed, the recording went on: {}", failure.message);
                Some(Divergence::remark(self.tape.position(), "failed_try", "end", remark))
            }
            Err(TranscriptError::Act(_)) => None,
            Err(TranscriptError::Diverged(divergence)) => Some(*divergence),
            Err(other) => return Err(other),
        };
        if let (None, Some(event)) = (&divergence, self.tape.rest()) {
            let remark = "the recording goes on here, the replay has ended".into();
            divergence = Some(Divergence::remark(event.seq, &event.kind, "end", remark));
        }
        let (raw_root, canonical_root) = (self.tape.roots.raw(), self.tape.roots.canonical());
        let row = self.store.run(self.run)?;
        let recorded = row.as_ref().and_then(|row| row.raw_root.zip(row.canonical_root));
        if let (None, Some(recorded)) = (&divergence, recorded)
            && recorded != (raw_root, canonical_root)
        {
            let remark = format!("every event is equal, yet the roots are {raw_root} and not {}", recorded.0);
            divergence = Some(Divergence::remark(self.tape.position(), "end", "roots", remark));
        }
        let events = self.tape.position();
        Ok(ReplayOutcome { events, raw_root, canonical_root, divergence, performed_again: self.performed_again })
    }
}

impl Transcript for Player<'_> {
    fn perform(
        &mut self,
        ask: &Ask<'_>,
        act: &mut dyn FnMut() -> Result<Done, ActFailure>,
    ) -> Result<Vec<u8>, TranscriptError> {
        let position = self.tape.position();
        let Some(reply) = self.tape.answer(self.store, ask)? else { return Err(self.past_end(ask.kind)) };
        if self.again.contains(&ask.kind) {
            let done = act().map_err(TranscriptError::Act)?;
            let fresh = (ask.normaliser.apply)(done.sent.as_deref().unwrap_or_default(), &done.raw)
                .map_err(|reason| TranscriptError::Unreadable { kind: ask.kind.name(), reason })?;
            self.performed_again += 1;
            if fresh != reply {
                let divergence = Divergence::of_bytes(position, ask.kind.name(), "result", &reply, &fresh);
                return Err(TranscriptError::Diverged(Box::new(divergence)));
            }
        }
        Ok(reply)
    }

    fn note(&mut self, kind: Kind, data: &Map<String, Value>, parts: &[(&str, &[u8])]) -> Result<(), TranscriptError> {
        if self.tape.confirm(self.store, kind, data, parts)? { Ok(()) } else { Err(self.past_end(kind)) }
    }
}

impl Player<'_> {
    fn past_end(&self, asked: Kind) -> TranscriptError {
        let remark = format!("the recording has ended, the replay asks for a {}", asked.name());
        TranscriptError::Diverged(Box::new(Divergence::remark(self.tape.position(), "end", "end", remark)))
    }
}

/// Recomputes a run's manifest from the store, handing each line (without line feed) to `sink`, and returns its roots.
///
/// # Errors
/// A store that fails, a body that is not what its digest says, or an event without a manifest line.
pub fn check_manifest(store: &Store, run: RunId, sink: &mut dyn FnMut(&[u8])) -> Result<Roots, TranscriptError> {
    let mut roots = Roots::default();
    for (position, event) in (0..).zip(store.events(run)?) {
        if event.seq != position {
            return Err(ManifestError::Data(event.seq).into());
        }
        let mut bodies = Vec::with_capacity(event.bodies.len());
        for body in &event.bodies {
            bodies.push((body.slot.as_str(), BlobRef::of(&store.body(run, event.seq, &body.slot)?)));
        }
        sink(&roots.push(event.seq, &event.kind, &event.data, &bodies)?);
    }
    Ok(roots)
}
