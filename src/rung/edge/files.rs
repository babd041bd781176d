//! Bytes of files: what an answer did not mean to change is as it was.

use std::collections::BTreeMap;

use super::trees::{EditedFile, Edits};
use crate::canon::Blake3;
use crate::edit::Replaced;
use crate::rung::course::{Attempt, Course, digest_of};
use crate::rung::finding::{Finding, counted};
use crate::rung::patch::{self, File};

const MARK: &[u8] = b"\xef\xbb\xbf";

/// Outside the edited ranges every byte is as it was; line ends, modes, encodings and all other files are kept.
///
/// The recorded patch is applied to the recorded files; what comes out must be the recorded files, and differ from what
/// was there only in the lines that the answer was read to replace.
pub(super) fn files_intact(course: &Course<'_>) -> Finding {
    let accepted: Vec<&Attempt<'_>> = course.attempts.iter().filter(|attempt| attempt.is_accepted()).collect();
    let (mut files, mut evidence) = (0, Vec::new());
    for attempt in &accepted {
        match intact(course, attempt) {
            Ok(number) => files += number,
            Err(reason) => return Finding::failed(format!("event {}: {reason}", attempt.edit.position)),
        }
        evidence.extend(digest_of(attempt.edit, "edits").into_iter().chain(digest_of(attempt.edit, "patch")));
    }
    let reason =
        format!("{} in {}, nothing else touched", counted(files, "changed file"), counted(accepted.len(), "edit set"));
    Finding::passed(reason).on(evidence).figure("files", files)
}

fn intact(course: &Course<'_>, attempt: &Attempt<'_>) -> Result<usize, String> {
    let edits = Edits::read(course, attempt)?;
    let before = |path: &str| Some((course.files.get(path)?.clone(), course.base.get(path)?.mode));
    let after = patch::apply(&course.body(attempt.edit, "patch")?, &before)?;
    let named: Vec<&String> = edits.changes.keys().collect();
    let touched: Vec<&String> = after.keys().collect();
    if named != touched {
        return Err(format!("the patch changes {touched:?}, the edits {named:?}"));
    }
    for (path, file) in &after {
        let meant = &edits.changes[path];
        compare(path, before(path), file.as_ref(), meant)?;
    }
    Ok(after.len())
}

fn compare(path: &str, before: Option<File>, after: Option<&File>, meant: &EditedFile) -> Result<(), String> {
    let Some((after, mode)) = after else {
        return if meant.after.is_none() { Ok(()) } else { Err(format!("{path} is removed by the patch only")) };
    };
    if meant.after != Some(Blake3::of(after)) {
        return Err(format!("the patch does not make {path} what the edits say"));
    }
    if meant.mode != Some(*mode) {
        return Err(format!("the mode of {path} is not the recorded one"));
    }
    let Some((before, old_mode)) = before else { return Ok(()) };
    if old_mode != *mode {
        return Err(format!("the mode of {path} changed"));
    }
    if before.starts_with(MARK) != after.starts_with(MARK) {
        return Err(format!("the byte order mark of {path} changed"));
    }
    if std::str::from_utf8(&before).is_ok() && std::str::from_utf8(after).is_err() {
        return Err(format!("{path} is no longer UTF-8"));
    }
    let replaced =
        meant.replaced.as_ref().ok_or_else(|| format!("which lines of {path} were replaced is not recorded"))?;
    outside(path, &lines(&before), &lines(after), replaced)
}

/// A line's text and its end.
type Line<'b> = (&'b [u8], &'b [u8]);

fn lines(bytes: &[u8]) -> Vec<Line<'_>> {
    let text = |line: &[u8]| {
        line.strip_suffix(b"\n").map_or(line.len(), |rest| rest.strip_suffix(b"\r").unwrap_or(rest).len())
    };
    bytes.split_inclusive(|byte| *byte == b'\n').map(|line| line.split_at(text(line))).collect()
}

/// Compares the lines around the replaced ones, and the ends of the new ones with those of the file.
fn outside(path: &str, old: &[Line<'_>], new: &[Line<'_>], replaced: &[Replaced]) -> Result<(), String> {
    let (mut old_at, mut new_at) = (0, 0);
    let mut ends: BTreeMap<&[u8], usize> = BTreeMap::new();
    old.iter().for_each(|(_, end)| *ends.entry(end).or_default() += 1);
    ends.remove(&b""[..]);
    for splice in replaced {
        let until = splice.after as usize;
        let kept = until.checked_sub(old_at).ok_or_else(|| format!("the replaced lines of {path} are out of order"))?;
        same(path, old, new, [old_at, new_at], kept)?;
        (old_at, new_at) = (until + splice.lines as usize, new_at + kept);
        let fresh = new.get(new_at..new_at + splice.new as usize);
        let fresh = fresh
            .filter(|_| old_at <= old.len())
            .ok_or_else(|| format!("{path} has fewer lines than were replaced"))?;
        // A file with one kind of line end keeps it, whatever the model wrote.
        if ends.len() == 1 && fresh.iter().any(|(_, end)| !end.is_empty() && !ends.contains_key(end)) {
            return Err(format!("the line ends of {path} changed at line {}", new_at + 1));
        }
        new_at += fresh.len();
    }
    let kept = old.len() - old_at;
    if new.len() != new_at + kept {
        return Err(format!("{path} has {} lines where {} belong", new.len(), new_at + kept));
    }
    same(path, old, new, [old_at, new_at], kept)?;
    match (old.last(), new.last()) {
        (Some((_, old)), Some((_, new))) if old.is_empty() != new.is_empty() => {
            Err(format!("the line end at the end of {path} changed"))
        }
        _ => Ok(()),
    }
}

/// Compares `count` lines of both sides. A last line without an end may have got one where lines follow it now, and the
/// other way round.
fn same(path: &str, old: &[Line<'_>], new: &[Line<'_>], at: [usize; 2], count: usize) -> Result<(), String> {
    for index in 0..count {
        let (Some(before), Some(after)) = (old.get(at[0] + index), new.get(at[1] + index)) else {
            return Err(format!("{path} has fewer lines than before outside the edited ranges"));
        };
        let line = at[0] + index + 1;
        if before.0 != after.0 {
            return Err(format!("line {line} of {path} changed, outside the edited ranges"));
        }
        let is_last = line == old.len() || at[1] + index + 1 == new.len();
        let moved = is_last && (before.1.is_empty() || after.1.is_empty());
        if before.1 != after.1 && !moved {
            return Err(format!("the line end of line {line} of {path} changed, outside the edited ranges"));
        }
    }
    Ok(())
}
