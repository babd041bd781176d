//! What a report knows of one run and of its attempts.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::canon::{Blake3, RunId, Sha256};

/// How a run ended, or why it has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The tests that judge pass.
    Resolved,
    /// The visible tests pass, the hidden ones do not.
    VisibleOnly,
    /// No attempt turned the visible tests green.
    Unresolved,
    /// A limit of tokens or money was reached.
    Limit,
    /// It came to an end that this version does not know; never counted as resolved.
    Other,
    /// The instance cannot be judged here.
    Invalid,
    /// The environment did not let it come to its end.
    EnvironmentError,
    /// Its time was over; it can be gone on with.
    OutOfTime,
    /// It was cut off, not begun, or is another machine's.
    #[serde(rename = "not-run")]
    Open,
}

impl Ending {
    /// All endings, the judged ones first.
    pub const ALL: [Self; 9] = [
        Self::Resolved,
        Self::VisibleOnly,
        Self::Unresolved,
        Self::Limit,
        Self::Other,
        Self::Invalid,
        Self::EnvironmentError,
        Self::OutOfTime,
        Self::Open,
    ];

    /// Returns the word in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::VisibleOnly => "visible-only",
            Self::Unresolved => "unresolved",
            Self::Limit => "limit",
            Self::Other => "other",
            Self::Invalid => "invalid",
            Self::EnvironmentError => "environment-error",
            Self::OutOfTime => "out-of-time",
            Self::Open => "not-run",
        }
    }

    /// Says whether the instance was judged, one way or the other.
    pub const fn is_judged(self) -> bool {
        matches!(self, Self::Resolved | Self::VisibleOnly | Self::Unresolved | Self::Limit | Self::Other)
    }

    /// Says whether the run came to its own end, one that another recording of it has too.
    pub const fn is_end(self) -> bool {
        self.is_judged() || matches!(self, Self::Invalid)
    }

    /// Reads the outcome of a run that came to its end.
    pub(super) fn of_outcome(word: &str) -> Self {
        match word {
            "resolved" => Self::Resolved,
            "visible-only" => Self::VisibleOnly,
            "unresolved" => Self::Unresolved,
            "invalid" => Self::Invalid,
            _ if word.contains("limit") => Self::Limit,
            _ => Self::Other,
        }
    }
}

/// One test run as its verdict says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TestFacts {
    /// Whether the gate passed.
    pub green: bool,
    /// Number of tests that passed.
    pub passed: usize,
    /// Number of tests that failed.
    pub failed: usize,
    /// Codes of the gate.
    pub codes: Vec<String>,
    /// Tests that should pass and do not.
    pub still_failing: Vec<String>,
    /// Tests that passed before the edits.
    pub newly_failing: Vec<String>,
    /// One line.
    pub summary: String,
}

/// Everything of an attempt that a person reads, where it is wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    /// Role and content of each message.
    pub(super) prompt: Vec<(String, String)>,
    pub(super) reply: String,
    pub(super) reasoning: String,
    /// The edits as a diff.
    pub(super) patch: String,
    /// What the prompt tells of the failure before.
    pub(super) told: String,
    /// What a refusal shows.
    pub(super) excerpt: String,
    pub(super) passed: Vec<String>,
    pub(super) failed: Vec<String>,
}

/// One attempt.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AttemptFacts {
    /// Number, from 1.
    pub number: u32,
    /// The model that answered.
    pub model: String,
    /// Whether that is the fallback model.
    pub fallback: bool,
    /// Files that the prompt shows.
    pub files: usize,
    /// Whether the prompt tells of the failure before.
    pub told: bool,
    /// Tokens of the prompts, where the provider counts them.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the replies.
    pub reply_tokens: Option<u64>,
    /// Why the model stopped.
    pub stop: String,
    /// Whether there is a reply.
    pub replied: bool,
    /// Code of the refusal, if the reply was refused.
    pub refusal: Option<String>,
    /// Whether the edits were applied.
    pub applied: bool,
    /// Codes of what was normalised.
    pub codes: Vec<String>,
    /// One line about what came of it.
    pub summary: String,
    /// What the tests said.
    pub tests: Option<TestFacts>,
    /// Digests of what is the same in every run of the same thing, by name.
    pub digests: BTreeMap<&'static str, Blake3>,
    /// Microseconds of model and tests, an observation.
    #[serde(skip)]
    pub(super) times: [u64; 2],
    #[serde(skip)]
    pub(super) texts: Texts,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct RunFacts {
    /// Its id.
    pub run: RunId,
    /// The instance.
    pub instance: String,
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u32,
    /// How it ended.
    pub ending: Ending,
    /// The outcome's own word.
    pub outcome: String,
    /// Why, where a word does not say it.
    pub reason: String,
    /// Whether the fallback model resolved it.
    pub by_fallback: bool,
    /// Which tests drove the loop: `existing-tests` or `oracle-tests`.
    pub tests: String,
    /// The models, as named on the command line.
    pub models: Vec<String>,
    /// Attempts that the arm allows.
    pub allowed: u32,
    /// The same for every run of the same thing, where the model is deterministic.
    pub canonical_root: Option<Sha256>,
    /// What the hidden tests said.
    pub grade: Option<TestFacts>,
    /// The attempts in order.
    pub attempts: Vec<AttemptFacts>,
    /// Microseconds of everything that was performed, an observation.
    #[serde(skip)]
    pub(super) time: u64,
    /// What the hidden tests said by name: passed, failed.
    #[serde(skip)]
    pub(super) judged: [Vec<String>; 2],
}

impl RunFacts {
    /// Returns the attempt that resolved the instance.
    pub fn resolved_at(&self) -> Option<u32> {
        (self.ending == Ending::Resolved).then(|| self.attempts.last().map_or(0, |attempt| attempt.number))
    }

    /// Returns the digests of all replies in canonical form.
    pub(super) fn replies(&self) -> Vec<Blake3> {
        self.attempts.iter().filter_map(|attempt| attempt.digests.get("reply").copied()).collect()
    }
}
