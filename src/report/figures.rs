//! What came of one arm with one seed, counted.

use std::collections::BTreeMap;

use serde::Serialize;

use super::read::UNREAD;
use super::run::{AttemptFacts, Ending, RunFacts};
use crate::statistics::{Spread, wilson};

/// An arm with a seed in figures. Shares and interval ends are per million.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ArmFigures {
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u32,
    /// Instances of the campaign: the full denominator, whatever became of them.
    pub of: u32,
    /// Instances that were judged: the own denominator. Invalid instances, environment errors and runs that did not
    /// come to their end, for lack of time too, are left out.
    pub judged: u32,
    /// Runs by how they ended.
    pub endings: BTreeMap<Ending, u32>,
    /// Resolved ones.
    pub resolved: u32,
    /// Those of them that the fallback model resolved.
    pub by_fallback: u32,
    /// Those of the resolved ones that are instances which the known fix does not turn green here.
    pub resolved_invalid: u32,
    /// Wilson interval (95 %) of resolved of all instances.
    pub interval: (u64, u64),
    /// Wilson interval (95 %) of resolved of the judged ones.
    pub judged_interval: (u64, u64),
    /// How many were resolved at each attempt.
    pub resolved_at: BTreeMap<u32, u32>,
    /// Attempts up to the fix.
    pub attempts_to_fix: Spread,
    /// Attempts that were made.
    pub attempts: u32,
    /// Attempts that the arm allows.
    pub allowed: u32,
    /// Attempts of the run that took the most.
    pub most_attempts: u32,
    /// Replies that came.
    pub replies: u32,
    /// Replies in which edits could be read.
    pub parsed: u32,
    /// Replies that had been given before and were not read again.
    pub repeated: u32,
    /// Edits that were applied.
    pub applied: u32,
    /// Attempts whose tests ran.
    pub tested: u32,
    /// Attempts whose tests were green.
    pub green: u32,
    /// Attempts whose prompt told of the failure before.
    pub told: u32,
    /// Files shown by a prompt.
    pub files: Spread,
    /// Refused replies by code.
    pub refusals: BTreeMap<String, u32>,
    /// Test runs by the codes of the gate.
    pub gate: BTreeMap<String, u32>,
    /// Accepted and refused replies by what was normalised.
    pub normalised: BTreeMap<String, u32>,
    /// Tokens of all prompts of a run, where the provider counts them.
    pub prompt_tokens: Spread,
    /// Tokens of all replies of a run.
    pub reply_tokens: Spread,
    /// Microseconds of a run, an observation.
    #[serde(skip)]
    pub(super) time: Spread,
    /// Microseconds of its model calls and of its tests.
    #[serde(skip)]
    pub(super) times: [Spread; 2],
}

impl ArmFigures {
    /// Counts the runs of an arm with a seed; `is_invalid` says whether the known fix of an instance fails here.
    pub(super) fn of(arm: &str, seed: u32, runs: &[&RunFacts], is_invalid: &dyn Fn(&str) -> bool) -> Self {
        let mut figures = Self { arm: arm.into(), seed, of: number(runs.len()), ..Self::default() };
        for run in runs {
            *figures.endings.entry(run.ending).or_default() += 1;
            let judged = run.ending.is_judged() && !is_invalid(&run.instance);
            figures.judged += u32::from(judged);
            if let Some(attempt) = run.resolved_at() {
                figures.resolved += 1;
                figures.by_fallback += u32::from(run.by_fallback);
                figures.resolved_invalid += u32::from(!judged);
                *figures.resolved_at.entry(attempt).or_default() += 1;
            }
            figures.allowed = figures.allowed.max(run.allowed);
            figures.most_attempts = figures.most_attempts.max(number(run.attempts.len()));
            run.attempts.iter().for_each(|attempt| figures.attempt(attempt));
        }
        figures.interval = wilson(figures.resolved, figures.of);
        figures.judged_interval = wilson(figures.resolved - figures.resolved_invalid, figures.judged);
        figures.attempts_to_fix = Spread::of(runs.iter().filter_map(|run| run.resolved_at().map(u64::from)));
        let all = || runs.iter().flat_map(|run| &run.attempts);
        figures.files = Spread::of(all().map(|attempt| attempt.files as u64));
        figures.prompt_tokens = tokens(runs, |attempt| attempt.prompt_tokens);
        figures.reply_tokens = tokens(runs, |attempt| attempt.reply_tokens);
        figures.time = Spread::of(runs.iter().filter(|run| run.time > 0).map(|run| run.time));
        let time = |which: usize| {
            let of_run = |run: &&RunFacts| sum(run.attempts.iter().map(|attempt| attempt.times[which]));
            Spread::of(runs.iter().filter(|run| run.time > 0).map(of_run))
        };
        figures.times = [time(0), time(1)];
        figures
    }

    fn attempt(&mut self, attempt: &AttemptFacts) {
        self.attempts += 1;
        self.told += u32::from(attempt.told);
        self.replies += u32::from(attempt.replied);
        self.applied += u32::from(attempt.applied);
        if let Some(code) = &attempt.refusal {
            *self.refusals.entry(code.clone()).or_default() += 1;
        }
        let is_read = attempt.refusal.as_deref().is_none_or(|code| !UNREAD.contains(&code));
        self.parsed += u32::from(is_read && (attempt.applied || attempt.refusal.is_some()));
        self.repeated += u32::from(attempt.refusal.as_deref() == Some("E-REPEAT"));
        for code in &attempt.codes {
            *self.normalised.entry(code.clone()).or_default() += 1;
        }
        if let Some(tests) = &attempt.tests {
            self.tested += 1;
            self.green += u32::from(tests.green);
            for code in &tests.codes {
                *self.gate.entry(code.clone()).or_default() += 1;
            }
        }
    }

    /// Returns how many runs ended so.
    pub fn ended(&self, ending: Ending) -> u32 {
        self.endings.get(&ending).copied().unwrap_or_default()
    }

    /// Returns how many were resolved by an attempt or one before it.
    pub fn resolved_by(&self, attempt: u32) -> u32 {
        self.resolved_at.range(..=attempt).map(|(_, count)| count).sum()
    }
}

fn tokens(runs: &[&RunFacts], of: fn(&AttemptFacts) -> Option<u64>) -> Spread {
    let of_run = |run: &&RunFacts| {
        let counted: Vec<u64> = run.attempts.iter().filter_map(of).collect();
        (!counted.is_empty()).then(|| sum(counted))
    };
    Spread::of(runs.iter().filter_map(of_run))
}

/// Adds up what a store says, which may be anything.
fn sum(numbers: impl IntoIterator<Item = u64>) -> u64 {
    numbers.into_iter().fold(0, u64::saturating_add)
}

pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
