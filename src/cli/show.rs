//! `show`: a run as a person reads it, or one body of one event as it is.

use clap::Args;
use serde_json::{Value, json};

use crate::store::{RunRow, Store, StoredEvent};
use crate::transcript::{Kind, check_manifest};

use super::args::Global;
use super::exchanges::{Readable, Shown};
use super::log::run_json;
use super::replay::transcript_failure;
use super::runs::{find_run, open_store, short};
use super::ui::{Tone, printable};
use super::{Exit, Failure, FailureKind, Ui};

/// Shows a run: prompts, raw replies, edits with their codes, test results, the patch.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Run: an id, a unique prefix of one, a name, or `last`.
    #[arg(default_value = "last")]
    run: String,
    /// Only this event.
    #[arg(long, value_name = "N")]
    event: Option<u32>,
    /// Prints this body of --event to standard output, byte for byte (`runproof log RUN` names the bodies).
    #[arg(long, value_name = "NAME", requires = "event")]
    body: Option<String>,
    /// Prints only the final patch, byte for byte.
    #[arg(long, conflicts_with_all = ["event", "manifest"])]
    patch: bool,
    /// Prints the manifest: one canonical JSON line an event.
    #[arg(long, conflicts_with = "event")]
    manifest: bool,
    /// Prints bodies whole; long ones are otherwise cut.
    #[arg(long)]
    full: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Lists of tests in a verdict, and what they mean.
const LISTS: [(&str, &str); 2] = [
    ("flaky", "flaky tests: they pass and fail on the same tree, and are not held against an answer"),
    ("broken", "broken tests: they should pass before any edit, and do not"),
];
/// Lines of a body that are shown without `--full`.
const LINES: usize = 40;

pub(crate) fn show(args: &ShowArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let store = open_store(&global.store)?;
    let row = find_run(&store, &args.run)?;
    if args.manifest {
        return manifest(&store, &row, ui);
    }
    let events = store.events(row.id)?;
    if args.patch {
        let result = events.iter().rfind(|event| event.kind == Kind::Result.name());
        let result =
            result.ok_or_else(|| Failure::new(FailureKind::Usage, "the run has not ended, so it has no patch"))?;
        if result.body("patch").is_none() {
            return Err(Failure::new(FailureKind::Usage, "a recorded agent has no patch of ours"));
        }
        ui.bytes(&store.body(row.id, result.seq, "patch")?)?;
        return Ok(Exit::Sound);
    }
    if let Some(position) = args.event {
        let event = events.iter().find(|event| event.seq == position).ok_or_else(|| {
            Failure::new(FailureKind::Usage, format!("the run has {} events, no event {position}", events.len()))
        })?;
        if let Some(slot) = &args.body {
            if event.body(slot).is_none() {
                let names: Vec<&str> = event.bodies.iter().map(|body| body.slot.as_str()).collect();
                let failure = Failure::new(FailureKind::Usage, format!("event {position} has no body {slot:?}"));
                return Err(failure.hint(format!("it has {}", names.join(", "))));
            }
            ui.bytes(&store.body(row.id, position, slot)?)?;
            return Ok(Exit::Sound);
        }
        return print_event(args, &store, &row, event, ui).map(|()| Exit::Sound);
    }
    if args.json {
        ui.json(&run_json(&row))?;
    } else {
        header(&store, &row, ui)?;
    }
    let mut shown = Shown::default();
    for event in &events {
        if event.kind == Kind::Exchange.name() {
            let exchange = Readable::of(&store, row.id, event)?;
            if args.json {
                ui.json(&json!({"i": event.seq, "kind": event.kind, "exchange": exchange.json()}))?;
            } else {
                let title = ui.tone(Tone::Strong, &format!("[{}]", event.seq));
                ui.data(format_args!("\n{title} {}", exchange.line()))?;
                exchange.print(&mut shown, args.full, ui)?;
            }
        } else if args.json || telling(&event.kind) {
            print_event(args, &store, &row, event, ui)?;
        }
    }
    Ok(Exit::Sound)
}

fn manifest(store: &Store, row: &RunRow, ui: &mut Ui) -> Result<Exit, Failure> {
    let mut lines = Vec::new();
    check_manifest(store, row.id, &mut |line| {
        lines.extend_from_slice(line);
        lines.push(b'\n');
    })
    .map_err(transcript_failure)?;
    ui.bytes(&lines)?;
    Ok(Exit::Sound)
}

