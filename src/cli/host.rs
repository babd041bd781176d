//! Everything that is read from the host: clock, randomness, environment, folders, processors.
#![expect(clippy::disallowed_methods, reason = "this file is the one place that reads the host")]

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::canon::{Blake3, RunId};
use crate::gate::Owner;
use crate::transcript::Clock;

use super::failure::{Failure, FailureKind};

/// The host, read on demand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host;

impl Host {
    /// Returns the system's clock.
    pub(crate) fn clock() -> Clock {
        Clock { now_us: Self::now_us, sleep: std::thread::sleep }
    }

    /// Returns microseconds since 1970-01-01 UTC.
    pub(crate) fn now_us() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// Draws random bytes.
    pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
        let mut bytes = [0; N];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut bytes))
            .map_err(|error| Failure::new(FailureKind::Environment, format!("failed to read /dev/urandom: {error}")))?;
        Ok(bytes)
    }

    /// Draws the id of a new run.
    pub(crate) fn new_run_id() -> Result<RunId, Failure> {
        Ok(RunId::from_bytes(Self::random()?))
    }

    /// Returns the folder for files that are gone at the end.
    pub(crate) fn temporary() -> PathBuf {
        std::env::temp_dir()
    }

    /// Returns what no certificate may hold: folders of this user, and the values of variables that hold secrets.
    pub(crate) fn private_texts() -> Vec<(&'static str, String)> {
        let folders = [Self::home(), std::env::current_dir().ok()];
        let mut texts: Vec<(&'static str, String)> = folders
            .into_iter()
            .flatten()
            .map(|path| ("a folder of this machine", path.to_string_lossy().into_owned()))
            .collect();
        let is_secret = |name: &str| ["KEY", "TOKEN", "SECRET", "PASSWORD"].iter().any(|mark| name.contains(mark));
        let variables = std::env::vars_os().filter(|(name, _)| is_secret(&name.to_string_lossy().to_uppercase()));
        let values = variables.map(|(_, value)| value.to_string_lossy().into_owned()).filter(|value| value.len() >= 12);
        texts.extend(values.map(|value| ("the value of a variable of the environment", value)));
        texts
    }

    /// Returns the values of variables that hold secrets.
    pub(crate) fn secrets() -> Vec<String> {
        Self::private_texts().into_iter().filter(|(what, _)| what.contains("variable")).map(|(_, text)| text).collect()
    }

    /// Returns the words that this program was started with, without its name.
    #[cfg(feature = "live")]
    pub(crate) fn arguments() -> Vec<OsString> {
        std::env::args_os().skip(1).collect()
    }

    /// Says whether this program was started with a signal ignored.
    #[cfg(feature = "live")]
    pub(crate) fn ignores(signal: i32) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
        mask >> (signal - 1) & 1 == 1
    }

    /// Returns a variable of the environment; empty counts as absent.
    pub(crate) fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    /// Returns the search path for programs.
    pub(crate) fn search_path() -> OsString {
        std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
    }

    /// Returns the user's home folder, where there is one.
    pub(crate) fn home() -> Option<PathBuf> {
        std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
    }

    /// Returns the folder for files that can be fetched again (XDG base directories: `$XDG_CACHE_HOME/runproof`).
    pub(crate) fn cache() -> Option<PathBuf> {
        let xdg = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        xdg.or_else(|| Some(Self::home()?.join(".cache"))).map(|path| path.join("runproof"))
    }

    /// Returns the working folder.
    pub(crate) fn working_folder() -> Result<PathBuf, Failure> {
        std::env::current_dir()
            .map_err(|error| Failure::new(FailureKind::Environment, format!("the working folder is gone: {error}")))
    }

    /// Returns the path of this program, for the sandbox to start again.
    pub(crate) fn program() -> Result<PathBuf, Failure> {
        std::env::current_exe().map_err(|error| {
            Failure::new(FailureKind::Environment, format!("this program cannot find itself: {error}"))
        })
    }

    /// Returns whom containers of this process belong to.
    pub(crate) fn owner() -> Result<Owner, Failure> {
        let read = |path: &str| std::fs::read_to_string(path);
        let place = || Ok((read("/proc/sys/kernel/random/boot_id")?, std::fs::read_link("/proc/self/ns/pid")?));
        let (boot, namespace) = place().map_err(|error: std::io::Error| {
            Failure::new(FailureKind::Environment, format!("/proc cannot be read: {error}"))
        })?;
        let place = Blake3::of(format!("{} {}", boot.trim(), namespace.display()).as_bytes()).to_hex();
        Ok(Owner::of_process(place[..12].to_owned(), std::process::id()))
    }

    /// Returns the number of processors that this process may use.
    pub(crate) fn threads() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}
