//! Several runs as a campaign: instances × arms × seeds, held against a profile.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::execution::Execution;
use super::facts::{Facts, manifest};
use super::finding::{Finding, counted};
use super::full::{self, Certified};
use super::ladder::{Basis, Criterion, Ladder, LadderError, Number, Rung, Verdict};
use super::profile::{Profile, ProfileError};
use super::stress;
use crate::canon::Sha256;
use crate::transcript::Evidence;

/// One run of a campaign: what the campaign's criteria want to know of it, read once, so that a campaign of any size
/// keeps no evidence in memory.
pub struct CampaignRun {
    pub(super) manifest: Sha256,
    pub(super) facts: Result<Facts, String>,
}

impl CampaignRun {
    /// Reads a run; `edge` is rung 641 of it, as [`super::assess_run`] returns it.
    pub fn of(evidence: &Evidence<'_>, edge: &Rung) -> Self {
        Self { manifest: manifest(evidence), facts: Facts::read(evidence, edge) }
    }

    /// The same run with another assessment of rung 641: with or without a replay.
    #[must_use]
    pub fn with_edge(&self, edge: &Rung) -> Self {
        Self { manifest: self.manifest, facts: self.facts.clone().map(|facts| facts.with_edge(edge)) }
    }
}

/// What a campaign is judged by.
#[derive(Clone, Copy)]
pub struct CampaignInput<'a> {
    /// The runs, in any order.
    pub runs: &'a [&'a CampaignRun],
    /// Runs in which calls of those runs were executed again, live.
    pub executions: &'a [&'a Execution],
    /// The certificates of the runs, where somebody looked at them.
    pub certified: Option<&'a [Certified]>,
    /// The thresholds.
    pub profile: &'a Profile,
}

/// The runs of a campaign by instance, arm and seed.
pub(super) struct Campaign<'p> {
    pub(super) profile: &'p Profile,
    pub(super) runs: BTreeMap<Place, &'p Facts>,
    /// Runs that cannot be read, or are there twice, in words.
    pub(super) unusable: Vec<String>,
}

/// Instance, arm and seed of a run.
pub(super) type Place = (String, String, u32);

impl Campaign<'_> {
    /// Returns the runs of an arm with the first seed, by instance.
    pub(super) fn arm(&self, arm: &str) -> BTreeMap<&str, &Facts> {
        let first = self.profile.seeds.first();
        let is_of = |facts: &&Facts| facts.arm == arm && Some(&facts.seed) == first;
        self.runs.values().copied().filter(is_of).map(|facts| (facts.instance.as_str(), facts)).collect()
    }
}

/// Assesses the three rungs of a campaign. Nothing is passed by a campaign without runs.
///
/// # Errors
/// A profile without a canonical form.
pub fn assess_campaign(input: &CampaignInput<'_>) -> Result<Ladder, CampaignError> {
    let profile = input.profile.digest()?;
    let mut campaign = Campaign { profile: input.profile, runs: BTreeMap::new(), unusable: Vec::new() };
    for run in input.runs {
        match &run.facts {
            Err(reason) => campaign.unusable.push(format!("a run of {}: {reason}", run.manifest)),
            Ok(facts) => {
                let place = (facts.instance.clone(), facts.arm.clone(), facts.seed);
                match campaign.runs.entry(place) {
                    Entry::Occupied(_) => campaign.unusable.push(format!("{} is there twice", facts.name())),
                    Entry::Vacant(free) => {
                        free.insert(facts);
                    }
                }
            }
        }
    }
    campaign.unusable.sort();
    let edge = Rung::new(Number::Edge, None, vec![every_run(&campaign, input.runs)]);
    let stress = Rung::new(Number::Stress, Some(profile), stress::criteria(&campaign, edge.result()));
    let full = Rung::new(Number::Full, Some(profile), full::criteria(&campaign, input, stress.result()));
    Ok(Ladder::new(vec![edge, stress, full])?)
}

/// Says why there is no ladder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CampaignError {
    /// The profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Rungs that contradict each other.
    #[error(transparent)]
    Ladder(#[from] LadderError),
}

/// Every run of the campaign reaches 641.
fn every_run(campaign: &Campaign<'_>, runs: &[&CampaignRun]) -> Criterion {
    let all = runs.len();
    let with = |verdict| campaign.runs.values().filter(move |facts| facts.edge == verdict);
    let finding = match (campaign.unusable.first(), with(Verdict::Failed).next(), with(Verdict::NotAssessed).next()) {
        _ if all == 0 => Finding::unknown("the campaign has no run"),
        (Some(reason), ..) => Finding::failed(reason.clone()),
        (None, Some(failed), _) => Finding::failed(format!("{} fails {}", failed.name(), Number::Edge)),
        (None, None, Some(open)) => Finding::unknown(format!("{} is not assessed on {}", open.name(), Number::Edge)),
        (None, None, None) => Finding::passed(format!("{}, each at {}", counted(all, "run"), Number::Edge)),
    };
    let manifests = runs.iter().map(|run| run.manifest);
    finding.on(manifests).figure("runs", all).criterion("every-run-at-641", Basis::Replayed)
}

/// The rung below passed.
pub(super) fn below(number: Number, result: Verdict) -> Criterion {
    let reason = format!("rung {number} is {}", result.word());
    let name = format!("rung-{number}");
    Finding::new(result, reason).criterion(&name, Basis::Replayed)
}
