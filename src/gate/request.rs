//! What to run, as a value whose canonical bytes are the key of the recorded execution.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::GateError;
use crate::canon::tree::is_safe_path;
use crate::canon::{Blake3, json};

/// One run of a test command. Equal requests have equal bytes, whatever machine or folder they are made in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestRequest {
    /// Command line, run by `sh -c` in the worktree.
    pub command: String,
    /// Variables to set; `{worktree}` in a value stands for the worktree's path in the sandbox and stays as it is here.
    pub env: BTreeMap<String, String>,
    /// Name of the prepared environment whose programs come first on the search path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Files that the project's own build would generate, by path: there for the run where the tree has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub generated: BTreeMap<String, String>,
    /// Folders that the tree does not hold and the run needs, such as installed packages, each with its content's digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub included: BTreeMap<String, Blake3>,
    /// Wall time after which everything is killed, in seconds.
    pub timeout_seconds: u32,
    /// Bytes of output after which everything is killed.
    pub log_cap: u64,
    /// Digest of the source tree under test.
    pub tree: Blake3,
    /// What the run is for: `red`, `attempt 2`, `grade`.
    pub stage: String,
}

impl TestRequest {
    /// Returns the canonical JSON bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_bytes(self).expect("a request holds strings and integers below 2^53")
    }

    /// Returns the variables that the command gets wherever it runs, for a worktree at `tree`.
    ///
    /// # Errors
    /// A variable, a generated file's path or a command that cannot be one.
    pub(super) fn variables(&self, tree: &str) -> Result<BTreeMap<String, String>, GateError> {
        if let Some(path) = self.generated.keys().find(|path| !is_safe_path(path)) {
            return Err(GateError::Setup(format!("{path:?} is not a plain path inside the worktree")));
        }
        if self.command.contains('\0') {
            return Err(GateError::Setup("the test command holds a NUL byte".to_owned()));
        }
        let usual = [
            ("LC_ALL", "C.UTF-8"),
            ("LANG", "C.UTF-8"),
            ("TZ", "UTC"),
            ("PYTHONHASHSEED", "0"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            // Without a network the tools of packages had better say at once what they lack.
            ("CARGO_NET_OFFLINE", "true"),
            ("GOPROXY", "off"),
            ("GOTOOLCHAIN", "local"),
        ];
        let mut variables: BTreeMap<String, String> =
            usual.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(GateError::Setup(format!("{name:?} cannot be a variable of the environment")));
            }
            variables.insert(name.clone(), value.replace("{worktree}", tree));
        }
        Ok(variables)
    }

    /// Reads canonical JSON bytes.
    ///
    /// # Errors
    /// Bytes that are not the canonical form of a request.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GateError> {
        Ok(json::from_bytes(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_and_keeps_the_placeholder() {
        let request = TestRequest {
            command: "python -m pytest -rA".into(),
            env: BTreeMap::from([("PYTHONPATH".into(), "{worktree}/src".into())]),
            environment: None,
            generated: BTreeMap::new(),
            included: BTreeMap::new(),
            timeout_seconds: 60,
            log_cap: 1 << 20,
            tree: Blake3::of(b"tree"),
            stage: "red".into(),
        };
        let bytes = request.to_bytes();
        assert!(String::from_utf8_lossy(&bytes).contains("{worktree}/src"));
        assert_eq!(TestRequest::from_bytes(&bytes).unwrap(), request);
        assert!(TestRequest::from_bytes(b"{}").is_err());
    }
}
