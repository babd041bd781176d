//! The seam itself: what is asked for, what came of it, and how it may fail.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::store::StoreError;

use super::divergence::Divergence;
use super::event::{Kind, ManifestError};

/// Turns the exact bytes that came back into the form that everything downstream is computed from.
///
/// The name carries a version (`ollama-chat/1`): changing what `apply` does means changing the name.
#[derive(Clone, Copy)]
pub struct Normaliser<'a> {
    /// Name and version, recorded with the event.
    pub name: &'a str,
    /// The pure function of what was sent and what came back; its error says why the bytes cannot be read.
    pub apply: &'a dyn Fn(&[u8], &[u8]) -> Result<Vec<u8>, String>,
}

impl Normaliser<'_> {
    /// Keeps the bytes as they came.
    pub const IDENTITY: Self = Self { name: "identity/1", apply: &|_, raw| Ok(raw.to_vec()) };
}

/// One thing that is not a pure function of the run's inputs.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// What it is about.
    pub kind: Kind,
    /// Canonical bytes that say everything the answer may depend on.
    pub request: &'a [u8],
    /// How the answer is normalised.
    pub normaliser: Normaliser<'a>,
}

/// What came of doing it.
#[derive(Debug, Default)]
pub struct Done {
    /// Exact bytes that went over the wire, where there is a wire.
    pub sent: Option<Vec<u8>>,
    /// Exact bytes that came back.
    pub raw: Vec<u8>,
    /// More exact bytes that crossed the boundary, by slot.
    pub parts: Vec<(&'static str, Vec<u8>)>,
    /// Times, rates and other things outside every digest.
    pub observation: Map<String, Value>,
}

/// Says that a failed act may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retry {
    /// The earliest moment, where the other side named one.
    pub after: Option<Duration>,
}

/// Why doing it failed, with whatever crossed the boundary before that.
#[derive(Debug, Default)]
pub struct ActFailure {
    /// What went wrong, fit after "failed to".
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
    /// Whether trying again can help.
    pub retry: Option<Retry>,
    /// Exact bytes that went over the wire.
    pub sent: Option<Vec<u8>>,
    /// Exact bytes that came back before the failure.
    pub raw: Vec<u8>,
}

impl ActFailure {
    /// Makes a failure that no repetition can cure.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TranscriptError {
    /// The act failed, after as many tries as the rules allow. It is recorded.
    #[error("{}", .0.message)]
    Act(ActFailure),
    /// What came back cannot be read. It is recorded.
    #[error("the {kind} cannot be read: {reason}")]
    Unreadable {
        /// What was asked for.
        kind: &'static str,
        /// Why its bytes make no sense.
        reason: String,
    },
    /// Replay asks for something else than what was recorded.
    #[error("{0}")]
    Diverged(Box<Divergence>),
    /// The store failed, so the event did not happen.
    #[error("the event could not be recorded: {0}")]
    Store(#[from] StoreError),
    /// An event without a manifest line.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Records what a run does, or answers from a recording.
pub trait Transcript {
    /// Returns the canonical reply to `ask`: `act` is called only where nothing is recorded and recording is on.
    ///
    /// # Errors
    /// A failed act, a reply that cannot be read, a failing store, or, in replay, a divergence.
    fn perform(
        &mut self,
        ask: &Ask<'_>,
        act: &mut dyn FnMut() -> Result<Done, ActFailure>,
    ) -> Result<Vec<u8>, TranscriptError>;

    /// Appends an event that follows from the ones before it; in replay it must equal the recorded one.
    ///
    /// # Errors
    /// A failing store or, in replay, a divergence.
    fn note(&mut self, kind: Kind, data: &Map<String, Value>, parts: &[(&str, &[u8])]) -> Result<(), TranscriptError>;
}
