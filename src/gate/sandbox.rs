//! Which sandbox this machine gives, and what every test run in it gets.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::run::{Ending, start};
use super::shim::{Limits, Plan};
use super::{GateError, Level};

/// Where the worktree is inside the sandbox.
pub const WORKTREE: &str = "/testbed";
/// Where the prepared environment is inside the sandbox.
pub const ENVIRONMENT: &str = "/environment";
/// The private home folder inside the sandbox.
pub(super) const HOME: &str = "/home/runproof";
/// The private temp folder inside the sandbox.
pub(super) const TEMP: &str = "/tmp";

/// Seconds that an empty command may take when a level is tried.
const PROBE_SECONDS: u64 = 20;

/// A sandbox that was tried on this machine and works.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub(super) level: Level,
    pub(super) shim: PathBuf,
    pub(super) scratch: PathBuf,
    pub(super) path: String,
    pub(super) unshare: Option<PathBuf>,
    pub(super) readable: Vec<PathBuf>,
    pub(super) shown: Vec<(PathBuf, Place)>,
    pub(super) limits: Limits,
}

/// Where a folder of the host is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Below the worktree, by its path there.
    Worktree(String),
    /// Below the private home folder, by its path there.
    Home(String),
}

impl Sandbox {
    /// Tries levels, the strongest first, or the one asked for; [`Level::None`] is never taken unasked.
    ///
    /// `shim` is this program's own executable (the test binary is not), `scratch` an existing folder for what runs
    /// leave behind until they end, and `path` the search path for programs.
    ///
    /// # Errors
    /// A level asked for that cannot be had; no level at all.
    pub fn open(wanted: Option<Level>, shim: &Path, scratch: &Path, path: &OsStr) -> Result<Self, GateError> {
        let at = |path: &Path, source| GateError::Io { path: path.to_owned(), source };
        let scratch = scratch.canonicalize().map_err(|source| at(scratch, source))?;
        let shim = shim.canonicalize().map_err(|source| at(shim, source))?;
        let unshare = find("unshare", path);
        let readable = install_roots(path);
        let path = path.to_string_lossy().into_owned();
        let limits = Limits::default();
        let shown = Vec::new();
        let mut sandbox = Self { level: Level::None, shim, scratch, path, unshare, readable, shown, limits };
        let mut refused = Vec::new();
        let levels = match &wanted {
            Some(level) => std::slice::from_ref(level),
            None => &Level::TRIED,
        };
        for level in levels {
            if *level == Level::Container {
                refused.push((*level, "it comes with the image that an instance names".to_owned()));
                continue;
            }
            sandbox.level = *level;
            match sandbox.probe() {
                Ok(()) => return Ok(sandbox),
                Err(error) => refused.push((*level, error.to_string())),
            }
        }
        Err(match (wanted, refused.pop()) {
            (Some(level), Some((_, reason))) => GateError::LevelUnavailable { level, reason },
            (_, last) => {
                refused.extend(last);
                let reasons: Vec<String> = refused.iter().map(|(level, reason)| format!("{level}: {reason}")).collect();
                GateError::NoSandbox(reasons.join("; "))
            }
        })
    }

    /// Returns the level that every run gets.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Lets runs read one more folder of the host, at its own path.
    #[must_use]
    pub fn with_readable(mut self, folder: &Path) -> Self {
        self.readable.push(folder.to_owned());
        self
    }

    /// Changes what runs may use.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Shows runs one more folder of the host at another place; what they write there stays in memory, or is refused.
    #[must_use]
    pub fn with_shown(mut self, folder: &Path, place: Place) -> Self {
        self.shown.push((folder.to_owned(), place));
        self
    }

    fn probe(&self) -> Result<(), GateError> {
        let folder = self.scratch_folder()?;
        let plan = Plan::probe(self.level, &folder.0, &self.limits);
        let outcome = start(self, &plan, PROBE_SECONDS, 1 << 10)?;
        match outcome.ending {
            Ending::Exit(0) => Ok(()),
            ending => Err(GateError::Setup(format!("an empty command ended with {ending:?}"))),
        }
    }

    /// Makes the folder of one run, gone when dropped.
    pub(super) fn scratch_folder(&self) -> Result<Scratch, GateError> {
        for number in 0..1_000_000_u32 {
            let path = self.scratch.join(format!("test-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let scratch = Scratch(path);
                    for name in ["root", "home", "tmp"] {
                        let path = scratch.0.join(name);
                        fs::create_dir(&path).map_err(|source| GateError::Io { path, source })?;
                    }
                    return Ok(scratch);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(GateError::Io { path, source }),
            }
        }
        Err(GateError::Setup(format!("{} holds too many old runs", self.scratch.display())))
    }
}

/// A run's own folder on the host.
pub(super) struct Scratch(pub(super) PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Finds a program on a search path.
pub fn find(program: &str, path: &OsStr) -> Option<PathBuf> {
    let runs = |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    std::env::split_paths(path).filter(|folder| folder.is_absolute()).map(|folder| folder.join(program)).find(runs)
}

/// Returns what must be readable so that programs of the search path work: for `X/bin` outside the system, `X`.
///
/// A `bin` directly in a home folder, in `.local` or `.cargo`, stands for itself: what lies beside it is private.
fn install_roots(path: &OsStr) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = std::env::split_paths(path)
        .filter(|folder| folder.is_absolute() && folder.is_dir())
        .filter(|folder| !["/usr", "/bin", "/sbin", "/lib", "/lib64"].iter().any(|system| folder.starts_with(system)))
        .map(|folder| {
            let is_programs =
                folder.file_name().is_some_and(|name| ["bin", "sbin", "shims"].iter().any(|bin| name == *bin));
            let parent = folder.parent().filter(|parent| {
                let is_home = parent.starts_with("/root") || parent.starts_with("/home");
                let name = parent.file_name().unwrap_or_default().to_string_lossy();
                parent.parent().is_some()
                    && name != ".local"
                    && name != ".cargo"
                    && (!is_home || name.starts_with('.') || parent.components().count() > 3)
            });
            match parent {
                Some(parent) if is_programs => parent.to_owned(),
                _ => folder,
            }
        })
        .collect();
    roots.sort();
    roots.dedup();
    roots
}
