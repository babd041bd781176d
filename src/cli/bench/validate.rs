//! `bench validate`: whether each instance is red before its known fix and green after it, here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::campaign::{VALIDATION, validated, validation_id};
use crate::canon::{Blake3, RunId};
use crate::cli::args::Global;
use crate::cli::claim::Claim;
use crate::cli::conduct::{Conduct, Conducted};
use crate::cli::progress::duration;
use crate::cli::replay::{scratch, transcript_failure};
use crate::cli::solve::begin_run;
use crate::cli::ui::printable_line;
use crate::cli::workbench::{Workbench, WorkbenchArgs};
use crate::cli::{Exit, Failure, Host, Ui, crew, interrupt};
use crate::instance::{self, Instance, Repository};
use crate::solve::{self, Options, TestsMode, Validation};
use crate::store::{Access, Durability, RunEnd, RunStatus, Store, ended_by};
use crate::transcript::{Recorder, TranscriptError};
use crate::workspace;

/// Checks each instance by its known fix: its tests must be red before it and green after it.
///
/// What is not is `environment-invalid`: listed with the reason, and counted apart by `bench` and `report`, which show
/// both denominators. What was found valid is not checked again; what was cut off or invalid is. Exit code 1: at least
/// one is invalid; 4: the environment did not let some be checked.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// Instances: FILE.jsonl, a folder of task folders, or a task folder.
    instances: PathBuf,
    /// Instances at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: u32,
    /// Checks those again that were found valid.
    #[arg(long)]
    again: bool,
    /// How often the tests run before the fix.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    red_runs: u32,
    /// Limit of one test run in seconds, where the instance names none.
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800)]
    timeout: u32,
    #[command(flatten)]
    workbench: WorkbenchArgs,
    /// Prints one JSON object per instance, and one with the sums.
    #[arg(long)]
    json: bool,
}

/// What was found of one instance.
#[derive(Debug, Clone, Serialize)]
struct Found {
    instance: String,
    repository: String,
    /// `valid`, `environment-invalid` or `environment-error`.
    outcome: &'static str,
    reason: String,
    /// Whether an earlier check said so.
    known: bool,
    milliseconds: u64,
}

/// What was found of the instances of one repository.
#[derive(Debug, Clone, Default, Serialize)]
struct Sums {
    instances: u32,
    valid: u32,
    environment_invalid: u32,
    environment_errors: u32,
    milliseconds: u64,
}

pub(super) fn validate(args: &ValidateArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let instances = instance::load_all(&args.instances)?;
    // The store must be there before several begin to write to it.
    Store::open(&global.store, Access::Create, Durability::Full)?.close()?;
    let folder = scratch(&global.store, VALIDATION);
    let _claim = Claim::take(&folder, "a check of instances")?;
    interrupt::watch(folder.clone(), Some("runproof bench validate … again".into()))?;
    let all = Mutex::new(Vec::<Found>::new());
    let (spinner, silent, began) = (ui.spinner(), ui.silenced(), Host::now_us());
    let checked = crew::each(&instances, args.jobs as usize, |instance| {
        let found = check(args, instance, &global.store, &folder, &silent)?;
        interrupt::hold();
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(found.clone());
        let line = format!("{}/{}  {}", all.len(), instances.len(), line(&found));
        spinner.suspend(|| ui.say(line));
        let seconds = Host::now_us().saturating_sub(began) / 1_000_000;
        let left = seconds * (instances.len() - all.len()) as u64 / all.len() as u64;
        spinner.set_message(format!("{} of {}  {} left", all.len(), instances.len(), duration(left)));
        Ok(())
    });
    spinner.finish_and_clear();
    interrupt::done();
    std::fs::remove_dir_all(&folder).ok();
    checked?;
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.sort_by(|one, other| one.instance.cmp(&other.instance));
    tell(args, &all, ui)
}

fn line(found: &Found) -> String {
    let reason = if found.reason.is_empty() { String::new() } else { format!(": {}", printable_line(&found.reason)) };
    let time = match found.known {
        true => "found before".to_owned(),
        false => format!("{:.1} s", found.milliseconds as f64 / 1000.0),
    };
    format!("{}  {}{reason}  {time}", printable_line(&found.instance), found.outcome)
}

/// Checks one instance, unless it is known to be valid. Only a store that cannot be written is an error.
fn check(args: &ValidateArgs, instance: &Instance, path: &Path, folder: &Path, ui: &Ui) -> Result<Found, Failure> {
    let pinned = args.workbench.images.pin(instance, ui);
    let instance = pinned.as_ref().unwrap_or(instance);
    let mut store = Store::open(path, Access::Create, Durability::Full)?;
    let digest = Blake3::of(&instance.to_bytes());
    let was = validated(&store, &digest)?;
    let repository = match &instance.repository {
        Repository::Named(name) => name.clone(),
        _ => "(task folders)".to_owned(),
    };
    let mut found = Found {
        instance: instance.id.clone(),
        repository,
        outcome: "valid",
        reason: String::new(),
        known: true,
        milliseconds: 0,
    };
    if was.valid == Some(true) && !args.again {
        store.close()?;
        return Ok(found);
    }
    found.known = false;
    let began = Host::now_us();
    let mut run = validation_id(&digest, was.next);
    if is_begun_otherwise(&store, run, &options(args))? {
        run = validation_id(&digest, was.next + 1);
    }
    let (outcome, reason) = match record(args, instance, &mut store, run, folder, ui)? {
        Ok(validation) => (validation.word(), validation.reason),
        Err(failure) => ("environment-error", failure.message),
    };
    if outcome == "environment-error" {
        workspace::ensure_room(folder.parent().unwrap_or(folder))?;
    }
    (found.outcome, found.reason) = (outcome, reason);
    found.milliseconds = Host::now_us().saturating_sub(began) / 1000;
    store.close()?;
    Ok(found)
}

