//! Files as a prompt shows them: every line numbered, cut at definition borders where the whole does not fit.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::syntax::{Language, definitions};

/// Bytes that numbering adds to a line.
pub(super) const NUMBERING: usize = 6;
/// Shortest word that marks a part of a file as one that matters.
const SHORTEST_WORD: usize = 4;

/// Returns the numbered text of a file in at most `cap` bytes, and its number of lines; nothing if none of it fits.
///
/// Of a file that does not fit, the definitions are shown that `words` point at, with a line for every gap.
pub(super) fn numbered(path: &str, text: &str, cap: usize, words: &BTreeSet<&str>) -> Option<(String, u32)> {
    let lines: Vec<&str> = text.lines().collect();
    let count = u32::try_from(lines.len()).ok()?;
    let whole = number(&lines, &[(1, lines.len())]);
    if whole.len() <= cap {
        return Some((whole, count));
    }
    let mut chosen = Vec::new();
    for range in by_weight(path, text, &lines, words) {
        let mut with = chosen.clone();
        with.push(range);
        with.sort_unstable();
        if number(&lines, &with).len() <= cap {
            chosen = with;
        }
    }
    (!chosen.is_empty()).then(|| (number(&lines, &chosen), count))
}

/// Returns the words of a text that can name something in code.
pub(super) fn words(text: &str) -> BTreeSet<&str> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    parts.filter(|word| word.len() >= SHORTEST_WORD && !word.starts_with(|c: char| c.is_ascii_digit())).collect()
}

fn number(lines: &[&str], ranges: &[(usize, usize)]) -> String {
    let mut text = String::new();
    let mut next = 1;
    for &(first, last) in ranges {
        gap(&mut text, next, first);
        for (i, line) in lines.iter().enumerate().take(last).skip(first - 1) {
            let _ = writeln!(text, "{:>4}| {line}", i + 1);
        }
        next = last + 1;
    }
    gap(&mut text, next, lines.len() + 1);
    text
}

fn gap(text: &mut String, from: usize, to: usize) {
    if from < to {
        let _ = writeln!(text, "     (lines {from} to {} are not shown)", to - 1);
    }
}

/// Returns the pieces between definition borders, the ones with most of the words first.
fn by_weight(path: &str, text: &str, lines: &[&str], wanted: &BTreeSet<&str>) -> Vec<(usize, usize)> {
    let mut borders: BTreeSet<usize> = BTreeSet::from([1, lines.len() + 1]);
    if let Some(language) = Language::of_path(path) {
        for definition in definitions(language, text.as_bytes()) {
            borders.insert(definition.first);
            borders.insert(definition.last + 1);
        }
    } else {
        borders.extend((1..=lines.len()).step_by(40));
    }
    let borders: Vec<usize> = borders.into_iter().filter(|line| *line <= lines.len() + 1).collect();
    let mut pieces: Vec<(usize, usize, usize)> = borders
        .windows(2)
        .map(|pair| {
            let (first, last) = (pair[0], pair[1] - 1);
            let found: BTreeSet<&str> = lines[first - 1..last].iter().flat_map(|line| words(line)).collect();
            (found.intersection(wanted).count(), first, last)
        })
        .collect();
    pieces.sort_by_key(|&(weight, first, _)| (std::cmp::Reverse(weight), first));
    pieces.into_iter().map(|(_, first, last)| (first, last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "import os\n\ndef first(a):\n    return a\n\n\ndef second(b):\n    return wanted(b)\n";

    #[test]
    fn every_line_is_numbered() {
        let (text, lines) = numbered("m.py", "a\n\nb", 1000, &BTreeSet::new()).unwrap();
        assert_eq!((text.as_str(), lines), ("   1| a\n   2| \n   3| b\n", 3));
    }

    #[test]
    fn what_does_not_fit_is_cut_at_definitions_and_says_so() {
        let wanted = words("the wanted thing");
        let (text, lines) = numbered("m.py", MODULE, 110, &wanted).unwrap();
        assert_eq!(lines, 8);
        assert!(text.contains("   7| def second(b):\n   8|     return wanted(b)\n"), "{text}");
        assert!(text.contains("are not shown") && text.len() <= 110, "{text}");
        assert_eq!(numbered("m.py", MODULE, 20, &wanted), None);
    }
}
