//! Marks: four bytes of BLAKE3 over a row's other columns, so that a flipped bit outside the bodies is noticed.
//!
//! A mark guards against damage, not against forgery: whoever can write the file can write marks. Forgery is what the
//! roots in a certificate are for.

use super::row::{AttemptRow, RunRow, StoredEvent};
use crate::canon::RunId;

struct Mark(blake3::Hasher);

impl Mark {
    fn new(table: &str) -> Self {
        Self(blake3::Hasher::new()).field(table.as_bytes())
    }

    fn field(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    fn number(self, value: u64) -> Self {
        self.field(&value.to_le_bytes())
    }

    fn finish(self) -> i64 {
        let hash = self.0.finalize();
        i64::from(i32::from_le_bytes(hash.as_bytes()[..4].try_into().expect("a hash has 32 bytes")))
    }
}

/// Returns the mark of an event row and the digests of its bodies; where the bodies lie is not part of it.
pub(crate) fn event(run: RunId, event: &StoredEvent) -> i64 {
    let mut mark = Mark::new("event").field(run.as_bytes()).number(event.seq.into());
    mark = mark.field(event.kind.as_bytes()).field(&event.data).field(event.observation.as_bytes());
    for body in &event.bodies {
        mark = mark.field(body.slot.as_bytes()).field(body.digest.as_bytes()).number(body.size);
    }
    mark.finish()
}

/// Returns the mark of a run row, without the number of events while the run is open.
pub(crate) fn run(run: &RunRow) -> i64 {
    let mut mark = Mark::new("run").field(run.id.as_bytes());
    for text in [&run.name, &run.kind, &run.instance, &run.arm, &run.model, &run.tests, &run.orchestration] {
        mark = mark.field(text.as_bytes());
    }
    mark = mark.number(run.started_ms).field(run.status.as_str().as_bytes()).field(run.outcome.as_bytes());
    mark = mark.number(run.attempts.into());
    for root in [&run.raw_root, &run.canonical_root] {
        mark = mark.field(root.as_ref().map_or(&[][..], |root| root.as_bytes()));
    }
    if let Some(finished) = run.finished_ms {
        mark = mark.number(finished).number(run.events.into());
    }
    mark.finish()
}

/// Returns the mark of an attempt row.
pub(crate) fn attempt(run: RunId, attempt: &AttemptRow) -> i64 {
    let mark = Mark::new("attempt").field(run.as_bytes()).number(attempt.number.into());
    mark.field(attempt.outcome.as_bytes()).field(attempt.codes.as_bytes()).finish()
}
