//! `demo`: live runs on bundled tasks with the embedded model, each replayed offline.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::edit::Format;
use crate::instance::Instance;
use crate::model::Provider;
use crate::prompt::Listing;
use crate::solve::{Options, Outcome, OutcomeKind, TestsMode};
use crate::store::{Access, Durability, Store};
use crate::transcript::{ReplayOutcome, Roots};

use super::args::Global;
use super::demonstrate::{Demonstrated, demonstrate};
use super::files::outcome_json;
use super::images::ImageArgs;
use super::models::{ModelArgs, open_model};
use super::replay::{read_header, replay_run, scratch};
use super::runs::{find_run, short};
use super::solve::{Job, KIND, begin_run, load_instance, record};
use super::ui::Tone;
use super::workbench::{SandboxChoice, Workbench, WorkbenchArgs};
use super::{Exit, Failure, FailureKind, Host, Ui};

/// Records live runs on three bundled bugs with the embedded model and replays each offline.
///
/// The first time, the model (98 MB) is fetched and its digest checked. Each bug is a small Python module with tests
/// that the model sees and held-out tests that it never sees; python3 is needed to run them. Which bugs are repaired
/// is reported as it is: the model is tiny. What must hold is that every replay is equal to the byte. One run is then
/// assessed on rung 641, certified with a key made for it and thrown away, and verified; a changed copy is refused.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Another model than the bundled default, `provider:model`.
    #[arg(long, value_name = "MODEL", default_value = MODEL)]
    model: String,
    /// Where the model's server is.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Threads of the embedded engine; they change no bit of what it answers.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// How tests are kept from the rest of the machine; `none` must be asked for.
    #[arg(long, value_enum, default_value_t = SandboxChoice::Auto)]
    sandbox: SandboxChoice,
    /// Prints the outcome as JSON.
    #[arg(long)]
    json: bool,
}

const MODEL: &str = "embedded:smollm2-135m";

type Task = (&'static str, &'static [(&'static str, &'static str)]);

macro_rules! task {
    ($name:literal: $($file:literal),+) => {
        ($name, &[$(($file, include_str!(concat!("../../fixtures/instances/", $name, "/", $file)))),+])
    };
}

/// The bundled tasks, as the folders in `fixtures/instances` hold them.
const TASKS: [Task; 3] = [
    task!("temperature": "task.toml", "issue.md", "repo/temperature.py", "repo/test_temperature.py",
        "held_out/test_temperature_more.py"),
    task!("calendar": "task.toml", "issue.md", "repo/months.py", "repo/test_months.py", "held_out/test_months_more.py"),
    task!("parking": "task.toml", "issue.md", "repo/parking.py", "repo/test_parking.py", "held_out/test_parking_more.py"),
];

/// One recorded and replayed task.
struct Shown {
    instance: Instance,
    options: Options,
    run: crate::canon::RunId,
    outcome: Outcome,
    roots: Roots,
    replay: ReplayOutcome,
    replay_us: u64,
}

pub(crate) fn demo(args: &DemoArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let (model, base_url) = (Some(args.model.clone()), args.base_url.clone());
    let models = ModelArgs { model, base_url, threads: args.threads, named: true };
    let name = models.name()?;
    if name.provider == Provider::Embedded {
        super::model::ensure(&name.model, ui)?;
    }
    let mut store = Store::open(&global.store, Access::Create, Durability::Full)?;
    let mut shown = Vec::new();
    for task in &TASKS {
        shown.push(one(args, &models, global, task, &mut store, ui)?);
    }
    let exit = report(args, &shown, &store, global, ui)?;
    store.close()?;
    Ok(exit)
}

fn one(
    args: &DemoArgs,
    models: &ModelArgs,
    global: &Global,
    task: &Task,
    store: &mut Store,
    ui: &mut Ui,
) -> Result<Shown, Failure> {
    let run = Host::new_run_id()?;
    let folder = scratch(&global.store, run);
    let source = unpack(task, &folder.with_extension("task"))?;
    let instance = load_instance(&source.to_string_lossy())?;
    let name = models.name()?;
    let options = Options {
        arm: "direct-6".into(),
        model: name.portable(),
        fallback: None,
        format: Format::Direct,
        listing: Listing::Fitting,
        skills_room: 0,
        skills: Vec::new(),
        skill_texts: Vec::new(),
        tests: TestsMode::Existing,
        attempts: 6,
        seed: 42,
        context_tokens: 2048,
        reply_tokens: 64,
        constrained: true,
        red_runs: 2,
        timeout_seconds: 60,
        spending: None,
    };
    let model = open_model(&name, models)?;
    begin_run(store, run, [KIND, &format!("demo {}", instance.id)], &instance, &options)?;
    let workbench = WorkbenchArgs {
        repos: Vec::new(),
        repo: None,
        environments: PathBuf::new(),
        sandbox: args.sandbox,
        images: ImageArgs::default(),
    };
    let mut workbench = Workbench::set_up(&instance, &workbench, &folder, ui)?;
    let job = Job { run, instance: &instance, options: &options, resumed: false };
    super::interrupt::watch(folder.clone(), None)?;
    let recorded = record(&job, workbench.live(vec![model]), store, ui);
    super::interrupt::done();
    workbench.tear_down(ui);
    let _ = std::fs::remove_dir_all(&source);
    let (outcome, roots) = recorded?;

    let row = find_run(store, &run.to_string())?;
    let header = read_header(store, &row)?;
    let started = Host::now_us();
    let replay = replay_run(store, run, &header, None, &[])?;
    let replay_us = Host::now_us().saturating_sub(started);
    ui.say(format_args!("{}  replayed offline: {} events", instance.id, replay.events));
    Ok(Shown { instance, options, run, outcome, roots, replay, replay_us })
}

