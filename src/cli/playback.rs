//! `replay` of a recorded agent: its command runs again, and every call is answered from the store.

use std::process::Command;

use serde_json::json;

use crate::proxy::{self, Header, Normalise, Replayed, Replaying, Secrets, Tape};
use crate::store::{RunRow, Store};
use crate::transcript::{Divergence, Kind, ReplayOutcome};

use super::agent::{Agent, until_signal};
use super::args::Global;
use super::record::{allowed, listen, reachable};
use super::recorded::{exchange_failure, in_order, recompute};
use super::replay::{ReplayArgs, divergence_json};
use super::runs::{open_store, short};
use super::ui::{Tone, printable};
use super::{Exit, Failure, FailureKind, Host, Ui};

/// Tells the program started again which network namespace it was started from.
pub(crate) const OUTSIDE: &str = "RUNPROOF_NETWORK_OUTSIDE";

/// Replays a recording with its command, or as a server until Ctrl-C.
pub(crate) fn replay(
    args: &ReplayArgs,
    header: &Header,
    store: Store,
    row: &RunRow,
    global: &Global,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    if args.command.is_empty() && args.listen.is_none() {
        let failure = Failure::new(FailureKind::Usage, "a recorded agent is replayed with its command");
        return Err(
            failure.hint("`runproof replay RUN -- CMD`, or --listen ADDR; `runproof check RUN` needs no command")
        );
    }
    let outside = Host::variable(OUTSIDE).filter(|outside| Some(outside) != namespace().as_ref());
    if outside.is_some() && has_route() {
        let message = format!("{OUTSIDE} says that this is a network namespace of its own, but a way leads out of it");
        return Err(Failure::new(FailureKind::Environment, message).hint("the program itself sets it: unset it"));
    }
    let isolation = match (args.command.is_empty(), args.network, outside) {
        (_, _, Some(_)) => {
            crate::gate::shim::raise_loopback().map_err(|error| {
                Failure::new(FailureKind::Environment, format!("the loopback interface cannot be used: {error}"))
            })?;
            Isolation::Namespace
        }
        (true, ..) => Isolation::None("it only listens"),
        (false, true, None) => Isolation::None("--network"),
        (false, false, None) => {
            let reason = in_namespace()?;
            ui.warn(format_args!(
                "no network namespace here ({reason}): calls come from the store, but the command could reach a network"
            ));
            Isolation::None("no network namespace")
        }
    };
    let ways = if args.normalise.is_empty() { header.normalise.clone() } else { in_order(&args.normalise) };
    let started = Host::now_us();
    let tape = Tape::load(&store, row.id, &header.normalise, &ways).map_err(exchange_failure)?;
    let recorded_exit = ending(&store, row)?;
    let id = short(&store, row.id);
    let listener = listen(args.listen.unwrap_or(([127, 0, 0, 1], 0).into()))?;
    let address = listener.local_addr().map_err(|error| Failure::new(FailureKind::Environment, error))?;
    let url = format!("http://{}", reachable(address));
    let settings = Replaying {
        store,
        tape,
        allowed: allowed(&args.allow_host),
        header: header.clone(),
        secrets: Secrets::new(Host::secrets()),
        pace: args.pace,
    };
    let served = proxy::serve(listener, settings)
        .map_err(|error| Failure::new(FailureKind::Environment, format!("the proxy does not start: {error}")))?;
    ui.say(format_args!("run {id}  replaying at {url}"));
    let exit = match Agent::new(&args.command, &url, true) {
        Some(agent) => {
            if matches!(isolation, Isolation::Namespace) {
                give_up_capabilities().map_err(|error| {
                    let message = format!("the powers to leave the network namespace cannot be given up: {error}");
                    Failure::new(FailureKind::Environment, message).hint("--network replays without a namespace")
                })?;
            }
            Some(agent.start()?.end()?)
        }
        None => {
            until_signal()?;
            None
        }
    };
    let replayed = served.stop();
    let elapsed_us = Host::now_us().saturating_sub(started);
    if let Some(error) = replayed.damage {
        return Err(exchange_failure(error));
    }
    let store = open_store(&global.store)?;
    // The recording itself is checked too: what was given came from it.
    let recording = match &replayed.divergence {
        None => Some(recompute(&store, row.id, header)?),
        Some(_) => None,
    };
    let found = Found { replayed, recording, exit, recorded_exit, isolation, ways, elapsed_us };
    found.report(&id, args.json, ui)
}

/// How the command was kept from the network.
#[derive(Debug, Clone, Copy)]
enum Isolation {
    Namespace,
    None(&'static str),
}

/// What a replay with a command found.
struct Found {
    replayed: Replayed,
    recording: Option<ReplayOutcome>,
    exit: Option<i32>,
    recorded_exit: Option<i32>,
    isolation: Isolation,
    ways: Vec<Normalise>,
    elapsed_us: u64,
}

impl Found {
    /// Returns the first difference.
    fn divergence(&self) -> Option<Divergence> {
        let of_recording = || self.recording.as_ref()?.divergence.clone();
        let of_exit = || {
            let (now, then) = (self.exit?, self.recorded_exit?);
            let remark = format!("the command ended with {now}, when it was recorded with {then}");
            (now != then).then(|| Divergence::remark(self.replayed.given, Kind::Result.name(), "exit", remark))
        };
        self.replayed.divergence.clone().or_else(of_recording).or_else(of_exit)
    }

