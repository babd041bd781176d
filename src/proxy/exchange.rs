//! One exchange with all its bytes, as it goes into a transcript and comes out of it.

use serde_json::Value;

use super::api::{self, Api};
use super::body;
use super::head::Head;
use super::key::Key;
use super::normalise::Normalise;
use super::view::{self, Conversation, Reply};
use super::{Sampling, sampling};
use crate::canon::CanonError;
use crate::model::Grade;
use crate::store::{Store, StoreError, StoredEvent};
use crate::transcript::{Entry, Evidence, EvidenceError, RECEIVED, REPLY, SENT};

/// What an agent asked and what it got.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exchange {
    /// Everything but the bodies.
    pub head: Head,
    /// The body as the agent sent it, where another one was sent on.
    pub received: Option<Vec<u8>>,
    /// The body that went to the server.
    pub sent: Vec<u8>,
    /// The body that came back, as far as it came.
    pub reply: Vec<u8>,
}

/// Says why an exchange cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// Its head is not one.
    #[error("the head of the exchange is malformed: {0}")]
    Head(#[from] CanonError),
    /// The store fails, or holds bytes that are not what their digests say.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The evidence fails in the same way.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
}

impl Exchange {
    /// Reads an exchange of a store.
    ///
    /// # Errors
    /// A body that is missing or is not what its digest says, or a malformed head.
    pub fn of_store(store: &Store, run: crate::canon::RunId, event: &StoredEvent) -> Result<Self, ExchangeError> {
        let body = |slot: &str| store.body(run, event.seq, slot);
        let received = event.body(RECEIVED).map(|_| body(RECEIVED)).transpose()?;
        let (head, sent) = Self::apart(body(SENT)?)?;
        Ok(Self { head, received, sent, reply: body(REPLY)? })
    }

    /// Reads an exchange of a run's evidence.
    ///
    /// # Errors
    /// As [`Exchange::of_store`].
    pub fn of_evidence(evidence: &Evidence<'_>, entry: &Entry) -> Result<Self, ExchangeError> {
        let body = |slot: &str| evidence.body(entry, slot);
        let received = entry.bodies.get(RECEIVED).map(|_| body(RECEIVED)).transpose()?;
        let (head, sent) = Self::apart(body(SENT)?)?;
        Ok(Self { head, received, sent, reply: body(REPLY)? })
    }

    /// Returns the bytes of the slot `sent`: the head in one line, then the body that went to the server.
    ///
    /// # Errors
    /// Never: a head holds texts and small numbers.
    pub(super) fn sent_slot(&self) -> Result<Vec<u8>, CanonError> {
        let mut slot = self.head.to_bytes()?;
        slot.push(b'\n');
        slot.extend_from_slice(&self.sent);
        Ok(slot)
    }

    fn apart(mut slot: Vec<u8>) -> Result<(Head, Vec<u8>), ExchangeError> {
        // A line feed within a text of the head is escaped.
        let end = slot.iter().position(|byte| *byte == b'\n').unwrap_or(slot.len());
        let head = Head::from_bytes(&slot[..end])?;
        slot.drain(..(end + 1).min(slot.len()));
        Ok((head, slot))
    }

    /// Returns which call it is.
    pub fn api(&self) -> Api {
        Api::of(&self.head.method, &self.head.target)
    }

    /// Returns the body as the agent sent it.
    pub fn asked(&self) -> &[u8] {
        self.received.as_deref().unwrap_or(&self.sent)
    }

    /// Returns the key that the agent's request is found by.
    pub fn key(&self, normalise: &[Normalise]) -> Key {
        Key::of(&self.head, self.asked(), normalise)
    }

    /// Returns the canonical form of the reply.
    pub fn canonical_reply(&self) -> Vec<u8> {
        view::canonical(&self.head, &self.reply)
    }

    /// Returns the agent's body without its content encoding.
    pub fn asked_decoded(&self) -> Vec<u8> {
        self.decoded(self.asked())
    }

    /// Returns the conversation that was sent, where it can be read.
    pub fn conversation(&self) -> Option<Conversation> {
        view::conversation(self.api(), &self.asked_decoded())
    }

    /// Returns the turn that came back, where it can be read.
    pub fn turn(&self) -> Option<Reply> {
        view::turn(&self.head, &self.reply)
    }

    /// Returns how far the call can be made again, where a model wrote text.
    pub fn grade(&self) -> Option<Grade> {
        let body = match &self.received {
            // What was sent on in another one's place is never encoded.
            Some(_) => self.sent.clone(),
            None => self.decoded(&self.sent),
        };
        sampling::grade(self.api(), api::deployment(&self.head.target), &body)
    }

    /// Returns it as it is written in a place among the exchanges of its run, from 0: an arrival there needs no words.
    #[must_use]
    pub(super) fn at(mut self, place: u32) -> Self {
        self.head.arrival = self.head.arrival.filter(|arrival| *arrival != place);
        self
    }

    /// Returns what a recorder with this rule and seed sends on in the place of what the agent asked, if anything.
    pub fn in_place(&self, rule: Sampling, seed: u32) -> Option<Vec<u8>> {
        sampling::in_place(rule, seed, &self.head, self.asked())
    }

    /// Says whether nobody knows if a model wrote text in answer to it.
    pub fn is_unknown(&self) -> bool {
        Api::is_unknown(&self.head.method, &self.head.target)
    }

    /// Says whether the agent left before it got a single byte: it never saw the reply.
    pub fn is_unseen(&self) -> bool {
        self.head.aborted.as_ref().is_some_and(|aborted| aborted.by == super::By::Client && aborted.at == 0)
    }

    fn decoded(&self, body: &[u8]) -> Vec<u8> {
        body::decoded(body, self.head.encoding()).unwrap_or_else(|_| body.to_vec())
    }
}

/// Returns from an observation when an exchange began, counted from the run's beginning, and how long it took, in
/// microseconds. Observations are outside every digest: what is not there counts as nothing.
pub fn times(observation: &Value) -> Option<(u64, u64)> {
    let number = |at: usize| observation.get("t")?.get(at)?.as_u64();
    Some((number(0)?.saturating_mul(1000), number(1)?))
}
