//! The old way, kept as the baseline: one unified diff, applied as the programs `git apply` and `patch` would.
//!
//! The chain is the one that SWE-bench's harness runs on predictions: `git apply`, and where that fails
//! `patch --batch --fuzz=5 -p1`. Its middle link, `git apply --reject`, succeeds exactly when the first does, and a
//! `--3way` needs blob names that no model knows. Both links are written here as pure functions, so that nothing is run
//! and anybody can derive the edits again from the reply. A property test compares the first link with git itself.
//!
//! There is no leniency beyond that of the chain: paths are taken as they stand, and hunk headers must count right.
//! What guards the judge and the machine is as for direct edits: paths, protected files, size, an answer that changes
//! nothing. There is no syntax gate, since the old way had none: a broken result is left to the tests.

mod apply;
mod parse;

use std::collections::BTreeMap;

use super::choose::Combined;
use super::code::Code;
use super::notes::{Notes, refuse};
use super::result::Changed;
use super::types::{Context, Proposal, Refusal};
use crate::canon::FileMode;
use crate::canon::tree::is_safe_path;
use apply::Applied;
use parse::{FileDiff, Program};

/// Reads a reply as one unified diff against the tree. `read` yields a file of the tree that the prompt did not show.
///
/// # Errors
/// A reply without a diff, a diff that is no diff, one that does not apply as a whole, and one that touches what no
/// answer may touch.
pub fn propose_patch(
    reply: &[u8],
    context: &Context<'_>,
    read: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
) -> Result<Proposal, Refusal> {
    let mut notes = Notes::default();
    let outcome = attempt(reply, context, read, &mut notes);
    let codes = notes.into_codes();
    match outcome {
        Ok(proposal) => Ok(Proposal { codes, ..proposal }),
        Err(refusal) => Err(Refusal { codes, ..refusal }),
    }
}

/// A file on its way through the hunks.
struct Work {
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    splices: Vec<super::source::Splice>,
}

fn attempt(
    reply: &[u8],
    context: &Context<'_>,
    read: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
    notes: &mut Notes,
) -> Result<Proposal, Refusal> {
    if reply.len() > context.limits.reply_bytes {
        return Err(refuse(Code::Size, "the answer is too long: give only the diff", ""));
    }
    if reply.contains(&0) {
        return Err(refuse(Code::Binary, "the answer holds NUL bytes: answer in plain text", ""));
    }
    let text = String::from_utf8_lossy(reply);
    let Some(diff) = parse::find(&text) else {
        let code = if context.cut_off { Code::Truncated } else { Code::NoDiff };
        return Err(refuse(code, "no unified diff found in the answer: begin with --- a/ and the path", ""));
    };
    let mut why = Vec::new();
    let mut is_malformed = true;
    for (program, code) in [(Program::Git, Code::GitApply), (Program::Patch, Code::PatchApply)] {
        let files = match parse::parse(&diff, program) {
            Ok(files) => files,
            Err(reason) => {
                why.push(format!("{}: {reason}", program.name()));
                continue;
            }
        };
        is_malformed = false;
        let hunks = files.iter().map(|file| file.hunks.len()).sum::<usize>();
        // Each hunk changes a line at least, and each costs a search.
        if hunks > context.limits.changed_lines {
            let message = format!("the diff has {hunks} hunks: change only what the repair needs");
            return Err(refuse(Code::Size, message, ""));
        }
        // What no answer may touch is refused for itself, whichever program would have done it.
        guard(&files, context)?;
        let mut own = Notes::default();
        match apply_all(&files, program, context, read, &mut own) {
            Ok(changed) => {
                notes.add(code);
                notes.add_all(&own.into_codes());
                notes.add(Code::NoGate);
                return changed.into_proposal(context, String::new());
            }
            Err(reason) => why.push(format!("{}: {reason}", program.name())),
        }
    }
    let excerpt = why.join("\n");
    Err(match is_malformed {
        true => refuse(Code::Malformed, "the diff is malformed: hunk headers must count the lines below them", excerpt),
        false => refuse(Code::NoApply, "the diff does not apply: its context is not what the file holds", excerpt),
    })
}

