//! `bench`: performs a campaign, each run as `solve` does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Args;
use serde_json::json;

use crate::campaign::{ArmSummary, KIND, Member, Plan, PlanError, Shard, ShardError, Summary};
use crate::canon::RunId;
use crate::instance::{self, Instance};
use crate::rung::Profile;
use crate::solve::{Arm, Options, orchestration_digest};
use crate::statistics::{percent, wilson};
use crate::store::{Access, Durability, NewRun, RunEnd, RunRow, RunStatus, Store};
use crate::transcript::{Kind, Recorder, Retries, Transcript as _};

use super::args::Global;
use super::arms::ArmParser;
use super::check::read_profile;
use super::course::CourseArgs;
use super::interrupt;
use super::models::{ModelArgs, open_model, parse};
use super::replay::{scratch, transcript_failure};
use super::runs::short;
use super::solve::{Job, begin_run, record_watched, tell_of_recorded_calls};
use super::ui::printable_line;
use super::workbench::{Workbench, WorkbenchArgs};
use super::{Exit, Failure, FailureKind, Host, Ui};

/// Runs a campaign: instances × arms × seeds, each a run of `solve`.
///
/// Everything is recorded in one store, and `check NAME`, `certify NAME` take the campaign by its name. A run that fails
/// never stops the others. Exit code 0: every run came to its end, whatever the outcome; 4: the environment did not let
/// some of them.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Instances: FILE.jsonl, a folder of task folders, or a task folder.
    instances: PathBuf,
    /// The arms to compare.
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', value_parser = ArmParser, default_values = ["patch", "direct-1", "direct-6"])]
    arms: Vec<Arm>,
    /// Seeds; each instance is run with each of them.
    #[arg(long, value_name = "S,T,…", value_delimiter = ',', default_values_t = [42, 137, 9001])]
    seeds: Vec<u32>,
    /// Runs at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: u32,
    /// The part of the instances to work on: I/N, counted from 1; or N, with the part from SLURM_ARRAY_TASK_ID or
    /// JOB_COMPLETION_INDEX. In a Slurm array N is known too.
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,
    /// Goes on with the campaign of this name: redoes what was cut off or failed by its environment, keeps the rest.
    #[arg(long)]
    resume: bool,
    /// Name of the campaign. [default: that of INSTANCES]
    #[arg(long)]
    name: Option<String>,
    /// Thresholds that the campaign is meant for, a file or `swe-bench-lite`; `check` and `certify` hold it against them.
    #[arg(long, value_name = "FILE|NAME")]
    profile: Option<PathBuf>,
    #[command(flatten)]
    models: ModelArgs,
    #[command(flatten)]
    course: CourseArgs,
    #[command(flatten)]
    workbench: WorkbenchArgs,
    /// Prints the summary as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn bench(args: &BenchArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let instances = instance::load_all(&args.instances)?;
    let shard = shard(args.shard.as_deref())?;
    let profile = args.profile.as_deref().map(read_profile).transpose()?.unwrap_or_default();
    let plan = plan(args, &instances, &profile)?;
    begin(args, &plan, &profile, &global.store)?;
    let folder = scratch(&global.store, plan.id());
    interrupt::watch(folder.clone(), Some("runproof bench … --resume".into()))?;
    let bench = Bench {
        args,
        plan: &plan,
        instances: instances.iter().map(|instance| (instance.id.as_str(), instance)).collect(),
        store: &global.store,
        folder: &folder,
        ui: &ui.silenced(),
    };
    let errors = bench.perform(shard, ui)?;
    interrupt::done();
    std::fs::remove_dir_all(&folder).ok();
    let store = Store::open(&global.store, Access::Read, Durability::Full)?;
    let summary = Summary::of(&plan, &store.runs()?, &errors);
    tell(args, &plan, &store, &summary, ui)?;
    Ok(if errors.is_empty() { Exit::Sound } else { Exit::Environment })
}

