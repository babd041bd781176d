//! `log`: the runs of a store, or the events of one run.

use clap::Args;
use serde_json::{Value, json};

use crate::store::{RunRow, StoredEvent};
use crate::transcript::Kind;

use super::args::Global;
use super::exchanges::Readable;
use super::runs::{find_run, open_store, prefix_length};
use super::ui::printable;
use super::{Exit, Failure, Ui};

/// Lists the runs of the store, or the events of one run.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Run whose events are listed: an id, a unique prefix of one, a name, or `last`. Without it, all runs.
    run: Option<String>,
    /// Prints one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn log(args: &LogArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let store = open_store(&global.store)?;
    match &args.run {
        None => list_runs(&store.runs()?, args.json, ui)?,
        Some(run) => {
            let row = find_run(&store, run)?;
            for event in store.events(row.id)? {
                if args.json {
                    ui.json(&event_json(&event))?;
                } else if event.kind == Kind::Exchange.name() {
                    let line = Readable::of(&store, row.id, &event)?.line();
                    ui.data(format_args!("{:>4}  {:<11} {line}", event.seq, event.kind))?;
                } else {
                    ui.data(event_line(&event))?;
                }
            }
        }
    }
    Ok(Exit::Sound)
}

fn list_runs(rows: &[RunRow], as_json: bool, ui: &mut Ui) -> Result<(), Failure> {
    let length = prefix_length(rows);
    if !as_json && rows.is_empty() {
        ui.say("the store holds no run yet");
    }
    for row in rows {
        if as_json {
            ui.json(&run_json(row))?;
            continue;
        }
        let id: String = row.id.to_string().chars().take(length).collect();
        let outcome = if row.outcome.is_empty() { row.status.as_str() } else { &row.outcome };
        let (instance, arm, model) = (printable(&row.instance), printable(&row.arm), printable(&row.model));
        ui.data(format_args!(
            "{id}  {outcome:<12} {:>2} attempts  {:>4} events  {instance}  {arm}  {model}  {}",
            row.attempts, row.events, row.tests
        ))?;
    }
    Ok(())
}

/// Returns a run's row as JSON.
pub(crate) fn run_json(row: &RunRow) -> Value {
    json!({
        "id": row.id.to_string(),
        "name": row.name,
        "kind": row.kind,
        "instance": row.instance,
        "arm": row.arm,
        "model": row.model,
        "tests": row.tests,
        "status": row.status.as_str(),
        "outcome": row.outcome,
        "attempts": row.attempts,
        "events": row.events,
        "orchestration": row.orchestration,
        "raw_root": row.raw_root,
        "canonical_root": row.canonical_root,
        "started_ms": row.started_ms,
        "finished_ms": row.finished_ms,
    })
}

fn event_json(event: &StoredEvent) -> Value {
    let bodies: serde_json::Map<String, Value> = event
        .bodies
        .iter()
        .map(|body| (body.slot.clone(), json!({"blake3": body.digest, "size": body.size})))
        .collect();
    json!({
        "i": event.seq,
        "kind": event.kind,
        "data": serde_json::from_slice::<Value>(&event.data).unwrap_or_default(),
        "bodies": bodies,
        "observation": serde_json::from_str::<Value>(&event.observation).unwrap_or_default(),
    })
}

fn event_line(event: &StoredEvent) -> String {
    let bodies: Vec<String> = event
        .bodies
        .iter()
        .filter(|body| !body.slot.starts_with("template:"))
        .map(|body| format!("{} {}", body.slot, body.size))
        .collect();
    let observation: Value = serde_json::from_str(&event.observation).unwrap_or_default();
    let took = observation["elapsed_us"].as_u64().or_else(|| crate::proxy::times(&observation).map(|(_, took)| took));
    let elapsed = took.map_or_else(String::new, |us| format!("{} ms", us / 1000));
    let data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
    let said: Vec<String> = ["id", "gate", "attempt", "accepted", "passed", "codes", "outcome", "exit", "message"]
        .iter()
        .filter_map(|key| data.get(*key).map(|value| format!("{key}={value}")))
        .collect();
    let line =
        format!("{:>4}  {:<11} {:>9}  {}  {}", event.seq, event.kind, elapsed, bodies.join(", "), said.join(" "));
    printable(line.trim_end())
}
