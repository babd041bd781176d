//! The new text of an edit: which lines of the reply it is, and what shape it has.

use super::code::Code;
use super::label;
use super::notes::{Notes, refuse};
use super::reply::fence;
use super::scan::{Block, Fence, FenceRole, has_text};
use super::types::Refusal;

/// Reasoning of more paragraphs than this, or a closing word of more, is not told from code.
const MOST_PARAGRAPHS: usize = 12;
/// In text of more lines than this without a blank one, nobody looks for the line where reasoning ends.
const MOST_SPLITS: usize = 40;

/// The new text, or what could be it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// There is none.
    None,
    /// The lines are to be removed.
    Delete,
    /// Texts in order of preference: the first that passes the gate is it.
    Text(Vec<Vec<String>>),
    /// Texts of which exactly one may pass the gate, and the code if not.
    OneOf(Vec<Vec<String>>, Code),
    /// Text to look for and its replacement.
    OldNew(Vec<String>, Vec<String>),
}

/// Finds the new text of a block.
pub(super) fn of(block: &Block, cut_off: bool, is_last: bool, notes: &mut Notes) -> Result<Body, Refusal> {
    let truncated = || {
        let message =
            "the answer was cut off inside an edit: give only the few lines that change, and less text around them";
        Err(refuse(Code::Truncated, message, ""))
    };
    let fences = relevant(&block.fences);
    if fences.len() < block.fences.len() {
        notes.add(Code::Prose);
    }
    // An open fence around nothing was only begun; with a sentence above it, more was to come.
    let is_begun = |fence: &Fence| has_text(&fence.lines) || label::parse(&fence.above).is_none();
    if cut_off && block.fences.iter().any(|fence| !fence.closed && is_begun(fence)) {
        return truncated();
    }
    if fences.iter().any(|fence| !fence.closed) {
        notes.add(Code::Unclosed);
    }
    if fences.is_empty() {
        if cut_off && is_last {
            return truncated();
        }
        return Ok(loose(block, notes));
    }
    if !block.from_json {
        notes.add(Code::Fence);
        note_reasoning(block, notes);
        if has_text(&block.loose) {
            notes.add(Code::Prose);
        }
    }
    if let Some(old) = &block.old {
        notes.add(Code::SearchReplace);
        return Ok(Body::OldNew(old.clone(), fences[0].lines.clone()));
    }
    let of_role = |role| {
        let mut found = fences.iter().filter(|fence| self::role(fence) == role).collect::<Vec<_>>();
        found.dedup_by(|later, earlier| later.lines == earlier.lines);
        found
    };
    match (fences.as_slice(), of_role(FenceRole::Old).as_slice(), of_role(FenceRole::New).as_slice()) {
        // What is wrong was quoted, and nothing said in its place.
        ([_], [_], _) => Ok(Body::None),
        ([only], ..) => Ok(plain(only.lines.clone())),
        ([_, _], [old], _) => {
            let new = fences.iter().find(|fence| **fence != **old).map(|fence| fence.lines.clone());
            notes.add(Code::OldNew);
            Ok(Body::OldNew(old.lines.clone(), new.unwrap_or_default()))
        }
        (_, [old], [new]) => {
            notes.add(Code::OldNew);
            Ok(Body::OldNew(old.lines.clone(), new.lines.clone()))
        }
        (_, [], [new]) => Ok(plain(new.lines.clone())),
        _ => {
            // What stands right under the headers is meant; what a sentence introduces is an example of its use.
            let (first, later) = (fences[0], &fences[1..]);
            let is_beside = |fence: &Fence| fence.lines == first.lines || is_example(fence);
            if label::parse(&first.above).is_some() && later.iter().all(|fence| is_beside(fence)) {
                notes.add(Code::Prose);
                return Ok(plain(first.lines.clone()));
            }
            let mut texts: Vec<Vec<String>> = fences.iter().map(|fence| fence.lines.clone()).collect();
            texts.dedup();
            match texts.len() {
                1 => Ok(plain(texts.remove(0))),
                _ => Ok(Body::OneOf(texts, Code::MultiBody)),
            }
        }
    }
}

