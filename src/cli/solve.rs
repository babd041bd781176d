//! `solve`: records a live run of our orchestrator on one instance.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::canon::RunId;
use crate::instance::{self, Instance};
use crate::model::{Model, ModelName, Request};
use crate::solve::{self, Arm, Options, Outcome, OutcomeKind, Step, orchestration_digest};
use crate::store::{Access, Durability, NewAttempt, NewRun, RunEnd, RunStatus, Store, ended_by};
use crate::transcript::{Kind, Recorder, Roots, TranscriptError};

use super::args::Global;
use super::arms::ArmParser;
use super::certify;
use super::claim::Claim;
use super::conduct::{Conduct, Conducted};
use super::course::CourseArgs;
use super::files::{self, Reports};
use super::interrupt;
use super::keyfile::read_secret;
use super::models::{ModelArgs, open_model, recorded_or_same};
use super::own::OwnArgs;
use super::progress::Watcher;
use super::replay::{read_header, scratch, transcript_failure};
use super::runs::{find_run, open_store, short};
use super::ui::Tone;
use super::workbench::{Workbench, WorkbenchArgs};
use super::{Exit, Failure, FailureKind, Host, Ui};

/// The kind of the row of a run of ours on an instance.
pub(crate) const KIND: &str = "solve";

/// Works on one instance until its tests are green, and records everything.
///
/// The loop: read full files, prompt, apply direct edits, run the tests at once, feed the failure back, up to six
/// times. The run can be replayed offline with `runproof replay`.
#[derive(Debug, Args)]
pub(crate) struct SolveArgs {
    /// Task folder, or FILE.jsonl#INSTANCE_ID.
    #[arg(required_unless_present_any = ["resume", "issue"])]
    instance: Option<String>,
    /// Goes on with an interrupted run: a prefix of its id, its name, or `last`.
    #[arg(long, value_name = "RUN")]
    resume: Option<String>,
    #[command(flatten)]
    own: OwnArgs,
    #[command(flatten)]
    pub(super) models: ModelArgs,
    /// One configuration of a comparison, which fixes attempts, skills, fallback and the form of the answers.
    #[arg(long, value_name = "ARM", env = "RUNPROOF_ARM", value_parser = ArmParser)]
    pub(super) arm: Option<Arm>,
    /// Attempts at most. [default: 6, or what the arm says]
    #[arg(long, value_name = "N", env = "RUNPROOF_ATTEMPTS", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) attempts: Option<u32>,
    /// Seed of every call; decoding is greedy, so it must not matter.
    #[arg(long, default_value_t = 42, env = "RUNPROOF_SEED")]
    seed: u32,
    #[command(flatten)]
    pub(super) course: CourseArgs,
    #[command(flatten)]
    workbench: WorkbenchArgs,
    /// Name of the run, for people; the instance's id otherwise.
    #[arg(long)]
    name: Option<String>,
    /// Folder for report.json, patch.diff and predictions.jsonl.
    #[arg(long, value_name = "DIR", default_value = ".runproof/results", env = "RUNPROOF_RESULTS")]
    results: PathBuf,
    /// Signs a certificate of a resolved run with this private key; it lies beside report.json.
    #[arg(long, value_name = "KEY")]
    key: Option<PathBuf>,
    /// Prints the outcome as JSON.
    #[arg(long)]
    json: bool,
    /// What the command line itself says that a run which goes on has recorded.
    #[arg(skip)]
    pub(super) said: Vec<&'static str>,
    /// Whether the command line itself names the fallback.
    #[arg(skip)]
    pub(super) fallback_named: bool,
}

pub(crate) fn solve(args: &SolveArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    match &args.resume {
        Some(run) => resume(args, run, global, ui),
        None => begin(args, global, ui),
    }
}

