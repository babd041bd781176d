//! The way from a reply to a proposal; each step is a line here and a file beside it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::body::{self, Body};
use super::choose;
use super::code::Code;
use super::excerpt;
use super::interpret::{edits, empty, few, no_lines};
use super::json;
use super::notes::{Notes, refuse};
use super::path::{self, Target};
use super::place;
use super::reply;
use super::result;
use super::scan::{self, Block};
use super::shapes;
use super::source::new_file;
use super::source::{self, Source};
use super::span::{self, Span};
use super::types::{Context, Proposal, Refusal};
use super::variant::{self, Edit, File};

/// Bytes of files that one answer may have read: a file counts once for each of its edits.
const MOST_READ: usize = 8 << 20;

/// Reads a reply against the tree. `read` yields a file of the tree that the prompt did not show.
///
/// # Errors
/// Anything that is not one complete, unambiguous and syntactically sound change; the tree is then as it was.
pub fn propose(
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

/// What is to happen to one file.
enum Plan {
    Edit(Vec<Edit>),
    Create(Vec<String>),
    Remove,
}

fn attempt(
    reply: &[u8],
    context: &Context<'_>,
    read: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
    notes: &mut Notes,
) -> Result<Proposal, Refusal> {
    let text = text_in(reply, context)?;
    let blocks = blocks(&text, context, notes)?;
    few(blocks.len())?;
    let reasoning = blocks.iter().filter_map(|block| block.reasoning.as_deref()).collect::<Vec<_>>().join("\n");
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut plans: BTreeMap<String, Plan> = BTreeMap::new();
    let last = blocks.len().saturating_sub(1);
    let (mut bytes_read, mut count) = (0, 0);
    for (index, block) in blocks.iter().enumerate() {
        let (path, plan) = plan(block, index == last, context, read, &mut files, notes)?;
        bytes_read += files.get(&path).map_or(0, Vec::len);
        if bytes_read > MOST_READ && index > 0 {
            let message = format!("{path} is too large for so many edits: give the few that repair the bug");
            return Err(refuse(Code::Size, message, ""));
        }
        if let Plan::Edit(edits) = &plan {
            count += edits.len();
        }
        few(count)?;
        merge(&mut plans, path, plan)?;
    }
    let mut changed = result::Changed::default();
    for (path, plan) in plans {
        match plan {
            Plan::Remove => {
                notes.add(Code::RemoveFile);
                changed.remove(path);
            }
            Plan::Create(lines) => {
                notes.add(Code::Create);
                let bytes = new_file(&lines);
                let empty = Source::new(b"").expect("no bytes hold no NUL");
                let file = File::new(&path, &empty, context.limits);
                let lines = variant::filled(&file, &(0..0), lines, notes)?;
                choose::combine(&file, vec![Edit::plain(0..0, lines)], notes)?;
                changed.create(path, bytes);
            }
            Plan::Edit(edits) => {
                let bytes = &files[&path];
                let source = text_of(bytes, &path)?;
                let file = File::new(&path, &source, context.limits);
                let combined = choose::combine(&file, edits, notes)?;
                if source.has_long_ends() {
                    notes.add(Code::Eol);
                }
                changed.edit(path.clone(), bytes.clone(), combined);
            }
        }
    }
    changed.into_proposal(context, reasoning)
}

/// Returns the text of a reply that is short enough to be read.
pub(super) fn text_in<'r>(reply: &'r [u8], context: &Context<'_>) -> Result<Cow<'r, str>, Refusal> {
    if reply.len() > context.limits.reply_bytes {
        return Err(refuse(Code::Size, "the answer is too long: give only the lines that change", ""));
    }
    if reply.contains(&0) {
        return Err(refuse(Code::Binary, "the answer holds NUL bytes: answer in plain text", ""));
    }
    Ok(String::from_utf8_lossy(reply))
}

/// Finds the edits of a reply, in whichever shape they come.
fn blocks(text: &str, context: &Context<'_>, notes: &mut Notes) -> Result<Vec<Block>, Refusal> {
    let lines = reply::lines(text, notes);
    let mut scan = scan::scan(&lines, notes);
    let mut blocks = std::mem::take(&mut scan.blocks);
    let has_body = |block: &Block| {
        !block.fences.is_empty() || block.is_code || scan::has_text(&block.loose) || block.action.is_some()
    };
    if !blocks.iter().any(has_body) {
        let other = json::blocks(&lines.join("\n"), &scan.fences, notes);
        let other = if other.is_empty() { shapes::blocks(&lines, &scan, context, notes) } else { other };
        if !other.is_empty() {
            blocks = other;
        }
    }
    for block in &mut blocks {
        if block.path.is_none() {
            block.path = shapes::only_shown(context);
            notes.add(Code::PathGuess);
        }
    }
    if blocks.is_empty() {
        if context.cut_off {
            let message = "the answer was cut off before any edit: give the edit first, without a long introduction";
            return Err(refuse(Code::Truncated, message, skeleton(context)));
        }
        let message = "no edit found in the answer: answer in this form";
        return Err(refuse(Code::NoEdit, message, skeleton(context)));
    }
    Ok(blocks)
}

/// Returns the form of an answer, with a file that really was shown.
fn skeleton(context: &Context<'_>) -> String {
    let path = context.shown.keys().next().map_or("the path of a file shown", String::as_str);
    format!("FILE: {path}\nLINES: first-last\nREASONING: one sentence\n```\nthe new lines\n```\n")
}

fn plan(
    block: &Block,
    is_last: bool,
    context: &Context<'_>,
    read: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
    files: &mut BTreeMap<String, Vec<u8>>,
    notes: &mut Notes,
) -> Result<(String, Plan), Refusal> {
    let Some(name) = block.path.as_deref() else {
        return Err(refuse(Code::NoFile, "the edit names no FILE: name one of the files shown", skeleton(context)));
    };
    let action = block.action.as_deref().unwrap_or_default().to_ascii_lowercase();
    let span = match block.lines.as_deref() {
        None | Some("") => None,
        Some(text) => match span::parse(text) {
            Some((span, codes)) => {
                notes.add_all(&codes);
                Some(span)
            }
            None => {
                let message = format!(
                    "LINES: {} is not one range: write LINES: first-last, such as LINES: 12-14",
                    scan::start(text, 60)
                );
                return Err(refuse(Code::Range, message, ""));
            }
        },
    };
    let text = body::of(block, context.cut_off, is_last, notes)?;
    // Only the first word counts: "replace, remove the check" removes no lines.
    let verb = action.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| !word.is_empty()).unwrap_or_default();
    let creates = span == Some(Span::New) || matches!(verb, "create" | "new");
    let deletes = matches!(verb, "delete" | "remove") || text == Body::Delete;
    let first_text = match &text {
        Body::Text(texts) | Body::OneOf(texts, _) => texts.first().cloned().unwrap_or_default(),
        Body::OldNew(old, _) => old.clone(),
        _ => Vec::new(),
    };
    match path::resolve(name, &first_text, creates, context, notes)? {
        Target::Absent(path) => {
            let parent = path.rsplit_once('/').map(|(parent, _)| format!("{parent}/"));
            let has_parent =
                parent.is_none_or(|parent| context.tree.iter().any(|(other, _)| other.starts_with(&parent)));
            match text {
                _ if !creates => Err(path::no_such_file(&path, "", context)),
                _ if !has_parent => Err(path::no_such_file(&path, " and no folder for it", context)),
                Body::Text(texts) => {
                    let lines = texts.into_iter().next().unwrap_or_default();
                    let info = block.fences.first().map_or("", |fence| fence.info.as_str());
                    let lines = match body::hunks(&lines, info) {
                        Some(hunks) => hunks.into_iter().flat_map(|(_, new)| new).collect(),
                        None => body::unnumbered(&lines, Some(1)).unwrap_or(lines),
                    };
                    Ok((path, Plan::Create(lines)))
                }
                _ => Err(empty(&path)),
            }
        }
        Target::Existing(path) => {
            let bytes = bytes_of(&path, context, read, files)?;
            let source = text_of(bytes, &path)?;
            let file = File::new(&path, &source, context.limits);
            let plan = if deletes {
                match span {
                    // With text the lines are meant, not the file, and nothing says where they are.
                    None | Some(Span::All) if !matches!(text, Body::Text(_)) => Plan::Remove,
                    None => return Err(no_lines(&file)),
                    Some(span) => {
                        notes.add(Code::Delete);
                        Plan::Edit(vec![Edit::plain(place::range(span, &path, &source, notes)?, Vec::new())])
                    }
                }
            } else {
                if verb == "insert" {
                    inserts(&file, span, &first_text, notes)?;
                }
                Plan::Edit(edits(&file, block, span.filter(|span| *span != Span::New), creates, text, notes)?)
            };
            Ok((path, plan))
        }
    }
}

