//! `store gc`: removes runs that nobody needs.

use std::collections::BTreeSet;

use clap::Args;
use indicatif::HumanBytes;
use serde_json::json;

use crate::campaign::{KIND, VALIDATION};
use crate::canon::RunId;
use crate::store::{RunRow, Store, Unneeded};

use super::args::Global;
use super::bench::recorded;
use super::runs::{find_run, open_store, prefix_length};
use super::store::advance;
use super::ui::{Unit, counted, printable_line};
use super::{Failure, FailureKind, Ui};

/// Options of `store gc`.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Removes these runs instead, finished ones too: ids, unique prefixes of one, or names.
    #[arg(long = "run", value_name = "A,B,…", value_delimiter = ',')]
    runs: Vec<String>,
    /// Removes all runs of these kinds instead, finished ones too: solve, record, reexecution, campaign.
    #[arg(long = "kind", value_name = "A,B,…", value_delimiter = ',')]
    kinds: Vec<String>,
    /// Says what would go, and changes nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Returns what nothing supersedes: the runs of all campaigns, which `bench --resume` goes on with whatever became of
/// another campaign's run of the same name, and checks of instances, each of which is found by way of the one before.
fn kept(store: &Store, rows: &[RunRow]) -> Result<BTreeSet<RunId>, Failure> {
    let checks = rows.iter().filter(|row| row.kind == VALIDATION).map(|row| row.id);
    let mut found: BTreeSet<RunId> = checks.collect();
    for row in rows.iter().filter(|row| row.kind == KIND && row.events > 0) {
        found.extend(recorded(store, row)?.0.members().into_iter().map(|member| member.run));
    }
    Ok(found)
}

pub(crate) fn gc(args: &GcArgs, as_json: bool, global: &Global, ui: &mut Ui) -> Result<(), Failure> {
    let store = open_store(&global.store)?;
    let rows = store.runs()?;
    let unneeded = if args.runs.is_empty() && args.kinds.is_empty() {
        Unneeded::Superseded(kept(&store, &rows)?)
    } else {
        let mut ids = Vec::new();
        for text in &args.runs {
            ids.push(find_run(&store, text)?.id);
        }
        for kind in &args.kinds {
            let before = ids.len();
            ids.extend(rows.iter().filter(|row| row.kind == *kind).map(|row| row.id));
            if ids.len() == before {
                let failure = Failure::new(FailureKind::Usage, format!("the store holds no run of kind {kind:?}"));
                return Err(failure.hint("`runproof log --json` names the kind of each run"));
            }
        }
        Unneeded::Runs(ids)
    };
    drop(store);
    let bar = ui.bar("gc", 0, Unit::Items);
    let done = Store::gc(&global.store, &unneeded, args.dry_run, &mut |done, total| advance(&bar, done, total));
    bar.finish_and_clear();
    let done = done?;
    if as_json {
        let ids: Vec<String> = done.runs.iter().map(|row| row.id.to_string()).collect();
        return ui.json(&json!({
            "runs": ids, "body_bytes": done.body_bytes, "before": done.before, "after": done.after, "dry_run": args.dry_run,
        }));
    }
    let length = prefix_length(&rows);
    for row in &done.runs {
        let (id, name) = (&row.id.to_string()[..length], printable_line(&row.name));
        ui.data(format_args!("{id}  {}  {}  {name}", row.status.as_str(), printable_line(&row.kind)))?;
    }
    let (runs, bodies) = (counted(done.runs.len(), "run"), HumanBytes(done.body_bytes));
    if args.dry_run {
        ui.say(format_args!("{runs} with {bodies} of bodies would go."));
    } else {
        let (before, after) = (HumanBytes(done.before), HumanBytes(done.after));
        let freed = HumanBytes(done.before.saturating_sub(done.after));
        ui.say(format_args!("removed {runs} with {bodies} of bodies: {before} became {after}, {freed} are free."));
    }
    Ok(())
}
