//! What a model is asked for: direct edits, or the one-shot diff of the baseline.

use serde::{Deserialize, Serialize};

use super::oneshot::propose_patch;
use super::propose::propose;
use super::types::{Context, Proposal, Refusal};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Direct edits of the files shown.
    #[default]
    Direct,
    /// One unified diff.
    Patch,
}

impl Format {
    /// Reads a reply of this form; see [`propose`] and [`propose_patch`].
    ///
    /// # Errors
    /// As those two.
    pub fn propose(
        self,
        reply: &[u8],
        context: &Context<'_>,
        read: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
    ) -> Result<Proposal, Refusal> {
        match self {
            Self::Direct => propose(reply, context, read),
            Self::Patch => propose_patch(reply, context, read),
        }
    }

    /// Says whether this is what is asked for unless something else is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