/// Finds out which part is meant.
fn shard(text: Option<&str>) -> Result<Shard, Failure> {
    let usage = |error: ShardError| {
        let failure = Failure::new(FailureKind::Usage, error);
        failure.hint("write --shard 1/3, or --shard 3 in a job that has SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX")
    };
    let number = |name: &str| Host::variable(name).and_then(|text| text.parse::<u32>().ok());
    let slurm = || {
        let first = number("SLURM_ARRAY_TASK_MIN").unwrap_or_default();
        number("SLURM_ARRAY_TASK_ID").map(|index| index.saturating_sub(first))
    };
    match text {
        Some(text) => match text.parse::<u32>() {
            Ok(of) => match slurm().or_else(|| number("JOB_COMPLETION_INDEX")) {
                Some(index) => Shard::new(index, of).map_err(usage),
                None => Shard::from_text(text).map_err(usage),
            },
            Err(_) => Shard::from_text(text).map_err(usage),
        },
        None => match slurm().zip(number("SLURM_ARRAY_TASK_COUNT")) {
            Some((index, of)) => Shard::new(index, of).map_err(usage),
            None => Ok(Shard::WHOLE),
        },
    }
}

/// Returns everything that the campaign's course depends on.
fn plan(args: &BenchArgs, instances: &[Instance], profile: &Profile) -> Result<Plan, Failure> {
    let model = args.models.name()?;
    let seed = args.seeds.first().copied().unwrap_or_default();
    let arms = args.arms.iter().map(|arm| args.course.of_arm(*arm).options(Some(*arm), None, seed, &model));
    let arms = arms.collect::<Result<Vec<Options>, Failure>>()?;
    let stem = || args.instances.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = args.name.clone().or_else(stem).unwrap_or_else(|| KIND.to_owned());
    let profile = profile.digest().map_err(|error| Failure::new(FailureKind::Malformed, error))?;
    Plan::new(name, instances, arms, args.seeds.clone(), profile).map_err(|error| {
        let hint = "name at least one instance, arm and seed, each once";
        Failure::new(FailureKind::Usage, error).hint(hint)
    })
}

/// Records the plan, or makes sure that the recorded one is the same.
fn begin(args: &BenchArgs, plan: &Plan, profile: &Profile, path: &Path) -> Result<(), Failure> {
    let mut store = Store::open(path, Access::Create, Durability::Full)?;
    let rows = store.runs()?;
    let (id, name) = (plan.id(), printable_line(&plan.name));
    let usage = |text: String, hint: &str| Err(Failure::new(FailureKind::Usage, text).hint(hint));
    match rows.iter().rfind(|row| row.kind == KIND && (row.name == plan.name || row.id == id) && row.events > 0) {
        Some(row) if !args.resume => {
            return usage(
                format!("the store holds the campaign {name} ({}) already", row.id),
                "go on with it with --resume, or give this one another --name",
            );
        }
        Some(row) if row.id != id => {
            let (recorded, _) = recorded(&store, row)?;
            let lines = recorded.differences(plan).join("\n  ");
            return usage(
                format!("the campaign {name} was begun otherwise:\n  {lines}"),
                "name what is recorded, or begin a campaign of its own with --name",
            );
        }
        Some(row) if row.status == RunStatus::Finished => return store.close().map_err(Into::into),
        None if args.resume => {
            return usage(format!("the store holds no campaign {name}"), "begin it without --resume");
        }
        _ => {}
    }
    if !rows.iter().any(|row| row.id == id) {
        store.begin_run(&NewRun {
            id,
            name: &plan.name,
            kind: KIND,
            instance: "",
            arm: "",
            model: &args.models.name()?.portable(),
            tests: plan.arms.values().next().map_or("", |options| options.tests.label()),
            orchestration: &orchestration_digest().to_string(),
            started_ms: Host::now_us() / 1000,
        })?;
    }
    let bytes = profile.to_bytes().map_err(|error| Failure::new(FailureKind::Malformed, error))?;
    let mut recorder = Recorder::resume(&mut store, id, Host::clock(), Retries::default())?;
    recorder.note(Kind::Run, &plan.data(), &[("profile", &bytes)]).map_err(transcript_failure)?;
    let roots = recorder.roots().clone();
    store.finish_run(
        id,
        &RunEnd {
            status: RunStatus::Finished,
            outcome: "planned",
            attempts: 0,
            raw_root: roots.raw(),
            canonical_root: roots.canonical(),
            finished_ms: Host::now_us() / 1000,
        },
    )?;
    Ok(store.close()?)
}

