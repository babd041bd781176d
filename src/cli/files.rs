//! The files that a run leaves for other tools: report.json in the harness's shape, the patch, predictions.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::campaign::HarnessResult;
use crate::solve::Outcome;
use crate::transcript::Roots;

use super::hints::PLACE;
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
    let (data, own) = (outcome.data(job.options), outcome_json(job, outcome, roots));
    let result = HarnessResult::of_end(job.instance, job.options, &data, outcome.patch.clone(), own);
    let [report, patch] = write_result(&folder.join(&job.instance.id), &result)?;
    let predictions = folder.join("predictions.jsonl");
    let lines =
        with_line(&predictions, &job.instance.id, &result.prediction).map_err(|error| cannot(&predictions, &error))?;
    write_whole(&predictions, lines.as_bytes(), true)?;
    Ok(Reports { report, patch, predictions })
}

/// Writes `report.json` and `patch.diff` of a run into its folder; returns where they are.
pub(crate) fn write_result(folder: &Path, result: &HarnessResult) -> Result<[PathBuf; 2], Failure> {
    make(folder)?;
    let paths = ["report.json", "patch.diff"].map(|name| folder.join(name));
    let report = serde_json::to_string_pretty(&result.report).unwrap_or_default() + "\n";
    write_whole(&paths[0], report.as_bytes(), true)?;
    write_whole(&paths[1], &result.patch, true)?;
    Ok(paths)
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

/// Makes a folder for what is handed over.
pub(crate) fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| cannot(folder, &error))
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(FailureKind::Environment, format!("cannot write {}: {error}", path.display())).hint(PLACE)
}
