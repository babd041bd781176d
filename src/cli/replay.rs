//! `replay`: performs a run again from the store and compares every byte.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::canon::RunId;
use crate::solve::{self, Header, HeaderError, Live, OptionsError};
use crate::store::{RunRow, Store};
use crate::transcript::{Divergence, Kind, Player, ReplayOutcome, TranscriptError};

use super::args::Global;
use super::models::ModelArgs;
use super::reexecute::REEXECUTION;
use super::runs::{find_run, open_store, short};
use super::ui::{Tone, printable};
use super::workbench::{Workbench, WorkbenchArgs};
use super::{Exit, Failure, FailureKind, Host, Ui};

/// Replays a run offline and compares every byte.
///
/// The same code runs as when the run was recorded; every model call and test execution comes from the store. No
/// network client is constructed. The first difference is shown with event, JSON pointer, byte offset and a diff of
/// both sides, and the exit code is 1.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Run: an id, a unique prefix of one, a name, or `last`.
    #[arg(default_value = "last")]
    run: String,
    /// Really runs the tests again, with the recorded edits, and compares their normalised logs.
    #[arg(long)]
    tests: bool,
    /// Really lays out the repository again: base tree, files, ranking and git's word on the patch are compared. Where
    /// the repository is, --repos, --repo or --instance say.
    #[arg(long)]
    tree: bool,
    /// The task folder, or FILE.jsonl#ID, for --tests and --tree where the run's repository has no name.
    #[arg(long, value_name = "INSTANCE")]
    instance: Option<String>,
    #[command(flatten)]
    workbench: WorkbenchArgs,
    /// After an equal replay, really asks the models every call K times again, compares the replies in canonical form,
    /// and records that as a run of its own. Scripts and weights have to be named again by --model and --fallback.
    #[arg(long, value_name = "K", conflicts_with = "tests", value_parser = clap::value_parser!(u32).range(1..=1000))]
    live: Option<u32>,
    #[command(flatten)]
    models: ModelArgs,
    /// The run's fallback model, for --live.
    #[arg(long, value_name = "MODEL")]
    fallback: Option<String>,
    /// Where the replaying proxy of a recorded agent listens; without a command it answers until Ctrl-C.
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<std::net::SocketAddr>,
    /// A further name by which it may be asked, such as host.docker.internal.
    #[arg(long, value_name = "NAME")]
    pub(super) allow_host: Vec<String>,
    /// Streams come as slowly as they were recorded.
    #[arg(long)]
    pub(super) pace: bool,
    /// Leaves the command of a recorded agent its network; its calls come from the store all the same.
    #[arg(long)]
    pub(super) network: bool,
    /// Leaves volatile text out of the comparison of requests: `date`, `tmp-paths`, `uuids`, `codex`. It is said, and lowers the grade.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = super::recorded::parse_normalise)]
    pub(super) normalise: Vec<crate::proxy::Normalise>,
    /// Prints the outcome as JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// The command of a recorded agent, after `--`. {proxy} in it becomes the proxy's address.
    #[arg(last = true, value_name = "CMD")]
    pub(super) command: Vec<std::ffi::OsString>,
}

pub(crate) fn replay(args: &ReplayArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let store = open_store(&global.store)?;
    let row = find_run(&store, &args.run)?;
    if !args.command.is_empty() && row.kind != super::recorded::KIND {
        let failure = Failure::new(FailureKind::Usage, "a command belongs to a recorded agent; this run is our own");
        return Err(failure.hint("`runproof replay RUN` without a command"));
    }
    if row.kind == crate::campaign::KIND {
        let failure = Failure::new(FailureKind::Usage, "a campaign is replayed run by run");
        return Err(failure.hint("name one of its runs; `runproof check CAMPAIGN` replays all of them"));
    }
    if row.kind == crate::campaign::VALIDATION {
        let failure =
            Failure::new(FailureKind::Usage, "the check of an instance by its known fix is no run of a model");
        return Err(failure.hint("`runproof bench validate INSTANCES --again` performs it again"));
    }
    if row.kind == REEXECUTION {
        return super::reexecute::replay(&store, &row, args.json, ui);
    }
    if let Some(header) = super::recorded::header(&store, row.id)? {
        if args.tests || args.tree || args.live.is_some() {
            let failure = Failure::new(FailureKind::Usage, "a recorded agent has no tests, tree or calls of ours");
            return Err(failure.hint("`runproof replay RUN -- CMD` runs its command again"));
        }
        return super::recorded::replay(args, &header, store, &row, global, ui);
    }
    let header = read_header(&store, &row)?;
    let started = Host::now_us();
    let mut again = Vec::new();
    if args.tests {
        again.push(Kind::Test);
    }
    if args.tree {
        again.extend([Kind::Tree, Kind::File, Kind::Selection, Kind::TreeCheck, Kind::PatchCheck]);
    }
    let outcome = if !again.is_empty() {
        let instance = match &args.instance {
            Some(reference) => super::own::found(&header.instance, super::solve::load_instance(reference)?),
            None => super::own::locate(&header.instance, args.workbench.repo.as_deref(), ui)?,
        };
        let folder = scratch(&global.store, row.id);
        let mut workbench = Workbench::set_up(&instance, &args.workbench, &folder, ui)?;
        let outcome = replay_run(&store, row.id, &header, Some(workbench.live(Vec::new())), &again);
        workbench.tear_down(ui);
        outcome?
    } else {
        replay_run(&store, row.id, &header, None, &[])?
    };
    let elapsed_us = Host::now_us().saturating_sub(started);
    let exit = report(args, &store, &row, &outcome, elapsed_us, ui)?;
    match args.live {
        Some(times) if exit == Exit::Sound => {
            let asked = super::reexecute::Asked { times, models: &args.models, fallback: args.fallback.as_deref() };
            super::reexecute::reexecute(&store, &row, &header, &asked, global, args.json, ui)
        }
        _ => Ok(exit),
    }
}

