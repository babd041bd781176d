//! Finding a Python of a given version, and running the programs that build environments.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::GateError;
use super::super::sandbox::find;

/// The most that is kept of what an installer prints, in bytes.
const KEPT: usize = 4000;

/// What of the host may be used to build environments.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Search path for programs.
    pub path: OsString,
    /// Folders whose children are Python installations named by version, such as `~/.pyenv/versions`.
    pub installations: Vec<PathBuf>,
    /// Variables that the installer gets: home, proxy, certificates and index settings.
    pub env: BTreeMap<OsString, OsString>,
}

impl Tools {
    /// Returns the interpreter for `version`, by its own word, with the version it is.
    pub(super) fn interpreter(&self, version: &str) -> Result<(PathBuf, String), GateError> {
        let mut looked = Vec::new();
        let mut candidates: Vec<PathBuf> = Vec::new();
        for folder in &self.installations {
            let mut found: Vec<PathBuf> =
                fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
            // The newest patch release first; 3.9.18 comes after 3.9.2 as numbers.
            found.sort_by_key(|path| {
                std::cmp::Reverse(numbers(&path.file_name().unwrap_or_default().to_string_lossy()))
            });
            candidates.extend(found.into_iter().map(|path| path.join("bin/python")));
        }
        let short = version.split('.').take(2).collect::<Vec<_>>().join(".");
        candidates.retain(|path| path.to_string_lossy().contains(&format!("/{short}")) && path.exists());
        for name in [format!("python{short}"), "python3".to_owned(), "python".to_owned()] {
            candidates.extend(find(&name, &self.path));
        }
        for candidate in candidates {
            let program = "import sys; print(sys.executable); print('%d.%d.%d' % sys.version_info[:3])";
            let Ok(said) = self.run(&candidate, &["-I", "-c", program], Stdio::null()) else { continue };
            let mut lines = said.lines();
            let (Some(executable), Some(found)) = (lines.next(), lines.next()) else { continue };
            if found == version || found.starts_with(&format!("{version}.")) {
                return Ok((PathBuf::from(executable), found.to_owned()));
            }
            looked.push(format!("{} is {found}", candidate.display()));
        }
        let looked = if looked.is_empty() { "none was found".to_owned() } else { looked.join(", ") };
        Err(GateError::InterpreterMissing { version: version.to_owned(), looked })
    }

    /// Returns the `uv` program, if there is one.
    pub(super) fn uv(&self) -> Option<PathBuf> {
        find("uv", &self.path)
    }

    /// Runs a program to its end on `input` and returns its standard output, or the end of what it said.
    pub(super) fn run(&self, program: &Path, arguments: &[&str], input: Stdio) -> Result<String, String> {
        self.finish(Command::new(program).args(arguments).current_dir("/"), &[], input)
    }

    /// Runs a command to its end on `input`, with these tools' variables and `own` ones, as [`Self::run`] does.
    pub(super) fn finish(&self, command: &mut Command, own: &[(&str, &OsStr)], input: Stdio) -> Result<String, String> {
        let output = command
            .env_clear()
            .envs(&self.env)
            .env("PATH", &self.path)
            .env("LC_ALL", "C.UTF-8")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .env("PIP_NO_INPUT", "1")
            .envs(own.iter().copied())
            .stdin(input)
            .output()
            .map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        let from = said.char_indices().rev().nth(KEPT).map_or(0, |(at, _)| at);
        let lines: Vec<&str> = said[from..].lines().filter(|line| !line.trim().is_empty()).collect();
        match lines.len() {
            0 => Err(output.status.to_string()),
            count => Err(lines[count.saturating_sub(12)..].join("\n")),
        }
    }
}

fn numbers(name: &str) -> Vec<u32> {
    name.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patch_releases_are_ordered_as_numbers() {
        assert!(numbers("3.9.18") > numbers("3.9.2"));
        assert!(numbers("3.11.7") > numbers("3.9.18"));
    }

    #[test]
    fn a_version_that_nobody_has_is_named_with_what_was_found() {
        let tools = Tools { path: "/nonexistent".into(), installations: Vec::new(), env: BTreeMap::new() };
        let error = tools.interpreter("3.99").unwrap_err();
        assert!(error.to_string().contains("3.99") && error.to_string().contains("none was found"), "{error}");
    }
}
