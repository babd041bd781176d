//! `replay --live K`: asks the models of a run everything again and records what they say as a run of its own.

use serde_json::json;

use crate::model::Model;
use crate::solve::{self, Header, Original, Reexecution, ReexecutionHeader, orchestration_digest};
use crate::store::{Access, Durability, NewRun, RunEnd, RunRow, RunStatus, Store};
use crate::transcript::{ActFailure, Kind, Player, Recorder, ReplayOutcome, Retries, Roots, TranscriptError};

use super::args::Global;
use super::models::{ModelArgs, open_model, parse};
use super::progress::Watcher;
use super::replay::{tell, transcript_failure};
use super::runs::short;
use super::ui::{Tone, printable};
use super::{Exit, Failure, FailureKind, Host, Ui};

/// The `kind` column of a re-execution.
pub(crate) const REEXECUTION: &str = "reexecution";

/// What the command line asks for.
pub(crate) struct Asked<'a> {
    pub(crate) times: u32,
    pub(crate) models: &'a ModelArgs,
    pub(crate) fallback: Option<&'a str>,
}

/// Makes every call of a run again and reports what came.
pub(crate) fn reexecute(
    store: &Store,
    row: &RunRow,
    header: &Header,
    asked: &Asked<'_>,
    global: &Global,
    as_json: bool,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    let original = read_original(store, row)?;
    let run = Host::new_run_id()?;
    let mut to = Store::open(&global.store, Access::Create, Durability::Full)?;
    to.begin_run(&NewRun {
        id: run,
        name: &format!("{} again", row.name),
        kind: REEXECUTION,
        instance: &row.instance,
        arm: &row.arm,
        model: &row.model,
        tests: &row.tests,
        orchestration: &orchestration_digest().to_string(),
        started_ms: Host::now_us() / 1000,
    })?;
    let mut open = |which: usize| open_again(which, header, asked);
    let mut watcher = Watcher::new(&row.instance, ui);
    let mut recorder = Recorder::new(&mut to, run, Host::clock(), Retries::default());
    let result = solve::reexecute(&mut recorder, &original, asked.times, &mut open, &mut |step| watcher.step(step));
    watcher.finish();
    let roots = recorder.roots().clone();
    let end = |status, outcome| RunEnd {
        status,
        outcome,
        attempts: 0,
        raw_root: roots.raw(),
        canonical_root: roots.canonical(),
        finished_ms: Host::now_us() / 1000,
    };
    let again = match result {
        Ok(again) => again,
        Err(error) => {
            if !matches!(error, TranscriptError::Store(_)) {
                to.finish_run(run, &end(RunStatus::Failed, "failed"))?;
            }
            to.close()?;
            return Err(transcript_failure(error));
        }
    };
    to.finish_run(run, &end(RunStatus::Finished, again.outcome()))?;
    let id = short(&to, run);
    to.close()?;
    report(&again, &id, asked.times, &roots, as_json, ui)
}

/// Replays a re-execution: what it recorded is compared with the original run, which has to be in the same store.
pub(crate) fn replay(store: &Store, row: &RunRow, as_json: bool, ui: &mut Ui) -> Result<Exit, Failure> {
    let malformed = |reason: String| Failure::new(FailureKind::Malformed, reason);
    let first = store.events(row.id)?.into_iter().next();
    let first =
        first.filter(|event| event.kind == Kind::Run.name()).ok_or_else(|| malformed("the run is empty".into()))?;
    let header = ReexecutionHeader::from_bytes(&first.data).map_err(malformed)?;
    let original = find_original(store, &header)?;
    let mut player = Player::open(store, row.id)?;
    let mut open = |_| Err(ActFailure::fatal("a replay asks no model"));
    let ended = solve::reexecute(&mut player, &original, header.times, &mut open, &mut |_| {});
    let outcome: ReplayOutcome = player.finish(ended.map(|_| ())).map_err(transcript_failure)?;
    let exit = if outcome.is_equal() { Exit::Sound } else { Exit::Wanting };
    if as_json {
        ui.json(&json!({
            "run": row.id.to_string(),
            "equal": outcome.is_equal(),
            "events": outcome.events,
            "raw_root": outcome.raw_root,
            "canonical_root": outcome.canonical_root,
        }))?;
        return Ok(exit);
    }
    tell(&format!("the re-execution {}", short(store, row.id)), &outcome, None, ui)?;
    Ok(exit)
}

