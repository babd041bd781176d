//! How a run ended.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::attempt::Attempt;
use super::options::Options;
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
    /// A limit of tokens or money ended the run before an attempt turned the visible tests green; the reason says which.
    Limit,
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
            Self::Limit => "limit",
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

/// Which attempt and which model the final patch comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SolvedBy {
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Name of the model that answered.
    pub model: String,
    /// Whether that is the fallback model; such a run is counted apart.
    pub fallback: bool,
}

impl Outcome {
    /// Returns the data of the run's last event.
    pub fn data(&self, options: &Options) -> Value {
        json!({
            "outcome": self.kind,
            "reason": self.reason,
            "tests": self.tests,
            "attempts": self.attempts.len(),
            "fallback": self.attempts.last().is_some_and(|attempt| attempt.fallback),
            "solved_by": self.solved_by(options),
            "patch_accepted": self.patch_accepted,
            "judged": {"passed": self.judged[0], "failed": self.judged[1]},
        })
    }

    /// Says whose attempt turned the visible tests green; nothing if none did.
    pub fn solved_by(&self, options: &Options) -> Option<SolvedBy> {
        let attempt = self.attempts.last().filter(|attempt| attempt.green)?;
        let model = options.model_of(attempt.fallback).to_owned();
        Some(SolvedBy { attempt: attempt.number, model, fallback: attempt.fallback })
    }
}
