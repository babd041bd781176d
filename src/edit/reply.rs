//! The reply as lines: think parts dropped, an outer fence taken off.

use super::code::Code;
use super::label::{self, Label};
use super::notes::Notes;

/// Returns the lines of a reply that may hold edits.
pub(super) fn lines(text: &str, notes: &mut Notes) -> Vec<String> {
    if text.contains('\r') {
        notes.add(Code::Eol);
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text = without_thoughts(&text, notes);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    without_outer_fence(lines, notes)
}

/// Drops `<think>…</think>`, and everything before a `</think>` whose start the chat template has eaten.
fn without_thoughts(text: &str, notes: &mut Notes) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some(start) = rest.find("<think>") {
        notes.add(Code::Prose);
        kept.push_str(&rest[..start]);
        let inner = &rest[start..];
        rest = inner.find("</think>").map_or("", |end| &inner[end + "</think>".len()..]);
    }
    kept.push_str(rest);
    match kept.rsplit_once("</think>") {
        Some((_, after)) => {
            notes.add(Code::Prose);
            after.to_owned()
        }
        None => kept,
    }
}

fn without_outer_fence(mut lines: Vec<String>, notes: &mut Notes) -> Vec<String> {
    let is_fence = |line: &String| fence(line).is_some();
    let Some(open) = lines.iter().position(is_fence) else { return lines };
    let before = lines[..open].iter().any(|line| matches!(label::parse(line), Some((Label::File | Label::Lines, _))));
    let first = lines[open + 1..].iter().find(|line| !line.trim().is_empty());
    let is_header = first.is_some_and(|line| matches!(label::parse(line), Some((Label::File, _))));
    if before || !is_header {
        return lines;
    }
    notes.add(Code::OuterFence);
    let fences = lines.iter().filter(|line| is_fence(line)).count();
    // An odd number means that the outer fence was never closed.
    if fences % 2 == 0
        && let Some(close) = lines.iter().rposition(|line| fence(line).is_some_and(|fence| fence.info.is_empty()))
        && close > open
    {
        lines.remove(close);
    }
    lines.remove(open);
    lines
}

/// The opening or closing line of a fence.
pub(super) struct FenceLine<'a> {
    pub(super) mark: char,
    pub(super) length: usize,
    pub(super) info: &'a str,
}

/// Reads a line of three or more backticks or tildes, with what follows them.
pub(super) fn fence(line: &str) -> Option<FenceLine<'_>> {
    let trimmed = line.trim();
    let mark = trimmed.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let rest = trimmed.trim_start_matches(mark);
    let length = trimmed.len() - rest.len();
    let info = rest.trim();
    // Backticks after the run make it inline code.
    (length >= 3 && !info.contains('`')).then_some(FenceLine { mark, length, info })
}
