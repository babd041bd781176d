//! The files that a run leaves for other tools: report.json in the harness's shape, the patch, predictions.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::solve::{Outcome, OutcomeKind};
use crate::transcript::Roots;

use super::keyfile::write_whole;
use super::solve::Job;
use super::{Failure, FailureKind};

/// Where the files of a run went.
pub(crate) struct Reports {
    pub(crate) report: PathBuf,
    pub(crate) patch: PathBuf,
    pub(crate) predictions: PathBuf,
}

/// Writes `ID/report.json` and `ID/patch.diff` below `folder`, and the instance's line in `predictions.jsonl`.
pub(crate) fn write(folder: &Path, job: &Job<'_>, outcome: &Outcome, roots: &Roots) -> Result<Reports, Failure> {
    let own = folder.join(&job.instance.id);
    fs::create_dir_all(&own).map_err(|error| cannot(&own, &error))?;
    let report = own.join("report.json");
    let text = serde_json::to_string_pretty(&report_json(job, outcome, roots)).unwrap_or_default();
    write_whole(&report, (text + "\n").as_bytes(), true)?;
    let patch = own.join("patch.diff");
    write_whole(&patch, &outcome.patch, true)?;

    let predictions = folder.join("predictions.jsonl");
    let line = json!({
        "instance_id": job.instance.id,
        "model_name_or_path": job.options.model_name_or_path(),
        "model_patch": String::from_utf8_lossy(&outcome.patch),
        "runproof_solved_by": outcome.solved_by(job.options),
    });
    let lines = with_line(&predictions, &job.instance.id, &line).map_err(|error| cannot(&predictions, &error))?;
    write_whole(&predictions, lines.as_bytes(), true)?;
    Ok(Reports { report, patch, predictions })
}

/// Returns the lines of a file with a later one. The official harness takes one line an instance, so it replaces the earlier.
fn with_line(path: &Path, id: &str, line: &Value) -> std::io::Result<String> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    for kept in old.lines() {
        let same = serde_json::from_str::<Value>(kept).is_ok_and(|value| value["instance_id"] == json!(id));
        if !same && !kept.trim().is_empty() {
            text.push_str(kept);
            text.push('\n');
        }
    }
    text.push_str(&line.to_string());
    text.push('\n');
    Ok(text)
}

/// Returns the report in the shape of the SWE-bench harness's `report.json`, with our own facts beside it.
fn report_json(job: &Job<'_>, outcome: &Outcome, roots: &Roots) -> Value {
    let resolved = outcome.kind == OutcomeKind::Resolved;
    let split = |wanted: &[String]| {
        let passed: Vec<&String> = wanted.iter().filter(|name| outcome.judged[0].contains(name)).collect();
        let failed: Vec<&String> = wanted.iter().filter(|name| !outcome.judged[0].contains(name)).collect();
        json!({"success": passed, "failure": failed})
    };
    let empty = json!({"success": [], "failure": []});
    let body = json!({
        "patch_is_None": false,
        "patch_exists": !outcome.patch.is_empty(),
        "patch_successfully_applied": outcome.patch_accepted.unwrap_or(false),
        "resolved": resolved,
        "tests_status": {
            "FAIL_TO_PASS": split(&job.instance.fail_to_pass),
            "PASS_TO_PASS": split(&job.instance.pass_to_pass),
            "FAIL_TO_FAIL": empty,
            "PASS_TO_FAIL": empty,
        },
        "runproof": outcome_json(job, outcome, roots),
    });
    json!({ job.instance.id.clone(): body })
}

/// Returns what is known of a finished run.
pub(crate) fn outcome_json(job: &Job<'_>, outcome: &Outcome, roots: &Roots) -> Value {
    let attempts: Vec<Value> = outcome
        .attempts
        .iter()
        .map(|attempt| {
            json!({
                "number": attempt.number,
                "model": job.options.model_of(attempt.fallback),
                "fallback": attempt.fallback,
                "end": attempt.end,
                "green": attempt.green,
                "codes": attempt.codes,
                "summary": attempt.summary,
                "prompt_tokens": attempt.tokens[0],
                "reply_tokens": attempt.tokens[1],
            })
        })
        .collect();
    json!({
        "run": job.run.to_string(),
        "instance": job.instance.id,
        "arm": job.options.arm,
        "model": job.options.model,
        "tests": outcome.tests,
        "outcome": outcome.kind,
        "solved_by": outcome.solved_by(job.options),
        "fallback_model": job.options.fallback.as_ref().map(|fallback| &fallback.model),
        "skills": job.options.skills,
        "reason": outcome.reason,
        "attempts": attempts,
        "patch_accepted": outcome.patch_accepted,
        "raw_root": roots.raw(),
        "canonical_root": roots.canonical(),
        "events": roots.len(),
    })
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(FailureKind::Environment, format!("cannot write {}: {error}", path.display()))
}
