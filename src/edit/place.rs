//! From a range and a text to the lines that are replaced: clamping, and the corrections that need no gate.

use std::collections::BTreeSet;
use std::ops::Range;

use super::code::Code;
use super::excerpt;
use super::notes::{Notes, refuse};
use super::runs::overlaps;
use super::source::Source;
use super::span::Span;
use super::types::Refusal;
use super::variant::File;
use crate::syntax::{Definition, Language, definitions_of_part};

/// Ranges may reach this many lines past the end.
const PAST_END: usize = 3;
/// Only files up to this many lines are given as a whole without saying so.
const WHOLE_LINES: usize = 400;

/// Returns the line indices that `span` names.
pub(super) fn range(span: Span, path: &str, source: &Source<'_>, notes: &mut Notes) -> Result<Range<usize>, Refusal> {
    let length = source.len();
    let beyond = || {
        let message = format!("{path} has {length} lines: give a range within them");
        let end = length.saturating_sub(5)..length;
        Err(refuse(Code::Range, message, excerpt::around(source.texts(), end, 0, 10)))
    };
    match span {
        Span::All => Ok(0..length),
        Span::End | Span::New => Ok(length..length),
        Span::After(line) | Span::Before(line) if line > length + 1 => beyond(),
        Span::After(line) => Ok(line.min(length)..line.min(length)),
        Span::Before(line) => Ok(line.max(1) - 1..line.max(1) - 1),
        Span::From(first) if first > length => beyond(),
        Span::From(first) => Ok(first - 1..length),
        Span::Lines(first, last) if last + 1 == first => {
            if first > length + 1 {
                beyond()
            } else {
                Ok(first - 1..first - 1)
            }
        }
        Span::Lines(first, last) => {
            if last > length + PAST_END || first > length + 1 {
                return beyond();
            }
            if last > length {
                notes.add(Code::Clamp);
            }
            Ok(first - 1..last.min(length).max(first - 1))
        }
    }
}

/// Widens a range over neighbouring lines that the text repeats, which would else be doubled.
pub(super) fn snapped(range: &Range<usize>, body: &[String], source: &Source<'_>) -> Option<Range<usize>> {
    if range.is_empty() || body.len() < 2 {
        return None;
    }
    let texts: Vec<&str> = source.texts().iter().map(AsRef::as_ref).collect();
    let own = &texts[range.clone()];
    let body: Vec<&str> = body.iter().map(String::as_str).collect();
    let mut wide = range.clone();
    // The longest repeated run counts; one that the range's own end has too is no sign.
    let same_tail = body.iter().rev().zip(own.iter().rev()).take_while(|(a, b)| a == b).count();
    let telling = body.iter().rev().position(|line| is_telling(line)).unwrap_or(body.len());
    let after = &texts[range.end..texts.len().min(range.end + body.len() - 1)];
    let is_sign = |count: &usize| *count > same_tail && *count > telling;
    if let Some(count) = overlaps(&body[1..], after).into_iter().find(is_sign) {
        wide.end = range.end + count;
    }
    let same_head = body.iter().zip(own).take_while(|(a, b)| a == b).count();
    let telling = body.iter().position(|line| is_telling(line)).unwrap_or(body.len());
    let before = &texts[range.start.saturating_sub(body.len() - 1)..range.start];
    let is_sign = |count: &usize| *count > same_head && *count > telling;
    if let Some(count) = overlaps(before, &body[..body.len() - 1]).into_iter().find(is_sign) {
        wide.start = range.start - count;
    }
    (wide != *range).then_some(wide)
}

/// Says whether a line is unlikely to be repeated by chance.
fn is_telling(line: &str) -> bool {
    let words = line.chars().filter(|c| c.is_alphanumeric() || *c == '_').count();
    words >= 4 && !matches!(line.trim(), "pass" | "else:" | "try:" | "return" | "finally:" | "continue" | "break")
}

