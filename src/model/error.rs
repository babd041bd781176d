//! What can go wrong with a model, and what to do about it.

use std::fmt;
use std::time::Duration;

use super::Provider;

/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Says that asking again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The wait that the server asked for, bounded.
    pub after: Option<Duration>,
}

/// What was wrong with a model, a call or a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The script or weights file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// A file of ours or a reply does not have the form it must have.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// Where and why.
        reason: String,
    },
    /// More calls than replies.
    #[error("the script has {0} replies and was asked for one more")]
    ScriptExhausted(usize),
    /// The resolved digest is not the one that the name demands.
    #[error("the model's digest is {found}, the name demands {expected}")]
    Digest {
        /// In the name.
        expected: String,
        /// Resolved.
        found: String,
    },
    /// The request is for another provider, samples, or has a constraint that the provider cannot honour.
    #[error("the request does not fit the provider {provider}: {reason}")]
    Request {
        /// Who was asked.
        provider: Provider,
        /// Why not.
        reason: &'static str,
    },
}

impl Fault {
    /// Says whether asking again may help.
    pub fn retry(&self) -> Option<Retry> {
        match self {
            _ => None,
        }
    }

    /// Returns the next step for a person.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::ScriptExhausted(_) => "add a line {\"reply\": \"…\"} for each call".into(),
            Self::Digest { .. } => "drop the @sha256:… part, or get the model that it names".into(),
            _ => return None,
        })
    }
}

/// A failed call: what was wrong, and the bytes of the exchange up to there.
#[derive(Clone, thiserror::Error)]
#[error("{fault}")]
pub struct ModelError {
    fault: Fault,
    sent: Vec<u8>,
    raw: Vec<u8>,
}

impl ModelError {
    /// Joins a fault with what had been sent and received by then.
    pub(crate) fn new(fault: Fault, sent: Vec<u8>, raw: Vec<u8>) -> Self {
        Self { fault, sent, raw }
    }

    /// Returns what was wrong.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Says whether asking again may help, and the server's wish for when, at most two minutes.
    pub fn retry(&self) -> Option<Retry> {
        self.fault.retry().map(|retry| Retry { after: retry.after.map(|after| after.min(LONGEST_WAIT)) })
    }

    /// Returns the body sent and the bytes received before the failure; both may be empty.
    pub fn partial(&self) -> (&[u8], &[u8]) {
        (&self.sent, &self.raw)
    }

    /// Returns the next step for a person.
    pub fn hint(&self) -> Option<String> {
        self.fault.hint()
    }
}

impl From<Fault> for ModelError {
    fn from(fault: Fault) -> Self {
        Self::new(fault, Vec::new(), Vec::new())
    }
}

// A body can be megabytes; its length is enough in a panic or a log.
impl fmt::Debug for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelError")
            .field("fault", &self.fault)
            .field("sent", &self.sent.len())
            .field("raw", &self.raw.len())
            .finish()
    }
}