fn guard(files: &[FileDiff], context: &Context<'_>) -> Result<(), Refusal> {
    for path in files.iter().flat_map(|file| [&file.old, &file.new]).flatten() {
        let is_link = context.tree.get(path).is_some_and(|entry| entry.mode == FileMode::Symlink);
        if !is_safe_path(path) || is_link {
            return Err(refuse(Code::UnsafePath, format!("{path:?} is not a file inside the project"), ""));
        }
        if (context.protected)(path) {
            let message = format!("{path} must not be changed (tests, build and CI files are fixed)");
            return Err(refuse(Code::Protected, message, ""));
        }
        if context.tree.get(path).is_some_and(|entry| entry.size > context.limits.file_bytes) {
            return Err(refuse(Code::Size, format!("{path} is too large to edit"), ""));
        }
    }
    Ok(())
}

/// Applies every file's part in order, or none.
fn apply_all(
    files: &[FileDiff],
    program: Program,
    context: &Context<'_>,
    read: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
    notes: &mut Notes,
) -> Result<Changed, String> {
    let mut work: BTreeMap<String, Work> = BTreeMap::new();
    for file in files {
        let is_there = |path: &String| match work.get(path) {
            Some(work) => work.after.is_some(),
            None => context.tree.get(path).is_some(),
        };
        let path = target(file, program, &is_there)?;
        if !work.contains_key(&path) {
            let before = match context.tree.get(&path) {
                Some(_) => context.shown.get(&path).cloned().or_else(|| read(&path)),
                None => None,
            };
            work.insert(path.clone(), Work { after: before.clone(), before, splices: Vec::new() });
        }
        let Some(entry) = work.get_mut(&path) else { continue };
        let old = entry.after.clone().unwrap_or_default();
        if old.contains(&0) {
            return Err(format!("{path}: not a text file"));
        }
        let Applied { bytes, splices, codes } =
            apply::apply(&old, &file.hunks, program).map_err(|reason| format!("{path}: {reason}"))?;
        notes.add_all(&codes);
        let is_removed = file.removes();
        if is_removed && program == Program::Git && !bytes.is_empty() {
            return Err(format!("{path}: removal leaves contents"));
        }
        if entry.before.is_some() && !entry.splices.is_empty() && !splices.is_empty() {
            return Err(format!("{path}: changed by two parts of one diff"));
        }
        entry.splices.extend(splices);
        entry.after = (!(is_removed && bytes.is_empty())).then_some(bytes);
    }
    let mut changed = Changed::default();
    for (path, work) in work {
        match (work.before, work.after) {
            (Some(_), None) => {
                notes.add(Code::RemoveFile);
                changed.remove(path);
            }
            (None, Some(bytes)) => {
                notes.add(Code::Create);
                changed.create(path, bytes);
            }
            (Some(before), Some(bytes)) => changed.edit(path, before, Combined { bytes, splices: work.splices }),
            (None, None) => {}
        }
    }
    Ok(changed)
}

/// Returns the file that a part of the diff is about, as the program would choose it.
fn target(file: &FileDiff, program: Program, is_there: &dyn Fn(&String) -> bool) -> Result<String, String> {
    match (&file.old, &file.new) {
        (Some(old), Some(new)) if old == new && is_there(old) => Ok(old.clone()),
        (Some(old), Some(new)) if old != new && program == Program::Git => {
            Err(format!("{old} and {new}: names differ, and renaming is not done"))
        }
        // `patch` takes whichever of the two names is there.
        (Some(old), Some(new)) => {
            let found = [old, new].into_iter().find(|path| is_there(path));
            found.cloned().ok_or_else(|| format!("{old}: no such file"))
        }
        (None, Some(new)) if is_there(new) => Err(format!("{new}: is there already")),
        (None, Some(new)) => Ok(new.clone()),
        (Some(old), None) if is_there(old) => Ok(old.clone()),
        (Some(old), None) => Err(format!("{old}: no such file")),
        (None, None) => Err("a part of the diff names no file".into()),
    }
}

#[cfg(test)]
mod tests;