/// Widens a range inside a definition, or one of its first lines, to all of it, if the text defines it anew.
///
/// A text for the first lines is only a new header, and perhaps a line below it, unless it repeats some of the rest or
/// nothing could follow it.
pub(super) fn redefined(range: &Range<usize>, body: &[String], file: &File<'_>) -> Option<Range<usize>> {
    let (name, has_decorators, _) = single_definition(body, file.language?)?;
    let is_blank = |index: usize| file.source.line(index).trim().is_empty();
    let is_complete = is_complete(body, file.language?);
    let written: BTreeSet<&str> = body.iter().map(|line| line.trim()).collect();
    let encloses = |d: &&Definition| {
        let is_inside = d.header - 1 < range.start && range.start < d.last;
        let mut rest = (range.end..d.last).map(|index| file.source.line(index));
        let is_start = range.contains(&(d.header - 1))
            && d.first - 1 <= range.start
            && (is_complete || rest.any(|line| is_telling(line) && written.contains(line.trim())));
        d.name == name && (is_inside || is_start) && (d.last..range.end).all(is_blank)
    };
    let mut found = file.definitions().iter().filter(encloses);
    let definition = found.next().filter(|_| found.next().is_none())?;
    Some(lines_of(definition, has_decorators))
}

/// Says whether nothing of a function's old body could follow the text: it has its closing bracket, or ends for good.
fn is_complete(body: &[String], language: Language) -> bool {
    if language != Language::Python {
        return true;
    }
    let indent = |line: &String| super::indent::of(line).len();
    let mut filled = body.iter().filter(|line| !line.trim().is_empty());
    let Some(header) = filled.next().map(indent) else { return false };
    let own = filled.clone().map(indent).filter(|width| *width > header).min();
    let ends =
        |line: &&String| line.trim().split([' ', '(']).next().is_some_and(|word| matches!(word, "return" | "raise"));
    filled.next_back().filter(ends).map(indent) == own
}

/// Says whether the text is a definition that the file has elsewhere, indented like that.
pub(super) fn stands_elsewhere(range: &Range<usize>, body: &[String], file: &File<'_>) -> bool {
    let Some((name, _, indent)) = file.language.and_then(|language| single_definition(body, language)) else {
        return false;
    };
    let is_same = |d: &&Definition| d.name == name;
    let overlaps = |d: &Definition| d.first - 1 < range.end && range.start < d.last;
    let is_elsewhere = |d: &Definition| super::indent::of(file.source.line(d.header - 1)) == indent && !overlaps(d);
    let mut same = file.definitions().iter().filter(is_same).peekable();
    same.peek().is_some() && same.all(is_elsewhere)
}

/// Says whether the first line of the text begins a definition.
pub(super) fn begins_definition(body: &[String], file: &File<'_>) -> bool {
    let first = body.iter().position(|line| !line.trim().is_empty());
    let found = file.language.map(|language| definitions_of_part(language, &body.join("\n"))).unwrap_or_default();
    found.iter().any(|definition| Some(definition.first - 1) == first)
}

/// Returns the lines that a text without a range replaces, and how they were found.
pub(super) fn aligned(body: &[String], file: &File<'_>) -> Option<(Range<usize>, Code)> {
    let source = file.source;
    if let Some(language) = file.language
        && let Some((name, has_decorators, indent)) = single_definition(body, language)
    {
        let same = |d: &&Definition| d.name == name && super::indent::of(source.line(d.header - 1)) == indent;
        let mut found = file.definitions().iter().filter(same);
        if let Some(definition) = found.next().filter(|_| found.next().is_none()) {
            return Some((lines_of(definition, has_decorators), Code::SnapNode));
        }
    }
    let filled: Vec<&String> = body.iter().filter(|line| !line.trim().is_empty()).collect();
    if let [first, .., last] = filled.as_slice() {
        let at = |wanted: &String| {
            (0..source.len()).filter(|index| source.line(*index) == *wanted).take(2).collect::<Vec<_>>()
        };
        if let ([start], [end]) = (at(first).as_slice(), at(last).as_slice())
            && start < end
        {
            return Some((*start..end + 1, Code::Align));
        }
    }
    if source.len() > WHOLE_LINES {
        return None;
    }
    let old: Vec<&str> = source.texts().iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    let new: BTreeSet<&str> = filled.iter().map(|line| line.trim()).collect();
    let kept = old.iter().filter(|line| new.contains(*line)).count();
    // Where nobody can say what a file defines, more of it must be there.
    let tenths = if file.language.is_some() { 6 } else { 9 };
    let is_whole = kept * 10 >= old.len() * tenths && filled.len() * 10 >= old.len() * tenths;
    is_whole.then(|| (0..source.len(), Code::Whole))
}

