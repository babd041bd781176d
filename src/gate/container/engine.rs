//! Asking the engine: where an image is, what content it has, and which containers are left of us.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::GateError;
use super::super::sandbox::find;

/// What every container of ours is called at first, and the label that it has.
const OURS: &str = "runproof";
/// The most that is kept of what the engine says, in characters.
const KEPT: usize = 2000;

/// The programs that are known to speak the same language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

impl EngineKind {
    /// All kinds, in the order in which they are looked for.
    pub const ALL: [Self; 2] = [Self::Docker, Self::Podman];

    /// Returns the name of the program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

/// Whom a container belongs to, so that those of processes that are gone can be told from those at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Where process numbers mean the same: letters and digits that follow from the machine's boot and the namespace.
    pub place: String,
    /// Number of the process.
    pub process: u32,
    /// When it started, in the kernel's ticks (field 22 of `/proc/ID/stat`): numbers are used again.
    pub started: u64,
}

impl Owner {
    /// Looks up when the process began; one that cannot be seen never did.
    pub fn of_process(place: String, process: u32) -> Self {
        Self { place, process, started: started(process).unwrap_or_default() }
    }

    fn prefix(&self) -> String {
        format!("{OURS}-{}-{}-{}-", self.place, self.process, self.started)
    }

    /// Says whether a container of this name was left by a process of the same place that is gone.
    fn is_stale(&self, name: &str, is_alive: impl Fn(u32, u64) -> bool) -> bool {
        let Some(rest) = name.strip_prefix(&format!("{OURS}-{}-", self.place)) else { return false };
        let mut numbers = rest.split('-');
        let process = numbers.next().and_then(|number| number.parse().ok());
        let started = numbers.next().and_then(|number| number.parse().ok());
        matches!((process, started), (Some(process), Some(started)) if !is_alive(process, started))
    }
}

/// Returns when a process started, if it is there.
fn started(process: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{process}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    // The name in brackets may hold anything.
    stat.get(stat.rfind(')')? + 1..)?.split_whitespace().nth(19)?.parse().ok()
}

/// An image that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Digest of its content, `sha256:` and 64 digits.
    pub id: String,
    /// The search path for programs that it names.
    pub(super) path: String,
}

impl Image {
    /// Returns the name by which test requests know it.
    pub fn environment(id: &str) -> String {
        format!("image:{id}")
    }
}

/// A container engine, asked through its program.
#[derive(Debug, Clone)]
pub struct Engine {
    kind: EngineKind,
    program: PathBuf,
    path: OsString,
    env: BTreeMap<OsString, OsString>,
    owner: Owner,
    count: Arc<AtomicU64>,
}

impl Engine {
    /// Finds an engine's program on the search path: that of `kind`, or the first there is.
    ///
    /// `env` are the variables that it gets: where its daemon and its settings are.
    ///
    /// # Errors
    /// No such program.
    pub fn find(
        kind: Option<EngineKind>,
        path: &OsStr,
        env: BTreeMap<OsString, OsString>,
        owner: Owner,
    ) -> Result<Self, GateError> {
        let kinds: Vec<EngineKind> = kind.map_or(EngineKind::ALL.to_vec(), |kind| vec![kind]);
        let found = kinds.iter().find_map(|kind| Some((*kind, find(kind.program(), path)?)));
        let (kind, program) = found.ok_or_else(|| {
            GateError::EngineMissing(kinds.iter().map(|kind| kind.program()).collect::<Vec<_>>().join(" or "))
        })?;
        Ok(Self { kind, program, path: path.to_owned(), env, owner, count: Arc::default() })
    }

    /// Returns which engine it is.
    pub fn kind(&self) -> EngineKind {
        self.kind
    }