fn begin(args: &SolveArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let instance = match &args.own.issue {
        Some(issue) => args.own.instance(issue, args.workbench.repo.as_deref(), ui)?,
        None => load_instance(args.instance.as_deref().unwrap_or_default())?,
    };
    let name = args.models.name()?;
    let instance = args.workbench.images.pin(&instance, ui)?;
    let options = args.course.options(args.arm, args.attempts, args.seed, &name)?;
    let run = Host::new_run_id()?;
    let label = args.name.clone().unwrap_or_else(|| instance.id.clone());
    let job = Job { run, instance: &instance, options: &options, resumed: false };
    live(args, &job, &name, global, ui, |store| begin_run(store, run, [KIND, &label], &instance, &options))
}

fn resume(args: &SolveArgs, text: &str, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    args.refuse_recorded()?;
    let store = open_store(&global.store)?;
    let row = find_run(&store, text)?;
    if row.status == RunStatus::Finished {
        let failure = Failure::new(FailureKind::Usage, format!("the run {} has ended: {}", row.id, row.outcome));
        return Err(failure.hint("`runproof replay` performs it again"));
    }
    if row.events < 2 {
        let failure = Failure::new(
            FailureKind::Usage,
            format!("the run {} was cut off before its instance was recorded", row.id),
        );
        return Err(failure.hint("nothing was done yet: start it anew with `runproof solve INSTANCE`"));
    }
    let header = read_header(&store, &row)?;
    drop(store);
    // The recorded instance knows no path of any machine; where the code lies has to be said again.
    let instance = match &args.instance {
        Some(reference) => args.workbench.images.pin_like(&load_instance(reference)?, &header.instance, ui)?,
        None => super::own::locate(&header.instance, args.workbench.repo.as_deref(), ui)?,
    };
    if instance.to_bytes() != header.instance.to_bytes() {
        return Err(Failure::new(FailureKind::Usage, "the instance given is not the one that the run was begun with"));
    }
    let name = args.models.recorded(&header.options.model)?;
    let job = Job { run: row.id, instance: &instance, options: &header.options, resumed: true };
    live(args, &job, &name, global, ui, |_| Ok(()))
}

/// Loads an instance; every mistake in it is named.
pub(crate) fn load_instance(reference: &str) -> Result<Instance, Failure> {
    Ok(instance::load(reference)?)
}

/// Writes the row of a run of a kind, with its name.
pub(crate) fn begin_run(
    store: &mut Store,
    run: RunId,
    [kind, name]: [&str; 2],
    instance: &Instance,
    options: &Options,
) -> Result<(), Failure> {
    Ok(store.begin_run(&NewRun {
        id: run,
        name,
        kind,
        instance: &instance.id,
        arm: &options.arm,
        model: &options.model,
        tests: options.tests.label(),
        orchestration: &orchestration_digest().to_string(),
        started_ms: Host::now_us() / 1000,
    })?)
}

/// One run to be recorded.
pub(crate) struct Job<'a> {
    pub(crate) run: RunId,
    pub(crate) instance: &'a Instance,
    pub(crate) options: &'a Options,
    /// Whether part of it is recorded already.
    pub(crate) resumed: bool,
}

