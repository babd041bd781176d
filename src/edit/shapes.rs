//! Answers without `FILE` and `LINES` headers: SEARCH/REPLACE parts, unified diffs, whole files under their name.

use super::body;
use super::code::Code;
use super::notes::Notes;
use super::reply::fence;
use super::scan::{Block, Fence, FenceRole, Scan};
use super::types::Context;

/// Longer lines name no file.
const LONGEST: usize = 600;

/// Returns the edits of an answer in another shape; none if it has none.
pub(super) fn blocks(lines: &[String], scan: &Scan, context: &Context<'_>, notes: &mut Notes) -> Vec<Block> {
    let found = search_replace(lines, context);
    if !found.is_empty() {
        return found;
    }
    let found = diffs(lines);
    if !found.is_empty() {
        return found;
    }
    fences(&scan.fences, context, notes)
}

fn block(path: Option<String>, info: &str, lines: Vec<String>) -> Block {
    let fence = Fence { role: FenceRole::Plain, info: info.to_owned(), lines, closed: true, above: String::new() };
    Block { path, fences: vec![fence], ..Block::default() }
}

/// Reads SEARCH/REPLACE parts, each under a line that names the file; a part without one belongs to the file before.
fn search_replace(lines: &[String], context: &Context<'_>) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut start = 0;
    let mut path = only_shown(context);
    for (index, line) in lines.iter().enumerate() {
        if !line.trim().starts_with(">>>>>") {
            continue;
        }
        let part = &lines[start..=index];
        if let Some(open) = part.iter().position(|line| line.trim().starts_with("<<<<<"))
            && body::search_replace(&part[open..]).is_some()
        {
            let named = part[..open].iter().rev().filter(|line| !line.trim().is_empty()).take(3);
            path = named.filter_map(|line| path_in(line)).next().or(path);
            found.push(block(path.clone(), "", part[open..].to_vec()));
        }
        start = index + 1;
    }
    found
}

/// Reads unified diffs, one block a file.
fn diffs(lines: &[String]) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let next = lines.get(index + 1).map_or("", String::as_str);
        if let (Some(old), Some(new)) = (line.strip_prefix("--- "), next.strip_prefix("+++ ")) {
            let name = |text: &str| text.split('\t').next().unwrap_or_default().trim().to_owned();
            let path = if name(new) == "/dev/null" { name(old) } else { name(new) };
            let action = match (name(old).as_str(), name(new).as_str()) {
                ("/dev/null", _) => Some("create".to_owned()),
                (_, "/dev/null") => Some("delete".to_owned()),
                _ => None,
            };
            found.push(Block { action, ..block(Some(path), "diff", Vec::new()) });
            continue;
        }
        let is_header = line.starts_with("+++ ") || line.starts_with("diff --git ") || fence(line).is_some();
        if let Some(fence) = found.last_mut().and_then(|block| block.fences.first_mut()).filter(|_| !is_header) {
            let is_hunk = line.is_empty() || line.starts_with(['@', ' ', '+', '-', '\\']);
            if is_hunk && !(line.is_empty() && fence.lines.is_empty()) {
                fence.lines.push(line.clone());
            }
        }
    }
    for block in &mut found {
        for fence in &mut block.fences {
            while fence.lines.last().is_some_and(|line| line.is_empty()) {
                fence.lines.pop();
            }
        }
    }
    found
}

/// Takes fences whose opening line, the line above or first comment names a file; a single one for the single file.
fn fences(fences: &[Fence], context: &Context<'_>, notes: &mut Notes) -> Vec<Block> {
    let mut found = Vec::new();
    for fence in fences.iter().filter(|fence| body::role(fence) != FenceRole::Old) {
        let info = fence.info.split([' ', ':']).find_map(path_in);
        let first = fence.lines.first().and_then(|line| {
            let comment = line.trim().strip_prefix('#').or_else(|| line.trim().strip_prefix("//"))?;
            path_in(comment)
        });
        if let Some(path) = info.or_else(|| path_in(&fence.above)).or(first) {
            let lines = fence.lines.clone();
            found.push(Block { fences: vec![Fence { lines, ..fence.clone() }], path: Some(path), ..Block::default() });
        }
    }
    if let (true, [fence], Some(path)) = (found.is_empty(), fences, only_shown(context))
        && body::role(fence) != FenceRole::Old
    {
        notes.add(Code::PathGuess);
        found.push(Block { path: Some(path), fences: vec![fence.clone()], ..Block::default() });
    }
    found
}

/// Returns the path if the prompt showed a single file.
pub(super) fn only_shown(context: &Context<'_>) -> Option<String> {
    let mut shown = context.shown.keys();
    shown.next().filter(|_| shown.next().is_none()).cloned()
}

/// Finds a word with a file's ending in a line of at most a few words.
fn path_in(line: &str) -> Option<String> {
    if line.len() > LONGEST || line.split_whitespace().nth(6).is_some() {
        return None;
    }
    let is_path = |word: &&str| {
        let (stem, end) = word.rsplit_once('.').unwrap_or_default();
        !stem.is_empty()
            && (1..=5).contains(&end.len())
            && end.chars().all(|c| c.is_ascii_alphanumeric())
            && !word.contains("..")
    };
    let word =
        line.split_whitespace().map(|word| word.trim_matches(|c: char| "`*\"'():,;#<>".contains(c))).find(is_path)?;
    Some(word.to_owned())
}
