//! What a test run gave, as bytes: one line of canonical JSON, a line feed, then the log as it was written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::GateError;
use crate::canon::json;

/// How far a test run was kept away from the machine, from most to least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Own user, mount, process and network namespaces, and file rules on top.
    #[serde(rename = "namespaces+landlock")]
    NamespacesAndLandlock,
    /// Own user, mount, process and network namespaces.
    #[serde(rename = "namespaces")]
    Namespaces,
    /// A container of an engine: its own file system, processes and no network, by the engine's means.
    #[serde(rename = "container")]
    Container,
    /// File and TCP rules only: the host's paths are visible, what a test leaves running is hunted down.
    #[serde(rename = "landlock")]
    Landlock,
    /// Limits only.
    #[serde(rename = "none")]
    None,
}

impl Level {
    /// All levels, strongest first.
    pub const ALL: [Self; 5] =
        [Self::NamespacesAndLandlock, Self::Namespaces, Self::Container, Self::Landlock, Self::None];
    /// What a sandbox of ours tries by itself, strongest first. A container comes with an image.
    pub(super) const TRIED: [Self; 3] = [Self::NamespacesAndLandlock, Self::Namespaces, Self::Landlock];

    /// Returns the name used in records and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::NamespacesAndLandlock => "namespaces+landlock",
            Self::Namespaces => "namespaces",
            Self::Container => "container",
            Self::Landlock => "landlock",
            Self::None => "none",
        }
    }

    /// Says whether the run sees only what was put into its own file system.
    pub fn has_namespaces(self) -> bool {
        matches!(self, Self::NamespacesAndLandlock | Self::Namespaces)
    }

    /// Says whether the kernel's file rules hold.
    pub fn has_landlock(self) -> bool {
        matches!(self, Self::NamespacesAndLandlock | Self::Landlock)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|level| level.name() == text)
            .ok_or_else(|| format!("{text:?} is none of {}", known()))
    }
}

/// A limit on what a run uses as a whole; the time and the length of the log have their own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exceeded {
    /// More processes and threads than allowed.
    Processes,
    /// More memory than allowed.
    Memory,
    /// More, or more files, written than allowed.
    Disk,
    /// One file larger than allowed.
    FileSize,
}

impl Exceeded {
    /// Returns the code that a verdict gives as the reason.
    pub fn code(self) -> &'static str {
        match self {
            Self::Processes => "G-PROCESSES",
            Self::Memory => "G-MEMORY",
            Self::Disk => "G-DISK",
            Self::FileSize => "G-FILE-SIZE",
        }
    }
}

/// One finished test run, raw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Exit code, unless a signal, the time limit or the log cap ended the run.
    pub exit: Option<i32>,
    /// Signal that ended the command itself.
    pub signal: Option<i32>,
    /// Whether the time limit ended it.
    pub timed_out: bool,
    /// Whether the log reached its cap, which ended it.
    pub truncated: bool,
    /// The limit that ended it, if one of these did.
    pub exceeded: Option<Exceeded>,
    /// Sandbox that held it.
    pub sandbox: Level,
    /// Standard output and error as written, up to the cap.
    pub log: Vec<u8>,
}

/// The head of a raw record. The canonical record's head lacks the sandbox.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) exit: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) timed_out: bool,
    pub(super) truncated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) exceeded: Option<Exceeded>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sandbox: Option<Level>,
}

impl Execution {
    /// Returns the raw record.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { exit, signal, timed_out, truncated, exceeded, sandbox, ref log } = *self;
        join(&Head { exit, signal, timed_out, truncated, exceeded, sandbox: Some(sandbox) }, log)
    }

    /// Reads a raw record.
    ///
    /// # Errors
    /// Bytes that [`Execution::to_bytes`] does not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GateError> {
        let (Head { exit, signal, timed_out, truncated, exceeded, sandbox }, log) = split(bytes)?;
        let sandbox = sandbox.ok_or_else(|| GateError::Malformed("the sandbox level is missing".to_owned()))?;
        Ok(Self { exit, signal, timed_out, truncated, exceeded, sandbox, log: log.to_vec() })
    }
}

/// Writes a record.
pub(super) fn join(head: &Head, log: &[u8]) -> Vec<u8> {
    let mut bytes = json::to_bytes(head).expect("a head holds small integers and names");
    bytes.push(b'\n');
    bytes.extend_from_slice(log);
    bytes
}

/// Splits a record into head and log.
pub(super) fn split(bytes: &[u8]) -> Result<(Head, &[u8]), GateError> {
    let end = bytes.iter().take(1 << 12).position(|&byte| byte == b'\n');
    let end = end.ok_or_else(|| GateError::Malformed("there is no head line".to_owned()))?;
    let head = json::from_bytes(&bytes[..end]).map_err(|error| GateError::Malformed(error.to_string()))?;
    Ok((head, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_with_any_bytes_in_its_log() {
        let execution = Execution {
            exit: None,
            signal: Some(9),
            timed_out: true,
            truncated: false,
            exceeded: None,
            sandbox: Level::Namespaces,
            log: b"a\n\0\xff\r\n{}".to_vec(),
        };
        let bytes = execution.to_bytes();
        assert!(bytes.starts_with(
            b"{\"exit\":null,\"sandbox\":\"namespaces\",\"signal\":9,\"timed_out\":true,\"truncated\":false}\na\n"
        ));
        assert_eq!(Execution::from_bytes(&bytes).unwrap(), execution);
        let full = Execution { exceeded: Some(Exceeded::Disk), ..execution };
        assert!(full.to_bytes().starts_with(b"{\"exceeded\":\"disk\",\"exit\":null,"));
        assert_eq!(Execution::from_bytes(&full.to_bytes()).unwrap(), full);
        for broken in [&b""[..], b"{}", b"{}\n", b"no\n", &bytes[1..]] {
            assert!(Execution::from_bytes(broken).is_err());
        }
    }

    #[test]
    fn levels_are_known_by_name() {
        for level in Level::ALL {
            assert_eq!(level.name().parse(), Ok(level));
            assert_eq!(serde_json::to_value(level).unwrap(), level.name());
        }
        assert!("full".parse::<Level>().is_err());
    }
}
