//! Where a tiny model shall look: single lines of the functions that the failure points at, one line an attempt.
//!
//! A model of a hundred million parameters copies a range of lines from whatever it saw last; told the line, and shown
//! the function without it, it writes what the rest of the function asks for.

use std::cmp::Reverse;

use crate::syntax::{Definition, Kind, Language, definitions};

/// Functions that are looked at in turn.
const MOST_FUNCTIONS: usize = 4;
/// Shorter parts of names say nothing.
const SHORTEST_PART: usize = 3;

/// One line of one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Focus {
    /// Index of the file.
    pub(super) file: usize,
    /// First line of the function.
    pub(super) first: usize,
    /// Last line of the function.
    pub(super) last: usize,
    /// The line to write anew.
    pub(super) line: usize,
}

/// Returns the lines to look at, the most suspicious first: the last line of each function that the texts point at, then
/// the ones above.
pub(super) fn lines(files: &[(String, String)], issue: &str, failing: &str) -> Vec<Focus> {
    let mut functions: Vec<(usize, usize, Definition, Vec<&str>)> = Vec::new();
    for (index, (path, text)) in files.iter().enumerate() {
        let Some(language) = Language::of_path(path) else { continue };
        let lines: Vec<&str> = text.lines().collect();
        let found = definitions(language, text.as_bytes());
        for definition in found.into_iter().filter(|definition| definition.kind == Kind::Function) {
            let score = mentions(&definition.name, issue, failing);
            functions.push((score, index, definition, lines.clone()));
        }
    }
    let called = |name: &str, scored: &[(usize, usize, Definition, Vec<&str>)]| {
        scored.iter().any(|(score, _, other, lines)| {
            *score >= 4
                && other.name != name
                && lines[other.first - 1..other.last].iter().any(|line| has_word(line, name))
        })
    };
    let extra: Vec<usize> = functions.iter().map(|(_, _, d, _)| usize::from(called(&d.name, &functions))).collect();
    functions.iter_mut().zip(extra).for_each(|(function, extra)| function.0 += extra);
    functions.sort_by_key(|(score, file, definition, _)| (Reverse(*score), *file, definition.first));
    if functions.iter().any(|(score, ..)| *score > 0) {
        functions.retain(|(score, ..)| *score > 0);
    }
    functions.truncate(MOST_FUNCTIONS);
    let bodies: Vec<Vec<usize>> = functions.iter().map(|(_, _, definition, lines)| body(definition, lines)).collect();
    let rounds = bodies.iter().map(Vec::len).max().unwrap_or(0);
    let mut found = Vec::new();
    for round in 0..rounds {
        for ((_, file, definition, _), body) in functions.iter().zip(&bodies) {
            if let Some(line) = body.get(round) {
                found.push(Focus { file: *file, first: definition.first, last: definition.last, line: *line });
            }
        }
    }
    found
}

/// Weighs how much the texts speak of a function: the failing tests most, then the issue, then parts of its name.
fn mentions(name: &str, issue: &str, failing: &str) -> usize {
    let parts: Vec<String> =
        name.split('_').map(str::to_lowercase).filter(|part| part.len() >= SHORTEST_PART).collect();
    let words: Vec<String> = issue.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase).collect();
    let is_meant = |part: &String| {
        words
            .iter()
            .any(|word| word.len() >= SHORTEST_PART && (word.starts_with(part.as_str()) || part.starts_with(word)))
    };
    8 * usize::from(has_word(failing, name))
        + 4 * usize::from(has_word(issue, name))
        + 2 * usize::from(!parts.is_empty() && parts.iter().all(is_meant))
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|other| other == word)
}

/// Returns the lines of a function's body that hold code: those that return first, each group from the bottom up.
fn body(definition: &Definition, lines: &[&str]) -> Vec<usize> {
    let mut code: Vec<usize> = Vec::new();
    let mut is_quoted = false;
    for number in definition.header + 1..=definition.last.min(lines.len()) {
        let text = lines[number - 1].trim();
        let quotes = text.matches("\"\"\"").count() + text.matches("'''").count();
        let was_quoted = is_quoted;
        is_quoted ^= quotes % 2 == 1;
        let is_text = was_quoted || quotes > 0 || text.starts_with(['"', '\'']);
        let is_code = text.chars().any(char::is_alphanumeric);
        if is_code && !is_text && !text.starts_with('#') && !text.starts_with("//") {
            code.push(number);
        }
    }
    code.sort_by_key(|number| (!lines[number - 1].trim().starts_with("return"), Reverse(*number)));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONTHS: &str = "DAYS = [31]\n\n\ndef is_leap_year(year):\n    \"\"\"Return it.\"\"\"\n    return year % 4 == 0\n\n\ndef days_in_month(year, month):\n    if month == 2 and is_leap_year(year):\n        return 29\n    return DAYS[month - 1]\n\n\ndef unrelated():\n    return 1\n";

    #[test]
    fn the_functions_that_a_failure_points_at_take_turns() {
        let files = [("months.py".to_owned(), MONTHS.to_owned())];
        let found = lines(&files, "1900 is no leap year", "self.assertEqual(days_in_month(1900, 2), 28)");
        let found: Vec<usize> = found.iter().map(|focus| focus.line).collect();
        assert_eq!(found, [12, 6, 11, 10]);
    }

    #[test]
    fn without_any_hint_every_function_is_looked_at() {
        let files = [("a.py".to_owned(), MONTHS.to_owned())];
        assert_eq!(lines(&files, "", "").iter().map(|focus| focus.line).collect::<Vec<_>>(), [6, 12, 16, 11, 10]);
        assert_eq!(lines(&[("a.txt".to_owned(), "x".to_owned())], "", ""), []);
    }
}