/// Sets everything up, and only then writes to the store: a mistake on the way leaves no run behind.
fn live(
    args: &SolveArgs,
    job: &Job<'_>,
    name: &ModelName,
    global: &Global,
    ui: &mut Ui,
    begin: impl FnOnce(&mut Store) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    // A key that is refused should be so before the work.
    let key = args.key.as_deref().map(|path| read_secret(path, None)).transpose()?;
    let mut models = vec![open_model(name, &args.models)?];
    if let Some(fallback) = &job.options.fallback {
        let given = args.course.fallback.as_deref();
        let name = recorded_or_same(given, args.fallback_named, &fallback.model, "--fallback")?;
        models.push(open_model(&name, &args.models.for_fallback())?);
    }
    let folder = scratch(&global.store, job.run);
    let _claim = Claim::take(&folder, &format!("the run {}", job.run))?;
    let mut workbench = Workbench::set_up(job.instance, &args.workbench, &folder, ui)?;
    tell_of_included(job.instance, ui);
    let result = in_store(&global.store, |store| {
        begin(store)?;
        if job.resumed {
            tell_of_recorded_calls(store, job.run, &mut models)?;
        }
        let (id, label) = (short(store, job.run), job.options.tests.label());
        ui.say(format_args!("run {id}  {}  {}  {label}", job.instance.id, job.options.model));
        interrupt::watch(folder, Some(format!("runproof solve --resume {}", job.run)))?;
        let recorded = record(job, workbench.live(models), store, ui);
        interrupt::done();
        let (outcome, roots) = recorded?;
        let reports = files::write(&args.results, job, &outcome, &roots)?;
        if let Some(key) = key.as_ref().filter(|_| outcome.kind == OutcomeKind::Resolved) {
            let row = find_run(store, &job.run.to_string())?;
            let path = reports.report.with_file_name("certificate.dsse.json");
            certify::write(&certify::issue(store, &row, key)?, key, &path, true)?;
            ui.say(format_args!("certificate: {}", path.display()));
        }
        report(args, job, store, &outcome, &roots, &reports, ui)
    });
    workbench.tear_down(ui);
    result
}

/// Says what the tests see beside the tree: it is no part of what is recorded but by its digest.
fn tell_of_included(instance: &Instance, ui: &Ui) {
    if !instance.included.is_empty() {
        let folders: Vec<&str> = instance.included.keys().map(String::as_str).collect();
        ui.say(format_args!("beside the tree, recorded by digest: {}", folders.join(", ")));
    }
}

/// Tells the models of the calls that the recording answers, so that a script goes on behind them.
pub(crate) fn tell_of_recorded_calls(store: &Store, run: RunId, models: &mut [Box<dyn Model>]) -> Result<(), Failure> {
    for event in store.events(run)?.iter().filter(|event| event.kind == Kind::ModelCall.name()) {
        let bytes = store.body(run, event.seq, "request")?;
        let request = Request::from_bytes(&bytes).map_err(|error| Failure::new(FailureKind::Malformed, error))?;
        models.iter_mut().for_each(|model| model.passed(&request));
    }
    Ok(())
}

/// Opens the store for recording and closes it whatever happened; what happened comes first.
fn in_store(path: &Path, work: impl FnOnce(&mut Store) -> Result<Exit, Failure>) -> Result<Exit, Failure> {
    let mut store = Store::open(path, Access::Create, Durability::Full)?;
    let result = work(&mut store);
    let closed = store.close().map_err(Failure::from);
    let exit = result?;
    closed.map(|()| exit)
}

/// Records one run to its end and closes its row.
pub(crate) fn record(
    job: &Job<'_>,
    live: crate::solve::Live<'_>,
    store: &mut Store,
    ui: &mut Ui,
) -> Result<(Outcome, Roots), Failure> {
    let mut watcher = Watcher::new(&job.instance.id, ui);
    let recorded = record_watched(job, live, store, &mut |step| watcher.step(step), &mut Conduct::default());
    watcher.finish();
    recorded.map_err(|failure| {
        let hint = failure.hint.clone().map(|hint| hint + "; ").unwrap_or_default();
        failure.hint(format!("{hint}then go on with `runproof solve --resume {}`", job.run))
    })
}

