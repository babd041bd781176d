//! Runs one test command in the sandbox and collects what it wrote, up to the time limit and the log cap.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::sandbox::{ENVIRONMENT, HOME, Place, Sandbox, TEMP, WORKTREE};
use super::shim::{Mounts, Plan, Report, SHIM_VERB, Shown};
use super::{Exceeded, Execution, GateError, TestRequest};
use crate::canon::tree::is_safe_path;

/// How long the shim may take to end everything after it was told to, and its pipes to close.
const GRACE: Duration = Duration::from_secs(10);

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Exit(i32),
    Signal(i32),
    TimedOut,
    LogFull,
    Exceeded(Exceeded),
}

/// What a command left.
pub(super) struct Outcome {
    pub(super) ending: Ending,
    pub(super) log: Vec<u8>,
}

/// Runs the request's command in `worktree`; `environment` is the folder of the prepared environment it names.
///
/// A command that fails, hangs or floods gives an [`Execution`] that says so; errors are failures around it.
///
/// # Errors
/// A missing environment, paths that are not UTF-8, a sandbox that cannot be set up, a full disk.
pub fn run(
    sandbox: &Sandbox,
    worktree: &Path,
    environment: Option<&Path>,
    request: &TestRequest,
) -> Result<Execution, GateError> {
    let at = |path: &Path, source| GateError::Io { path: path.to_owned(), source };
    let worktree = worktree.canonicalize().map_err(|source| at(worktree, source))?;
    let environment = match environment {
        Some(path) => Some(path.canonicalize().ok().filter(|path| path.join("bin").is_dir()).ok_or_else(|| {
            let name = request.environment.clone().unwrap_or_default();
            GateError::EnvironmentMissing { name, path: path.to_owned() }
        })?),
        None => None,
    };
    let folder = sandbox.scratch_folder()?;
    let plan = plan(sandbox, &folder.0, &worktree, environment.as_deref(), request)?;
    let outcome = start(sandbox, &plan, u64::from(request.timeout_seconds), request.log_cap)?;
    let log = if sandbox.level.has_namespaces() {
        outcome.log
    } else {
        // Without a file system of its own the run saw the host's paths; a record must not.
        let real = [(&worktree, WORKTREE), (&folder.0.join("tmp"), TEMP), (&folder.0.join("home"), HOME)];
        let environment = environment.as_ref().map(|path| (path, ENVIRONMENT));
        real.into_iter().chain(environment).fold(outcome.log, |log, (path, shown)| replace(&log, path, shown))
    };
    let (exit, signal) = match outcome.ending {
        Ending::Exit(code) => (Some(code), None),
        Ending::Signal(signal) => (None, Some(signal)),
        Ending::TimedOut | Ending::LogFull | Ending::Exceeded(_) => (None, None),
    };
    let exceeded = match outcome.ending {
        Ending::Exceeded(exceeded) => Some(exceeded),
        _ => None,
    };
    let timed_out = outcome.ending == Ending::TimedOut;
    let truncated = outcome.ending == Ending::LogFull;
    Ok(Execution { exit, signal, timed_out, truncated, exceeded, sandbox: sandbox.level, log })
}

