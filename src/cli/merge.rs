//! `store merge`: the stores of a campaign's shards joined, and what they amount to together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::campaign::{KIND, Member};
use crate::canon::RunId;
use crate::store::{Access, Durability, Merged, RunRow, RunStatus, Store, StoreError};

use super::runs::prefix_length;
use super::store::advance;
use super::ui::{Unit, counted, printable_line};
use super::{Failure, Ui, bench};

/// Missing runs of a campaign that are named one by one.
const MOST_NAMED: usize = 8;

/// Files and options of `store merge`.
#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// The file to make; it must not be there yet.
    out: PathBuf,
    /// The stores to join. They are only read.
    #[arg(required = true, value_name = "STORE")]
    files: Vec<PathBuf>,
    /// Replaces a store at OUT, which may be one of those joined.
    #[arg(long)]
    force: bool,
}

/// A campaign of the new store.
struct Campaign<'a> {
    row: &'a RunRow,
    runs: usize,
    missing: Vec<Member>,
}

pub(crate) fn merge(args: &MergeArgs, as_json: bool, ui: &mut Ui) -> Result<(), Failure> {
    let bar = ui.bar("merge", 0, Unit::Items);
    let merged = Store::merge(&args.files, &args.out, args.force, &mut |done, total| advance(&bar, done, total));
    bar.finish_and_clear();
    let merged = merged.map_err(|error| {
        let is_there = matches!(&error, StoreError::Io { source, path }
            if *path == args.out && source.kind() == std::io::ErrorKind::AlreadyExists);
        let failure = Failure::from(error);
        if !is_there {
            return failure;
        }
        failure.hint("name a new file, or replace it with --force; `store import` adds runs to a store")
    })?;
    let store = Store::open(&args.out, Access::Foreign, Durability::Full)?;
    let campaigns = campaigns(&store, &merged.runs)?;
    let rules: BTreeSet<&str> = merged.runs.iter().map(|row| row.orchestration.as_str()).collect();
    if as_json {
        return ui.json(&as_value(args, &merged, &campaigns, &rules));
    }
    let length = prefix_length(&merged.runs);
    let short = |id: RunId| id.to_string()[..length].to_owned();
    let (out, runs) = (args.out.display(), counted(merged.runs.len(), "run"));
    let files = counted(args.files.len(), "store");
    ui.data(format_args!("{out}  {runs} of {files}"))?;
    for campaign in &campaigns {
        let (id, name) = (short(campaign.row.id), printable_line(&campaign.row.name));
        let ended = campaign.runs - campaign.missing.len();
        ui.data(format_args!("  campaign {id}  {name}  {ended} of {} have ended", counted(campaign.runs, "run")))?;
        for member in campaign.missing.iter().take(MOST_NAMED) {
            let (instance, arm) = (printable_line(&member.instance), printable_line(&member.arm));
            ui.data(format_args!("    missing: {instance}  {arm}  seed {}", member.seed))?;
        }
        if campaign.missing.len() > MOST_NAMED {
            ui.data(format_args!("    and {} more", campaign.missing.len() - MOST_NAMED))?;
        }
    }
    for twice in &merged.twice {
        let run = short(twice.run);
        let others = twice.others.len();
        ui.data(format_args!("  {run} was performed {} times; kept is raw root {}", others + 1, twice.kept))?;
    }
    for run in &merged.left_out {
        ui.data(format_args!("  {} is there cut off too; the fuller recording is kept", short(*run)))?;
    }
    tell(&campaigns, &rules, ui);
    Ok(())
}

/// Says what needs a person's attention.
fn tell(campaigns: &[Campaign<'_>], rules: &BTreeSet<&str>, ui: &Ui) {
    let mut names = BTreeMap::<&str, usize>::new();
    campaigns.iter().for_each(|campaign| *names.entry(&campaign.row.name).or_default() += 1);
    for (name, count) in names.into_iter().filter(|(_, count)| *count > 1) {
        ui.warn(format_args!(
            "{count} campaigns with different plans are named {}; name them by id",
            printable_line(name)
        ));
    }
    if campaigns.iter().any(|campaign| !campaign.missing.is_empty()) {
        ui.say("`runproof bench INSTANCES … --resume` with this store performs what is missing.");
    }
    if rules.len() > 1 {
        ui.warn(format_args!("the runs follow the rules of {} versions; each version replays its own", rules.len()));
    }
}

/// Finds the campaigns among the runs, and what each lacks.
fn campaigns<'a>(store: &Store, runs: &'a [RunRow]) -> Result<Vec<Campaign<'a>>, Failure> {
    let ended: BTreeSet<RunId> =
        runs.iter().filter(|row| row.status == RunStatus::Finished).map(|row| row.id).collect();
    let mut campaigns = Vec::new();
    for row in runs.iter().filter(|row| row.kind == KIND && row.events > 0) {
        // One that this version cannot read says so when it is checked.
        let Ok((plan, _)) = bench::recorded(store, row) else { continue };
        let mut missing = plan.members();
        let all = missing.len();
        missing.retain(|member| !ended.contains(&member.run));
        campaigns.push(Campaign { row, runs: all, missing });
    }
    Ok(campaigns)
}

fn as_value(args: &MergeArgs, merged: &Merged, campaigns: &[Campaign<'_>], rules: &BTreeSet<&str>) -> Value {
    let ids = |runs: &[RunId]| runs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let missing = |member: &Member| {
        json!({
            "run": member.run.to_string(), "instance": member.instance, "arm": member.arm, "seed": member.seed,
        })
    };
    let campaign = |campaign: &Campaign<'_>| {
        json!({
            "campaign": campaign.row.id.to_string(), "name": campaign.row.name, "runs": campaign.runs,
            "missing": campaign.missing.iter().map(missing).collect::<Vec<_>>(),
        })
    };
    let twice = merged
        .twice
        .iter()
        .map(|twice| json!({"run": twice.run.to_string(), "kept": twice.kept, "others": twice.others}));
    json!({
        "file": args.out, "bytes": merged.bytes, "runs": merged.runs.len(), "stores": args.files.len(),
        "campaigns": campaigns.iter().map(campaign).collect::<Vec<_>>(),
        "equal": ids(&merged.equal), "twice": twice.collect::<Vec<_>>(), "left_out": ids(&merged.left_out),
        "orchestrations": rules,
    })
}
