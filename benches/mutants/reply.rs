//! Replies in the form that prompts ask for, made from a file before and after.

use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};

/// Fence that no source file of the instances holds.
const FENCE: &str = "``````";

/// Edits that turn `before` into `after`, with one line of context around each so that none is an insertion.
pub(crate) fn edits(path: &str, before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let groups = group_diff_ops(capture_diff_slices(Algorithm::Myers, &old, &new), 1);
    let text = |ops: &Vec<DiffOp>| {
        let (first, last) = (ops.first().expect("a group holds a change"), ops.last().expect("a group holds a change"));
        let (from, to) = (first.old_range().start + 1, last.old_range().end);
        let lines = &new[first.new_range().start..last.new_range().end];
        format!("FILE: {path}\nLINES: {from}-{to}\nREASONING: as told\n{FENCE}\n{}\n{FENCE}\n", lines.join("\n"))
    };
    groups.iter().map(text).collect::<Vec<_>>().join("\n")
}

/// An edit that leaves its line as it is.
pub(crate) fn no_op(path: &str, before: &str) -> String {
    let line = before.lines().next().unwrap_or_default();
    format!("FILE: {path}\nLINES: 1-1\nREASONING: nothing\n{FENCE}\n{line}\n{FENCE}\n")
}

/// A new file.
pub(crate) fn create(path: &str, text: &str) -> String {
    format!("FILE: {path}\nLINES: NEW\nREASONING: as told\n{FENCE}\n{text}{FENCE}\n")
}

/// The end of a file.
pub(crate) fn delete(path: &str) -> String {
    format!("FILE: {path}\nACTION: delete\nREASONING: not needed\n(DELETE)\n")
}
