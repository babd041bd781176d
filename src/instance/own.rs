//! An instance without a file: somebody's own repository, an issue in words, and the command that runs the tests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::InstanceError;
use super::types::{Instance, Repository};
use crate::canon::Blake3;

/// What is said about the task.
#[derive(Debug, Clone)]
pub struct OwnTask {
    /// Top folder of the git repository.
    pub repository: PathBuf,
    /// Commit to start from.
    pub base_commit: String,
    /// The issue text.
    pub issue: String,
    /// Shell command that runs the tests.
    pub test_command: String,
    /// Name of the test log's parser, where the command does not tell.
    pub log_parser: Option<String>,
    /// Folders beside the tree that the tests need, each with its content's digest.
    pub included: BTreeMap<String, Blake3>,
}

/// Returns the instance of a task; its id is the folder's name and the beginning of the issue's digest.
///
/// # Errors
/// An empty issue or test command.
pub fn own(task: OwnTask) -> Result<Instance, InstanceError> {
    for (what, text) in [("issue", &task.issue), ("test command", &task.test_command)] {
        if text.trim().is_empty() {
            return Err(InstanceError::Empty(what));
        }
    }
    let name = task.repository.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '-' };
    let name: String = name.trim_start_matches(['.', '-']).chars().take(100).map(allowed).collect();
    let name = if name.is_empty() || name.starts_with(['.', '-']) { "task".to_owned() } else { name };
    let digest = crate::canon::digest::hex(Blake3::of(task.issue.as_bytes()).as_bytes());
    Ok(Instance {
        base_commit: Some(task.base_commit),
        test_command: Some(task.test_command),
        log_parser: task.log_parser,
        included: task.included,
        ..Instance::new(format!("{name}-{}", &digest[..8]), Repository::Path(task.repository), task.issue)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(folder: &str, issue: &str) -> OwnTask {
        OwnTask {
            repository: folder.into(),
            base_commit: "a".repeat(40),
            issue: issue.into(),
            test_command: "cargo test".into(),
            log_parser: None,
            included: BTreeMap::new(),
        }
    }

    #[test]
    fn every_folder_gives_a_usable_id_and_every_issue_its_own() {
        for (folder, start) in [("/x/my app", "my-app-"), ("/x/.dots", "dots-"), ("/", "task-"), ("/x/-é", "task-")] {
            let id = own(task(folder, "It fails.")).unwrap().id;
            assert!(id.starts_with(start) && super::super::row::is_id(&id), "{id}");
        }
        assert_ne!(own(task("/x", "a")).unwrap().id, own(task("/x", "b")).unwrap().id);
        assert!(own(task("/x", " \n")).is_err());
    }
}