    /// Returns the image of a name or id, which must be here.
    ///
    /// # Errors
    /// A name that is none, an image that is not here, an engine that does not answer.
    pub fn image(&self, name: &str) -> Result<Image, GateError> {
        check_name(name)?;
        let format = "{{.Id}} {{json .Config.Env}}";
        let said = match self.ask("look for an image", &["image", "inspect", "--format", format, name]) {
            Err(GateError::Engine { said, .. }) if is_absent(&said) => {
                return Err(GateError::ImageMissing(name.to_owned()));
            }
            said => said?,
        };
        let (id, env) = said.trim().split_once(' ').unwrap_or((said.trim(), "null"));
        let digits = id.strip_prefix("sha256:").unwrap_or(id);
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let what = format!("tell the content of the image {name}");
            return Err(GateError::Engine { what, said: id.chars().take(200).collect() });
        }
        let env: Option<Vec<String>> = serde_json::from_str(env).unwrap_or_default();
        let path = env.unwrap_or_default().iter().find_map(|line| Some(line.strip_prefix("PATH=")?.to_owned()));
        let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Ok(Image { id: format!("sha256:{digits}"), path: path.unwrap_or_else(|| usual.to_owned()) })
    }

    /// Fetches an image from its registry. Layers that are here already are not fetched again.
    ///
    /// # Errors
    /// A name that is none, a registry that does not have it or cannot be reached.
    pub fn pull(&self, name: &str) -> Result<(), GateError> {
        check_name(name)?;
        self.ask(&format!("fetch the image {name}"), &["pull", "--quiet", name]).map(drop)
    }

    /// Removes what processes left that are gone, and says how many containers that were.
    ///
    /// # Errors
    /// An engine that does not answer.
    pub fn remove_stale(&self) -> Result<usize, GateError> {
        let is_alive = |process: u32, since: u64| started(process) == Some(since);
        let stale: Vec<String> = self.ours()?.into_iter().filter(|name| self.owner.is_stale(name, is_alive)).collect();
        stale.iter().for_each(|name| self.remove(name));
        Ok(stale.len())
    }

    /// Removes every container of this process, whatever it is doing.
    pub fn remove_own(&self) {
        let prefix = self.owner.prefix();
        let own = self.ours().unwrap_or_default();
        own.iter().filter(|name| name.starts_with(&prefix)).for_each(|name| self.remove(name));
    }

    /// Lists the containers that any process of ours has, by name.
    fn ours(&self) -> Result<Vec<String>, GateError> {
        let label = format!("label={OURS}");
        let said =
            self.ask("list containers", &["container", "ls", "--all", "--filter", &label, "--format", "{{.Names}}"])?;
        Ok(said.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
    }

    /// Returns a name that no other container has.
    pub(super) fn new_name(&self) -> String {
        format!("{}{}", self.owner.prefix(), self.count.fetch_add(1, Ordering::SeqCst))
    }

    /// Returns the label that every container of ours has.
    pub(super) fn label(&self) -> &'static str {
        OURS
    }

    /// Ends and removes a container with its volumes; one that is gone is none to remove.
    pub(super) fn remove(&self, name: &str) {
        self.ask("remove a container", &["container", "rm", "--force", "--volumes", name]).ok();
    }

    /// Returns a command of the engine's program.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().envs(&self.env).env("PATH", &self.path).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Asks for something that has an end and returns what was answered.
    pub(super) fn ask(&self, what: &str, arguments: &[&str]) -> Result<String, GateError> {
        let output = self.command(arguments).output();
        let output = output.map_err(|error| self.failed(what, error.to_string().as_bytes()))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(self.failed(what, &output.stderr)),
        }
    }

    /// Returns the error of something that the engine did not do.
    pub(super) fn failed(&self, what: &str, said: &[u8]) -> GateError {
        let said = String::from_utf8_lossy(said);
        let said: String = said.trim().chars().take(KEPT).collect();
        let said = if said.is_empty() { format!("{} gave no reason", self.kind.program()) } else { said };
        GateError::Engine { what: what.to_owned(), said }
    }
}

/// Refuses what the engine's program would take for an option, or what no image can be called.
fn check_name(name: &str) -> Result<(), GateError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@+".contains(&byte);
    match name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.bytes().all(is_plain) {
        true => Ok(()),
        false => Err(GateError::ImageName(name.chars().take(200).collect())),
    }
}

/// Says whether the engine's words mean that there is no such image, as opposed to no answer.
fn is_absent(said: &str) -> bool {
    let said = said.to_lowercase();
    ["no such image", "image not known", "unable to find"].iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dead_processes_of_the_same_place_left_is_stale() {
        let owner = Owner { place: "abc".into(), process: 7, started: 1 };
        let is_alive = |process, since| (process, since) == (7, 1);
        for (name, expected) in [
            ("runproof-abc-7-1-0", false),
            ("runproof-abc-7-2-0", true),
            ("runproof-abc-8-1-4", true),
            ("runproof-xyz-8-1-4", false),
            ("runproof-abc", false),
            ("runproof-abc-x-1-0", false),
            ("other-abc-8-1-4", false),
        ] {
            assert_eq!(owner.is_stale(name, is_alive), expected, "{name}");
        }
        assert!(started(std::process::id()).is_some());
    }

    #[test]
    fn a_name_that_would_be_an_option_is_refused() {
        for name in ["--help", "", "a b", "a\nb", "$(x)", "/a"] {
            assert!(matches!(check_name(name), Err(GateError::ImageName(_))), "{name:?}");
        }
        for name in ["debian", "swebench/sweb.eval.x86_64.a_1776_b-1:latest", "h:5000/x@sha256:00", "sha256:00"] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }
}
