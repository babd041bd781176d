//! `bench`: performs a campaign, each run as `solve` does.

mod hand_over;
mod limits;
mod part;
mod patient;
mod perform;
mod plan;
mod progress;
mod validate;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::campaign::{Plan, Summary};
use crate::instance;
use crate::report::brief;
use crate::solve::Arm;
use crate::store::{Access, Durability, Store};

use super::args::Global;
use super::arms::ArmParser;
use super::check::read_profile;
use super::claim::Claim;
use super::course::CourseArgs;
use super::files::make;
use super::interrupt;
use super::keyfile::read_secret;
use super::models::ModelArgs;
use super::replay::scratch;
use super::report::{gather, of_plan};
use super::runs::short;
use super::ui::{Tone, printable_line};
use super::workbench::WorkbenchArgs;
use super::{Exit, Failure, Host, Ui};
use perform::{Bench, Done};
pub(crate) use plan::{Finished, finished, recorded};

/// Where the certificates of a campaign go, each in a folder of its name.
const CERTIFICATES: &str = ".runproof/certificates";

/// Runs a campaign: instances × arms × seeds, each a run of `solve`.
///
/// Everything is recorded in one store, and `check NAME`, `certify NAME` take the campaign by its name. A run that fails
/// never stops the others. Exit code 0: every run came to its end, whatever the outcome; 4: the environment did not let
/// some of them; 5: a limit of time, or one of all runs together, cut some off or kept
/// them from beginning.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    verb: Option<BenchVerb>,
    /// Instances: FILE.jsonl, a folder of task folders, or a task folder.
    #[arg(required = true)]
    instances: Option<PathBuf>,
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
    /// Seconds to wait for a model's server that does not answer, before the run counts as failed by its environment.
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    patience: u32,
    #[command(flatten)]
    limits: limits::LimitArgs,
    #[command(flatten)]
    models: ModelArgs,
    #[command(flatten)]
    course: CourseArgs,
    #[command(flatten)]
    workbench: WorkbenchArgs,
    /// Folder for predictions and reports in the form of the SWE-bench harness, by arm and seed.
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Signs a certificate of each resolved run and of the campaign with this private key.
    #[arg(long, value_name = "KEY")]
    key: Option<PathBuf>,
    /// Folder for the certificates. [default: .runproof/certificates/NAME]
    #[arg(long, value_name = "DIR", requires = "key")]
    certificates: Option<PathBuf>,
    /// Prints the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// What `bench` does beside running a campaign.
#[derive(Debug, Subcommand)]
enum BenchVerb {
    /// Checks each instance by its known fix: its tests must be red before it and green after it.
    Validate(validate::ValidateArgs),
}

pub(crate) fn bench(args: &BenchArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    match &args.verb {
        Some(BenchVerb::Validate(args)) => validate::validate(args, global, ui),
        None => campaign(args, global, ui),
    }
}

fn campaign(args: &BenchArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let instances = instance::load_all(args.instances.as_deref().unwrap_or(Path::new("")))?;
    let shard = part::part(args.shard.as_deref())?;
    // A key that is refused should be so before the work.
    let key = args.key.as_deref().map(|path| read_secret(path, None)).transpose()?;
    let profile = args.profile.as_deref().map(read_profile).transpose()?.unwrap_or_default();
    let instances = plan::pin(args, instances, &global.store, ui)?;
    let plan = plan::plan(args, &instances, &profile)?;
    let certificates = args.certificates.clone().unwrap_or_else(|| PathBuf::from(CERTIFICATES).join(&plan.name));
    // So should a folder that cannot be there.
    args.results.iter().chain(key.is_some().then_some(&certificates)).try_for_each(|folder| make(folder))?;
    let folder = scratch(&global.store, plan.id());
    let _claim = Claim::take(&folder, &format!("the campaign {}", printable_line(&plan.name)))?;
    plan::begin(args, &plan, &profile, &global.store)?;
    interrupt::watch(folder.clone(), Some("runproof bench … --resume".into()))?;
    let bench = Bench {
        args,
        plan: &plan,
        instances: instances.iter().map(|instance| (instance.id.as_str(), instance)).collect(),
        store: &global.store,
        folder: &folder,
        ui: &ui.silenced(),
        is_down: AtomicBool::new(false),
        spent: Mutex::default(),
        began_us: Host::now_us(),
    };
    let done = bench.perform(shard, ui);
    interrupt::done();
    std::fs::remove_dir_all(&folder).ok();
    let Done { errors, hints, limit } = done?;
    let store = Store::open(&global.store, Access::Read, Durability::Full)?;
    let summary = Summary::of(&plan, &store, &errors)?;
    tell(args, &plan, &store, &summary, ui)?;
    if let Some(folder) = &args.results {
        hand_over::results(&plan, &store, &bench.instances, folder)?;
    }
    if let Some(key) = &key {
        hand_over::certificates(&plan, &profile, &store, key, &certificates, ui)?;
    }
    for hint in &hints {
        ui.say(format_args!("{} {hint}", ui.tone(Tone::Strong, "hint:")));
    }
    if let Some(limit) = &limit {
        ui.warn(format_args!("no further run was begun: {limit}"));
    }
    let is_cut_short = limit.is_some() || summary.arms.iter().any(|arm| arm.out_of_time > 0);
    Ok(match (errors.is_empty(), is_cut_short) {
        (false, _) => Exit::Environment,
        (true, true) => Exit::Below,
        (true, false) => Exit::Sound,
    })
}

/// Says what came of the campaign.
fn tell(args: &BenchArgs, plan: &Plan, store: &Store, summary: &Summary, ui: &mut Ui) -> Result<(), Failure> {
    let tests = plan.arms.values().next().map_or("", |options| options.tests.label());
    let id = short(store, plan.id());
    if args.json {
        return ui.json(&json!({
            "campaign": plan.id().to_string(), "name": plan.name, "tests": tests, "instances": plan.instances.len(),
            "arms": summary.arms, "environment_invalid": summary.environment_invalid, "canonical_root": summary.root,
        }));
    }
    let (name, count) = (printable_line(&plan.name), plan.instances.len());
    ui.data(format_args!("campaign {id}  {name}  instances: {count}  {tests}"))?;
    // A summary that cannot be made spoils no campaign.
    match of_plan(store, plan, &store.runs()?).and_then(|subject| gather(store, subject)) {
        Ok(report) => ui.bytes(brief(&report).as_bytes())?,
        Err(failure) => ui.warn(format_args!("no summary: {}", failure.message)),
    }
    ui.data(format_args!("canonical root {}", summary.root))
}
