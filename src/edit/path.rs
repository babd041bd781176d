//! From the path that a reply names to a file of the tree.

use std::collections::{BTreeMap, BTreeSet};

use super::code::Code;
use super::notes::{Notes, refuse};
use super::protected::steers_runner;
use super::types::{Context, Refusal};
use crate::canon::FileMode;
use crate::canon::tree::{DEEPEST, is_git_folder, is_safe_path};

/// Longer names are never paths.
const LONGEST: usize = 500;
/// Longer names of one file or folder are refused by file systems.
const LONGEST_NAME: usize = 255;
/// Systems take paths of 4096 bytes, with that of the worktree.
const LONGEST_BELOW: usize = 3000;
/// At most this many paths are compared when looking for near ones.
const COMPARED: usize = 20_000;

/// Where an edit goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A file of the tree.
    Existing(String),
    /// A path that the tree could hold.
    Absent(String),
}

/// Finds the file that `text` names; `body` helps where the name is a placeholder, `creates` says that a new file is
/// meant.
pub(super) fn resolve(
    text: &str,
    body: &[String],
    creates: bool,
    context: &Context<'_>,
    notes: &mut Notes,
) -> Result<Target, Refusal> {
    let path = clean(text);
    if path != text.trim() {
        notes.add(Code::Path);
    }
    if path.is_empty() || path.len() > LONGEST || path.contains(['\0', '\n']) {
        return Err(refuse(Code::NoFile, "the FILE line names no path: name one of the files shown", shown(context)));
    }
    let is_absolute = path.starts_with('/') || path.get(1..3) == Some(":/");
    if path.split('/').any(|part| part == ".." || is_git_folder(part)) {
        return Err(outside(&path, context));
    }
    let found = existing(&path, is_absolute, context, notes);
    let found = match found {
        None if is_absolute => return Err(outside(&path, context)),
        None if is_placeholder(&path) => Some(guess(&path, body, context, notes)?),
        None if !creates => by_name(&path, context, notes)?,
        found => found,
    };
    if let Some(found) = found {
        if context.tree.get(&found).is_some_and(|entry| entry.mode == FileMode::Symlink) {
            return Err(refuse(Code::UnsafePath, format!("{found} is a link: edit the file that it points to"), ""));
        }
        protect(&found, context)?;
        return Ok(Target::Existing(found));
    }
    let path = path.trim_start_matches("./").to_owned();
    if !is_safe_path(&path) || !has_room(&path, context) {
        return Err(outside(&path, context));
    }
    protect(&path, context)?;
    Ok(Target::Absent(path))
}

/// Says whether a new file can have `path`: no file or link of the tree is above it, no folder has its name, and file
/// systems take that name.
pub(super) fn has_room(path: &str, context: &Context<'_>) -> bool {
    let is_below_file = path.match_indices('/').any(|(end, _)| context.tree.get(&path[..end]).is_some());
    let is_below = |other: &str| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    let is_folder = context.tree.iter().any(|(other, _)| is_below(other));
    let is_long = path.len() > LONGEST_BELOW || path.split('/').any(|part| part.len() > LONGEST_NAME);
    !is_below_file && !is_folder && !is_long && path.matches('/').count() <= DEEPEST
}

/// Refuses a path that is not in the tree and not to be created.
pub(super) fn no_such_file(path: &str, why: &str, context: &Context<'_>) -> Refusal {
    let near = nearest(path, context);
    refuse(Code::NoFile, format!("there is no file {path}{why}: name one of the files shown"), list("nearest:", &near))
}

fn protect(path: &str, context: &Context<'_>) -> Result<(), Refusal> {
    if !(context.protected)(path) {
        return Ok(());
    }
    let (code, what) = match steers_runner(path) {
        true => (Code::Runner, "what steers the test runner is fixed"),
        false => (Code::Protected, "tests, build and CI files are fixed"),
    };
    Err(refuse(code, format!("{path} must not be changed ({what}): repair the code under test"), shown(context)))
}

fn outside(path: &str, context: &Context<'_>) -> Refusal {
    let message =
        format!("{path:?} is not a path inside the project: name one of the files shown, as it is written there");
    refuse(Code::UnsafePath, message, shown(context))
}

fn shown(context: &Context<'_>) -> String {
    list("files shown:", &context.shown.keys().map(String::as_str).collect::<Vec<_>>())
}

fn list(title: &str, paths: &[&str]) -> String {
    if paths.is_empty() { String::new() } else { format!("{title}\n  {}", paths.join("\n  ")) }
}

