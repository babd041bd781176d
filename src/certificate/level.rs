//! How far a verification went, and what each check came to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a verification showed, each level including the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing.
    None,
    /// Who says so.
    Signature,
    /// Everything named is present, every digest matches, facts and rungs are derived again.
    Evidence,
    /// An offline replay reproduces every byte.
    Replay,
    /// The tests were really run again.
    Tests,
    /// The models were asked again.
    Live,
}

impl Level {
    const ALL: [Self; 6] = [Self::None, Self::Signature, Self::Evidence, Self::Replay, Self::Tests, Self::Live];

    /// Returns the word in policies, reports and options.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Signature => "signature",
            Self::Evidence => "evidence",
            Self::Replay => "replay",
            Self::Tests => "tests",
            Self::Live => "live",
        }
    }

    /// Says what reaching this level does not show.
    pub const fn does_not_show(self) -> &'static str {
        match self {
            Self::None => "anything",
            Self::Signature => "that the evidence exists or says the same",
            Self::Evidence => "that a replay reproduces the run, that its tests ran, or that its models answered",
            Self::Replay => "that its tests ran, or that its models answered",
            Self::Tests => "that its models answered",
            Self::Live => "that the evidence was not chosen among many",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|level| level.word() == text);
        found.ok_or_else(|| "the levels are none, signature, evidence, replay, tests and live".into())
    }
}

/// What came of one check. Skipped and unavailable never count as passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It was made and holds.
    Passed,
    /// It was made and does not hold.
    Failed,
    /// It was not asked for, or an earlier one failed.
    Skipped,
    /// It was asked for and could not be made.
    Unavailable,
}

impl Status {
    /// Returns the word in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Unavailable => "unavailable",
        }
    }
}

/// One check of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name; stable, for machines.
    pub name: &'static str,
    /// What came of it.
    pub status: Status,
    /// Why, in plain words.
    pub reason: String,
}
