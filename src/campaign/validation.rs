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
    /// The last check that came to its end.
    pub last: Option<RunId>,
    /// Number of the last check, if it did not come to its end, or of the next one.
    pub next: u32,
}

/// Looks up what a store says about the instance with a digest.
///
/// # Errors
/// A store that cannot be read.
pub fn validated(store: &Store, instance: &Blake3) -> Result<Validated, StoreError> {
    let mut found = Validated { valid: None, last: None, next: 0 };
    for number in 0.. {
        match store.run(validation_id(instance, number))? {
            Some(row) if row.status == RunStatus::Finished => {
                found = Validated { valid: Some(row.outcome == VALID), last: Some(row.id), next: number + 1 };
            }
            // Another one may follow, that was begun with other options.
            Some(_) => found.next = number,
            None => break,
        }
    }
    Ok(found)
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