/// Returns the folder that live work on `run` happens in, beside the store. Shards whose stores lie in one folder work
/// on runs of the same ids, each in its own.
pub(crate) fn scratch(store: &std::path::Path, what: impl std::fmt::Display) -> PathBuf {
    let folder = store.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    let name = store.file_name().unwrap_or_default().to_string_lossy();
    folder.join("work").join(format!("{name}-{what}"))
}

/// Reads what a replay starts from.
pub(crate) fn read_header(store: &Store, row: &RunRow) -> Result<Header, Failure> {
    solve::header(store, row.id).map_err(|error| match error {
        HeaderError::Store(error) => error.into(),
        HeaderError::Options(OptionsError::OtherOrchestration { .. }) => {
            let hint = "its evidence can still be checked with `runproof store verify`; to replay it, use that version";
            Failure::new(FailureKind::Below, error).hint(hint)
        }
        _ => Failure::new(FailureKind::Malformed, error),
    })
}

/// Drives a recorded run over a player; `live` is needed only for kinds that are performed again.
pub(crate) fn replay_run(
    store: &Store,
    run: RunId,
    header: &Header,
    live: Option<Live<'_>>,
    again: &[Kind],
) -> Result<ReplayOutcome, Failure> {
    let mut player = Player::open(store, run)?.performing(again);
    let ended = solve::run(&mut player, &header.instance, &header.options, live, &mut |_| {});
    player.finish(ended.map(|_| ())).map_err(transcript_failure)
}

/// Returns how a failing transcript shows on the terminal.
pub(crate) fn transcript_failure(error: TranscriptError) -> Failure {
    match error {
        TranscriptError::Store(error) => error.into(),
        TranscriptError::Diverged(divergence) => Failure::new(FailureKind::Wanting, divergence),
        TranscriptError::Act(failure) => {
            let shown = Failure::new(FailureKind::Environment, failure.message);
            match failure.hint {
                Some(hint) => shown.hint(hint),
                None => shown,
            }
        }
        other => Failure::new(FailureKind::Malformed, other),
    }
}

fn report(
    args: &ReplayArgs,
    store: &Store,
    row: &RunRow,
    outcome: &ReplayOutcome,
    elapsed_us: u64,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    let exit = if outcome.is_equal() { Exit::Sound } else { Exit::Wanting };
    let not_recomputed = not_recomputed(args.tests, args.tree);
    if args.json {
        let divergence = outcome.divergence.as_ref().map(divergence_json);
        ui.json(&json!({
            "run": row.id.to_string(),
            "equal": outcome.is_equal(),
            "events": outcome.events,
            "performed_again": outcome.performed_again,
            "raw_root": outcome.raw_root,
            "canonical_root": outcome.canonical_root,
            "not_recomputed": not_recomputed,
            "elapsed_us": elapsed_us,
            "divergence": divergence,
        }))?;
        return Ok(exit);
    }
    tell(&short(store, row.id), outcome, Some(elapsed_us), ui)?;
    if outcome.is_equal() {
        ui.data(format_args!("  raw root        {}", outcome.raw_root))?;
        ui.data(format_args!("  canonical root  {}", outcome.canonical_root))?;
        if args.tests || args.tree {
            ui.data(format_args!("  performed again {} events", outcome.performed_again))?;
        }
        ui.data(format_args!("  not recomputed  {}", not_recomputed.join(", ")))?;
    }
    Ok(exit)
}

/// Says what a replay of `what` came to, and how long it took where that is known.
pub(crate) fn tell(what: &str, outcome: &ReplayOutcome, elapsed_us: Option<u64>, ui: &mut Ui) -> Result<(), Failure> {
    match &outcome.divergence {
        None => {
            let equal = ui.tone(Tone::Good, "equal to the byte");
            let time = elapsed_us.map(|us| format!("{} ms, ", us / 1000)).unwrap_or_default();
            ui.data(format_args!("replay of {what}: {} events, {equal}, {time}offline", outcome.events))
        }
        Some(divergence) => {
            let diverged = ui.tone(Tone::Bad, "diverged");
            ui.data(format_args!("replay of {what}: {diverged} after {} equal events", outcome.events))?;
            ui.data(printable(&divergence.to_string()))
        }
    }
}

/// Returns a divergence as JSON.
pub(crate) fn divergence_json(divergence: &Divergence) -> serde_json::Value {
    json!({
        "event": divergence.event,
        "kind": divergence.kind,
        "what": divergence.what,
        "pointer": divergence.pointer,
        "offset": divergence.offset,
        "recorded": divergence.around[0],
        "replayed": divergence.around[1],
        "diff": divergence.diff,
        "remark": divergence.remark,
    })
}

/// What a replay takes from the recording.
fn not_recomputed(tests: bool, tree: bool) -> Vec<&'static str> {
    let mut taken = vec!["model identity", "model calls"];
    if !tree {
        taken.extend(["base tree", "selection", "git's word on the patch"]);
    }
    if !tests {
        taken.push("test executions");
    }
    taken
}
