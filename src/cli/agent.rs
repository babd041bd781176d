//! Running somebody's agent beside the proxy: where its client finds the proxy, how it ends, what ends it.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use super::{Failure, FailureKind, Host};

/// Stands for the proxy's address in the words of a command.
const PLACE: &str = "{proxy}";
/// Variables that name the base of OpenAI's API, with `/v1`.
const WITH_V1: [&str; 4] = ["OPENAI_BASE_URL", "OPENAI_API_BASE", "HOSTED_VLLM_API_BASE", "LLM_BASE_URL"];
/// Variables that name a server.
const SERVERS: [&str; 6] =
    ["ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE", "OLLAMA_HOST", "OLLAMA_API_BASE", "OPENAI_HOST", "RUNPROOF_PROXY"];
/// Keys without which clients do not even start; a replay has no use for a real one.
const KEYS: [&str; 2] = ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"];

/// A command to be run with the proxy in its way.
pub(crate) struct Agent {
    command: Command,
    name: String,
}

/// What happened to a command.
enum News {
    Ended(std::io::Result<ExitStatus>),
    Signal(Caught),
}

impl Agent {
    /// Prepares a command: variables of every known client, and options for those that take none.
    pub(crate) fn new(words: &[OsString], url: &str, is_replay: bool) -> Option<Self> {
        let (program, arguments) = words.split_first()?;
        let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned();
        let mut command = Command::new(program);
        for (name, value) in variables(url) {
            command.env(name, value);
        }
        command.env_remove(super::playback::OUTSIDE);
        if is_replay {
            for name in KEYS.iter().filter(|name| Host::variable(name).is_none()) {
                command.env(name, "runproof-replay");
            }
        }
        match name.as_str() {
            // Its provider of this name ignores the variable for the sockets that it prefers.
            "codex" => {
                command.args(["-c", &format!("openai_base_url=\"{url}/v1\"")]);
                command.args(["-c", "features.enable_request_compression=false"]);
            }
            "opencode" if Host::variable("OPENCODE_CONFIG_CONTENT").is_none() => {
                let at = |base: String| serde_json::json!({"options": {"baseURL": base}});
                let providers = serde_json::json!({
                    "provider": {"openai": at(format!("{url}/v1")), "anthropic": at(format!("{url}/v1"))}
                });
                command.env("OPENCODE_CONFIG_CONTENT", providers.to_string());
            }
            _ => {}
        }
        command.args(arguments.iter().map(|word| placed(word, url)));
        Some(Self { command, name })
    }

    /// Returns the program's name without its folder.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Starts the command.
    ///
    /// # Errors
    /// A command that does not start: nothing of it has happened.
    pub(crate) fn start(mut self) -> Result<Started, Failure> {
        let (sender, news) = channel();
        let signals = sender.clone();
        on_signals(move |signal| {
            // Nobody is left to be told only if the command has ended.
            let _ = signals.send(News::Signal(signal));
        })?;
        let child = self.command.spawn().map_err(|error| {
            let message = format!("the command {:?} does not start: {error}", self.command.get_program());
            Failure::new(FailureKind::Environment, message).hint("the command comes after `--`, program first")
        })?;
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        std::thread::spawn(move || wait(child, &sender));
        Ok(Started { news, id })
    }
}

/// A command that runs.
pub(crate) struct Started {
    news: Receiver<News>,
    id: Option<Pid>,
}

impl Started {
    /// Waits for the command's end and returns its exit code; 128 and the number of the signal that ended it.
    ///
    /// Signals are handed on, but for those that the terminal sent to both. A second one kills it.
    pub(crate) fn end(self) -> Result<i32, Failure> {
        let status = until_ended(&self.news, self.id)?;
        Ok(status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1))
    }

    /// Kills the command: it must not go on without its proxy.
    pub(crate) fn kill(self) {
        if let Some(id) = self.id {
            kill_process(id, Signal::KILL).ok();
        }
    }
}

fn wait(mut child: Child, news: &std::sync::mpsc::Sender<News>) {
    // Nobody is left to be told only if this program is ending.
    let _ = news.send(News::Ended(child.wait()));
}

fn until_ended(news: &Receiver<News>, id: Option<Pid>) -> Result<ExitStatus, Failure> {
    let mut signals = 0;
    let gone = |error: &dyn std::fmt::Display| {
        Failure::new(FailureKind::Environment, format!("waiting for the command failed: {error}"))
    };
    loop {
        match news.recv().map_err(|error| gone(&error))? {
            News::Ended(status) => return status.map_err(|error| gone(&error)),
            News::Signal(Caught { signal, is_from_terminal }) => {
                signals += 1;
                let Some(id) = id else { continue };
                if signals > 1 {
                    kill_process(id, Signal::KILL).ok();
                } else if !is_from_terminal {
                    kill_process(id, signal).ok();
                }
            }
        }
    }
}

/// Waits for Ctrl-C, SIGTERM or SIGHUP.
pub(crate) fn until_signal() -> Result<(), Failure> {
    let (sender, signals) = channel();
    on_signals(move |signal| {
        // Only the first one is waited for.
        let _ = sender.send(signal);
    })?;
    signals.recv().map(drop).map_err(|_| Failure::new(FailureKind::Environment, "signals cannot be received"))
}

/// A signal that this program was sent.
#[derive(Debug, Clone, Copy)]
struct Caught {
    signal: Signal,
    /// Whether it came from the terminal, and so to every program in its foreground.
    is_from_terminal: bool,
}

fn on_signals(mut each: impl FnMut(Caught) + Send + 'static) -> Result<(), Failure> {
    let failed = |error| Failure::new(FailureKind::Environment, format!("no signals: {error}"));
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM]).map_err(failed)?;
    // Whoever started it with `nohup` wants it to outlive the terminal.
    if !Host::ignores(SIGHUP) {
        signals.add_signal(SIGHUP).map_err(failed)?;
    }
    std::thread::spawn(move || {
        signals.forever().for_each(|origin| {
            let signal = match origin.signal {
                SIGINT => Signal::INT,
                SIGHUP => Signal::HUP,
                _ => Signal::TERM,
            };
            each(Caught { signal, is_from_terminal: origin.cause == Cause::Kernel });
        });
    });
    Ok(())
}

/// Returns what known clients read the address of their server from.
pub(crate) fn variables(url: &str) -> Vec<(&'static str, String)> {
    let mut all: Vec<(&'static str, String)> = WITH_V1.iter().map(|name| (*name, format!("{url}/v1"))).collect();
    all.extend(SERVERS.iter().map(|name| (*name, url.to_owned())));
    // The way to this machine is not through somebody's proxy.
    for name in ["NO_PROXY", "no_proxy"] {
        let given = Host::variable(name).map(|given| format!("{given},")).unwrap_or_default();
        all.push((name, format!("{given}127.0.0.1,localhost,::1")));
    }
    all
}

fn placed(word: &OsStr, url: &str) -> OsString {
    match word.to_str() {
        Some(text) if text.contains(PLACE) => text.replace(PLACE, url).into(),
        _ => word.to_owned(),
    }
}