    fn report(&self, id: &str, as_json: bool, ui: &mut Ui) -> Result<Exit, Failure> {
        let divergence = self.divergence();
        let exit = if divergence.is_none() { Exit::Sound } else { Exit::Wanting };
        let offline = match self.isolation {
            Isolation::Namespace => "network namespace",
            Isolation::None(_) => "proxy only",
        };
        let names: Vec<&str> = self.ways.iter().map(|way| way.name()).collect();
        let (given, total) = (self.replayed.given, self.replayed.total);
        if as_json {
            ui.json(&json!({
                "run": id,
                "equal": divergence.is_none(),
                "exchanges": given,
                "recorded_exchanges": total,
                "exit": self.exit,
                "recorded_exit": self.recorded_exit,
                "offline": offline,
                "normalise": names,
                "elapsed_us": self.elapsed_us,
                "divergence": divergence.as_ref().map(divergence_json),
            }))?;
            return Ok(exit);
        }
        let milliseconds = self.elapsed_us / 1000;
        match &divergence {
            None => {
                let equal = ui.tone(Tone::Good, "equal");
                ui.say(format_args!("replay of {id}: {given} of {total} calls, {equal}, {milliseconds} ms"));
            }
            Some(divergence) => {
                let diverged = ui.tone(Tone::Bad, "diverged");
                ui.say(format_args!("replay of {id}: {diverged} after {given} of {total} calls"));
                ui.say(printable(&divergence.to_string()));
            }
        }
        match self.isolation {
            Isolation::Namespace => ui.say("  offline: the command ran in a network namespace with loopback only"),
            Isolation::None(why) => ui.say(format_args!("  offline: calls only from the store; no namespace ({why})")),
        }
        if !names.is_empty() {
            ui.say(format_args!("  compared without {}", names.join(", ")));
        }
        Ok(exit)
    }
}

/// Starts this program again in a network namespace, in this one's place; returns why there is none.
fn in_namespace() -> Result<String, Failure> {
    let Some(unshare) = crate::gate::find_program("unshare", &Host::search_path()) else {
        return Ok("there is no program unshare".into());
    };
    let kinds: [&[&str]; 2] = [&["--net"], &["--user", "--map-current-user", "--keep-caps", "--net"]];
    let mut reason = String::new();
    let program = Host::program()?;
    for kind in kinds {
        let probe = Command::new(&unshare).args(kind).arg("--").arg(&program).arg("--version").output();
        match probe {
            Ok(output) if output.status.success() => {
                let mut again = Command::new(&unshare);
                again
                    .args(kind)
                    .arg("--")
                    .arg(&program)
                    .args(Host::arguments())
                    .env(OUTSIDE, namespace().unwrap_or_default());
                // Becomes the other program: signals, exit code and terminal are then its own.
                let error = std::os::unix::process::CommandExt::exec(&mut again);
                let message = format!("the program cannot be started again: {error}");
                return Err(Failure::new(FailureKind::Environment, message));
            }
            Ok(output) => reason = String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => reason = error.to_string(),
        }
    }
    Ok(reason)
}

/// Gives up, for this thread and whatever it starts, what would let a command of root leave the namespace or change it.
///
/// They leave the bounding set too: root gets no more than that when it starts a program.
fn give_up_capabilities() -> rustix::io::Result<()> {
    use rustix::thread::{self, CapabilitySet as Set, CapabilitySets};
    let given_up =
        [Set::SYS_ADMIN, Set::NET_ADMIN, Set::SYS_PTRACE, Set::SYS_MODULE, Set::SYS_RAWIO, Set::BPF, Set::PERFMON];
    let held = thread::capabilities(None)?;
    thread::clear_ambient_capability_set()?;
    if held.effective.contains(Set::SETPCAP) {
        for one in given_up.into_iter().filter(|one| thread::capability_is_in_bounding_set(*one).unwrap_or_default()) {
            thread::remove_capability_from_bounding_set(one)?;
        }
    }
    let gone: Set = given_up.into_iter().collect();
    let without = |set: Set| set.difference(gone);
    thread::set_capabilities(
        None,
        CapabilitySets {
            effective: without(held.effective),
            permitted: without(held.permitted),
            inheritable: without(held.inheritable),
        },
    )
}

/// Says whether a route leads anywhere but to loopback. The first line of the first table is its heading.
fn has_route() -> bool {
    let table = |name: &str| std::fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default();
    table("route").lines().count() > 1 || table("ipv6_route").lines().any(|line| !line.trim_end().ends_with(" lo"))
}

/// Names the network namespace of this process.
fn namespace() -> Option<String> {
    Some(std::fs::read_link("/proc/self/ns/net").ok()?.to_string_lossy().into_owned())
}

fn ending(store: &Store, row: &RunRow) -> Result<Option<i32>, Failure> {
    Ok(proxy::ending(&store.events(row.id)?).and_then(|ending| ending.exit))
}