/// Takes off quotes, emphasis, a trailing colon or remark, and turns backslashes.
fn clean(text: &str) -> String {
    let text = text.trim();
    let text = text.split(" (").next().unwrap_or(text);
    let lower = text.to_ascii_lowercase();
    let text = lower.find(", line").or_else(|| lower.find(" line")).map_or(text, |end| &text[..end]);
    let text = text.split("#L").next().unwrap_or(text);
    let text = text.trim_matches(|c: char| c.is_whitespace() || "`\"'*:,;".contains(c));
    text.replace('\\', "/")
}

fn existing(path: &str, is_absolute: bool, context: &Context<'_>, notes: &mut Notes) -> Option<String> {
    if context.tree.get(path).is_some() {
        return Some(path.to_owned());
    }
    const ROOTS: [&str; 9] = ["testbed", "repo", "workspace", "work", "app", "src", "code", "project", "home"];
    let mut rest = path.trim_start_matches("./");
    if is_absolute {
        rest = rest.trim_start_matches('/');
        if !ROOTS.iter().any(|root| rest.split('/').next() == Some(root)) {
            return None;
        }
    }
    // `a/`, `b/`, the repository's or its owner's name, a doubled folder: all are folders too many in front.
    for _ in 0..6 {
        if context.tree.get(rest).is_some() {
            notes.add(Code::Path);
            return Some(rest.to_owned());
        }
        let is_prefix = rest.starts_with("a/") || rest.starts_with("b/") || is_absolute;
        rest = rest.split_once('/').map(|(_, rest)| rest).filter(|rest| rest.contains('/') || is_prefix)?;
    }
    None
}

fn is_placeholder(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let name = lower.rsplit('/').next().unwrap_or(&lower);
    lower.contains("path/to")
        || lower.contains(['<', '>', '['])
        || lower.contains("your")
        || matches!(name, "file.py" | "filename" | "filename.py" | "file.ext" | "module.py" | "example.py")
}

/// Takes the one shown file whose lines the body repeats.
fn guess(path: &str, body: &[String], context: &Context<'_>, notes: &mut Notes) -> Result<String, Refusal> {
    let fits = |bytes: &Vec<u8>| {
        let text = String::from_utf8_lossy(bytes);
        let lines: BTreeSet<&str> = text.lines().map(str::trim).collect();
        let wanted: Vec<&str> = body.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
        let found = wanted.iter().filter(|line| lines.contains(*line)).count();
        !wanted.is_empty() && found * 10 >= wanted.len() * 6
    };
    let mut fitting = context.shown.iter().filter(|(_, bytes)| fits(bytes)).map(|(path, _)| path);
    match (fitting.next(), fitting.next()) {
        (Some(found), None) => {
            notes.add(Code::PathGuess);
            Ok(found.clone())
        }
        _ => {
            let message = format!("{path:?} is a placeholder: write the real path of one of the files shown");
            Err(refuse(Code::Placeholder, message, shown(context)))
        }
    }
}

fn by_name(path: &str, context: &Context<'_>, notes: &mut Notes) -> Result<Option<String>, Refusal> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ends = |end: &str| -> Vec<&str> {
        let tail = format!("/{end}");
        context.tree.iter().map(|(path, _)| path).filter(|path| *path == end || path.ends_with(&tail)).collect()
    };
    let mut candidates = ends(path.trim_start_matches("./"));
    if candidates.is_empty() {
        candidates = ends(name);
    }
    let shown: Vec<&str> = candidates.iter().copied().filter(|path| context.shown.contains_key(*path)).collect();
    match (candidates.as_slice(), shown.as_slice()) {
        ([], _) => Ok(None),
        ([only], _) | (_, [only]) => {
            notes.add(Code::Basename);
            Ok(Some((*only).to_owned()))
        }
        _ => {
            candidates.truncate(5);
            let message = format!("{path} can be several files: write the whole path");
            Err(refuse(Code::AmbiguousPath, message, list("candidates:", &candidates)))
        }
    }
}

/// Returns the three paths that are the least different, by whole path and by name.
fn nearest<'a>(path: &str, context: &Context<'a>) -> Vec<&'a str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let mut ranked: BTreeMap<(usize, &'a str), ()> = BTreeMap::new();
    for (other, _) in context.tree.iter().take(COMPARED) {
        let other_name = other.rsplit('/').next().unwrap_or(other);
        if name.len().abs_diff(other_name.len()) <= 6 && name.len() <= 80 {
            ranked.insert((distance(name, other_name) * 4 + path.len().abs_diff(other.len()), other), ());
        }
        if ranked.len() > 3 {
            ranked.pop_last();
        }
    }
    ranked.into_keys().map(|(_, path)| path).collect()
}

/// Returns Levenshtein's distance of two words in bytes.
pub fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}
