//! File trees as listings: what the edits make of the base tree, and that every attempt began at it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canon::{Blake3, FileMode, Tree, TreeEntry, json as canonical};
use crate::edit::Replaced;
use crate::rung::course::{Attempt, Course, digest_of};
use crate::rung::finding::{Finding, counted};
use crate::transcript::Entry;

/// What an accepted answer is recorded as.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Edits {
    pub(super) base: Blake3,
    pub(super) changes: BTreeMap<String, EditedFile>,
    codes: Vec<String>,
    reasoning: String,
    pub(super) result: Blake3,
}

/// What an accepted answer does to one file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EditedFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Blake3>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Blake3>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<FileMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaced: Option<Vec<Replaced>>,
}

impl Edits {
    pub(super) fn read(course: &Course<'_>, attempt: &Attempt<'_>) -> Result<Self, String> {
        let bytes = course.body(attempt.edit, "edits")?;
        canonical::from_bytes(&bytes).map_err(|error| format!("event {}: {error}", attempt.edit.position))
    }

    /// Returns the tree that the recorded changes make of `base`.
    fn applied(&self, base: &Tree) -> Result<Tree, String> {
        let mut tree = base.clone();
        for (path, file) in &self.changes {
            if file.before != base.get(path).map(|entry| entry.digest) {
                return Err(format!("{path} was not as the base tree has it"));
            }
            match (file.after, file.mode, file.size) {
                (Some(digest), Some(mode), Some(size)) => tree.insert(path.clone(), TreeEntry { mode, digest, size }),
                (None, None, None) => tree.remove(path),
                _ => return Err(format!("{path} is half there")),
            };
        }
        Ok(tree)
    }
}

/// Every edit set, applied to the base tree's listing, gives the recorded tree, and that tree was tested.
pub(super) fn edits_reapply(course: &Course<'_>) -> Finding {
    if let Some(reason) = super::super::course::foreign_file(course) {
        return Finding::failed(reason);
    }
    let base = course.base.digest();
    let accepted: Vec<&Attempt<'_>> = course.attempts.iter().filter(|attempt| attempt.is_accepted()).collect();
    let mut evidence = vec![];
    for attempt in &accepted {
        let at = attempt.edit.position;
        if let Err(reason) = reapply(course, attempt, base) {
            return Finding::failed(format!("event {at}: {reason}"));
        }
        evidence.extend(digest_of(attempt.edit, "edits"));
    }
    let reason = format!("{} applied to {} files again", counted(accepted.len(), "edit set"), course.base.len());
    Finding::passed(reason)
        .on(evidence)
        .on(digest_of(course.base_entry, "canonical"))
        .figure("edit_sets", accepted.len())
}

fn reapply(course: &Course<'_>, attempt: &Attempt<'_>, base: Blake3) -> Result<(), String> {
    let edits = Edits::read(course, attempt)?;
    if edits.base != base {
        return Err(format!("it was made on {}, the base tree is {base}", edits.base));
    }
    let found = edits.applied(&course.base)?.digest();
    if found != edits.result {
        return Err(format!("the edits give the tree {found}, the recording says {}", edits.result));
    }
    let Some((test, _)) = attempt.tested else { return Err("it was not tested".into()) };
    let request: Value = serde_json::from_slice(&course.body(test, "request")?).unwrap_or_default();
    match request.get("tree").and_then(Value::as_str) {
        Some(tree) if tree == found.to_string() => Ok(()),
        tree => Err(format!("the tests ran on {}, the edits give {found}", tree.unwrap_or("no tree"))),
    }
}

/// The worktree was the base tree before every attempt and after the last, so a refused answer left it so too.
pub(super) fn attempts_pristine(course: &Course<'_>) -> Finding {
    if course.attempts.is_empty() {
        return Finding::unknown("no attempt was made");
    }
    let base = course.base.digest();
    let mut checks: Vec<(String, &Entry)> =
        course.attempts.iter().map(|attempt| (format!("attempt {}", attempt.number), attempt.pristine)).collect();
    match course.end {
        Some(end) => checks.push(("end".into(), end)),
        // A run that stopped within an attempt made no check after it.
        None => return Finding::unknown("the worktree was not looked at after the last attempt"),
    }
    let mut refused = 0;
    for (index, (stage, check)) in checks.iter().enumerate() {
        let request = course.body(check, "request").unwrap_or_default();
        let request: Value = serde_json::from_slice(&request).unwrap_or_default();
        let is_meant = request.get("stage").and_then(Value::as_str) == Some(stage)
            && request.get("expected").and_then(Value::as_str) == Some(&base.to_string());
        if !is_meant {
            return Finding::failed(format!("event {} is not the check of the base tree at {stage}", check.position));
        }
        let found = course.body(check, "canonical").unwrap_or_default();
        if found != base.to_string().as_bytes() {
            let found = String::from_utf8_lossy(&found).chars().take(80).collect::<String>();
            return Finding::failed(format!("event {}: the worktree at {stage} was {found}", check.position));
        }
        refused += usize::from(index > 0 && course.attempts.get(index - 1).is_some_and(|before| !before.is_accepted()));
    }
    let evidence: Vec<_> = checks.iter().filter_map(|(_, check)| digest_of(check, "canonical")).collect();
    let reason = format!("{} of the worktree, each found the base tree", counted(checks.len(), "check"));
    Finding::passed(reason).on(evidence).figure("checks", checks.len()).figure("after_refusals", refused)
}
