//! What a criterion found, before it has its name.

use std::fmt::Display;

use super::ladder::{Basis, Criterion, Verdict};
use crate::canon::Sha256;

/// What a criterion found, before it has its name.
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    reason: String,
    evidence: Vec<Sha256>,
    figures: Vec<(String, u64)>,
}

impl Finding {
    pub(super) fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into(), evidence: Vec::new(), figures: Vec::new() }
    }

    pub(super) fn passed(reason: impl Into<String>) -> Self {
        Self::new(Verdict::Passed, reason)
    }

    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::new(Verdict::Failed, reason)
    }

    pub(super) fn unknown(reason: impl Into<String>) -> Self {
        Self::new(Verdict::NotAssessed, reason)
    }

    pub(super) fn on(mut self, evidence: impl IntoIterator<Item = Sha256>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    pub(super) fn figure(mut self, name: impl Into<String>, value: usize) -> Self {
        self.figures.push((name.into(), value as u64));
        self
    }

    pub(super) fn criterion(self, name: &str, basis: Basis) -> Criterion {
        let criterion = Criterion::new(name, self.verdict, basis, self.reason, &self.evidence);
        self.figures.into_iter().fold(criterion, |criterion, (name, value)| criterion.figure(name, value))
    }
}

/// Returns "1 thing" or "N things".
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(number: N, thing: &str) -> String {
    if number == N::from(1) { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