fn plan(
    sandbox: &Sandbox,
    folder: &Path,
    worktree: &Path,
    environment: Option<&Path>,
    request: &TestRequest,
) -> Result<Plan, GateError> {
    let inside = sandbox.level.has_namespaces();
    let place = |real: &Path, fixed: &str| if inside { Ok(fixed.to_owned()) } else { text(real) };
    let tree = place(worktree, WORKTREE)?;
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    let mut path = sandbox.path.clone();
    if let Some(environment) = environment {
        let environment = place(environment, ENVIRONMENT)?;
        path = format!("{environment}/bin:{path}");
        env.insert("VIRTUAL_ENV".to_owned(), environment);
    }
    let home = place(&folder.join("home"), HOME)?;
    let temp = place(&folder.join("tmp"), TEMP)?;
    for (name, value) in [("HOME", home.as_str()), ("TMPDIR", &temp), ("PATH", &path)] {
        env.insert(name.to_owned(), value.to_owned());
    }
    env.extend(request.variables(&tree)?);
    let is_there = |wanted: &String| {
        sandbox.shown.iter().any(|(_, place)| matches!(place, Place::Worktree(path) if path == wanted))
    };
    if let Some(path) = request.included.keys().find(|path| !is_safe_path(path) || !is_there(path)) {
        return Err(GateError::Setup(format!("the folder {path:?}, which the tests need, is not here")));
    }
    let shown = shown(sandbox, &tree, &home)?;
    let mut readable = sandbox.readable.clone();
    if !inside {
        readable.extend(shown.iter().map(|shown| PathBuf::from(&shown.source)));
    }
    readable.extend(environment.into_iter().flat_map(interpreter_roots));
    let readable = readable.iter().map(|path| text(path)).collect::<Result<Vec<_>, _>>()?;
    let environment = environment.map(text).transpose()?;
    Ok(Plan {
        level: sandbox.level,
        command: request.command.clone(),
        env,
        folder: tree.clone(),
        generated: request.generated.clone(),
        measured: if inside { Vec::new() } else { vec![tree.clone(), home.clone(), temp.clone()] },
        writable: vec![tree, home, temp],
        readable: match (&environment, inside) {
            (Some(environment), false) => readable.iter().cloned().chain([environment.clone()]).collect(),
            _ => readable.clone(),
        },
        shown,
        mounts: match inside {
            true => Some(Mounts {
                root: text(&folder.join("root"))?,
                worktree: Some(text(worktree)?),
                environment,
                readable,
            }),
            false => None,
        },
        limits: sandbox.limits,
    })
}

/// Returns the folders of the host that are shown, by their places as the command sees them.
fn shown(sandbox: &Sandbox, tree: &str, home: &str) -> Result<Vec<Shown>, GateError> {
    let shown = sandbox.shown.iter().map(|(folder, place)| {
        let target = match place {
            Place::Worktree(path) => format!("{tree}/{path}"),
            Place::Home(path) => format!("{home}/{path}"),
        };
        Ok(Shown { source: text(folder)?, target })
    });
    shown.collect()
}

/// Starts the shim with a plan and waits for the end of the command, the time limit or the log cap.
pub(super) fn start(sandbox: &Sandbox, plan: &Plan, seconds: u64, log_cap: u64) -> Result<Outcome, GateError> {
    let mut command = match (&sandbox.unshare, plan.level.has_namespaces()) {
        (_, false) => Command::new(&sandbox.shim),
        (Some(unshare), true) => {
            let mut command = Command::new(unshare);
            command.args([
                "--user",
                "--map-root-user",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--net",
                "--ipc",
                "--uts",
            ]);
            command.arg("--").arg(&sandbox.shim);
            command
        }
        (None, true) => return Err(GateError::Setup("there is no program unshare (util-linux)".to_owned())),
    };
    command.args([SHIM_VERB, "watch"]).env_clear().env("PATH", &sandbox.path).current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| GateError::Setup(format!("the shim does not start: {error}")))?;
    let (sender, events) = channel();
    let log = Arc::new(Mutex::new(Vec::new()));
    let output = child.stdout.take().expect("standard output is a pipe");
    let complaints = child.stderr.take().expect("standard error is a pipe");
    spawn_reader(output, log_cap, Arc::clone(&log), sender.clone());
    std::thread::spawn(move || {
        let mut text = Vec::new();
        complaints.take(1 << 16).read_to_end(&mut text).ok();
        sender.send(Event::Reported(text)).ok();
    });
    let mut stdin = child.stdin.take();
    if let Some(stdin) = &mut stdin {
        // A shim that died before reading says why on its standard error.
        stdin.write_all(&plan.to_line()).ok();
    }
    let mut seen = Seen::default();
    let timed_out = !seen.wait(&events, Duration::from_secs(seconds));
    // The shim kills everything when its input closes; killing the shim itself is for one that does not.
    drop(stdin);
    if !seen.wait_for_all(&events) {
        child.kill().ok();
        seen.wait_for_all(&events);
    }
    child.wait().map_err(|error| GateError::Setup(error.to_string()))?;
    // A process that escaped may hold the pipe open; what it wrote so far is what there is.
    let log = std::mem::take(&mut *log.lock().unwrap_or_else(PoisonError::into_inner));
    let ending = match (timed_out, seen.full) {
        (true, _) => Ending::TimedOut,
        (_, true) => Ending::LogFull,
        _ => match Report::read(&seen.report.unwrap_or_default()) {
            Ok(Report::Exit(code)) => Ending::Exit(code),
            Ok(Report::Signal(signal)) => Ending::Signal(signal),
            Ok(Report::Exceeded(exceeded)) => Ending::Exceeded(exceeded),
            Err(complaint) => return Err(GateError::Setup(complaint)),
        },
    };
    Ok(Outcome { ending, log })
}

