//! One test run in a container, from making it to removing it.

use std::io::{BufWriter, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::super::shim::Limits;
use super::super::{Exceeded, Execution, GateError, Level, TestRequest};
use super::archive::Archive;
use super::recipe::{BROUGHT, create, mark};
use super::{Engine, EngineKind, Image};

/// How long laying out the tree may take.
const LAYOUT: Duration = Duration::from_secs(600);
/// How long the engine may take to notice the end of a container.
const GRACE: Duration = Duration::from_secs(30);
/// Time between two looks at the number of processes.
const LOOK: Duration = Duration::from_secs(2);
/// At each of how many looks it is measured what was written, which some engines walk through everything for.
const MEASURED: u64 = 3;
/// Time between two looks for the end of the engine's program.
const PAUSE: Duration = Duration::from_millis(5);
/// The most that is kept of what is said before the command begins, in bytes.
const KEPT: usize = 1 << 16;
/// The exit code of a shell whose command wrote beyond its largest file: 128 and `SIGXFSZ`.
const FILE_TOO_LARGE: i32 = 128 + 25;

/// Containers of one image.
#[derive(Debug, Clone)]
pub struct Container {
    engine: Engine,
    image: Image,
    limits: Limits,
}

/// A container that is removed with what it wrote when this is dropped.
struct Made<'a> {
    engine: &'a Engine,
    name: String,
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        self.engine.remove(&self.name);
    }
}

/// News from the threads that read the output.
enum News {
    /// The tree is laid out and the command runs.
    Begun,
    /// The log has more bytes than it may have.
    LogFull,
    /// Nobody can write to the log any more.
    Closed,
    /// Too much of something is used.
    Exceeded(Exceeded),
}

/// What was written so far.
#[derive(Default)]
struct Written {
    /// Before the command began.
    before: Vec<u8>,
    has_begun: bool,
    log: Vec<u8>,
}

impl Container {
    /// Runs tests in containers of `image`.
    pub fn new(engine: Engine, image: Image) -> Self {
        Self { engine, image, limits: Limits::default() }
    }

    /// Changes what runs may use.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Runs the request's command on the tree in `worktree`, which stays as it is.
    ///
    /// # Errors
    /// An engine that fails, a tree that cannot be laid out; a command that fails, hangs or floods is an [`Execution`].
    pub fn run(&self, worktree: &Path, request: &TestRequest) -> Result<Execution, GateError> {
        if let Some(path) = request.included.keys().next() {
            return Err(GateError::Setup(format!("the folder {path:?} cannot be shown in a container")));
        }
        let name = self.engine.new_name();
        let words = create(&self.engine, &name, &self.image, &self.limits, request)?;
        // Removed even if making it fails half-way, or is only believed to have failed.
        let made = Made { engine: &self.engine, name };
        self.engine.ask("make a container", &words.iter().map(String::as_str).collect::<Vec<_>>())?;
        self.bring(&made.name, worktree, request)?;
        let (ended, log) = self.attend(&made.name, request)?;
        let (exit, exceeded) = match ended {
            Ended::Exit(FILE_TOO_LARGE) => (None, Some(Exceeded::FileSize)),
            Ended::Exit(code) => (Some(code), None),
            Ended::Exceeded(exceeded) => (None, Some(exceeded)),
            Ended::TimedOut | Ended::LogFull => (None, None),
        };
        Ok(Execution {
            exit,
            // The shell that is the first process gives a signal of its command as an exit code.
            signal: None,
            timed_out: ended == Ended::TimedOut,
            truncated: ended == Ended::LogFull,
            exceeded,
            sandbox: Level::Container,
            log,
        })
    }

