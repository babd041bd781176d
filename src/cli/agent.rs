//! Running somebody's agent beside the proxy: where its client finds the proxy, how it ends, what ends it.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

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
    Signal(i32),
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

    /// Runs the command to its end and returns its exit code; 128 and the number of the signal that ended it.
    ///
    /// Ctrl-C reaches the command by itself; a SIGTERM is handed on. A second signal kills it.
    pub(crate) fn run(mut self) -> Result<i32, Failure> {
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
        let status = until_ended(&news, id)?;
        Ok(status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1))
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
            News::Signal(signal) => {
                signals += 1;
                let Some(id) = id else { continue };
                if signals > 1 {
                    kill_process(id, Signal::KILL).ok();
                } else if signal == SIGTERM {
                    kill_process(id, Signal::TERM).ok();
                }
            }
        }
    }
}

/// Waits for Ctrl-C or SIGTERM.
pub(crate) fn until_signal() -> Result<i32, Failure> {
    let (sender, signals) = channel();
    on_signals(move |signal| {
        // Only the first one is waited for.
        let _ = sender.send(signal);
    })?;
    signals.recv().map_err(|_| Failure::new(FailureKind::Environment, "signals cannot be received"))
}

fn on_signals(mut each: impl FnMut(i32) + Send + 'static) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failure::new(FailureKind::Environment, format!("no signals: {error}")))?;
    std::thread::spawn(move || signals.forever().for_each(&mut each));
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
