//! What a campaign consists of, the ids that follow from it, and how two plans differ.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::canon::{Blake3, CanonError, RunId, Sha256, json as canonical};
use crate::instance::Instance;
use crate::solve::{Options, orchestration_digest};

/// Version of the plan's form.
const FORMAT: u32 = 1;
/// Runs of a plan at most: a short text could name far more than any machine has room for.
const MOST_RUNS: usize = 1 << 20;
/// Bytes of a name at most, so that file systems take it.
const LONGEST_NAME: usize = 200;

/// Everything that the course of a campaign depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    format: u32,
    /// A name for people; two campaigns of one store have different ones.
    pub name: String,
    /// The rules that drive the runs.
    orchestration: Blake3,
    /// The instances by id, each with the digest of its recorded bytes.
    pub instances: BTreeMap<String, Blake3>,
    /// The arms by name; the seed in their options is the first one.
    pub arms: BTreeMap<String, Options>,
    /// The seeds, in the order given.
    pub seeds: Vec<u32>,
    /// Digest of the thresholds that the campaign is meant for.
    pub profile: Sha256,
}

/// One run of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Id of the run, the same in every store.
    pub run: RunId,
    /// Id of the instance.
    pub instance: String,
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u32,
}

/// Says why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Nothing to do.
    #[error("the campaign has no {0}")]
    Empty(&'static str),
    /// The same thing twice.
    #[error("the {0} {1} is named twice")]
    Twice(&'static str, String),
    /// More runs than are kept apart.
    #[error("the campaign has more than {MOST_RUNS} runs")]
    TooMany,
    /// A name that a folder cannot have.
    #[error("{0:?} cannot be the name of a campaign: folders are named after it")]
    Name(String),
    /// Recorded bytes that are no plan.
    #[error("the campaign's plan cannot be read: {0}")]
    Malformed(String),
}

impl From<CanonError> for PlanError {
    fn from(error: CanonError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl Plan {
    /// Makes a plan of instances, arms and seeds.
    ///
    /// # Errors
    /// Nothing of one of them, something twice, too much of all, or a name that a folder cannot have.
    pub fn new(
        name: String,
        instances: &[Instance],
        arms: Vec<Options>,
        seeds: Vec<u32>,
        profile: Sha256,
    ) -> Result<Self, PlanError> {
        let mut plan = Self {
            format: FORMAT,
            name,
            orchestration: orchestration_digest(),
            instances: BTreeMap::new(),
            arms: BTreeMap::new(),
            seeds,
            profile,
        };
        for instance in instances {
            if plan.instances.insert(instance.id.clone(), Blake3::of(&instance.to_bytes())).is_some() {
                return Err(PlanError::Twice("instance", instance.id.clone()));
            }
        }
        for options in arms {
            if let Some(twice) = plan.arms.insert(options.arm.clone(), options) {
                return Err(PlanError::Twice("arm", twice.arm));
            }
        }
        plan.checked()
    }

    /// Makes sure that there are runs, that each is one of its own, and that the name is one.
    fn checked(self) -> Result<Self, PlanError> {
        let is_odd = |c: char| c == '/' || c.is_control();
        if matches!(&*self.name, "" | "." | "..") || self.name.len() > LONGEST_NAME || self.name.contains(is_odd) {
            return Err(PlanError::Name(self.name));
        }
        let counts = [("instances", self.instances.len()), ("arms", self.arms.len()), ("seeds", self.seeds.len())];
        if let Some((what, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(PlanError::Empty(what));
        }
        if counts.into_iter().fold(1, |runs: usize, (_, count)| runs.saturating_mul(count)) > MOST_RUNS {
            return Err(PlanError::TooMany);
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.seeds.iter().find(|seed| !seen.insert(**seed)) {
            return Err(PlanError::Twice("seed", twice.to_string()));
        }
        match self.arms.iter().find(|(name, options)| **name != options.arm) {
            Some((name, options)) => {
                Err(PlanError::Malformed(format!("its arm {name} has the options of {}", options.arm)))
            }
            None => Ok(self),
        }
    }

    /// Reads a recorded plan.
    ///
    /// # Errors
    /// Bytes of another shape or version, or what no new plan could be.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PlanError> {
        let plan: Self = canonical::from_bytes(bytes)?;
        match plan.format {
            FORMAT => plan.checked(),
            other => Err(PlanError::Malformed(format!("its form {other} is unknown"))),
        }
    }

    /// Returns the plan as the data of an event.
    pub fn data(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(data)) => data,
            _ => unreachable!("a struct of strings and integers is a JSON object"),
        }
    }

    /// Returns the id of the campaign, which follows from the plan.
    pub fn id(&self) -> RunId {
        derived(&self.to_bytes(), &Value::Null)
    }

    fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self).expect("strings and small integers")
    }

    /// Returns every run of the plan, by instance, arm and seed.
    pub fn members(&self) -> Vec<Member> {
        // The plan names every instance: written once, not for each run.
        let (plan, mut members) = (self.to_bytes(), Vec::new());
        for instance in self.instances.keys() {
            for arm in self.arms.keys() {
                for seed in &self.seeds {
                    let run = derived(&plan, &serde_json::json!([instance, arm, seed]));
                    members.push(Member { run, instance: instance.clone(), arm: arm.clone(), seed: *seed });
                }
            }
        }
        members
    }

    /// Returns what differs between this recorded plan and another one, a line each.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        compare("", &Value::Object(self.data()), &Value::Object(other.data()), &mut lines);
        lines
    }
}

