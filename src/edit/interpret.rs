//! One block of a reply as edits of one file: which shape its text has and where it goes.

use super::body::{self, Body};
use super::code::Code;
use super::excerpt;
use super::indent;
use super::locate::{self, Found};
use super::notes::{Notes, refuse};
use super::place;
use super::scan::Block;
use super::span::Span;
use super::types::Refusal;
use super::variant::{self, Edit, File};

/// More edits than this in one answer are refused.
const MOST_EDITS: usize = 60;

/// Returns the edits that one block makes of one file.
pub(super) fn edits(
    file: &File<'_>,
    block: &Block,
    span: Option<Span>,
    creates: bool,
    text: Body,
    notes: &mut Notes,
) -> Result<Vec<Edit>, Refusal> {
    let info = block.fences.first().map_or("", |fence| fence.info.as_str());
    match text {
        Body::None | Body::Delete => Err(empty(file.path)),
        Body::OldNew(old, new) => Ok(vec![replaced(file, old, new, notes)?]),
        Body::Text(texts) => {
            let first = texts.first().cloned().unwrap_or_default();
            if let Some(parts) = body::search_replace(&first) {
                notes.add(Code::SearchReplace);
                few(parts.len())?;
                return parts.into_iter().map(|(old, new)| replaced(file, old, new, notes)).collect();
            }
            if let Some(hunks) = body::hunks(&first, info) {
                notes.add(Code::Diff);
                few(hunks.len())?;
                return hunks.into_iter().map(|(old, new)| replaced(file, old, new, notes)).collect();
            }
            let mut joined: Option<Edit> = None;
            for (index, text) in texts.into_iter().enumerate() {
                let edit = one(file, span, creates, text, notes);
                match (&mut joined, edit) {
                    (None, edit) => joined = Some(edit?),
                    (Some(joined), Ok(edit)) => {
                        let other = edit.ordered.into_iter().map(|mut variant| {
                            variant.codes.insert(0, if index > 0 { Code::Prose } else { Code::Reason });
                            variant
                        });
                        joined.ordered.extend(other);
                    }
                    // A later reading that makes no sense is no reason to refuse.
                    (Some(_), Err(_)) => {}
                }
            }
            Ok(joined.into_iter().collect())
        }
        Body::OneOf(texts, code) => {
            let (mut single, mut said) = (Vec::new(), 0..0);
            for text in texts {
                let mut own = Notes::default();
                if let Ok(edit) = one(file, span, creates, text, &mut own) {
                    if code == Code::NoBody {
                        own.add(Code::Reason);
                    }
                    let codes = own.into_codes();
                    said = edit.said;
                    single.extend(edit.ordered.into_iter().take(1).map(|mut variant| {
                        variant.codes.extend(&codes);
                        variant
                    }));
                }
            }
            single.dedup();
            Ok(vec![Edit { said, ordered: Vec::new(), single, ambiguous: code }])
        }
    }
}

/// Refuses more edits of one answer than a person would read.
pub(super) fn few(edits: usize) -> Result<(), Refusal> {
    if edits <= MOST_EDITS {
        return Ok(());
    }
    let message = format!("the answer has {edits} edits: give the few that repair the bug");
    Err(refuse(Code::Size, message, ""))
}

/// Reads one text at one range, or finds the range by the text.
fn one(
    file: &File<'_>,
    span: Option<Span>,
    creates: bool,
    text: Vec<String>,
    notes: &mut Notes,
) -> Result<Edit, Refusal> {
    let range = match span {
        Some(span) => Some(place::range(span, file.path, file.source, notes)?),
        None => None,
    };
    let first = range.as_ref().map(|range| range.start + 1);
    let text = match body::unnumbered(&text, first) {
        Some(text) => {
            notes.add(Code::Unnumber);
            text
        }
        None => text,
    };
    if span == Some(Span::All) {
        notes.add(Code::Whole);
    }
    if range.as_ref().is_some_and(|range| range.is_empty()) && file.source.len() > 0 {
        notes.add(Code::Insert);
    }
    if file.source.lacks_final_newline() && range.as_ref().is_some_and(|range| range.end == file.source.len()) {
        notes.add(Code::FinalNewline);
    }
    // Whoever gives a whole file means to keep what is in it.
    let said = range.clone().filter(|_| span != Some(Span::All)).unwrap_or_default();
    let range = match range {
        Some(range) => range,
        None => match place::aligned(&text, file) {
            Some((range, code)) => {
                notes.add(code);
                range
            }
            None if creates => {
                let message = format!("{} is there already: say which LINES to replace", file.path);
                return Err(refuse(Code::Exists, message, excerpt::around(file.source.texts(), 0..0, 10, 10)));
            }
            None => return Err(no_lines(file)),
        },
    };
    variant::edit(file, range, said, text, notes)
}

/// Finds the old text and puts the new one there.
fn replaced(file: &File<'_>, old: Vec<String>, new: Vec<String>, notes: &mut Notes) -> Result<Edit, Refusal> {
    let old = body::unnumbered(&old, None).unwrap_or(old);
    let new = body::unnumbered(&new, None).unwrap_or(new);
    match locate::find(file.source, &old) {
        Found::Once { start, shift } => {
            let new = match shift {
                Some((from, to)) => {
                    notes.add(Code::Indent);
                    indent::shifted(&new, &from, &to).unwrap_or(new)
                }
                None => new,
            };
            let range = start..start + old.len();
            let new = variant::filled(file, &range, new, notes)?;
            variant::moderate(file, &range, &new)?;
            Ok(Edit::plain(range, new))
        }
        Found::Often(starts) => {
            let lines: Vec<String> = starts.iter().take(8).map(|start| (start + 1).to_string()).collect();
            let message = format!(
                "the old text is in {} at lines {}: give more lines around it, or LINES",
                file.path,
                lines.join(", ")
            );
            Err(refuse(Code::NotUnique, message, ""))
        }
        Found::Nowhere { nearest } => {
            let message = format!("the old text is not in {}: copy it exactly, or give LINES", file.path);
            let near = excerpt::around(file.source.texts(), nearest..nearest + old.len().min(10), 1, 12);
            Err(refuse(Code::NoMatch, message, format!("the closest lines:\n{near}")))
        }
    }
}

/// Refuses an edit without text.
pub(super) fn empty(path: &str) -> Refusal {
    let message = format!("the edit of {path} has no new lines: give them in a fence, or (DELETE) to remove the lines");
    refuse(Code::Empty, message, "")
}

/// Refuses an edit without a place.
pub(super) fn no_lines(file: &File<'_>) -> Refusal {
    let message =
        format!("the edit of {} has no LINES, and its place cannot be found: add LINES: first-last", file.path);
    refuse(Code::NoLines, message, "")
}