fn header(store: &Store, row: &RunRow, ui: &mut Ui) -> Result<(), Failure> {
    let id = ui.tone(Tone::Strong, &short(store, row.id));
    let outcome = if row.outcome.is_empty() { row.status.as_str() } else { &row.outcome };
    ui.data(format_args!("run {id}  {}  {outcome}", printable(&row.instance)))?;
    ui.data(format_args!("  arm {}  model {}  {}", printable(&row.arm), printable(&row.model), row.tests))?;
    if let (Some(raw), Some(canonical)) = (row.raw_root, row.canonical_root) {
        ui.data(format_args!("  raw root {raw}\n  canonical root {canonical}"))?;
    }
    Ok(())
}

/// Says whether an event is worth showing without being asked for.
fn telling(kind: &str) -> bool {
    let quiet = [Kind::Run, Kind::Tree, Kind::TreeCheck, Kind::File];
    !quiet.iter().any(|quiet| quiet.name() == kind)
}

fn print_event(args: &ShowArgs, store: &Store, row: &RunRow, event: &StoredEvent, ui: &mut Ui) -> Result<(), Failure> {
    let mut data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
    if args.json {
        let mut bodies = serde_json::Map::new();
        for body in &event.bodies {
            let bytes = store.body(row.id, event.seq, &body.slot)?;
            // Bytes that are no text are named by their digest only; `--body` gives them.
            let text = String::from_utf8(bytes).ok();
            bodies.insert(body.slot.clone(), json!({"blake3": body.digest, "size": body.size, "text": text}));
        }
        return ui.json(&json!({"i": event.seq, "kind": event.kind, "data": data, "bodies": bodies}));
    }
    let title = ui.tone(Tone::Strong, &format!("[{}] {}", event.seq, event.kind));
    let lists = LISTS.map(|(key, meaning)| (meaning, take_names(&mut data, key)));
    ui.data(format_args!("\n{title} {}", printable(&data.to_string())))?;
    for (meaning, names) in lists.iter().filter(|(_, names)| !names.is_empty()) {
        let name = ui.tone(Tone::Dim, &format!("-- {meaning} ({})", names.len()));
        ui.data(name)?;
        print_lines(args, names.iter().map(String::as_str).collect(), ui)?;
    }
    for body in &event.bodies {
        if body.slot.starts_with("template:") || (body.slot == "sent" && !args.full) {
            continue;
        }
        let bytes = store.body(row.id, event.seq, &body.slot)?;
        let name = ui.tone(Tone::Dim, &format!("-- {} ({} bytes)", body.slot, body.size));
        ui.data(name)?;
        let text = readable(&event.kind, &body.slot, &bytes);
        print_lines(args, text.lines().collect(), ui)?;
    }
    Ok(())
}

fn print_lines(args: &ShowArgs, lines: Vec<&str>, ui: &mut Ui) -> Result<(), Failure> {
    let shown = if args.full { lines.len() } else { lines.len().min(LINES) };
    for line in &lines[..shown] {
        ui.data(format_args!("   {}", printable(line)))?;
    }
    if shown < lines.len() {
        let rest = format!("… {} more lines (--full)", lines.len() - shown);
        ui.data(format_args!("   {}", ui.tone(Tone::Dim, &rest)))?;
    }
    Ok(())
}

/// Takes a list of names out of an event's data, to be shown by itself.
fn take_names(data: &mut Value, key: &str) -> Vec<String> {
    let taken = data.as_object_mut().and_then(|data| data.remove(key));
    let names = taken.as_ref().and_then(Value::as_array).into_iter().flatten();
    names.map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned)).collect()
}

/// Turns a body into text for reading: messages of a request one after the other, the text of a reply.
fn readable(kind: &str, slot: &str, bytes: &[u8]) -> String {
    let plain = || String::from_utf8_lossy(bytes).into_owned();
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return plain() };
    if kind == Kind::ModelCall.name() && slot == "request" {
        let messages = value["messages"].as_array().cloned().unwrap_or_default();
        let texts = messages.iter().map(|message| {
            let role = message["role"].as_str().unwrap_or_default();
            format!("<{role}>\n{}", message["content"].as_str().unwrap_or_default())
        });
        return texts.collect::<Vec<_>>().join("\n");
    }
    if kind == Kind::ModelCall.name() && slot == "canonical" {
        return value["text"].as_str().unwrap_or_default().to_owned();
    }
    serde_json::to_string_pretty(&value).map_or_else(|_| plain(), |text| text.replace("\\n", "\n"))
}