/// Says whether a fence shows how something is used, by its first line or the sentence above it.
fn is_example(fence: &Fence) -> bool {
    const USES: &[&str] =
        &["use", "used", "usage", "example", "examples", "test", "tests", "call", "called", "run", "output", "prints"];
    const OTHERS: &[&str] = &["not", "no", "wrong", "instead", "should", "fix", "fixed", "correct", "replace"];
    let first = fence.lines.iter().map(|line| line.trim()).find(|line| !line.is_empty()).unwrap_or_default();
    if ["assert ", "print(", ">>> ", "console.log("].iter().any(|start| first.starts_with(start)) {
        return true;
    }
    let above = fence.above.to_ascii_lowercase();
    let has = |words: &[&str]| above.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| words.contains(&word));
    label::parse(&fence.above).is_none() && has(USES) && !has(OTHERS)
}

fn plain(lines: Vec<String>) -> Body {
    if is_delete(&lines) {
        return Body::Delete;
    }
    if has_text(&lines) && !is_range(&lines) { Body::Text(vec![lines]) } else { Body::None }
}

/// Says whether a text is nothing but a range of lines, which belongs into a header.
fn is_range(lines: &[String]) -> bool {
    let text: String = lines.iter().map(|line| line.trim()).collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('-').is_some_and(|(first, last)| is_number(first) && is_number(last))
}

fn is_delete(lines: &[String]) -> bool {
    let text = lines.iter().map(|line| line.trim()).collect::<String>();
    matches!(text.to_ascii_lowercase().as_str(), "(delete)" | "(deleted)" | "<delete>")
}

/// Leaves out commands to run and their output, and fences around nothing, where code is there too.
fn relevant(fences: &[Fence]) -> Vec<&Fence> {
    const NOT_CODE: [&str; 8] = ["bash", "sh", "shell", "console", "text", "output", "terminal", "plaintext"];
    let is_code =
        |fence: &&Fence| !NOT_CODE.contains(&fence.info.to_ascii_lowercase().as_str()) && has_text(&fence.lines);
    let code: Vec<&Fence> = fences.iter().filter(is_code).collect();
    if code.is_empty() { fences.iter().collect() } else { code }
}

/// Says whether a fence holds old or new text, by its label or the sentence above it: small models quote what they
/// think is wrong, and only a part of them go on to say what is right.
pub(super) fn role(fence: &Fence) -> FenceRole {
    if fence.role != FenceRole::Plain || label::parse(&fence.above).is_some() {
        return fence.role;
    }
    const OLD: &[&str] = &["old", "before", "original", "current"];
    const NEW: &[&str] = &["new", "after", "fixed", "corrected", "updated"];
    // Weaker words count only where none of those is there.
    const WRONG: &[&str] = &[
        "cause",
        "causes",
        "caused",
        "failure",
        "fails",
        "failed",
        "failing",
        "wrong",
        "incorrect",
        "buggy",
        "bug",
        "error",
        "problem",
    ];
    const RIGHT: &[&str] = &[
        "fix",
        "fixes",
        "edit",
        "edits",
        "edited",
        "change",
        "changes",
        "changed",
        "replace",
        "replaced",
        "replacement",
        "correct",
        "repaired",
        "should",
        "instead",
    ];
    let above = fence.above.to_ascii_lowercase();
    let has = |words: &[&str]| {
        above.trim_end().ends_with(':')
            && above.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| words.contains(&word))
    };
    // "The first line of the file is:" quotes it.
    let is_quote = has(&["line", "lines"]) && [" is:", " are:"].iter().any(|end| above.trim_end().ends_with(end));
    match (has(OLD), has(NEW), has(WRONG) || is_quote && !has(RIGHT), has(RIGHT)) {
        (true, false, ..) | (false, false, true, false) => FenceRole::Old,
        (false, true, ..) | (false, false, false, true) => FenceRole::New,
        _ => FenceRole::Plain,
    }
}

fn note_reasoning(block: &Block, notes: &mut Notes) {
    if block.reasoning.is_none() {
        notes.add(Code::Reason);
    }
}