pub(crate) fn read_original(store: &Store, row: &RunRow) -> Result<Original, Failure> {
    Original::read(store, row.id).map_err(|error| Failure::new(FailureKind::Malformed, error))
}

/// Finds the run that a re-execution names by its roots.
fn find_original(store: &Store, header: &ReexecutionHeader) -> Result<Original, Failure> {
    let rows = store.runs()?;
    for row in rows.iter().filter(|row| row.raw_root == Some(header.raw_root)) {
        let original = read_original(store, row)?;
        if original.roots() == [header.raw_root, header.canonical_root] {
            return Ok(original);
        }
    }
    let message = format!("the run with the raw root {} is not in this store", header.raw_root);
    Err(Failure::new(FailureKind::Environment, message).hint("`runproof store import` brings it in"))
}

/// Opens the run's model, or its fallback, by the name given now or recorded then.
pub(crate) fn open_again(which: usize, header: &Header, asked: &Asked<'_>) -> Result<Box<dyn Model>, ActFailure> {
    let fatal = |failure: Failure| ActFailure { hint: failure.hint, ..ActFailure::fatal(failure.message) };
    let recorded = header.options.fallback.as_ref().map(|fallback| fallback.model.as_str());
    let (name, models) = match which {
        0 => (asked.models.model.as_deref().unwrap_or(&header.options.model), asked.models.clone()),
        _ => (asked.fallback.or(recorded).unwrap_or_default(), asked.models.for_fallback()),
    };
    let name = parse(name).map_err(fatal)?;
    open_model(&name, &models).map_err(fatal)
}

fn report(
    again: &Reexecution,
    id: &str,
    times: u32,
    roots: &Roots,
    as_json: bool,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    let (tries, identical) = again.counts();
    let left_out = again.calls.iter().filter(|call| call.tries == 0).count();
    let exit = match again.outcome() {
        "identical" if left_out == 0 => Exit::Sound,
        "different" => Exit::Wanting,
        _ => Exit::Below,
    };
    if as_json {
        let calls: Vec<_> = again
            .calls
            .iter()
            .map(|call| {
                json!({
                    "event": call.event,
                    "grade": call.grade,
                    "tries": call.tries,
                    "identical": call.identical,
                    "divergence": call.divergence.as_ref().map(|found| json!({
                        "pointer": found.pointer, "offset": found.offset,
                        "recorded": found.around[0], "again": found.around[1],
                    })),
                })
            })
            .collect();
        ui.json(&json!({
            "reexecution": id,
            "outcome": again.outcome(),
            "times": times,
            "tries": tries,
            "identical": identical,
            "raw_root": roots.raw(),
            "calls": calls,
        }))?;
        return Ok(exit);
    }
    let tone = if exit == Exit::Sound { Tone::Good } else { Tone::Bad };
    let word = ui.tone(tone, again.outcome());
    let calls = again.calls.len();
    ui.data(format_args!("re-execution {id}: {word}; {identical} of {tries} replies equal ({calls} calls × {times})"))?;
    if tries > 0 && tries == identical {
        ui.data(format_args!(
            "  {times} equal answers bound a call's failure rate only by {:.1} % (95 % confidence)",
            bound(times) * 100.0
        ))?;
    }
    if left_out > 0 {
        ui.data(format_args!("  {left_out} calls are of a grade that promises nothing, and were not made again"))?;
    }
    for call in again.calls.iter().filter(|call| call.identical < call.tries) {
        ui.data(format_args!("  event {}: {} of {} differ", call.event, call.tries - call.identical, call.tries))?;
        if let Some(divergence) = &call.divergence {
            ui.data(printable(&divergence.to_string()))?;
        }
    }
    Ok(exit)
}

/// Returns the failure rate of a call that `times` equal answers leave possible at 95 % confidence.
fn bound(times: u32) -> f64 {
    1.0 - 0.05_f64.powf(1.0 / f64::from(times))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_bound_is_honest_about_few_answers() {
        for (times, percent) in [(1, 95), (3, 63), (10, 26), (59, 5), (299, 1)] {
            assert_eq!((super::bound(times) * 100.0).round() as u32, percent);
        }
    }
}
