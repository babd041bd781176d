//! `store`: looking after the transcript store itself.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use indicatif::{HumanBytes, ProgressBar};
use serde_json::json;

use crate::store::{Access, Durability, Stats, Store, VerifyReport};

use super::args::Global;
use super::export::{FormArgs, export_as};
use super::gc::GcArgs;
use super::merge::MergeArgs;
use super::runs::{find_run, open_store, prefix_length, short};
use super::ui::{Tone, Unit, counted, printable};
use super::{Exit, Failure, Ui};

/// Checks, measures, compacts and joins stores; writes runs to files of their own and takes them in again.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    verb: StoreVerb,
    /// Prints one JSON object.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum StoreVerb {
    /// Reads every page, block and body, and computes every digest again.
    ///
    /// Exits with 1 if anything is damaged.
    Verify {
        /// Applies the rules for files from somebody else: immutable, and nothing in it but what the format has.
        #[arg(long)]
        foreign: bool,
    },
    /// Says how much the store holds and what it costs.
    Stats,
    /// Seals the store's blocks again, larger and at a high level. Checks every body before it keeps the result.
    Compact,
    /// Writes one run to a file of its own, or a recorded agent's exchanges in another tool's format.
    ///
    /// Without --har, --jsonl or --otlp it is a store that holds the run, and `store import` takes it in again. The other
    /// formats go one way; what looks like a credential in a body is taken out there, and only there.
    Export {
        /// The run: an id, a unique prefix of one, a name, or `last`.
        run: String,
        /// The file to make; it must not be there yet.
        file: PathBuf,
        #[command(flatten)]
        other: FormArgs,
    },
    /// Takes in the runs of a store file from somebody else: all of them, or none if anything is wrong.
    Import {
        /// An exported run, or a whole store.
        file: PathBuf,
    },
    /// Joins stores, such as those of a campaign's shards, in a new file.
    ///
    /// Neither the order of the stores nor naming or merging one again makes a difference: the file is the same to the
    /// byte. Every run keeps its roots. Recordings of one run count as one: a finished one before one that was cut off,
    /// and of several with one canonical root that with the smallest raw root; if their canonical roots differ, nothing is
    /// written.
    Merge(MergeArgs),
    /// Removes runs that nobody needs, and the bytes that only they needed.
    ///
    /// Without --run and --kind these are runs on an instance that were cut off or failed, where one begun later with the
    /// same name and options came to its end. Those of a campaign in the store stay, and so do checks of instances.
    /// Nobody else may have the store open meanwhile.
    Gc(GcArgs),
}

pub(crate) fn store(args: &StoreArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    match &args.verb {
        StoreVerb::Verify { foreign } => verify(*foreign, args.json, global, ui),
        StoreVerb::Stats => stats(args.json, global, ui),
        StoreVerb::Compact => compact(args.json, global, ui),
        StoreVerb::Export { run, file, other } => {
            let store = open_store(&global.store)?;
            let run = find_run(&store, run)?;
            if let Some(form) = other.form() {
                return export_as(form, other, (&store, &run), file, args.json, ui);
            }
            store.export(run.id, file)?;
            if args.json {
                ui.json(&json!({"run": run.id.to_string(), "file": file}))?;
            } else {
                ui.say(format_args!("wrote run {} to {}.", short(&store, run.id), file.display()));
            }
            Ok(Exit::Sound)
        }
        StoreVerb::Import { file } => import(file, args.json, global, ui),
        StoreVerb::Gc(gc) => super::gc::gc(gc, args.json, global, ui).map(|()| Exit::Sound),
        StoreVerb::Merge(merge) => super::merge::merge(merge, args.json, ui).map(|()| Exit::Sound),
    }
}

