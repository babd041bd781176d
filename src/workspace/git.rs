//! The `git` program behind one door: minimum version, pinned configuration, cleared environment.
//!
//! Every command runs without the user's and the system's configuration, without hooks, filters, file-system monitors,
//! lazy fetches or transports, with fixed names and dates, so that the same input gives the same bytes on every machine.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::WorkspaceError;

/// The oldest version with everything that the pinned configuration uses (`GIT_CONFIG_GLOBAL`, `--end-of-options`).
const OLDEST: (u32, u32) = (2, 32);
const OLDEST_TEXT: &str = "2.32";

/// The most that is read of a command's answer, in bytes: a listing of a very large repository.
const MAX_OUTPUT: u64 = 1 << 30;

const CONFIGURATION: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "core.quotePath=false",
    "core.compression=1",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.fileMode=true",
    "core.symlinks=true",
    "core.ignoreCase=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "safe.directory=*",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "fastimport.unpackLimit=0",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
    "submodule.recurse=false",
];

/// The `git` program of this machine.
#[derive(Debug, Clone)]
pub struct Git {
    program: PathBuf,
    path: OsString,
    version: String,
}

impl Git {
    /// Finds `git` on the search path `path` and checks its version.
    ///
    /// # Errors
    /// No such program, one that does not answer, or one that is too old.
    pub fn find(path: &OsStr) -> Result<Self, WorkspaceError> {
        let program = std::env::split_paths(path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join("git"))
            .find(|program| program.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0))
            .ok_or_else(|| WorkspaceError::GitMissing(path.to_string_lossy().into_owned()))?;
        let mut git = Self { program, path: path.to_owned(), version: String::new() };
        let answer = git.run("say its version", git.command().arg("version"), b"")?;
        let answer = String::from_utf8_lossy(&answer);
        git.version = answer.split_whitespace().nth(2).unwrap_or("unknown").to_owned();
        let mut numbers = git.version.split('.').map(|part| part.parse().unwrap_or(0_u32));
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST {
            return Err(WorkspaceError::GitOld { found: git.version, needed: OLDEST_TEXT });
        }
        Ok(git)
    }

    /// Returns the version as the program names it, `2.47.3`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns a command with the pinned configuration and environment and no arguments yet.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        self.pin(&mut command);
        command
    }

    /// Returns a command whose new files get the modes 644 and 755, whatever the umask of this process is.
    pub(super) fn command_with_fixed_umask(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "umask 022 && exec \"$0\" \"$@\""]).arg(&self.program);
        self.pin(&mut command);
        command
    }

    fn pin(&self, command: &mut Command) {
        command.env_clear().env("PATH", &self.path).current_dir("/");
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("LC_ALL", "C"),
            ("TZ", "UTC"),
            ("GIT_AUTHOR_NAME", "runproof"),
            ("GIT_AUTHOR_EMAIL", "runproof@localhost"),
            ("GIT_AUTHOR_DATE", "946684800 +0000"),
            ("GIT_COMMITTER_NAME", "runproof"),
            ("GIT_COMMITTER_EMAIL", "runproof@localhost"),
            ("GIT_COMMITTER_DATE", "946684800 +0000"),
        ] {
            command.env(name, value);
        }
        for setting in CONFIGURATION {
            command.args(["-c", setting]);
        }
    }

    /// Switches off, for `command`, every filter that the configuration of the work tree `top` names: git would run
    /// them over its files, and whoever made the repository chose the programs.
    pub(super) fn without_filters(&self, top: &Path, command: &mut Command) -> Result<(), WorkspaceError> {
        let mut ask = self.command();
        ask.arg("-C").arg(top).args(["config", "--list", "--null", "--name-only"]);
        let listed = self.run("read the configuration", &mut ask, b"")?;
        let drivers: BTreeSet<&[u8]> = listed.split(|&byte| byte == 0).filter_map(driver_of).collect();
        let off = [("clean", ""), ("smudge", ""), ("process", ""), ("required", "false")];
        let pairs = drivers.iter().flat_map(|driver| off.map(|(key, value)| (*driver, key, value)));
        let mut count = 0;
        for (driver, key, value) in pairs {
            let name = [b"filter.", driver, b".", key.as_bytes()].concat();
            command.env(format!("GIT_CONFIG_KEY_{count}"), OsStr::from_bytes(&name));
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        Ok(())
    }

    /// Runs a command to its end with `input` on standard input and returns its standard output.
    pub(super) fn run(&self, what: &str, command: &mut Command, input: &[u8]) -> Result<Vec<u8>, WorkspaceError> {
        let failure = |message: String| WorkspaceError::Git { what: what.to_owned(), message };
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| failure(format!("{}: {error}", self.program.display())))?;
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        let mut stdout = child.stdout.take().expect("standard output is a pipe");
        let mut stderr = child.stderr.take().expect("standard error is a pipe");
        let (output, complaint) = std::thread::scope(|scope| {
            // A command that stops reading early says why on its standard error; a broken pipe adds nothing.
            scope.spawn(move || stdin.write_all(input).ok());
            let complaint = scope.spawn(move || {
                let mut text = Vec::new();
                stderr.by_ref().take(1 << 16).read_to_end(&mut text).ok();
                std::io::copy(&mut stderr, &mut std::io::sink()).ok();
                text
            });
            let mut output = Vec::new();
            let read = stdout.by_ref().take(MAX_OUTPUT).read_to_end(&mut output);
            drop(stdout);
            (read.map(|_| output), complaint.join().unwrap_or_default())
        });
        let status = child.wait().map_err(|error| failure(error.to_string()))?;
        if !status.success() {
            return Err(failure(last_lines(&complaint, &status.to_string())));
        }
        output.map_err(|error| failure(error.to_string()))
    }

    /// Runs a command and returns its one line of output.
    pub(super) fn line(&self, what: &str, command: &mut Command) -> Result<String, WorkspaceError> {
        Ok(String::from_utf8_lossy(&self.run(what, command, b"")?).trim_end().to_owned())
    }

    /// Returns the git folder of the repository at `path`, a work tree or a bare repository.
    pub(super) fn folder_of(&self, path: &Path) -> Option<PathBuf> {
        let path = path.canonicalize().ok()?;
        let mut command = self.command();
        // Without a ceiling git would climb to a repository that merely holds the folder.
        command
            .env("GIT_CEILING_DIRECTORIES", path.parent()?)
            .arg("-C")
            .arg(&path)
            .args(["rev-parse", "--absolute-git-dir"]);
        self.line("find the repository", &mut command).ok().map(PathBuf::from)
    }
}

