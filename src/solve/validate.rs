//! The gold check: the known fix must turn an instance green that is red without it, or the instance says nothing here.
//!
//! The same gates as in a run, with the hidden tests visible, and no model. What cannot be judged by the known fix is
//! not the fault of whoever does not resolve it.

use serde_json::json;

use super::live::{Changes, Live};
use super::options::Options;
use super::steps::{Interruption, Solver, canonical_bytes, invalid, object, report_bytes, summary, verdict_data};
use super::watch::{Phase, Step};
use crate::canon::Blake3;
use crate::gate;
use crate::instance::{Hidden, Instance};
use crate::transcript::{Kind, Normaliser, Transcript, TranscriptError};

/// What the known fix says of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    /// Whether it is red before the known fix and green after it.
    pub valid: bool,
    /// Why not.
    pub reason: String,
}

impl Validation {
    /// Returns the word in the store and in reports.
    pub fn word(&self) -> &'static str {
        if self.valid { "valid" } else { "environment-invalid" }
    }
}

/// Runs the tests of `instance` before and after its known fix; `options` says how often and how long.
///
/// # Errors
/// A worktree or a sandbox that fails, a store that fails, or a divergence in replay.
pub fn validate(
    transcript: &mut dyn Transcript,
    instance: &Instance,
    options: &Options,
    live: Option<Live<'_>>,
    watch: &mut dyn FnMut(Step),
) -> Result<Validation, TranscriptError> {
    let mut solver = Solver::new(transcript, instance, options, live, watch);
    let validation = match work(&mut solver) {
        Ok(validation) => validation,
        Err(Interruption::Invalid(reason)) => Validation { valid: false, reason },
        Err(Interruption::Transcript(error)) => return Err(error),
    };
    let data = json!({"outcome": validation.word(), "reason": validation.reason, "tests": options.tests});
    solver.transcript.note(Kind::Result, &object(data), &[])?;
    Ok(validation)
}

fn work(solver: &mut Solver<'_, '_>) -> Result<Validation, Interruption> {
    solver.open()?;
    let base = solver.base_tree()?;
    let baseline = solver.red_gate(&base)?;
    let Some(fix) = solver.instance.patch.clone() else {
        return Err(Interruption::Invalid("the instance names no known fix".into()));
    };
    let request = json!({"patch": Blake3::of(fix.as_bytes()), "tree": base.digest(), "tests": solver.options.tests});
    let hidden = solver.visible_hidden();
    let reply = solver.perform(Kind::PatchCheck, &canonical_bytes(&request), Normaliser::IDENTITY, |live, _| {
        live.check_patch(fix.as_bytes(), &hidden)
    })?;
    let found: serde_json::Value = serde_json::from_slice(&reply).map_err(|error| invalid(&error))?;
    if found["accepted"] != json!(true) {
        let reason = found["reason"].as_str().unwrap_or_default();
        return Err(Interruption::Invalid(format!("the known fix does not apply: {reason}")));
    }
    solver.began(Phase::Grade, 0);
    let command = solver.instance.test_command.clone().unwrap_or_default();
    let tested = solver.test("known fix", 0, &command, base.digest(), &Changes::new(), &Hidden::TestPatch(fix))?;
    let verdict = gate::green(&baseline.expected, &baseline.reports, &tested.report);
    solver.ended(Phase::Grade, 0, summary(&tested.report));
    let mut data = verdict_data("known fix", 0, verdict.passed, &verdict.codes);
    data.insert("still_failing".into(), json!(verdict.still_failing));
    data.insert("newly_failing".into(), json!(verdict.newly_failing));
    solver.tell_reading(&mut data, &tested.report);
    solver.transcript.note(Kind::Verdict, &data, &[("report", &report_bytes(&tested.report))])?;
    let reason = match verdict.passed {
        true => String::new(),
        false => {
            let lists = [("still failing", &verdict.still_failing), ("failing now", &verdict.newly_failing)];
            let told = lists.iter().filter(|(_, names)| !names.is_empty());
            let told: String = told.map(|(words, names)| format!("; {words}: {}", first(names))).collect();
            format!("the known fix does not turn it green: {}{told}", verdict.codes.join(" "))
        }
    };
    Ok(Validation { valid: verdict.passed, reason })
}

/// Names the first of some tests and counts the others.
fn first(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    }
}