/// Tells reasoning from code in text that is in no fence.
fn loose(block: &Block, notes: &mut Notes) -> Body {
    let lines = &block.loose;
    if !has_text(lines) {
        return Body::None;
    }
    note_reasoning(block, notes);
    let Some(reasoning) = block.reasoning.as_ref().filter(|_| !block.is_code) else {
        return ending(trimmed(lines));
    };
    let is_blank = |line: &String| line.trim().is_empty();
    let last = lines.iter().rposition(|line| !is_blank(line)).unwrap_or_default();
    let mut blanks = (0..last).filter(|index| is_blank(&lines[*index]));
    let after = |at: usize| trimmed(&lines[at..]);
    if let Some(first) = blanks.next() {
        if has_text(&lines[..first]) {
            notes.add(Code::Reason);
        }
        let Body::Text(mut texts) = ending(after(first)) else { return Body::Delete };
        // Reasoning may have several paragraphs.
        let is_end = |at: &usize| !is_blank(&lines[*at + 1]);
        let more = blanks.filter(is_end).filter(|at| has_text(&lines[first..*at]));
        let most = if is_long(lines) { 0 } else { MOST_PARAGRAPHS };
        texts.extend(more.take(most).map(after));
        return Body::Text(texts);
    }
    let from = usize::from(reasoning.is_empty());
    if last >= MOST_SPLITS {
        return Body::OneOf(Vec::new(), Code::NoBody);
    }
    let mut splits: Vec<Vec<String>> = (from..lines.len()).map(after).filter(|text| has_text(text)).collect();
    match splits.len() {
        0 => Body::None,
        1 => ending(splits.remove(0)),
        _ => Body::OneOf(splits, Code::NoBody),
    }
}

/// Offers the text also without its last paragraphs, which may be a closing word.
fn ending(lines: Vec<String>) -> Body {
    if is_delete(&lines) {
        return Body::Delete;
    }
    let mut texts = vec![lines.clone()];
    let most = if is_long(&lines) { 0 } else { 5 };
    for at in (1..lines.len()).rev().filter(|at| lines[*at].trim().is_empty()).take(most) {
        texts.push(trimmed(&lines[..at]));
    }
    Body::Text(texts)
}

/// Says whether a text is so long that it is read one way only.
fn is_long(lines: &[String]) -> bool {
    const LONG: usize = 64 << 10;
    lines.iter().map(String::len).sum::<usize>() > LONG
}

/// Drops blank lines at both ends.
fn trimmed(lines: &[String]) -> Vec<String> {
    let start = lines.iter().position(|line| !line.trim().is_empty()).unwrap_or(lines.len());
    let end = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(start, |last| last + 1);
    lines[start..end].to_vec()
}

/// A text to look for, and what comes in its place.
pub(super) type Replacement = (Vec<String>, Vec<String>);

/// Reads `<<<<<<< SEARCH … ======= … >>>>>>> REPLACE` parts; markers may have five to nine characters.
pub(super) fn search_replace(lines: &[String]) -> Option<Vec<Replacement>> {
    let is_marker = |line: &str, mark: char| {
        let rest = line.trim().trim_start_matches(mark);
        (5..=9).contains(&(line.trim().len() - rest.len())) && (rest.is_empty() || rest.starts_with(' '))
    };
    let mut found = Vec::new();
    let mut rest = lines.iter();
    while let Some(line) = rest.next() {
        if !is_marker(line, '<') {
            continue;
        }
        let mut until = |mark: char| -> Option<Vec<String>> {
            let mut part = Vec::new();
            for line in rest.by_ref() {
                if is_marker(line, mark) {
                    return Some(part);
                }
                part.push(line.clone());
            }
            None
        };
        let old = until('=')?;
        let new = until('>')?;
        found.push((without_leading_blank(old), new));
    }
    (!found.is_empty()).then_some(found)
}

fn without_leading_blank(lines: Vec<String>) -> Vec<String> {
    match lines.split_first() {
        Some((first, rest)) if first.trim().is_empty() && has_text(rest) => rest.to_vec(),
        _ => lines,
    }
}

