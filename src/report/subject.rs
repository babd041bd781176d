//! What a report is about: the runs that there should be, whatever the store holds of them.

use std::collections::BTreeMap;

use crate::canon::{RunId, Sha256};
use crate::rung::Ladder;

/// One run that there should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Planned {
    /// Id of the instance.
    pub instance: String,
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u32,
    /// Its id.
    pub run: RunId,
}

/// What a report is about.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// Name of the campaign, or of the run.
    pub title: String,
    /// Id of the campaign, where there is one.
    pub campaign: Option<RunId>,
    /// Canonical root of the campaign.
    pub root: Option<Sha256>,
    /// The runs, in any order.
    pub planned: Vec<Planned>,
    /// The seeds in their order; the first is the one that arms are compared by.
    pub seeds: Vec<u32>,
    /// Instances that the known fix does not turn green here, with the reason.
    pub invalid: BTreeMap<String, String>,
    /// The rungs, where they were assessed.
    pub ladder: Option<Ladder>,
    /// Name and digest of the thresholds that the rungs were assessed by.
    pub profile: Option<(String, Sha256)>,
}
