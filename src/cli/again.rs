//! The two levels of verification that do something again: the tests, really run, and the models, really asked.

use clap::Args;

use crate::canon::RunId;
use crate::certificate::{Level, Verification};
use crate::solve::{self, Header, Original};
use crate::store::{Access, Durability, NewRun, RunRow, Store};
use crate::transcript::{Kind, Recorder, ReplayOutcome, Retries};

use super::evidence::in_scratch;
use super::models::ModelArgs;
use super::progress::Watcher;
use super::reexecute::{Asked, REEXECUTION, open_again, read_original};
use super::replay::{read_header, replay_run, transcript_failure};
use super::workbench::{Workbench, WorkbenchArgs};
use super::{Failure, FailureKind, Host, Ui};

/// What running tests and asking models again needs.
#[derive(Debug, Args)]
#[command(next_help_heading = "For the levels tests and live")]
pub(crate) struct AgainArgs {
    /// The task folder, or FILE.jsonl#ID, where the run's repository has no name.
    #[arg(long, value_name = "INSTANCE")]
    instance: Option<String>,
    #[command(flatten)]
    workbench: WorkbenchArgs,
    #[command(flatten)]
    models: ModelArgs,
    /// The run's fallback model.
    #[arg(long, value_name = "MODEL")]
    fallback: Option<String>,
}

/// Runs the tests of a recorded run again and, where `required` says so, asks its models again.
pub(crate) fn perform(
    verification: &mut Verification,
    store: &Store,
    row: &RunRow,
    args: &AgainArgs,
    required: Level,
    ui: &mut Ui,
) -> Result<(), Failure> {
    if super::recorded::header(store, row.id)?.is_some() {
        verification.unavailable("tests", "a recorded agent has no tests of ours, and no model calls of ours");
        return Ok(());
    }
    let header = read_header(store, row)?;
    match tests(store, row, &header, args, ui) {
        Ok(outcome) => verification.tested(&outcome),
        Err(failure) => return give_up(verification, "tests", failure),
    }
    if required < Level::Live || verification.reached() < Level::Tests {
        return Ok(());
    }
    match live(store, row, &header, args, ui) {
        Ok(Answers { calls, different, left_out: 0 }) => verification.asked(calls, different),
        Ok(Answers { left_out, .. }) => {
            verification.unavailable("live", format!("{left_out} calls are of a grade that promises nothing"));
        }
        Err(failure) => return give_up(verification, "live", failure),
    }
    Ok(())
}

/// What is missing on this machine is no word against the certificate.
fn give_up(verification: &mut Verification, name: &'static str, failure: Failure) -> Result<(), Failure> {
    match failure.kind {
        FailureKind::Malformed | FailureKind::Wanting => Err(failure),
        _ => {
            let hint = failure.hint.map_or_else(String::new, |hint| format!(" ({hint})"));
            verification.unavailable(name, format!("{}{hint}", failure.message));
            Ok(())
        }
    }
}

fn tests(
    store: &Store,
    row: &RunRow,
    header: &Header,
    args: &AgainArgs,
    ui: &mut Ui,
) -> Result<ReplayOutcome, Failure> {
    let instance = match &args.instance {
        Some(reference) => super::own::found(&header.instance, super::solve::load_instance(reference)?),
        None => super::own::locate(&header.instance, args.workbench.repo.as_deref(), ui)?,
    };
    in_scratch(RunId::from_bytes(Host::random()?), |folder| {
        let mut workbench = Workbench::set_up(&instance, &args.workbench, &folder.join("work"), ui)?;
        let outcome = replay_run(store, row.id, header, Some(workbench.live(Vec::new())), &[Kind::Test]);
        workbench.tear_down(ui);
        outcome
    })
}

struct Answers {
    calls: usize,
    different: Option<u32>,
    left_out: usize,
}

/// Asks once; what is said is compared and not kept.
fn live(store: &Store, row: &RunRow, header: &Header, args: &AgainArgs, ui: &mut Ui) -> Result<Answers, Failure> {
    let original: Original = read_original(store, row)?;
    let run = RunId::from_bytes(Host::random()?);
    let asked = Asked { times: 1, models: &args.models, fallback: args.fallback.as_deref() };
    let again = in_scratch(run, |folder| {
        let mut to = Store::open(&folder.join("again.sqlite"), Access::Create, Durability::Normal)?;
        to.begin_run(&NewRun {
            id: run,
            name: "again",
            kind: REEXECUTION,
            instance: &row.instance,
            arm: &row.arm,
            model: &row.model,
            tests: &row.tests,
            orchestration: &solve::orchestration_digest().to_string(),
            started_ms: 0,
        })?;
        let mut watcher = Watcher::new(&row.instance, ui);
        let mut recorder = Recorder::new(&mut to, run, Host::clock(), Retries::default());
        let mut open = |which: usize| open_again(which, header, &asked);
        let again = solve::reexecute(&mut recorder, &original, 1, &mut open, &mut |step| watcher.step(step));
        watcher.finish();
        again.map_err(transcript_failure)
    })?;
    let asked_again = again.calls.iter().filter(|call| call.tries > 0);
    Ok(Answers {
        calls: asked_again.clone().count(),
        different: asked_again.clone().find(|call| call.identical < call.tries).map(|call| call.event),
        left_out: again.calls.iter().filter(|call| call.tries == 0).count(),
    })
}