/// Writes a bundled task below `folder`, which is made for it.
fn unpack(task: &Task, folder: &Path) -> Result<PathBuf, Failure> {
    let cannot = |path: &Path, error: std::io::Error| {
        Failure::new(FailureKind::Environment, format!("cannot write {}: {error}", path.display()))
    };
    let root = folder.join(task.0);
    for (file, text) in task.1 {
        let path = root.join(file);
        let parent = path.parent().unwrap_or(&root);
        std::fs::create_dir_all(parent).map_err(|error| cannot(parent, error))?;
        std::fs::write(&path, text).map_err(|error| cannot(&path, error))?;
    }
    Ok(root)
}

fn report(args: &DemoArgs, shown: &[Shown], store: &Store, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let equal = shown.iter().all(|shown| shown.replay.is_equal());
    let exit = |certified: &Demonstrated| match equal && certified.verified && certified.refused {
        true => Exit::Sound,
        false => Exit::Wanting,
    };
    if args.json {
        let certified = certify(shown, store, global, false, ui)?;
        let runs: Vec<Value> = shown.iter().map(json_of).collect();
        let (verified, refused) = (certified.verified, certified.refused);
        ui.json(&json!({
            "runs": runs, "replays_equal": equal, "certificate_verified": verified, "changed_copy_refused": refused,
        }))?;
        return Ok(exit(&certified));
    }
    for shown in shown {
        ui.data("")?;
        let tone = if shown.outcome.kind == OutcomeKind::Resolved { Tone::Good } else { Tone::Bad };
        let word = ui.tone(tone, meaning(shown.outcome.kind));
        ui.data(format_args!("{}: {word}", ui.tone(Tone::Strong, &shown.instance.id)))?;
        for attempt in &shown.outcome.attempts {
            let summary: String = attempt.summary.lines().next().unwrap_or_default().chars().take(120).collect();
            ui.data(format_args!("  attempt {}  {summary}", attempt.number))?;
        }
        if shown.outcome.kind == OutcomeKind::VisibleOnly {
            ui.data(format_args!("  held-out tests that fail: {}", shown.outcome.judged[1].join(", ")))?;
        }
        let id = short(store, shown.run);
        match &shown.replay.divergence {
            None => {
                let word = ui.tone(Tone::Good, "equal to the byte");
                let milliseconds = shown.replay_us / 1000;
                ui.data(format_args!("  replay of {id}: {} events, {word}, {milliseconds} ms", shown.replay.events))?;
            }
            Some(divergence) => {
                ui.data(format_args!("  replay of {id}: {} {divergence}", ui.tone(Tone::Bad, "diverged")))?;
            }
        }
    }
    let repaired = shown.iter().filter(|shown| shown.outcome.kind == OutcomeKind::Resolved).count();
    let events: u32 = shown.iter().map(|shown| shown.replay.events).sum();
    let word = if equal { ui.tone(Tone::Good, "every byte equal") } else { ui.tone(Tone::Bad, "replay diverged") };
    ui.data("")?;
    ui.data(format_args!(
        "{repaired} of {} bugs repaired ({}), {events} events replayed: {word}",
        shown.len(),
        TestsMode::Existing.label()
    ))?;
    let certified = certify(shown, store, global, true, ui)?;
    ui.data("")?;
    if let Some(first) = shown.first() {
        let id = short(store, first.run);
        ui.data(format_args!("Look at a run:    runproof show {id}"))?;
        ui.data(format_args!("Replay it again:  runproof replay {id}"))?;
    }
    ui.data("A larger model:   runproof solve TASK --model ollama:llama3.1:8b")?;
    Ok(exit(&certified))
}

/// Certifies a repaired bug's run, or the first one where none was repaired.
fn certify(shown: &[Shown], store: &Store, global: &Global, aloud: bool, ui: &mut Ui) -> Result<Demonstrated, Failure> {
    let chosen = shown.iter().find(|shown| shown.outcome.kind == OutcomeKind::Resolved).or(shown.first());
    let Some(chosen) = chosen else { return Ok(Demonstrated { verified: false, refused: false }) };
    let row = find_run(store, &chosen.run.to_string())?;
    let folder = global.store.parent().unwrap_or(Path::new("."));
    demonstrate(store, &row, folder, aloud, ui)
}

fn meaning(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Resolved => "repaired, held-out tests pass",
        OutcomeKind::VisibleOnly => "not repaired: passes only the tests that the model saw",
        OutcomeKind::Unresolved | OutcomeKind::Limit => "not repaired",
        OutcomeKind::Invalid => "could not be judged",
    }
}

fn json_of(shown: &Shown) -> Value {
    let job = Job { run: shown.run, instance: &shown.instance, options: &shown.options, resumed: false };
    let mut value = outcome_json(&job, &shown.outcome, &shown.roots);
    value["replay_equal"] = json!(shown.replay.is_equal());
    value["replay_us"] = json!(shown.replay_us);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_tasks_are_whole() {
        for (name, files) in TASKS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/instances").join(name);
            let mut there = Vec::new();
            for below in ["", "repo", "held_out"] {
                for entry in std::fs::read_dir(folder.join(below)).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_file() {
                        there.push(path.strip_prefix(&folder).unwrap().to_string_lossy().into_owned());
                    }
                }
            }
            // The known fix is for checking the task, and never goes with it.
            there.retain(|file| file != "fix.patch");
            there.sort();
            let mut bundled: Vec<&str> = files.iter().map(|(file, _)| *file).collect();
            bundled.sort_unstable();
            assert_eq!(bundled, there, "{name}");
        }
    }
}