    /// Puts the tree and the generated files into a container that does not run yet.
    fn bring(&self, name: &str, worktree: &Path, request: &TestRequest) -> Result<(), GateError> {
        let what = "bring the tree into a container";
        let failed = |error: std::io::Error| self.engine.failed(what, error.to_string().as_bytes());
        let mut command = self.engine.command(&["container", "cp", "-", &format!("{name}:/")]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(failed)?;
        let stdin = child.stdin.take().expect("standard input is a pipe");
        let write = || -> std::io::Result<()> {
            let mut archive = Archive::new(BufWriter::with_capacity(1 << 18, stdin));
            archive.tree(&Path::new(BROUGHT).join("tree"), worktree)?;
            for (path, text) in &request.generated {
                archive.file(&format!("{BROUGHT}/generated/{path}"), text.as_bytes())?;
            }
            // The image's own folder may belong to somebody else, and git would not look at it.
            archive.file(&format!("{BROUGHT}/.gitconfig"), b"[safe]\n\tdirectory = *\n")?;
            archive.finish().map(drop)
        };
        let sent = write();
        let output = child.wait_with_output().map_err(failed)?;
        match (output.status.success(), sent) {
            (false, _) => Err(self.engine.failed(what, &output.stderr)),
            (true, sent) => sent.map_err(failed),
        }
    }

    /// Starts a container, waits for its end or for what ends it, and says which it was, and what the command wrote.
    fn attend(&self, name: &str, request: &TestRequest) -> Result<(Ended, Vec<u8>), GateError> {
        let what = "run a container";
        let mut command = self.engine.command(&["container", "start", "--attach", "--interactive", name]);
        // Signals of the terminal are for this program, which ends the container itself.
        let spawned = command.stdin(Stdio::piped()).process_group(0).spawn();
        let mut child = spawned.map_err(|error| self.engine.failed(what, error.to_string().as_bytes()))?;
        // Held open: its end, also by the death of this process, ends everything in the container.
        let input = child.stdin.take();
        let (sender, news) = channel();
        let written = Arc::new(Mutex::new(Written::default()));
        let output = child.stdout.take().expect("standard output is a pipe");
        let mark = [mark(name).as_bytes(), b"\n"].concat();
        spawn_reader(output, mark, request.log_cap, Arc::clone(&written), sender.clone());
        let complaints = child.stderr.take().expect("standard error is a pipe");
        let complaints = std::thread::spawn(move || {
            let mut text = Vec::new();
            complaints.take(KEPT as u64).read_to_end(&mut text).ok();
            text
        });
        let ended = self.wait(name, &news, sender, Duration::from_secs(request.timeout_seconds.into()));
        if ended.is_some() {
            self.engine.remove(name);
        }
        drop(input);
        end(&mut child);
        let complaints = complaints.join().unwrap_or_default();
        let written = std::mem::take(&mut *written.lock().unwrap_or_else(PoisonError::into_inner));
        if !written.has_begun {
            let said = [complaints, written.before].concat();
            return Err(self.engine.failed("lay out the tree in a container", &said));
        }
        let ended = match ended {
            Some(ended) => ended,
            None => self.ending(name, &complaints)?,
        };
        Ok((ended, written.log))
    }

    /// Waits until the output closes, or something has to be ended by us. Where the command began, one piece of news is
    /// all there is to wait for.
    fn wait(&self, name: &str, news: &Receiver<News>, sender: Sender<News>, limit: Duration) -> Option<Ended> {
        let (_looking, until) = channel();
        let first = match news.recv_timeout(LAYOUT) {
            Ok(News::Begun) => {
                self.look_after(name, sender, until);
                news.recv_timeout(limit)
            }
            other => other,
        };
        match first {
            Ok(News::LogFull) => Some(Ended::LogFull),
            Ok(News::Exceeded(exceeded)) => Some(Ended::Exceeded(exceeded)),
            Ok(News::Begun | News::Closed) | Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => Some(Ended::TimedOut),
        }
    }

    /// Looks again and again at what the engine only bounds and does not tell, until the other end of `until` is gone.
    fn look_after(&self, name: &str, news: Sender<News>, until: Receiver<()>) {
        let (container, name) = (self.clone(), name.to_owned());
        std::thread::spawn(move || {
            for number in 0_u64.. {
                if until.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                if let Some(exceeded) = container.exceeded(&name, number % MEASURED == 0) {
                    news.send(News::Exceeded(exceeded)).ok();
                    return;
                }
            }
        });
    }

    /// Says which limit is passed, if one is; what an engine does not answer in time has a bound of its own.
    fn exceeded(&self, name: &str, measure: bool) -> Option<Exceeded> {
        let columns: &[&str] = match self.engine.kind() {
            EngineKind::Docker => &["-eLo", "pid"],
            EngineKind::Podman => &["pid"],
        };
        let words: Vec<&str> = ["container", "top", name].iter().chain(columns).copied().collect();
        let said = self.engine.ask("count processes", &words).ok()?;
        if said.lines().skip(1).filter(|line| !line.trim().is_empty()).count() as u64 > self.limits.processes {
            return Some(Exceeded::Processes);
        }
        if !measure {
            return None;
        }
        let words = ["container", "inspect", "--size", "--format", "{{.SizeRw}}", name];
        let bytes = self.engine.ask("measure a container", &words).ok()?.trim().parse::<u64>().ok()?;
        (bytes > self.limits.written_bytes).then_some(Exceeded::Disk)
    }

    /// Asks how a container ended, whose output has closed.
    fn ending(&self, name: &str, complaints: &[u8]) -> Result<Ended, GateError> {
        let format = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}";
        let words = ["container", "inspect", "--format", format, name];
        let said = self.engine.ask("tell how a container ended", &words)?;
        match said.split_whitespace().collect::<Vec<_>>()[..] {
            ["exited", _, "true"] => Ok(Ended::Exceeded(Exceeded::Memory)),
            ["exited", code, "false"] if code.parse::<i32>().is_ok() => {
                Ok(Ended::Exit(code.parse().unwrap_or_default()))
            }
            _ => {
                let said = [said.trim().as_bytes(), b" ", complaints].concat();
                Err(self.engine.failed("run a container to its end", &said))
            }
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Exit(i32),
    TimedOut,
    LogFull,
    Exceeded(Exceeded),
}

/// Waits for the engine's program, which ends with its container; one that does not is ended.
fn end(child: &mut Child) {
    for _ in 0..GRACE.as_millis() / PAUSE.as_millis() {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    child.kill().ok();
    child.wait().ok();
}

/// Reads the output: what comes before the mark is ours, what comes after it the log.
fn spawn_reader(mut output: ChildStdout, mark: Vec<u8>, cap: u64, written: Arc<Mutex<Written>>, news: Sender<News>) {
    let cap = usize::try_from(cap).unwrap_or(usize::MAX);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        let mut is_full = false;
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            let mut fresh = buffer[..count].to_vec();
            if !written.has_begun {
                written.before.append(&mut fresh);
                if let Some(at) = written.before.windows(mark.len()).position(|window| window == mark) {
                    fresh = written.before.split_off(at + mark.len());
                    written.has_begun = true;
                    news.send(News::Begun).ok();
                } else if written.before.len() > KEPT {
                    let from = written.before.len() - KEPT / 2;
                    written.before.drain(..from);
                }
            }
            let fits = fresh.len().min(cap - written.log.len());
            written.log.extend_from_slice(&fresh[..fits]);
            if fits < fresh.len() && !is_full {
                is_full = true;
                news.send(News::LogFull).ok();
            }
        }
        news.send(News::Closed).ok();
    });
}