/// Says whether a check was cut off that had other options: it cannot go on with these.
fn is_begun_otherwise(store: &Store, run: RunId, options: &Options) -> Result<bool, Failure> {
    let events = if store.run(run)?.is_some() { store.events(run)? } else { Vec::new() };
    let recorded = events.first().map(|first| Options::from_header(&first.data));
    Ok(recorded.is_some_and(|recorded| recorded.is_ok_and(|recorded| recorded != *options)))
}

/// Records the check of one instance; the inner failure is the environment's, the outer one the store's.
fn record(
    args: &ValidateArgs,
    instance: &Instance,
    store: &mut Store,
    run: RunId,
    folder: &Path,
    ui: &Ui,
) -> Result<Result<Validation, Failure>, Failure> {
    let options = options(args);
    if store.run(run)?.is_none() {
        begin_run(store, run, [VALIDATION, &format!("validate/{}", instance.id)], instance, &options)?;
    }
    let mut conduct = Conduct::default();
    let inner = Recorder::resume(store, run, Host::clock(), conduct.retries)?;
    let mut recorder = Conducted { inner, conduct: &mut conduct };
    let folder = folder.join(run.to_string());
    let result = match Workbench::set_up(instance, &args.workbench, &folder, ui) {
        Ok(mut bench) => {
            let live = bench.live(Vec::new());
            let result = solve::validate(&mut recorder, instance, &options, Some(live), &mut |_| {});
            bench.tear_down(ui);
            match result {
                // Nothing could be written down of it, nor of any other.
                Err(TranscriptError::Store(error)) => return Err(error.into()),
                result => result.map_err(transcript_failure),
            }
        }
        Err(failure) => Err(failure),
    };
    let roots = recorder.inner.roots().clone();
    let (status, outcome) = match &result {
        Ok(validation) => (RunStatus::Finished, validation.word().to_owned()),
        Err(failure) => (RunStatus::Failed, ended_by("environment", &failure.message)),
    };
    let end = RunEnd {
        status,
        outcome: &outcome,
        attempts: 0,
        raw_root: roots.raw(),
        canonical_root: roots.canonical(),
        finished_ms: Host::now_us() / 1000,
    };
    interrupt::hold();
    store.finish_run(run, &end)?;
    Ok(result)
}

/// Returns the options of a check: the hidden tests are visible, and there is no model.
fn options(args: &ValidateArgs) -> Options {
    Options {
        arm: "known-fix".into(),
        model: String::new(),
        fallback: None,
        format: crate::edit::Format::default(),
        listing: crate::prompt::Listing::default(),
        skills_room: 0,
        skills: Vec::new(),
        skill_texts: Vec::new(),
        tests: TestsMode::Oracle,
        attempts: 0,
        seed: 0,
        context_tokens: 0,
        reply_tokens: 0,
        constrained: false,
        red_runs: args.red_runs,
        timeout_seconds: args.timeout,
        spending: None,
    }
}

fn tell(args: &ValidateArgs, all: &[Found], ui: &mut Ui) -> Result<Exit, Failure> {
    let mut repositories = BTreeMap::<&str, Sums>::new();
    for found in all {
        let sums = repositories.entry(&found.repository).or_default();
        sums.instances += 1;
        sums.milliseconds += found.milliseconds;
        match found.outcome {
            "valid" => sums.valid += 1,
            "environment-invalid" => sums.environment_invalid += 1,
            _ => sums.environment_errors += 1,
        }
    }
    if args.json {
        all.iter().try_for_each(|found| ui.json(found))?;
        ui.json(&json!({"repositories": repositories}))?;
    } else {
        for (repository, sums) in &repositories {
            let seconds = sums.milliseconds as f64 / 1000.0;
            ui.data(format_args!(
                "{repository:<24} instances {:>3}, valid {:>3}, environment-invalid {}, environment errors {}, {seconds:.1} s",
                sums.instances, sums.valid, sums.environment_invalid, sums.environment_errors,
            ))?;
        }
        for found in all.iter().filter(|found| found.outcome != "valid") {
            ui.data(line(found))?;
        }
        let valid: u32 = repositories.values().map(|sums| sums.valid).sum();
        ui.data(format_args!("{valid} of {} are red before their known fix and green after it", all.len()))?;
    }
    let outcomes: BTreeSet<&str> = all.iter().map(|found| found.outcome).collect();
    Ok(match () {
        () if outcomes.contains("environment-error") => Exit::Environment,
        () if outcomes.contains("environment-invalid") => Exit::Wanting,
        () => Exit::Sound,
    })
}