/// As [`record`], with the steps told to somebody else.
pub(crate) fn record_watched(
    job: &Job<'_>,
    live: crate::solve::Live<'_>,
    store: &mut Store,
    watch: &mut dyn FnMut(Step),
    conduct: &mut Conduct<'_>,
) -> Result<(Outcome, Roots), Failure> {
    let inner = match job.resumed {
        true => Recorder::resume(store, job.run, Host::clock(), conduct.retries)?,
        false => Recorder::new(store, job.run, Host::clock(), conduct.retries),
    };
    let mut recorder = Conducted { inner, conduct };
    let result = solve::run(&mut recorder, job.instance, job.options, Some(live), watch);
    let roots = recorder.inner.roots().clone();
    match result {
        Ok(outcome) => {
            // A run that was killed between its last event and here has its rows already.
            let written = store.attempts(job.run)?.len();
            for attempt in outcome.attempts.iter().skip(written) {
                let codes = serde_json::to_string(&attempt.codes).unwrap_or_default();
                let word = if attempt.green { "green" } else { "red" };
                store.record_attempt(job.run, &NewAttempt { number: attempt.number, outcome: word, codes: &codes })?;
            }
            end(store, job, RunStatus::Finished, outcome.kind.word(), &roots, outcome.attempts.len())?;
            Ok((outcome, roots))
        }
        Err(error) => {
            // The store itself may be what failed; then the row stays open, and the run can be resumed.
            let is_stored = !matches!(error, TranscriptError::Store(_));
            let failure = transcript_failure(error);
            if is_stored {
                let (status, word) = match conduct.is_over {
                    true => (RunStatus::Interrupted, "limit"),
                    false => (RunStatus::Failed, "environment"),
                };
                end(store, job, status, &ended_by(word, &failure.message), &roots, 0)?;
            }
            Err(failure)
        }
    }
}

fn end(
    store: &mut Store,
    job: &Job<'_>,
    status: RunStatus,
    outcome: &str,
    roots: &Roots,
    attempts: usize,
) -> Result<(), Failure> {
    Ok(store.finish_run(
        job.run,
        &RunEnd {
            status,
            outcome,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            raw_root: roots.raw(),
            canonical_root: roots.canonical(),
            finished_ms: Host::now_us() / 1000,
        },
    )?)
}

fn report(
    args: &SolveArgs,
    job: &Job<'_>,
    store: &Store,
    outcome: &Outcome,
    roots: &Roots,
    reports: &Reports,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    let exit = if outcome.kind == OutcomeKind::Resolved { Exit::Sound } else { Exit::Wanting };
    let patch = args.own.hand_over(job.instance, outcome, &reports.patch, ui)?;
    if args.json {
        ui.json(&files::outcome_json(job, outcome, roots))?;
        return Ok(exit);
    }
    let id = short(store, job.run);
    let tone = if exit == Exit::Sound { Tone::Good } else { Tone::Bad };
    let word = ui.tone(tone, outcome.kind.word());
    let reason = if outcome.reason.is_empty() { String::new() } else { format!(": {}", outcome.reason) };
    let label = job.options.tests.label();
    let attempts = match outcome.attempts.len() {
        1 => "1 attempt".to_owned(),
        count => format!("{count} attempts"),
    };
    ui.data(format_args!("{}  {word}{reason}  after {attempts}  ({label})", job.instance.id))?;
    if outcome.kind == OutcomeKind::Invalid {
        let shown = format_args!("`runproof show {id}` shows what the tests printed");
        ui.say(format_args!("{} {shown}", ui.tone(Tone::Strong, "hint:")));
    }
    if let Some(by) = outcome.solved_by(job.options).filter(|_| job.options.fallback.is_some()) {
        let which = if by.fallback { "the fallback model" } else { "the first model" };
        ui.data(format_args!("  solved by       {which} {}, attempt {}", by.model, by.attempt))?;
    }
    ui.data(format_args!("  run             {id}  (`runproof replay {id}`, `runproof show {id}`)"))?;
    ui.data(format_args!("  canonical root  {}", roots.canonical()))?;
    if !outcome.patch.is_empty() {
        ui.data(format_args!("  patch           {patch}"))?;
    }
    ui.data(format_args!("  report          {}", reports.report.display()))?;
    ui.data(format_args!("  predictions     {}", reports.predictions.display()))?;
    Ok(exit)
}