/// Refuses an insertion at lines that it would replace: the text must repeat them, or say on which side it goes.
fn inserts(file: &File<'_>, span: Option<Span>, text: &[String], notes: &mut Notes) -> Result<(), Refusal> {
    let Some(span @ (Span::Lines(..) | Span::From(_))) = span else { return Ok(()) };
    let range = place::range(span, file.path, file.source, notes)?;
    let mut text = text.iter();
    if range.clone().all(|index| text.any(|line| *line == file.source.line(index))) {
        return Ok(());
    }
    let line = range.start + 1;
    let message = format!("an insertion replaces no lines: write LINES: after {line}, or LINES: before {line}");
    Err(refuse(Code::RangeAmbiguous, message, excerpt::around(file.source.texts(), range, 2, 10)))
}

fn merge(plans: &mut BTreeMap<String, Plan>, path: String, plan: Plan) -> Result<(), Refusal> {
    match (plans.get_mut(&path), plan) {
        (None, plan) => {
            plans.insert(path, plan);
            Ok(())
        }
        (Some(Plan::Edit(edits)), Plan::Edit(more)) => {
            edits.extend(more);
            Ok(())
        }
        (Some(Plan::Create(old)), Plan::Create(new)) if *old == new => Ok(()),
        (Some(Plan::Remove), Plan::Remove) => Ok(()),
        _ => {
            let message = format!("{path} is created, removed or edited at once: give one kind of edit for it");
            Err(refuse(Code::Overlap, message, ""))
        }
    }
}

pub(super) fn bytes_of<'f>(
    path: &str,
    context: &Context<'_>,
    read: &mut dyn FnMut(&str) -> Option<Vec<u8>>,
    files: &'f mut BTreeMap<String, Vec<u8>>,
) -> Result<&'f Vec<u8>, Refusal> {
    if !files.contains_key(path) {
        if context.tree.get(path).is_some_and(|entry| entry.size > context.limits.file_bytes) {
            return Err(refuse(Code::Size, format!("{path} is too large to edit: repair another file"), ""));
        }
        let bytes = context.shown.get(path).cloned().or_else(|| read(path));
        let bytes = bytes.ok_or_else(|| path::no_such_file(path, " that can be read", context))?;
        files.insert(path.to_owned(), bytes);
    }
    Ok(&files[path])
}

pub(super) fn text_of<'b>(bytes: &'b [u8], path: &str) -> Result<source::Source<'b>, Refusal> {
    Source::new(bytes).ok_or_else(|| refuse(Code::Binary, format!("{path} is not text: repair a source file"), ""))
}