fn lines_of(definition: &Definition, with_decorators: bool) -> Range<usize> {
    let first = if with_decorators { definition.first } else { definition.header };
    first - 1..definition.last
}

/// Returns name, presence of decorators and indentation of the one definition that the text consists of.
fn single_definition(body: &[String], language: Language) -> Option<(String, bool, String)> {
    let text = body.join("\n");
    let found = definitions_of_part(language, &text);
    let outer: Vec<&Definition> = found.iter().filter(|d| d.depth == 0).collect();
    let [definition] = outer.as_slice() else { return None };
    let is_blank = |line: &String| line.trim().is_empty();
    let before = body[..definition.first - 1].iter().all(is_blank);
    let after = body.get(definition.last..).is_none_or(|rest| rest.iter().all(is_blank));
    // A header alone is a change of the signature, not a definition.
    let has_body = definition.last > definition.header;
    let indent = super::indent::of(&body[definition.header - 1]).to_owned();
    (before && after && has_body).then(|| (definition.name.clone(), definition.first < definition.header, indent))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] =
        b"import x\n\n@wraps\ndef first(a):\n    best = a\n    return best\n\n\ndef second(a):\n    return a\n";

    fn body(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn repeated_neighbours_widen_the_range() {
        let source = Source::new(FILE).unwrap();
        assert_eq!(snapped(&(4..5), &body("    best = a + 1\n    return best"), &source), Some(4..6));
        assert_eq!(snapped(&(5..6), &body("    best = a\n    return best + 1"), &source), Some(4..6));
        assert_eq!(snapped(&(4..6), &body("    best = a + 1\n    return best"), &source), None);
        assert_eq!(snapped(&(4..5), &body("    return best"), &source), None);
        assert_eq!(snapped(&(4..4), &body("x\n    best = a"), &source), None);
    }

    #[test]
    fn a_redefinition_takes_the_whole_definition() {
        let source = Source::new(FILE).unwrap();
        let file = File::new("a.py", &source, crate::edit::Limits::default());
        let redefined = |range, text| redefined(&range, &body(text), &file);
        assert_eq!(redefined(4..5, "def first(a):\n    return a"), Some(3..6));
        assert_eq!(redefined(4..6, "@wraps\ndef first(a):\n    return a"), Some(2..6));
        assert_eq!(redefined(3..4, "def first(a, c):\n    pass"), None);
        assert_eq!(redefined(4..5, "def other(a):\n    return a"), None);
        assert_eq!(redefined(4..5, "    return a"), None);
    }

    #[test]
    fn a_text_without_a_range_finds_its_place() {
        let source = Source::new(FILE).unwrap();
        let file = File::new("a.py", &source, crate::edit::Limits::default());
        let aligned = |text| aligned(&body(text), &file);
        assert_eq!(aligned("def second(a):\n    return a + 1"), Some((8..10, Code::SnapNode)));
        assert_eq!(aligned("    best = a\n    best += 1\n    return best"), Some((4..6, Code::Align)));
        assert_eq!(aligned("    return 5"), None);
        let whole = "import x\n@wraps\ndef first(a):\n    best = a\n    return best\n\ndef second(a):\n    return 2";
        assert_eq!(aligned(whole), Some((0..10, Code::Whole)));
    }
}