/// Reads the hunks of a diff, or `None` if the text is none. Their line numbers are ignored.
pub(super) fn hunks(lines: &[String], info: &str) -> Option<Vec<Replacement>> {
    let is_announced = matches!(info, "diff" | "patch" | "udiff") || lines.iter().any(|line| line.starts_with("@@"));
    let starts = |mark: char| lines.iter().any(|line| line.starts_with(mark));
    let all_marked = lines.iter().all(|line| line.is_empty() || line.starts_with([' ', '+', '-', '\\']));
    if !(is_announced || all_marked && starts('+') && starts('-')) {
        return None;
    }
    let mut found: Vec<Replacement> = vec![Default::default()];
    for (index, line) in lines.iter().enumerate() {
        let next = lines.get(index + 1).map_or("", String::as_str);
        let is_header = ["diff --git ", "index ", "new file mode", "\\ No newline"].iter().any(|h| line.starts_with(h))
            || (line.starts_with("--- ") && next.starts_with("+++ "))
            || (line.starts_with("+++ ") && index > 0 && lines[index - 1].starts_with("--- "))
            || fence(line).is_some();
        if is_header {
            continue;
        }
        if line.starts_with("@@") {
            found.push(Default::default());
            continue;
        }
        let Some((old, new)) = found.last_mut() else { continue };
        match line.chars().next() {
            Some('-') => old.push(line[1..].to_owned()),
            Some('+') => new.push(line[1..].to_owned()),
            Some(' ') => {
                old.push(line[1..].to_owned());
                new.push(line[1..].to_owned());
            }
            // Models drop the blank in front of unchanged lines.
            _ => {
                old.push(line.clone());
                new.push(line.clone());
            }
        }
    }
    found.retain(|(old, new)| old != new);
    (!found.is_empty()).then_some(found)
}

/// Takes off line numbers that were copied from the prompt; `first` is the line that the edit starts at.
pub(super) fn unnumbered(lines: &[String], first: Option<usize>) -> Option<Vec<String>> {
    let mut numbers = Vec::new();
    let mut out = Vec::new();
    let mut has_bars = true;
    let mut filled = 0;
    for line in lines {
        if line.trim().is_empty() {
            out.push(line.clone());
            continue;
        }
        filled += 1;
        match number(line) {
            Some((number, mark, rest)) => {
                has_bars &= mark == '|';
                numbers.push(number);
                out.push(rest.to_owned());
            }
            None => out.push(line.clone()),
        }
    }
    let rises = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    let is_run = numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]) && numbers.first().copied() == first;
    // `1: x` is also how dictionaries are written, so other marks than ours must count on from the right line.
    (!numbers.is_empty() && numbers.len() * 10 >= filled * 9 && rises && (has_bars || is_run)).then_some(out)
}

fn number(line: &str) -> Option<(usize, char, &str)> {
    let text = line.trim_start_matches(' ');
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = text[..text.len() - rest.len()].parse().ok()?;
    let rest = rest.strip_prefix(' ').filter(|rest| rest.starts_with(['|', '│'])).unwrap_or(rest);
    let mark = rest.chars().next().filter(|c| matches!(c, '|' | '│' | ':' | '\t'))?;
    let rest = &rest[mark.len_utf8()..];
    let mark = if mark == '│' { '|' } else { mark };
    Some((number, mark, if mark == '\t' { rest } else { rest.strip_prefix(' ').unwrap_or(rest) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn numbers_of_the_prompt_are_taken_off_and_those_of_the_code_stay() {
        assert_eq!(unnumbered(&lines("  8| if x:\n  9|     y\n\n 11| z"), None).unwrap(), lines("if x:\n    y\n\nz"));
        assert_eq!(unnumbered(&lines("8: a\n9:   b"), Some(8)).unwrap(), lines("a\n  b"));
        assert_eq!(unnumbered(&lines("8\ta\n9\t  b"), Some(8)).unwrap(), lines("a\n  b"));
        assert_eq!(unnumbered(&lines("1: 'a',\n2: 'b',"), Some(8)), None);
        assert_eq!(unnumbered(&lines("9| a\n8| b"), None), None);
        assert_eq!(unnumbered(&lines("x = 1\ny = 2"), None), None);
        assert_eq!(unnumbered(&[], None), None);
    }

    #[test]
    fn diffs_are_told_from_code() {
        let (old, new) = hunks(&lines("@@ -1,2 +1,2 @@\n a\n-b\n+c"), "").unwrap().remove(0);
        assert_eq!((old, new), (lines("a\nb"), lines("a\nc")));
        assert!(hunks(&lines("-    a\n+    b"), "").is_some());
        assert!(hunks(&lines("    a\n    b"), "").is_none());
        assert!(hunks(&lines("- one\n- two"), "").is_none());
    }
}
