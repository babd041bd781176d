//! From lines to blocks: headers, fences and the loose text between them.
//!
//! Inside an open fence nothing is a header, since code may hold any text.

use super::code::Code;
use super::label::{self, Label};
use super::notes::Notes;
use super::reply::fence;

/// Names and titles are shorter. What is longer is not copied to every edit that follows.
const LONGEST: usize = 600;

/// Whether a fence was announced as old or new text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FenceRole {
    Plain,
    Old,
    New,
}

/// The content of a fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fence {
    pub(super) role: FenceRole,
    /// The words after the opening marks.
    pub(super) info: String,
    pub(super) lines: Vec<String>,
    pub(super) closed: bool,
    /// The last line of text above it that is not blank.
    pub(super) above: String,
}

/// One edit as it stands in the reply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) path: Option<String>,
    pub(super) action: Option<String>,
    pub(super) lines: Option<String>,
    /// Text on the `REASONING` line.
    pub(super) reasoning: Option<String>,
    /// Lines behind the headers that are in no fence.
    pub(super) loose: Vec<String>,
    /// Says whether any loose line is not blank.
    pub(super) has_loose: bool,
    /// Says whether the loose text was announced as code.
    pub(super) is_code: bool,
    pub(super) fences: Vec<Fence>,
    /// Says whether the new text comes from a JSON value.
    pub(super) from_json: bool,
    /// Text to look for, given beside the new text in a JSON value.
    pub(super) old: Option<Vec<String>>,
}

impl Block {
    fn has_body(&self) -> bool {
        !self.fences.is_empty() || self.is_code
    }

    fn push_loose(&mut self, line: &str) {
        self.has_loose |= !line.trim().is_empty();
        self.loose.push(line.to_owned());
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes what was read before the first fence as more reasoning, if there was a line of it.
    fn end_reasoning(&mut self, notes: &mut Notes) {
        if self.fences.is_empty() && !self.is_code && self.has_loose && self.reasoning.is_some() {
            self.has_loose = false;
            let more = std::mem::take(&mut self.loose).join("\n");
            let first = self.reasoning.take().unwrap_or_default();
            self.reasoning = Some(format!("{first}\n{}", more.trim_end()).trim_start().to_owned());
            notes.add(Code::Reason);
        }
    }
}

/// A reply taken apart.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Edits with at least one header.
    pub(super) blocks: Vec<Block>,
    /// Fences that stand before any header.
    pub(super) fences: Vec<Fence>,
    /// Lines before any header, outside fences.
    pub(super) prose: Vec<String>,
    /// Says whether a fence is open at the end.
    pub(super) is_open: bool,
}

/// Takes the lines of a reply apart.
pub(super) fn scan(lines: &[String], notes: &mut Notes) -> Scan {
    let mut scan = Scan::default();
    let mut current: Option<Block> = None;
    let mut role = FenceRole::Plain;
    let mut above = String::new();
    let mut rest = lines.iter();
    while let Some(line) = rest.next() {
        if let Some(open) = fence(line) {
            let (content, closed) = content(&mut rest, open.mark, open.length);
            let found = Fence { role, info: open.info.to_owned(), lines: content, closed, above: above.clone() };
            scan.is_open = !closed;
            role = FenceRole::Plain;
            match &mut current {
                Some(block) => {
                    block.end_reasoning(notes);
                    block.fences.push(found);
                }
                None => scan.fences.push(found),
            }
            continue;
        }
        let in_loose_code = current.as_ref().is_some_and(|block| block.fences.is_empty() && block.has_loose);
        // Text behind the reasoning is not yet known to be code; a label may still say where the code begins.
        let may_be_reasoning = current.as_ref().is_some_and(|block| block.reasoning.is_some() && !block.is_code);
        let label = label::parse(line).filter(|(label, rest)| {
            let announces = matches!(label, Label::New | Label::Old) && rest.is_empty() && may_be_reasoning;
            !in_loose_code || label::ends_loose_text(line) || announces
        });
        match label {
            Some((Label::File, path)) if !path.is_empty() => {
                let block = current.get_or_insert_default();
                if block.path.is_some() || block.has_body() || block.has_loose {
                    push(&mut scan.blocks, current.take());
                }
                current.get_or_insert_default().path = Some(start(path, LONGEST).to_owned());
            }
            Some((Label::Lines, lines)) => {
                next_of_same_file(&mut scan.blocks, &mut current, |block| block.lines.is_some());
                current.get_or_insert_default().lines = Some(lines.to_owned());
            }
            Some((Label::Action, action)) => {
                next_of_same_file(&mut scan.blocks, &mut current, |block| block.action.is_some());
                current.get_or_insert_default().action = Some(action.to_owned());
            }
            Some((Label::Reason, text)) if current.as_ref().is_some_and(|block| block.reasoning.is_none()) => {
                current.get_or_insert_default().reasoning = Some(text.to_owned());
            }
            Some((Label::New, text)) if current.is_some() && text.is_empty() => {
                role = FenceRole::New;
                let block = current.get_or_insert_default();
                block.end_reasoning(notes);
                block.is_code = block.fences.is_empty();
            }
            Some((Label::Old, "")) if current.is_some() => role = FenceRole::Old,
            _ => match &mut current {
                Some(block) => block.push_loose(line),
                None => scan.prose.push(line.clone()),
            },
        }
        if !line.trim().is_empty() {
            start(line, LONGEST).clone_into(&mut above);
        }
    }
    push(&mut scan.blocks, current);
    if has_text(&scan.prose) {
        notes.add(Code::Prose);
    }
    scan
}

/// Returns the text, or what fits of it into so many bytes.
pub(super) fn start(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// Says whether any line is not blank.
pub(super) fn has_text(lines: &[String]) -> bool {
    lines.iter().any(|line| !line.trim().is_empty())
}

fn push(blocks: &mut Vec<Block>, block: Option<Block>) {
    blocks.extend(block.filter(|block| !block.is_empty()));
}

/// Starts another edit of the same file when the header was given already, or text was.
fn next_of_same_file(blocks: &mut Vec<Block>, current: &mut Option<Block>, is_given: impl Fn(&Block) -> bool) {
    let Some(block) = current else { return };
    if is_given(block) || block.has_body() || block.has_loose {
        let next = Block { path: block.path.clone(), ..Block::default() };
        push(blocks, current.replace(next));
    }
}

/// Reads up to the closing fence. A fence with words inside an open one opens an inner one.
fn content<'a>(rest: &mut impl Iterator<Item = &'a String>, mark: char, length: usize) -> (Vec<String>, bool) {
    let mut lines = Vec::new();
    let mut inner = 0_usize;
    for line in rest {
        if let Some(found) = fence(line).filter(|found| found.mark == mark) {
            match (found.info.is_empty(), inner) {
                (true, 0) if found.length >= length => return (lines, true),
                (true, _) => inner = inner.saturating_sub(1),
                (false, _) => inner += 1,
            }
        }
        lines.push(line.clone());
    }
    (lines, false)
}
