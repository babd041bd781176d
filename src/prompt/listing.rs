//! Files as a prompt shows them: every line numbered, cut at definition borders where the whole does not fit; or, for
//! comparison, without numbers, in a window of a hundred lines, or as a whole only.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::syntax::{Language, definitions};

/// Bytes that numbering adds to a line.
pub(super) const NUMBERING: usize = 6;
/// Shortest word that marks a part of a file as one that matters.
const SHORTEST_WORD: usize = 4;

/// Lines of a window.
const WINDOW: usize = 100;

/// How much of a file is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Listing {
    /// All of it, and where that does not fit, the definitions that matter.
    #[default]
    Fitting,
    /// The hundred lines that matter most.
    Window,
    /// All of it or nothing.
    Whole,
}

impl Listing {
    /// Says whether this is how files are shown unless something else is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How lines are written.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) listing: Listing,
    pub(super) numbers: bool,
}

/// Returns the text of a file in at most `cap` bytes, and its number of lines; nothing if none of it fits.
///
/// Of a file that does not fit, the definitions are shown that `words` point at, with a line for every gap.
pub(super) fn listed(path: &str, text: &str, cap: usize, words: &BTreeSet<&str>, form: Form) -> Option<(String, u32)> {
    let lines: Vec<&str> = text.lines().collect();
    let count = u32::try_from(lines.len()).ok()?;
    let range = match form.listing {
        Listing::Window => window(&lines, words),
        Listing::Fitting | Listing::Whole => (1, lines.len()),
    };
    let whole = number(&lines, &[range], form.numbers);
    if whole.len() <= cap {
        return Some((whole, count));
    }
    if form.listing == Listing::Whole {
        return None;
    }
    let mut chosen = Vec::new();
    for piece in by_weight(path, text, &lines, words) {
        let piece = (piece.0.max(range.0), piece.1.min(range.1));
        if piece.0 > piece.1 {
            continue;
        }
        let mut with = chosen.clone();
        with.push(piece);
        with.sort_unstable();
        if number(&lines, &with, form.numbers).len() <= cap {
            chosen = with;
        }
    }
    if chosen.is_empty() {
        // No definition is short enough, or there is none: any lines say more than the file's name.
        chosen.extend(head(&lines, range, cap, form.numbers));
    }
    (!chosen.is_empty()).then(|| (number(&lines, &chosen, form.numbers), count))
}

/// Returns the hundred lines in a row with the most of the words, the first ones where several have as many.
fn window(lines: &[&str], wanted: &BTreeSet<&str>) -> (usize, usize) {
    let found: Vec<BTreeSet<&str>> =
        lines.iter().map(|line| words(line).into_iter().filter(|word| wanted.contains(word)).collect()).collect();
    // Steps of ten lines: a window begins some lines above what matters, not at it.
    let starts = (0..lines.len().saturating_sub(WINDOW) + 10).step_by(10).filter(|start| *start < lines.len().max(1));
    let weight = |start: usize| {
        let end = (start + WINDOW).min(lines.len());
        found[start..end].iter().flatten().collect::<BTreeSet<_>>().len()
    };
    let best = starts.max_by_key(|start| (weight(*start), std::cmp::Reverse(*start))).unwrap_or_default();
    (best + 1, (best + WINDOW).min(lines.len()))
}

/// Returns the words of a text that can name something in code.
pub(super) fn words(text: &str) -> BTreeSet<&str> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    parts.filter(|word| word.len() >= SHORTEST_WORD && !word.starts_with(|c: char| c.is_ascii_digit())).collect()
}

fn number(lines: &[&str], ranges: &[(usize, usize)], numbers: bool) -> String {
    let mut text = String::new();
    let mut next = 1;
    for &(first, last) in ranges {
        gap(&mut text, next, first);
        for (i, line) in lines.iter().enumerate().take(last).skip(first - 1) {
            let _ = match numbers {
                true => writeln!(text, "{:>4}| {line}", i + 1),
                false => writeln!(text, "{line}"),
            };
        }
        next = last + 1;
    }
    gap(&mut text, next, lines.len() + 1);
    text
}

/// Returns as many of the first lines of a range as fit.
fn head(lines: &[&str], (first, last): (usize, usize), cap: usize, numbers: bool) -> Option<(usize, usize)> {
    // Fewer lines are never longer by more than what says that the others are not shown, which stands behind any of them.
    let (mut fits, mut beyond) = (first - 1, last);
    while fits + 1 < beyond {
        let middle = fits.midpoint(beyond);
        match number(lines, &[(first, middle)], numbers).len() <= cap {
            true => fits = middle,
            false => beyond = middle,
        }
    }
    (fits >= first).then_some((first, fits))
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

    const USUAL: Form = Form { listing: Listing::Fitting, numbers: true };

    fn numbered(path: &str, text: &str, cap: usize, words: &BTreeSet<&str>) -> Option<(String, u32)> {
        listed(path, text, cap, words, USUAL)
    }

    #[test]
    fn of_a_long_file_without_a_short_definition_the_first_lines_are_shown() {
        let text: String = (1..=2000).map(|n| format!("VALUES[{n}] = {n}\n")).collect();
        let long = format!("def all():\n{}", text.replace("VALUES", "    VALUES"));
        for (text, lines) in [(&text, 2000), (&long, 2001)] {
            let (shown, count) = numbered("m.py", text, 1000, &words("nothing")).unwrap();
            assert_eq!(count, lines);
            assert!((960..=1000).contains(&shown.len()) && shown.ends_with(" are not shown)\n"), "{shown}");
            assert!(shown.starts_with(&format!("   1| {}\n   2| ", text.lines().next().unwrap())), "{shown}");
        }
        assert_eq!(numbered("m.py", &text, 20, &words("nothing")), None);
    }

    #[test]
    fn a_window_is_where_the_words_are_and_a_whole_file_is_never_cut() {
        let text: String = (1..=400).map(|n| format!("line_{n}({})\n", if n == 307 { "wanted" } else { "" })).collect();
        let wanted = words("the wanted thing");
        let window = Form { listing: Listing::Window, ..USUAL };
        let (shown, lines) = listed("m.py", &text, 100_000, &wanted, window).unwrap();
        assert_eq!((lines, shown.lines().count()), (400, 102));
        assert!(
            shown.contains(" 307| line_307(wanted)\n") && shown.contains("     (lines 1 to 210 are not shown)\n"),
            "{shown}"
        );
        let (first, _) = listed("m.py", &text, 100_000, &BTreeSet::new(), window).unwrap();
        assert!(first.starts_with("   1| line_1()\n"), "{first}");
        assert_eq!(listed("m.py", "a\n", 100, &wanted, window), Some(("   1| a\n".into(), 1)));
        assert_eq!(listed("m.py", "", 100, &wanted, window), Some((String::new(), 0)));
        let whole = Form { listing: Listing::Whole, ..USUAL };
        assert_eq!(listed("m.py", MODULE, 110, &wanted, whole), None);
        assert_eq!(listed("m.py", MODULE, 1000, &wanted, whole), numbered("m.py", MODULE, 1000, &wanted));
        let plain = Form { numbers: false, ..USUAL };
        assert_eq!(listed("m.py", MODULE, 1000, &wanted, plain), Some((MODULE.into(), 8)));
    }

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
