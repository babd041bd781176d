//! What came of a campaign, from the rows of its runs alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::plan::Plan;
use crate::canon::merkle::MerkleTree;
use crate::canon::{RunId, Sha256, json as canonical};
use crate::statistics::wilson;
use crate::store::{RunRow, RunStatus};

/// How an arm did with a seed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ArmSummary {
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u32,
    /// Instances of the campaign: the denominator, whatever became of them.
    pub of: u32,
    /// Runs that came to their end.
    pub done: u32,
    /// Those that were resolved.
    pub resolved: u32,
    /// Those that came to their end and were not resolved.
    pub failed: u32,
    /// Runs that the environment did not let come to an end.
    pub environment_errors: u32,
    /// Runs that were cut off, not begun, or are another machine's.
    pub open: u32,
    /// Wilson interval (95 %) of resolved of all, per million.
    pub interval: (u64, u64),
    /// How many were resolved at each attempt.
    pub resolved_at: BTreeMap<u32, u32>,
}

/// What came of a campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Each arm with each seed.
    pub arms: Vec<ArmSummary>,
    /// Merkle root over what each finished run is, in canonical form: the same wherever and however often it was resumed.
    pub root: Sha256,
}

impl Summary {
    /// Counts the runs of `plan` among `rows`; `errors` names those that could not even be begun.
    pub fn of(plan: &Plan, rows: &[RunRow], errors: &BTreeSet<RunId>) -> Self {
        let by_id: BTreeMap<RunId, &RunRow> = rows.iter().map(|row| (row.id, row)).collect();
        let mut arms = BTreeMap::<(String, u32), ArmSummary>::new();
        let mut tree = MerkleTree::default();
        for member in plan.members() {
            let key = (member.arm.clone(), member.seed);
            let arm = arms.entry(key).or_insert_with(|| ArmSummary {
                arm: member.arm.clone(),
                seed: member.seed,
                ..ArmSummary::default()
            });
            arm.of += 1;
            match by_id.get(&member.run) {
                Some(row) if row.status == RunStatus::Finished => {
                    arm.done += 1;
                    if row.outcome == "resolved" {
                        arm.resolved += 1;
                        *arm.resolved_at.entry(row.attempts).or_default() += 1;
                    } else {
                        arm.failed += 1;
                    }
                    let leaf = (&member.instance, &member.arm, member.seed, &row.outcome, row.canonical_root);
                    tree.push(&canonical::to_bytes(&leaf).expect("strings, digests and small integers"));
                }
                Some(row) if row.status == RunStatus::Failed => arm.environment_errors += 1,
                _ if errors.contains(&member.run) => arm.environment_errors += 1,
                _ => arm.open += 1,
            }
        }
        let mut arms: Vec<ArmSummary> = arms.into_values().collect();
        arms.iter_mut().for_each(|arm| arm.interval = wilson(arm.resolved, arm.of));
        Self { arms, root: tree.root() }
    }
}
