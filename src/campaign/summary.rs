//! What came of a campaign, from the rows of its runs and their attempts alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::plan::Plan;
use super::validation::environment_invalid;
use crate::canon::merkle::MerkleTree;
use crate::canon::{RunId, Sha256, json as canonical};
use crate::statistics::wilson;
use crate::store::{AttemptRow, RunRow, RunStatus, Store, StoreError};

/// How an arm did with a seed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ArmSummary {
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u32,
    /// Instances of the campaign: the denominator, whatever became of them.
    pub of: u32,
    /// Those of them that their known fix does not turn green here: no run can resolve them. The other denominator is
    /// without them.
    pub environment_invalid: u32,
    /// Runs that came to their end.
    pub done: u32,
    /// Those that were resolved.
    pub resolved: u32,
    /// Those that came to their end and were not resolved.
    pub failed: u32,
    /// Of those that failed: the instance could not be judged, its red gate for example.
    pub invalid: u32,
    /// Of those that failed: a limit of tokens or money was reached.
    pub limited: u32,
    /// Runs that a limit of time cut off.
    pub out_of_time: u32,
    /// Runs that the environment did not let come to an end.
    pub environment_errors: u32,
    /// Runs that were cut off, not begun, or are another machine's.
    pub open: u32,
    /// Wilson interval (95 %) of resolved of all, per million.
    pub interval: (u64, u64),
    /// Of those that were resolved: the known fix says that their instance is invalid here.
    pub resolved_invalid: u32,
    /// The same interval without the instances that are invalid here.
    pub interval_valid: (u64, u64),
    /// How many were resolved at each attempt.
    pub resolved_at: BTreeMap<u32, u32>,
    /// How many attempts each code of a refusal or of the gate stands against, attempts at cheating among them.
    pub codes: BTreeMap<String, u32>,
}

/// What came of a campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Each arm with each seed.
    pub arms: Vec<ArmSummary>,
    /// Instances that `validate` found invalid here.
    pub environment_invalid: BTreeSet<String>,
    /// Merkle root over what each finished run is, in canonical form: the same wherever and however often it was resumed.
    pub root: Sha256,
}

impl Summary {
    /// Counts the runs of `plan` in `store`; `errors` names those that the environment did not let go on just now.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn of(plan: &Plan, store: &Store, errors: &BTreeSet<RunId>) -> Result<Self, StoreError> {
        let rows = store.runs()?;
        let environment_invalid = environment_invalid(plan, store)?;
        let by_id: BTreeMap<RunId, &RunRow> = rows.iter().map(|row| (row.id, row)).collect();
        let mut arms = BTreeMap::<(String, u32), ArmSummary>::new();
        for member in plan.members() {
            let key = (member.arm.clone(), member.seed);
            let arm = arms.entry(key).or_insert_with(|| ArmSummary {
                arm: member.arm.clone(),
                seed: member.seed,
                ..ArmSummary::default()
            });
            arm.of += 1;
            let is_invalid = environment_invalid.contains(&member.instance);
            arm.environment_invalid += u32::from(is_invalid);
            match by_id.get(&member.run) {
                Some(row) if row.status == RunStatus::Finished => {
                    arm.count(row, &store.attempts(row.id)?);
                    arm.resolved_invalid += u32::from(is_invalid && row.outcome == "resolved");
                }
                Some(row) if row.status == RunStatus::Failed => arm.environment_errors += 1,
                Some(row) if row.status == RunStatus::Interrupted => arm.out_of_time += 1,
                _ if errors.contains(&member.run) => arm.environment_errors += 1,
                _ => arm.open += 1,
            }
        }
        let mut arms: Vec<ArmSummary> = arms.into_values().collect();
        for arm in &mut arms {
            arm.interval = wilson(arm.resolved, arm.of);
            let [resolved, of] = [arm.resolved - arm.resolved_invalid, arm.of - arm.environment_invalid];
            arm.interval_valid = wilson(resolved, of);
        }
        Ok(Self { arms, environment_invalid, root: Self::root(plan, &rows) })
    }
}

impl Summary {
    /// Returns the root over what each finished run of `plan` among `rows` is.
    pub fn root(plan: &Plan, rows: &[RunRow]) -> Sha256 {
        let by_id: BTreeMap<RunId, &RunRow> = rows.iter().map(|row| (row.id, row)).collect();
        let mut tree = MerkleTree::default();
        for member in plan.members() {
            if let Some(row) = by_id.get(&member.run).filter(|row| row.status == RunStatus::Finished) {
                let leaf = (&member.instance, &member.arm, member.seed, &row.outcome, row.canonical_root);
                tree.push(&canonical::to_bytes(&leaf).expect("strings, digests and small integers"));
            }
        }
        tree.root()
    }
}

impl ArmSummary {
    /// Counts a run that came to its end.
    fn count(&mut self, row: &RunRow, attempts: &[AttemptRow]) {
        self.done += 1;
        match row.outcome.as_str() {
            "resolved" => {
                self.resolved += 1;
                *self.resolved_at.entry(row.attempts).or_default() += 1;
            }
            outcome => {
                self.failed += 1;
                self.invalid += u32::from(outcome == "invalid");
                self.limited += u32::from(outcome == "limit");
            }
        }
        for attempt in attempts {
            let codes: BTreeSet<String> = serde_json::from_str(&attempt.codes).unwrap_or_default();
            for code in codes.into_iter().filter(|code| code.starts_with("E-") || code.starts_with("G-")) {
                *self.codes.entry(code).or_default() += 1;
            }
        }
    }
}
