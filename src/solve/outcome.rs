//! How a run ended.

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::tests_mode::TestsMode;

/// The judgement over a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeKind {
    /// The tests that judge pass.
    Resolved,
    /// The visible tests pass, the hidden ones do not: the fix only satisfies what it was shown.
    VisibleOnly,
    /// No attempt turned the visible tests green.
    Unresolved,
    /// The instance cannot be judged here; the reason says why.
    Invalid,
}

impl OutcomeKind {
    /// Returns the word in manifests, reports and on the terminal.
    pub fn word(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::VisibleOnly => "visible-only",
            Self::Unresolved => "unresolved",
            Self::Invalid => "invalid",
        }
    }
}

/// How a run ended, with everything that a report needs.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The judgement.
    pub kind: OutcomeKind,
    /// Why, where the word alone does not say it.
    pub reason: String,
    /// Which tests drove the loop.
    pub tests: TestsMode,
    /// The attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// The final patch, empty where no attempt was green.
    pub patch: Vec<u8>,
    /// Whether `git apply` accepted the patch in a fresh checkout, where there is one.
    pub patch_accepted: Option<bool>,
    /// Names of the tests that judge: passed, then failed.
    pub judged: [Vec<String>; 2],
}
