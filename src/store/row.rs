//! The values that go into a store and come out of it.

use crate::canon::{Blake3, RunId, Sha256};

/// How a run ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunStatus {
    /// Still recording, or cut off without notice.
    Open,
    /// Ran to its end, whatever the outcome.
    Finished,
    /// Ended by an error.
    Failed,
    /// Stopped from outside: by the user, or because its time was over.
    Interrupted,
}

impl RunStatus {
    /// Returns the word that the store and the command line use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        [Self::Open, Self::Finished, Self::Failed, Self::Interrupted].into_iter().find(|s| s.as_str() == text)
    }
}

/// Describes a run that begins.
#[derive(Debug, Clone, Copy)]
pub struct NewRun<'a> {
    /// Its id, drawn by the caller.
    pub id: RunId,
    /// A name for people.
    pub name: &'a str,
    /// What kind of run: `solve`, `record`.
    pub kind: &'a str,
    /// The instance worked on.
    pub instance: &'a str,
    /// The arm.
    pub arm: &'a str,
    /// The model as named on the command line.
    pub model: &'a str,
    /// Which tests drove it: `existing-tests` or `oracle-tests`; empty where none did.
    pub tests: &'a str,
    /// The orchestration digest.
    pub orchestration: &'a str,
    /// Start in milliseconds since 1970; an observation.
    pub started_ms: u64,
}

/// One event that is appended to a run.
#[derive(Debug, Clone, Copy)]
pub struct NewEvent<'a> {
    /// `model_call`, `test`, `edit`, …; also names the conversation whose previous body is the base.
    pub kind: &'a str,
    /// Canonical JSON of the event's own small fields (UTF-8).
    pub data: &'a [u8],
    /// The bodies by slot; each slot at most once.
    pub bodies: &'a [(&'a str, &'a [u8])],
    /// JSON of times and other observations, outside every digest.
    pub observation: &'a str,
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub struct RunEnd<'a> {
    /// Anything but [`RunStatus::Open`].
    pub status: RunStatus,
    /// The verdict in one word, such as `resolved`; of a run that did not come to its own end, as [`ended_by`] says it.
    pub outcome: &'a str,
    /// Number of attempts made.
    pub attempts: u32,
    /// Merkle root over the raw bytes.
    pub raw_root: Sha256,
    /// Merkle root over the canonical forms.
    pub canonical_root: Sha256,
    /// End in milliseconds since 1970; an observation.
    pub finished_ms: u64,
}

/// Bytes of a reason that stands in a run's row.
const LONGEST_REASON: usize = 1000;

/// Returns the outcome of a run that something else than its own end has ended: a word for what did, and the reason.
pub fn ended_by(word: &str, reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    let end = line.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= LONGEST_REASON).last();
    format!("{word}: {}", &line[..end.unwrap_or_default()])
}

/// An attempt as a plain row for people with an SQLite shell; evidence is in the events.
#[derive(Debug, Clone, Copy)]
pub struct NewAttempt<'a> {
    /// Counts from 1.
    pub number: u32,
    /// One word: `green` or `red`.
    pub outcome: &'a str,
    /// Codes of what went wrong, as a JSON list.
    pub codes: &'a str,
}

/// An attempt read back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptRow {
    /// Counts from 1.
    pub number: u32,
    /// One word.
    pub outcome: String,
    /// A JSON list of codes.
    pub codes: String,
}

/// An event read back, without its bodies' bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredEvent {
    /// Number in the run, from 0.
    pub seq: u32,
    /// As given to [`NewEvent`].
    pub kind: String,
    /// As given to [`NewEvent`].
    pub data: Vec<u8>,
    /// `request`, `reply`, then the other slots in byte order of their names.
    pub bodies: Vec<StoredBody>,
    /// As given to [`NewEvent`].
    pub observation: String,
}

impl StoredEvent {
    /// Returns the body in `slot`.
    pub fn body(&self, slot: &str) -> Option<&StoredBody> {
        self.bodies.iter().find(|body| body.slot == slot)
    }
}

/// Names one body of an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredBody {
    /// The slot.
    pub slot: String,
    /// Digest of the exact bytes.
    pub digest: Blake3,
    /// Their number.
    pub size: u64,
}

/// A run read back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// As given to [`NewRun`].
    pub name: String,
    /// As given to [`NewRun`].
    pub kind: String,
    /// As given to [`NewRun`].
    pub instance: String,
    /// As given to [`NewRun`].
    pub arm: String,
    /// As given to [`NewRun`].
    pub model: String,
    /// As given to [`NewRun`].
    pub tests: String,
    /// As given to [`NewRun`].
    pub orchestration: String,
    /// As given to [`NewRun`].
    pub started_ms: u64,
    /// [`RunStatus::Open`] until the run ends.
    pub status: RunStatus,
    /// Empty until the run ends.
    pub outcome: String,
    /// 0 until the run ends.
    pub attempts: u32,
    /// Present once the run has ended.
    pub raw_root: Option<Sha256>,
    /// Present once the run has ended.
    pub canonical_root: Option<Sha256>,
    /// Present once the run has ended.
    pub finished_ms: Option<u64>,
    /// Number of events so far.
    pub events: u32,
}

impl RunRow {
    /// Returns the outcome in one word, and why, where [`ended_by`] wrote that down.
    pub fn ending(&self) -> (&str, Option<&str>) {
        match self.outcome.split_once(": ") {
            Some((word, reason)) => (word, Some(reason)),
            None => (&self.outcome, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(ended_by("environment", "no server\nat all"), "environment: no server");
        let long = ended_by("limit", &"é".repeat(1000));
        assert_eq!((long.chars().count(), long.len()), (507, 1007));
        assert_eq!(ended_by("limit", ""), "limit: ");
    }
}