fn verify(foreign: bool, as_json: bool, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let opened = if foreign {
        Store::open(&global.store, Access::Foreign, Durability::Full)
    } else {
        Store::open(&global.store, Access::Read, Durability::Full)
    };
    let bar = ui.bar("verify", 0, Unit::Bytes);
    let report = match opened.and_then(|store| store.verify(&mut |done, total| advance(&bar, done, total))) {
        Ok(report) => report,
        // So damaged that it does not even open.
        Err(error) if error.is_damage() => VerifyReport::of(error),
        Err(error) => return Err(error.into()),
    };
    bar.finish_and_clear();
    if as_json {
        let damage = report.damage.iter().map(|damage| json!({"place": damage.place, "problem": damage.problem}));
        ui.json(&json!({
            "sound": report.is_sound(),
            "runs": report.runs,
            "events": report.events,
            "bodies": report.bodies,
            "body_bytes": report.body_bytes,
            "blocks": report.blocks,
            "chunks": report.chunks,
            "damaged": report.damaged,
            "damage": damage.collect::<Vec<_>>(),
        }))?;
    } else {
        for damage in &report.damage {
            ui.data(printable(&format!("damaged: {}: {}", damage.place, damage.problem)))?;
        }
        let verdict = match report.damaged {
            0 => ui.tone(Tone::Good, "sound"),
            1 => ui.tone(Tone::Bad, "damaged in 1 place"),
            places => ui.tone(Tone::Bad, &format!("damaged in {places} places")),
        };
        let (runs, events) = (counted(report.runs, "run"), counted(report.events, "event"));
        let (bodies, bytes) = (report.bodies, HumanBytes(report.body_bytes));
        ui.data(format_args!("{verdict}: {runs}, {events}, {bodies} bodies of {bytes} read and hashed"))?;
    }
    Ok(if report.is_sound() { Exit::Sound } else { Exit::Wanting })
}

fn stats(as_json: bool, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let stats = open_store(&global.store)?.stats()?;
    let Stats { runs, events, bodies, body_bytes, blocks, block_bytes, open_bytes, file_bytes, free_bytes } = stats;
    if as_json {
        ui.json(&json!({
            "runs": runs, "events": events, "bodies": bodies, "body_bytes": body_bytes, "blocks": blocks,
            "block_bytes": block_bytes, "open_bytes": open_bytes, "file_bytes": file_bytes, "free_bytes": free_bytes,
        }))?;
        return Ok(Exit::Sound);
    }
    ui.data(format_args!("runs    {runs:>10}"))?;
    ui.data(format_args!("events  {events:>10}"))?;
    ui.data(format_args!("bodies  {bodies:>10}  {}", HumanBytes(body_bytes)))?;
    ui.data(format_args!("blocks  {blocks:>10}  {}", HumanBytes(block_bytes)))?;
    ui.data(format_args!("open    {:>10}  {}", "", HumanBytes(open_bytes)))?;
    ui.data(format_args!("free    {:>10}  {}", "", HumanBytes(free_bytes)))?;
    let tenths = (10 * body_bytes).checked_div(file_bytes).unwrap_or_default();
    let ratio = format!("one {}.{}th of the bodies", tenths / 10, tenths % 10);
    ui.data(format_args!("file    {:>10}  {}, {ratio}", "", HumanBytes(file_bytes)))?;
    Ok(Exit::Sound)
}

fn compact(as_json: bool, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    drop(open_store(&global.store)?);
    let bar = ui.bar("compact", 0, Unit::Items);
    let done = Store::compact(&global.store, &mut |done, total| advance(&bar, done, total))?;
    bar.finish_and_clear();
    if as_json {
        ui.json(&json!({
            "before": done.before, "after": done.after,
            "blocks_before": done.blocks_before, "blocks_after": done.blocks_after,
        }))?;
    } else {
        let (before, after) = (HumanBytes(done.before), HumanBytes(done.after));
        ui.say(format_args!("{before} in {} blocks became {after} in {}.", done.blocks_before, done.blocks_after));
    }
    Ok(Exit::Sound)
}

fn import(file: &std::path::Path, as_json: bool, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    // Looked at first, so that a file that is no store does not leave an empty one behind.
    drop(Store::open(file, Access::Foreign, Durability::Full)?);
    let mut store = Store::open(&global.store, Access::Create, Durability::Normal)?;
    let imported = store.import(file)?;
    let length = prefix_length(&store.runs()?);
    store.close()?;
    let ids = |runs: &[crate::canon::RunId]| runs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (added, present) = (ids(&imported.added), ids(&imported.present));
    if as_json {
        ui.json(&json!({"added": added, "present": present}))?;
        return Ok(Exit::Sound);
    }
    for id in &added {
        ui.data(format_args!("{}  added", &id[..length]))?;
    }
    for id in &present {
        ui.data(format_args!("{}  was here already, equal", &id[..length]))?;
    }
    Ok(Exit::Sound)
}

pub(super) fn advance(bar: &ProgressBar, done: u64, total: u64) {
    bar.set_length(total);
    bar.set_position(done);
}