/// Returns the id of a place in a plan: the first twelve bytes of the SHA-256 of the canonical JSON `[plan,place]`.
fn derived(plan: &[u8], place: &Value) -> RunId {
    let place = canonical::to_bytes(place).expect("strings and small integers");
    let digest = Sha256::of(&[&b"["[..], plan, b",", &place, b"]"].concat());
    RunId::from_bytes(digest.as_bytes()[..12].try_into().expect("a digest has 32 bytes"))
}

fn compare(place: &str, recorded: &Value, now: &Value, lines: &mut Vec<String>) {
    if let (Value::Object(one), Value::Object(two)) = (recorded, now) {
        let mut keys: Vec<&String> = one.keys().chain(two.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            match (one.get(key), two.get(key)) {
                (Some(one), Some(two)) => compare(&place, one, two, lines),
                (Some(_), None) => lines.push(format!("{place}: recorded, and not there now")),
                _ => lines.push(format!("{place}: not recorded, and there now")),
            }
        }
    } else if recorded != now {
        lines.push(format!("{place}: {recorded} recorded, {now} now"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn recorded(change: impl FnOnce(&mut Value)) -> Result<Plan, PlanError> {
        let options = json!({
            "arm": "direct-1", "model": "scripted:x", "tests": "existing-tests", "attempts": 1, "seed": 1,
            "context_tokens": 8192, "reply_tokens": 512, "constrained": true, "red_runs": 1, "timeout_seconds": 60,
        });
        let mut plan = json!({
            "format": FORMAT, "name": "n", "orchestration": Blake3::of(b"rules"), "seeds": [1, 2],
            "instances": {"a": Blake3::of(b"a"), "b": Blake3::of(b"b")}, "arms": {"direct-1": options},
            "profile": Sha256::of(b"profile"),
        });
        change(&mut plan);
        Plan::from_bytes(&canonical::to_bytes(&plan).unwrap())
    }

    #[test]
    fn a_recorded_plan_keeps_what_a_new_one_promises() {
        assert_eq!(recorded(|_| {}).unwrap().members().len(), 4);
        let more = |plan: &mut Value| plan["seeds"] = (0..=MOST_RUNS as u32 / 2).collect();
        assert!(matches!(recorded(more), Err(PlanError::TooMany)));
        for (key, value, words) in [
            ("seeds", json!([1, 1]), "the seed 1 is named twice"),
            ("seeds", json!([]), "no seeds"),
            ("instances", json!({}), "no instances"),
            ("arms", json!({}), "no arms"),
            ("format", json!(FORMAT + 1), "unknown"),
            ("name", json!(""), "cannot be the name"),
            ("name", json!("../away"), "cannot be the name"),
            ("name", json!("a\nb"), "cannot be the name"),
            ("name", json!("n".repeat(LONGEST_NAME + 1)), "cannot be the name"),
        ] {
            let error = recorded(|plan| plan[key] = value).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let renamed = recorded(|plan| plan["arms"]["direct-1"]["arm"] = json!("direct-6"));
        assert!(renamed.unwrap_err().to_string().contains("direct-6"));
    }
}
