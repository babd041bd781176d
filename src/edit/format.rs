//! What a model is asked for: direct edits, or the one-shot diff of the baseline.

use serde::{Deserialize, Serialize};

use super::oneshot::propose_patch;
use super::propose::propose;
use super::types::{Context, Limits, Proposal, Refusal};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Direct edits of the files shown.
    #[default]
    Direct,
    /// One unified diff.
    Patch,
    /// Direct edits that may break the syntax: the gate's worth is what a comparison with it shows.
    DirectUngated,
    /// Direct edits of files that are shown without numbers.
    DirectUnnumbered,
    /// Direct edits in two questions: which lines, and then their new text.
    TwoStep,
}

impl Format {
    /// Reads a reply of this form, of two steps both as [`super::Region::edit`] joins them; see [`propose`] and [`propose_patch`].
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
            Self::Direct | Self::DirectUngated | Self::DirectUnnumbered | Self::TwoStep => {
                propose(reply, context, read)
            }
            Self::Patch => propose_patch(reply, context, read),
        }
    }

    /// Returns what an answer of this form may be.
    pub fn limits(self) -> Limits {
        Limits { syntax_gate: self != Self::DirectUngated, ..Limits::default() }
    }

    /// Says whether edits are asked for, and no diff.
    pub fn is_direct(self) -> bool {
        self != Self::Patch
    }

    /// Returns how many calls of the model an attempt takes at most.
    pub fn calls(self) -> u32 {
        if self == Self::TwoStep { 2 } else { 1 }
    }

    /// Says whether this is what is asked for unless something else is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
