//! Two arms over the same instances: who resolved what the other did not, and how likely that is by chance.

use std::collections::BTreeMap;

use serde::Serialize;

use super::figures::number;
use super::run::{Ending, RunFacts};
use crate::statistics::mcnemar;

/// Two arms compared over the instances that both were judged on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The arm compared with.
    pub first: String,
    /// The other arm.
    pub second: String,
    /// Instances that both arms were judged on.
    pub of: u32,
    /// Resolved by both.
    pub both: u32,
    /// Resolved by the first only.
    pub only_first: Vec<String>,
    /// Resolved by the second only.
    pub only_second: Vec<String>,
    /// Resolved by neither.
    pub neither: u32,
    /// p-value of McNemar's exact test, two-sided, per million.
    pub p: u64,
}

/// Compares each arm with the first, and each with the one before it.
pub(super) fn of(arms: &[String], runs: &[&RunFacts]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (place, second) in arms.iter().enumerate().skip(1) {
        pairs.push(compare(&arms[0], second, runs));
        if place > 1 {
            pairs.push(compare(&arms[place - 1], second, runs));
        }
    }
    pairs
}

fn compare(first: &str, second: &str, runs: &[&RunFacts]) -> Pair {
    let judged = |arm: &str| -> BTreeMap<&str, bool> {
        let of_arm = runs.iter().filter(|run| run.arm == arm && run.ending.is_judged());
        of_arm.map(|run| (run.instance.as_str(), run.ending == Ending::Resolved)).collect()
    };
    let (one, other) = (judged(first), judged(second));
    let (mut only_first, mut only_second, mut both, mut neither) = (Vec::new(), Vec::new(), 0, 0);
    for (instance, resolved) in &one {
        match (*resolved, other.get(instance)) {
            (true, Some(true)) => both += 1,
            (true, Some(false)) => only_first.push((*instance).to_owned()),
            (false, Some(true)) => only_second.push((*instance).to_owned()),
            (false, Some(false)) => neither += 1,
            (_, None) => {}
        }
    }
    let p = mcnemar(number(only_first.len()), number(only_second.len()));
    let of = both + neither + number(only_first.len() + only_second.len());
    Pair { first: first.into(), second: second.into(), of, both, only_first, only_second, neither, p }
}
