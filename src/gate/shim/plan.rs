//! What the parent tells the shim, and what the shim tells the parent: one line of JSON each.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::gate::{Exceeded, Level};

/// Everything that the shim needs to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::gate) struct Plan {
    /// What to set up.
    pub(in crate::gate) level: Level,
    /// Command line for `sh -c`.
    pub(in crate::gate) command: String,
    /// The whole environment of the command.
    pub(in crate::gate) env: BTreeMap<String, String>,
    /// Folder to start in, as the command sees it.
    pub(in crate::gate) folder: String,
    /// Files to put into that folder where it has none.
    pub(in crate::gate) generated: BTreeMap<String, String>,
    /// Folders that the command may write to, as it sees them.
    pub(in crate::gate) writable: Vec<String>,
    /// Folders whose growth is measured by walking through them, as the shim sees them: those that are on a disk.
    pub(in crate::gate) measured: Vec<String>,
    /// Folders beside the system's that it may read, as it sees them.
    pub(in crate::gate) readable: Vec<String>,
    /// Folders of the host that lie at another place for the command.
    pub(in crate::gate) shown: Vec<Shown>,
    /// The file system to put together, with namespaces.
    pub(in crate::gate) mounts: Option<Mounts>,
    /// Limits of each process.
    pub(in crate::gate) limits: Limits,
}

/// Where the parts of the new file system are on the host.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::gate) struct Mounts {
    /// An empty folder that becomes the root.
    pub(in crate::gate) root: String,
    /// Worktree, absent when a level is only tried.
    pub(in crate::gate) worktree: Option<String>,
    /// Prepared environment.
    pub(in crate::gate) environment: Option<String>,
    /// Folders to show at their own paths.
    pub(in crate::gate) readable: Vec<String>,
}

/// A folder of the host at a place of its own: in memory where written to, or a link where there are no namespaces.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::gate) struct Shown {
    /// Where it is on the host.
    pub(in crate::gate) source: String,
    /// Where the command sees it.
    pub(in crate::gate) target: String,
}

/// What a run may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest file, in bytes.
    pub file_bytes: u64,
    /// Private writable memory of one process, in bytes.
    pub data_bytes: u64,
    /// Memory of all processes together, in bytes, what they write to files in memory not counted.
    pub memory_bytes: u64,
    /// Open files of one process.
    pub files: u64,
    /// Processes and threads at the same time.
    pub processes: u64,
    /// What the worktree, the home and the temp folder may grow by together, in bytes.
    pub written_bytes: u64,
    /// How many files and folders may be added there.
    pub written_files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A little more than what may be written, so that writing too much is known by that name.
            file_bytes: (2 << 30) + SLACK,
            data_bytes: 8 << 30,
            memory_bytes: 8 << 30,
            files: 4096,
            processes: 1024,
            written_bytes: 2 << 30,
            written_files: 200_000,
        }
    }
}

/// Bytes that the kernel's own bound on files in memory lies above the limit, so that the watcher sees it passed.
pub(super) const SLACK: u64 = 64 << 20;

/// Processes that the kernel's own bound lies above the limit, so that the watcher sees it passed. At that bound shells
/// die of the processes that they do not get, and a bomb goes on below it: it must lie well above.
pub(in crate::gate) const PROCESS_SLACK: u64 = 1024;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::gate) enum Report {
    /// It exited with this code.
    Exit(i32),
    /// This signal ended it.
    Signal(i32),
    /// It used too much, and was ended.
    Exceeded(Exceeded),
}

impl Plan {
    /// Returns the plan of an empty command that finds out whether a level works.
    pub(in crate::gate) fn probe(level: Level, folder: &Path, limits: &Limits) -> Self {
        let root = folder.join("root").to_string_lossy().into_owned();
        let mounts = Mounts { root, worktree: None, environment: None, readable: Vec::new() };
        Self {
            level,
            command: "exit 0".to_owned(),
            env: BTreeMap::new(),
            folder: "/".to_owned(),
            generated: BTreeMap::new(),
            writable: Vec::new(),
            measured: Vec::new(),
            readable: Vec::new(),
            shown: Vec::new(),
            mounts: level.has_namespaces().then_some(mounts),
            limits: *limits,
        }
    }

    /// Returns the plan as one line.
    pub(in crate::gate) fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("a plan holds strings and integers");
        line.push(b'\n');
        line
    }

    /// Reads a line.
    pub(super) fn from_line(line: &str) -> Result<Self, String> {
        serde_json::from_str(line).map_err(|error| format!("the shim got no plan: {error}"))
    }
}

impl Report {
    /// Returns the report as one line.
    pub(super) fn to_line(self) -> String {
        serde_json::to_string(&self).expect("a report holds an integer") + "\n"
    }

    /// Reads what the shim said; anything but a report is its complaint.
    pub(in crate::gate) fn read(said: &[u8]) -> Result<Self, String> {
        let said = String::from_utf8_lossy(said);
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        last.and_then(|line| serde_json::from_str(line).ok()).ok_or_else(|| match said.trim() {
            "" => "the shim ended without a word".to_owned(),
            text => text.chars().take(500).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back_and_a_complaint_is_passed_on() {
        for report in [Report::Exit(3), Report::Signal(9), Report::Exceeded(Exceeded::Disk)] {
            assert_eq!(Report::read(report.to_line().as_bytes()), Ok(report));
        }
        assert_eq!(Report::read(b"unshare: failed\n"), Err("unshare: failed".to_owned()));
        assert!(Report::read(b"").is_err());
    }
}