/// Returns the driver that a configuration key such as `filter.lfs.clean` is about.
fn driver_of(key: &[u8]) -> Option<&[u8]> {
    let rest = key.strip_prefix(b"filter.")?;
    rest.iter().rposition(|&byte| byte == b'.').map(|dot| &rest[..dot])
}

/// Returns the last lines that a program printed, or `otherwise` if it printed none.
pub(super) fn last_lines(text: &[u8], otherwise: &str) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    match lines.len() {
        0 => otherwise.to_owned(),
        n => lines[n.saturating_sub(6)..].join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_path_without_git_is_named() {
        let error = Git::find(OsStr::new("/nonexistent:relative")).unwrap_err();
        assert_eq!(error.to_string(), "git is not on the search path \"/nonexistent:relative\"");
    }

    #[test]
    fn the_driver_is_what_stands_between_the_first_and_the_last_dot() {
        assert_eq!(driver_of(b"filter.lfs.clean"), Some(&b"lfs"[..]));
        assert_eq!(driver_of(b"filter.a.b=\xff.process"), Some(&b"a.b=\xff"[..]));
        assert_eq!((driver_of(b"filter.x"), driver_of(b"core.filter.x")), (None, None));
    }

    #[test]
    fn the_end_of_a_long_complaint_is_kept() {
        assert_eq!(last_lines(b"", "exit status: 1"), "exit status: 1");
        assert_eq!(last_lines(b"1\n2\n3\n4\n\n5\n6\n7\n", ""), "2; 3; 4; 5; 6; 7");
    }
}
