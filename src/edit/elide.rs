//! Left-out parts (`# … rest unchanged`): filled in from the file where their neighbours are unmistakable.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeSet;

/// What a prompt writes, as a comment, where it hides a line; whoever repeats it has not written that line.
pub const PLACEHOLDER: &str = "write this line";

/// Of a text that leaves out more parts than this, nobody can say what it is.
const MOST_PARTS: usize = 30;

/// What became of left-out parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filled {
    /// Nothing was left out.
    Whole,
    /// All parts were filled in.
    Lines(Vec<String>),
    /// The part at this index of the body cannot be filled in.
    Unclear(usize),
}

/// Fills in what `body` leaves out of `original`, the lines that it replaces.
pub(super) fn fill(body: &[String], original: &[Cow<'_, str>], is_stub_file: bool) -> Filled {
    let mut out: Vec<String> = Vec::new();
    // Lines of the original before this one are used up.
    let mut used = 0;
    let mut parts = 0;
    let known: OnceCell<BTreeSet<&str>> = OnceCell::new();
    let known = || known.get_or_init(|| original.iter().map(|line| line.trim()).collect());
    for (index, line) in body.iter().enumerate() {
        if !is_elision(line) || is_stub_file && line.trim() == "..." || is_code(body, index, &known) {
            out.push(line.clone());
            continue;
        }
        parts += 1;
        if parts > MOST_PARTS {
            return Filled::Unclear(index);
        }
        let before = body[..index].iter().rev().find(|line| !line.trim().is_empty());
        let after = body[index + 1..].iter().find(|line| !line.trim().is_empty());
        let start = match before {
            None => 0,
            Some(before) => match only(original, used, before) {
                Some(at) => at + 1,
                None => return Filled::Unclear(index),
            },
        };
        let end = match after {
            None => original.len(),
            Some(after) => match only(original, start, after) {
                Some(at) => at,
                None => return Filled::Unclear(index),
            },
        };
        // Blank lines that the body has around the mark are those of the file.
        let is_blank = |line: Option<&str>| line.is_some_and(|line| line.trim().is_empty());
        let mut part = &original[start..end];
        while is_blank(out.last().map(String::as_str)) && is_blank(part.first().map(AsRef::as_ref)) {
            part = &part[1..];
        }
        while is_blank(body.get(index + 1).map(String::as_str)) && is_blank(part.last().map(AsRef::as_ref)) {
            part = &part[..part.len() - 1];
        }
        out.extend(part.iter().map(|line| line.to_string()));
        used = end;
    }
    if parts > 0 { Filled::Lines(out) } else { Filled::Whole }
}

/// Returns the index of the one line from `start` on that equals `wanted`.
fn only(original: &[Cow<'_, str>], start: usize, wanted: &str) -> Option<usize> {
    let mut found = (start..original.len()).filter(|index| original[*index] == wanted);
    found.next().filter(|_| found.next().is_none())
}

fn is_elision(line: &str) -> bool {
    let text = line.trim();
    let comment = text
        .strip_prefix('#')
        .or_else(|| text.strip_prefix("//"))
        .or_else(|| text.strip_prefix("/*").map(|inner| inner.trim_end_matches("*/")));
    let text = comment.unwrap_or(text).trim();
    if matches!(text, "..." | "…" | "pass  # keep") || comment.is_some() && text == PLACEHOLDER {
        return true;
    }
    if comment.is_none() && !text.starts_with("...") && !text.starts_with("[...") {
        return false;
    }
    const MARKS: [&str; 12] = [
        "rest unchanged",
        "unchanged",
        "rest of the",
        "rest of code",
        "remaining code",
        "existing code",
        "other code",
        "same as before",
        "no changes",
        "code omitted",
        "keep the rest",
        "remains the same",
    ];
    let lower = text.to_ascii_lowercase();
    let is_dotted = lower.starts_with("...") || lower.starts_with('…') || lower.ends_with("...");
    lower.len() <= 80 && (MARKS.iter().any(|mark| lower.contains(mark)) || (comment.is_some() && is_dotted))
}

/// Says whether the line is code or a comment of the file itself: it was there before, or is the body of what was not.
fn is_code<'o>(body: &[String], index: usize, known: &dyn Fn() -> &'o BTreeSet<&'o str>) -> bool {
    let line = body[index].trim();
    if known().contains(line) {
        return true;
    }
    let header = body[..index].iter().rev().find(|line| !line.trim().is_empty());
    // The body of a new definition may be `...`; that of one that the file has was left out.
    line == "..." && header.is_some_and(|header| header.trim_end().ends_with(':') && !known().contains(header.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(body: &str, original: &str) -> Filled {
        let body: Vec<String> = body.lines().map(str::to_owned).collect();
        let original: Vec<Cow<'_, str>> = original.lines().map(Cow::Borrowed).collect();
        fill(&body, &original, false)
    }

    #[test]
    fn parts_between_known_neighbours_are_filled_in() {
        let original = "def f():\n    a = 1\n    b = 2\n    c = 3\n    return a";
        let expected = "def f():\n    a = 1\n    b = 2\n    c = 3\n    return b";
        let body = "def f():\n    a = 1\n    # ... rest unchanged\n    c = 3\n    return b";
        assert_eq!(filled(body, original), Filled::Lines(expected.lines().map(str::to_owned).collect()));
        assert_eq!(filled("def f():\n    return 1", original), Filled::Whole);
        assert!(
            matches!(filled("def f():\n    # write this line\n    b = 2", original), Filled::Lines(lines) if lines[1] == "    a = 1")
        );
        assert_eq!(filled("    new = 1\n    # ...\n    return a", original), Filled::Unclear(1));
        assert_eq!(filled("def g():\n    ...", original), Filled::Whole);
        assert_eq!(filled("def f():\n    ...", "def f():\n    ..."), Filled::Whole);
        assert!(matches!(filled("def f():\n    ...", original), Filled::Lines(lines) if lines.len() == 5));
    }
}