/// Reads the plan of a campaign in a store, and the thresholds that it is meant for.
pub(crate) fn recorded(store: &Store, row: &RunRow) -> Result<(Plan, Profile), Failure> {
    let malformed = |error: String| Failure::new(FailureKind::Malformed, format!("campaign {}: {error}", row.id));
    let events = store.events(row.id)?;
    let first = events.first().ok_or_else(|| malformed("its plan is not recorded".into()))?;
    let plan = Plan::from_bytes(&first.data).map_err(|error: PlanError| malformed(error.to_string()))?;
    let bytes = store.body(row.id, first.seq, "profile")?;
    let text = std::str::from_utf8(&bytes).map_err(|error| malformed(error.to_string()))?;
    let profile = Profile::from_text(text).map_err(|error| malformed(error.to_string()))?;
    Ok((plan, profile))
}

/// Returns the runs of a campaign that came to their end; says how many did not.
pub(crate) fn finished(store: &Store, row: &RunRow, ui: &Ui) -> Result<(Vec<RunRow>, Profile), Failure> {
    let (plan, profile) = recorded(store, row)?;
    let wanted: BTreeSet<RunId> = plan.members().into_iter().map(|member| member.run).collect();
    let rows = store.runs()?.into_iter();
    let rows: Vec<RunRow> = rows.filter(|row| row.status == RunStatus::Finished && wanted.contains(&row.id)).collect();
    if rows.is_empty() {
        let failure = Failure::new(FailureKind::Below, "no run of the campaign has come to its end");
        return Err(failure.hint("go on with it: `runproof bench INSTANCES --resume`"));
    }
    if rows.len() < wanted.len() {
        ui.warn(format_args!("{} of {} runs of the campaign have not ended", wanted.len() - rows.len(), wanted.len()));
    }
    Ok((rows, profile))
}

/// A campaign at work.
struct Bench<'a> {
    args: &'a BenchArgs,
    plan: &'a Plan,
    instances: BTreeMap<&'a str, &'a Instance>,
    store: &'a Path,
    folder: &'a Path,
    /// For the single runs, which say nothing.
    ui: &'a Ui,
}

impl Bench<'_> {
    /// Performs the runs of a part that are not there yet; returns those that the environment did not let end.
    fn perform(&self, shard: Shard, ui: &Ui) -> Result<BTreeSet<RunId>, Failure> {
        let store = Store::open(self.store, Access::Read, Durability::Full)?;
        let ended: BTreeSet<RunId> =
            store.runs()?.iter().filter(|row| row.status == RunStatus::Finished).map(|row| row.id).collect();
        drop(store);
        let places: BTreeMap<&String, usize> = self.plan.instances.keys().zip(0..).collect();
        let mut open = self.plan.members();
        open.retain(|member| shard.holds(places[&member.instance]) && !ended.contains(&member.run));
        let (next, counts) = (AtomicUsize::new(0), Mutex::new(Counts::default()));
        let spinner = ui.spinner();
        std::thread::scope(|scope| {
            for _ in 0..(self.args.jobs as usize).min(open.len()) {
                scope.spawn(|| {
                    while let Some(member) = open.get(next.fetch_add(1, Ordering::SeqCst)) {
                        let result = self.run(member);
                        // A signal can look like a failure of whatever it reached first.
                        interrupt::hold();
                        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                        let line = counts.add(member, &result);
                        spinner.suspend(|| ui.say(format_args!("{}/{}  {line}", counts.done, open.len())));
                        spinner.set_message(counts.text(open.len()));
                    }
                });
            }
        });
        spinner.finish_and_clear();
        Ok(counts.into_inner().unwrap_or_else(PoisonError::into_inner).errors)
    }

    /// Performs one run; returns the word for its outcome and its attempts.
    fn run(&self, member: &Member) -> Result<(&'static str, usize), Failure> {
        let instance = self.instances[member.instance.as_str()];
        let options = self.options(member)?;
        let mut models = vec![open_model(&self.args.models.name()?, &self.args.models)?];
        if options.fallback.is_some() {
            let name = parse(self.args.course.fallback.as_deref().unwrap_or_default())?;
            models.push(open_model(&name, &self.args.models.for_fallback())?);
        }
        let folder = self.folder.join(member.run.to_string());
        let mut workbench = Workbench::set_up(instance, &self.args.workbench, &folder, self.ui)?;
        let result = (|| {
            let mut store = Store::open(self.store, Access::Create, Durability::Full)?;
            let resumed = store.runs()?.iter().any(|row| row.id == member.run);
            if resumed {
                tell_of_recorded_calls(&store, member.run, &mut models)?;
            } else {
                let name = format!("{}/{}/{}/{}", self.plan.name, member.instance, member.arm, member.seed);
                begin_run(&mut store, member.run, &name, instance, &options)?;
            }
            let job = Job { run: member.run, instance, options: &options, resumed };
            let recorded = record_watched(&job, workbench.live(models), &mut store, &mut |_| {});
            let closed = store.close();
            let (outcome, _) = recorded?;
            closed?;
            Ok((outcome.kind.word(), outcome.attempts.len()))
        })();
        workbench.tear_down(self.ui);
        result
    }

    fn options(&self, member: &Member) -> Result<Options, Failure> {
        let missing = || Failure::new(FailureKind::Usage, format!("the campaign has no arm {}", member.arm));
        let options = self.plan.arms.get(&member.arm).ok_or_else(missing)?;
        Ok(Options { seed: member.seed, ..options.clone() })
    }
}