/// News from the threads that read the shim's pipes.
enum Event {
    /// The log has more bytes than it may have.
    LogFull,
    /// Nobody can write to the log any more.
    LogClosed,
    /// Nobody can write to the shim's standard error any more; what it said.
    Reported(Vec<u8>),
}

/// What was heard so far.
#[derive(Default)]
struct Seen {
    full: bool,
    closed: bool,
    report: Option<Vec<u8>>,
}

impl Seen {
    /// Waits for one event and says whether it came in time.
    fn wait(&mut self, events: &Receiver<Event>, limit: Duration) -> bool {
        match events.recv_timeout(limit) {
            Ok(Event::LogFull) => self.full = true,
            Ok(Event::LogClosed) => self.closed = true,
            Ok(Event::Reported(text)) => self.report = Some(text),
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => {
                (self.closed, self.report) = (true, Some(self.report.take().unwrap_or_default()))
            }
        }
        true
    }

    /// Waits until both pipes are closed and says whether that came in time.
    fn wait_for_all(&mut self, events: &Receiver<Event>) -> bool {
        while !self.closed || self.report.is_none() {
            if !self.wait(events, GRACE) {
                return false;
            }
        }
        true
    }
}

fn spawn_reader(mut output: ChildStdout, cap: u64, log: Arc<Mutex<Vec<u8>>>, sender: Sender<Event>) {
    let cap = usize::try_from(cap).unwrap_or(usize::MAX);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        let mut full = false;
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            let fits = count.min(cap - log.len());
            log.extend_from_slice(&buffer[..fits]);
            if fits < count && !full {
                full = true;
                sender.send(Event::LogFull).ok();
            }
        }
        sender.send(Event::LogClosed).ok();
    });
}

/// Returns where the interpreter behind a virtual environment is installed.
fn interpreter_roots(environment: &Path) -> Vec<PathBuf> {
    let configured = fs::read_to_string(environment.join("pyvenv.cfg")).unwrap_or_default();
    let home = configured.lines().find_map(|line| line.strip_prefix("home")?.trim().strip_prefix('=').map(str::trim));
    let real = environment.join("bin/python").canonicalize().ok();
    let folders = home.map(PathBuf::from).into_iter().chain(real.as_deref().and_then(Path::parent).map(Path::to_owned));
    let mut roots: Vec<PathBuf> = folders
        .filter_map(|bin| Some(bin.parent()?.to_owned()))
        .filter(|root| root.parent().is_some() && !root.starts_with("/usr"))
        .collect();
    roots.dedup();
    roots
}

fn text(path: &Path) -> Result<String, GateError> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| GateError::Setup(format!("the path {} is not UTF-8", path.display())))
}

fn replace(log: &[u8], path: &Path, shown: &str) -> Vec<u8> {
    let wanted = path.as_os_str().as_bytes();
    let mut out = Vec::with_capacity(log.len());
    let mut rest = log;
    while let Some(at) = rest.windows(wanted.len()).position(|window| window == wanted) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(shown.as_bytes());
        rest = &rest[at + wanted.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_paths_are_replaced_wherever_they_stand() {
        let log = replace(b"/a/b/x.py /a/b: /a/bc \xff", Path::new("/a/b"), "/testbed");
        assert_eq!(log, b"/testbed/x.py /testbed: /testbedc \xff");
        assert_eq!(replace(b"", Path::new("/a"), "/t"), b"");
    }
}
