//! Which instances their known fix has shown to be fit for this environment, as the store says.

use std::collections::BTreeSet;

use super::plan::Plan;
use crate::canon::{Blake3, RunId, Sha256, json as canonical};
use crate::solve::orchestration_digest;
use crate::store::{RunStatus, Store, StoreError};

/// The kind of the row in a store that holds the check of an instance by its known fix.
pub const VALIDATION: &str = "validation";
/// The outcome of an instance that is red before its known fix and green after it.
const VALID: &str = "valid";

/// Returns the id of an instance's check number `number`, which follows from what is checked: the same in every store.
pub fn validation_id(instance: &Blake3, number: u32) -> RunId {
    let bytes = canonical::to_bytes(&(VALIDATION, instance, orchestration_digest(), number));
    let digest = Sha256::of(&bytes.expect("strings, digests and a small integer"));
    RunId::from_bytes(digest.as_bytes()[..12].try_into().expect("a digest has 32 bytes"))
}

/// What a store says about an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// Whether the last of its checks found it fit; nothing if none came to an end.
    pub valid: Option<bool>,
    /// The check that did not come to its end, or the next one.
    pub next: RunId,
}

/// Looks up what a store says about the instance with a digest.
///
/// # Errors
/// A store that cannot be read.
pub fn validated(store: &Store, instance: &Blake3) -> Result<Validated, StoreError> {
    let mut valid = None;
    for number in 0.. {
        let next = validation_id(instance, number);
        match store.run(next)? {
            Some(row) if row.status == RunStatus::Finished => {
                valid = Some(row.outcome == VALID);
            }
            _ => return Ok(Validated { valid, next }),
        }
    }
    unreachable!("a store holds fewer runs than there are numbers")
}

/// Names the instances of a plan that were found unfit.
///
/// # Errors
/// A store that cannot be read.
pub fn environment_invalid(plan: &Plan, store: &Store) -> Result<BTreeSet<String>, StoreError> {
    let mut found = BTreeSet::new();
    for (id, digest) in &plan.instances {
        if validated(store, digest)?.valid == Some(false) {
            found.insert(id.clone());
        }
    }
    Ok(found)
}