/// What this process has seen of the campaign so far.
#[derive(Default)]
struct Counts {
    done: usize,
    errors: BTreeSet<RunId>,
    /// By arm: ended, resolved, environment errors.
    arms: BTreeMap<String, [usize; 3]>,
}

impl Counts {
    /// Counts a run and returns the line about it.
    fn add(&mut self, member: &Member, result: &Result<(&'static str, usize), Failure>) -> String {
        self.done += 1;
        let [ended, resolved, errors] = self.arms.entry(member.arm.clone()).or_default();
        let place = format!("{}  {}  seed {}", printable_line(&member.instance), member.arm, member.seed);
        match result {
            Ok((word, attempts)) => {
                *ended += 1;
                *resolved += usize::from(*word == "resolved");
                format!("{place}  {word}  attempts: {attempts}")
            }
            Err(failure) => {
                *errors += 1;
                self.errors.insert(member.run);
                format!("{place}  environment error: {}", printable_line(&failure.message))
            }
        }
    }

    /// Returns the line that changes on a terminal.
    fn text(&self, of: usize) -> String {
        let arm = |(arm, [ended, resolved, errors]): (&String, &[usize; 3])| {
            format!("{arm}: {ended} done, {resolved} resolved, {} failed, {errors} errors", ended - resolved)
        };
        let arms: Vec<String> = self.arms.iter().map(arm).collect();
        format!("{} of {of}  {}", self.done, arms.join(" · "))
    }
}

/// Says what came of the campaign.
fn tell(args: &BenchArgs, plan: &Plan, store: &Store, summary: &Summary, ui: &mut Ui) -> Result<(), Failure> {
    let tests = plan.arms.values().next().map_or("", |options| options.tests.label());
    let id = short(store, plan.id());
    if args.json {
        return ui.json(&json!({
            "campaign": plan.id().to_string(), "name": plan.name, "tests": tests, "instances": plan.instances.len(),
            "arms": summary.arms, "canonical_root": summary.root,
        }));
    }
    let (name, count) = (printable_line(&plan.name), plan.instances.len());
    ui.data(format_args!("campaign {id}  {name}  instances: {count}  {tests}"))?;
    for arm in &summary.arms {
        let (low, high) = wilson(arm.resolved, arm.of);
        let at: Vec<String> = arm.resolved_at.iter().map(|(attempt, runs)| format!("{attempt}: {runs}")).collect();
        let at = if at.is_empty() { String::new() } else { format!("  by attempt {}", at.join(", ")) };
        let ArmSummary { resolved, of, failed, environment_errors: errors, open, .. } = arm;
        ui.data(format_args!(
            "  {:<16} seed {:<6} {resolved} of {of} resolved (95 %: {} to {}), failed {failed}, environment errors {errors}, not run {open}{at}",
            arm.arm, arm.seed, percent(low), percent(high),
        ))?;
    }
    ui.data(format_args!("  canonical root   {}", summary.root))
}
