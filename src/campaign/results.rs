//! What the SWE-bench harness reads: a prediction and a report of each run, from what the store holds.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::instance::Instance;
use crate::solve::{Options, OutcomeKind};
use crate::store::{RunRow, Store, StoreError};
use crate::transcript::Kind;

/// The end of a run as the harness would tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HarnessResult {
    /// The line of the predictions.
    pub prediction: Value,
    /// The report, in the shape of the harness's own `report.json`.
    pub report: Value,
    /// The final patch.
    pub patch: Vec<u8>,
}

impl HarnessResult {
    /// Reads the end of a run; nothing if it has none.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn of_run(
        store: &Store,
        row: &RunRow,
        instance: &Instance,
        options: &Options,
    ) -> Result<Option<Self>, StoreError> {
        let events = store.events(row.id)?;
        let Some(last) = events.last().filter(|event| event.kind == Kind::Result.name()) else { return Ok(None) };
        let data: Value = serde_json::from_slice(&last.data).unwrap_or_default();
        let patch = store.body(row.id, last.seq, "patch")?;
        let runproof = json!({
            "run": row.id.to_string(), "arm": row.arm, "seed": options.seed, "tests": row.tests,
            "outcome": data["outcome"], "reason": data["reason"], "attempts": row.attempts,
            "canonical_root": row.canonical_root,
        });
        Ok(Some(Self::of_end(instance, options, &data, patch, runproof)))
    }

    /// Puts it together from the data of a run's last event, its patch, and our own facts, which go beside the harness's.
    pub fn of_end(instance: &Instance, options: &Options, data: &Value, patch: Vec<u8>, runproof: Value) -> Self {
        let prediction = json!({
            "instance_id": instance.id,
            "model_name_or_path": options.model_name_or_path(),
            "model_patch": String::from_utf8_lossy(&patch),
            "runproof_solved_by": data["solved_by"],
        });
        let passed: BTreeSet<&str> =
            data["judged"]["passed"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let split = |wanted: &[String]| {
            let (success, failure): (Vec<&String>, Vec<&String>) =
                wanted.iter().partition(|name| passed.contains(name.as_str()));
            json!({"success": success, "failure": failure})
        };
        let empty = json!({"success": [], "failure": []});
        let body = json!({
            "patch_is_None": false,
            "patch_exists": !patch.is_empty(),
            "patch_successfully_applied": data["patch_accepted"] == json!(true),
            "resolved": data["outcome"] == json!(OutcomeKind::Resolved),
            "tests_status": {
                "FAIL_TO_PASS": split(&instance.fail_to_pass),
                "PASS_TO_PASS": split(&instance.pass_to_pass),
                "FAIL_TO_FAIL": empty,
                "PASS_TO_FAIL": empty,
            },
            "runproof": runproof,
        });
        Self { prediction, report: json!({ instance.id.clone(): body }), patch }
    }
}
