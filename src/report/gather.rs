//! Everything that a report shows, read from the store run by run.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::figures::ArmFigures;
use super::pairs::{self, Pair};
use super::run::RunFacts;
use super::{Planned, ReportError, Subject, arms, read};
use crate::canon::{RunId, Sha256};
use crate::store::{RunRow, Store};

/// What came of a campaign, of several runs, or of one.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Name of the campaign, or of the run.
    pub title: String,
    /// Id of the campaign, where there is one.
    pub campaign: Option<RunId>,
    /// Canonical root of the campaign.
    pub root: Option<Sha256>,
    /// `existing-tests` or `oracle-tests`; both, where the runs differ.
    pub tests: String,
    /// The models, sorted.
    pub models: BTreeSet<String>,
    /// The instances, sorted.
    pub instances: Vec<String>,
    /// The arms in order.
    pub arms: Vec<String>,
    /// The seeds in order; the arms are compared by the first.
    pub seeds: Vec<u32>,
    /// Instances that the known fix does not turn green here, with the reason.
    pub invalid: BTreeMap<String, String>,
    /// Each arm with each seed, in order.
    pub figures: Vec<ArmFigures>,
    /// The arms compared.
    pub pairs: Vec<Pair>,
    /// The runs by instance, arm and seed.
    pub runs: Vec<RunFacts>,
    /// The subject, for the rungs in it.
    #[serde(skip)]
    pub(super) subject: Subject,
}

impl Report {
    /// Reads the runs of a subject and counts them. `each` sees every run with all its texts, in order, and may keep
    /// what it wants; without it no text is read.
    ///
    /// # Errors
    /// A store that fails, or holds events that cannot be read; whatever `each` says.
    pub fn gather(
        store: &Store,
        mut subject: Subject,
        mut each: Option<&mut dyn FnMut(&RunFacts) -> Result<(), ReportError>>,
    ) -> Result<Self, ReportError> {
        let arms = arms::in_order(subject.planned.iter().map(|planned| planned.arm.as_str()));
        let place = |planned: &Planned| {
            let seed = subject.seeds.iter().position(|seed| *seed == planned.seed);
            (
                planned.instance.clone(),
                arms.iter().position(|arm| *arm == planned.arm),
                seed.unwrap_or(usize::MAX),
                planned.seed,
                planned.run,
            )
        };
        let mut planned = std::mem::take(&mut subject.planned);
        planned.sort_by_cached_key(place);
        let rows: BTreeMap<RunId, RunRow> = store.runs()?.into_iter().map(|row| (row.id, row)).collect();
        let mut runs = Vec::with_capacity(planned.len());
        for planned in &planned {
            let mut run = read::run(store, planned, rows.get(&planned.run), each.is_some())?;
            if let Some(each) = &mut each {
                each(&run)?;
                run.attempts.iter_mut().for_each(|attempt| attempt.texts = Default::default());
                run.judged = Default::default();
            }
            runs.push(run);
        }
        Ok(Self::of(subject, arms, runs))
    }

    fn of(subject: Subject, arms: Vec<String>, runs: Vec<RunFacts>) -> Self {
        let is_invalid = |instance: &str| subject.invalid.contains_key(instance);
        let mut figures = Vec::new();
        for arm in &arms {
            for seed in &subject.seeds {
                let of_arm = runs.iter().filter(|run| run.arm == *arm && run.seed == *seed);
                figures.push(ArmFigures::of(arm, *seed, &of_arm.collect::<Vec<_>>(), &is_invalid));
            }
        }
        let is_of_first = |run: &&RunFacts| Some(&run.seed) == subject.seeds.first() && !is_invalid(&run.instance);
        let first: Vec<&RunFacts> = runs.iter().filter(is_of_first).collect();
        let tests: BTreeSet<&str> =
            runs.iter().map(|run| run.tests.as_str()).filter(|label| !label.is_empty()).collect();
        let mut instances: Vec<String> = runs.iter().map(|run| run.instance.clone()).collect();
        instances.dedup();
        Self {
            title: subject.title.clone(),
            campaign: subject.campaign,
            root: subject.root,
            tests: tests.into_iter().collect::<Vec<_>>().join(" and "),
            models: runs.iter().flat_map(|run| run.models.iter().cloned()).collect(),
            instances,
            pairs: pairs::of(&arms, &first),
            arms,
            seeds: subject.seeds.clone(),
            invalid: subject.invalid.clone(),
            figures,
            runs,
            subject,
        }
    }

    /// Returns the figures of each arm with the first seed.
    pub fn of_first_seed(&self) -> impl Iterator<Item = &ArmFigures> {
        let first = self.seeds.first().copied();
        self.figures.iter().filter(move |figures| Some(figures.seed) == first)
    }

    /// Returns the figures of an arm with the first seed, where it is in the campaign.
    pub fn arm(&self, arm: &str) -> Option<&ArmFigures> {
        self.of_first_seed().find(|figures| figures.arm == arm)
    }
}
