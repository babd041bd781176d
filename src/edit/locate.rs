//! Finding lines in a file: exactly, but for trailing space, or moved sideways.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::indent;
use super::runs::places;
use super::source::Source;

/// Where lines were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// At one place, by index of its first line; the indentations to exchange in the new text, if they differ.
    Once { start: usize, shift: Option<(String, String)> },
    /// At several places.
    Often(Vec<usize>),
    /// Nowhere; the place that has the most lines in common.
    Nowhere { nearest: usize },
}

/// Places beyond these are not looked for: two are one too many already.
const MOST_PLACES: usize = 8;
/// Lines that are compared when text is moved sideways, and when the nearest place is looked for.
const MOST_COMPARED: usize = 4_000_000;
/// Words of a line that count for nearness.
const MOST_WORDS: usize = 60;

/// Looks for `wanted`, the strictest way of comparing first.
pub(super) fn find(source: &Source<'_>, wanted: &[String]) -> Found {
    let texts = source.texts();
    let keys: [fn(&str) -> &str; 3] = [|line| line, str::trim_end, str::trim];
    if wanted.is_empty() || wanted.len() > texts.len() || wanted.iter().all(|line| line.trim().is_empty()) {
        return Found::Nowhere { nearest: 0 };
    }
    for (strictness, key) in keys.iter().enumerate() {
        let have: Vec<&str> = texts.iter().map(|line| key(line)).collect();
        let want: Vec<&str> = wanted.iter().map(|line| key(line)).collect();
        if strictness < 2 {
            match places(&have, &want, MOST_PLACES).as_slice() {
                [] => continue,
                [start] => return Found::Once { start: *start, shift: None },
                several => return Found::Often(several.to_vec()),
            }
        }
        let shift_at = |start: usize| {
            let have = indent::of_first(&texts[start..start + wanted.len()])?;
            let want = indent::of_first(wanted)?;
            let moved = indent::shifted(wanted, want, have)?;
            let is_uniform = moved.iter().zip(&texts[start..]).all(|(a, b)| a.trim_end() == b.trim_end());
            is_uniform.then(|| (start, (want.to_owned(), have.to_owned())))
        };
        let most = (MOST_COMPARED / wanted.len()).clamp(MOST_PLACES, 10_000);
        let mut moved = places(&have, &want, most).into_iter().filter_map(shift_at);
        match (moved.next(), moved.next()) {
            (None, _) => {}
            (Some((start, shift)), None) => return Found::Once { start, shift: Some(shift) },
            (Some((one, _)), Some((other, _))) => {
                let more = moved.take(MOST_PLACES - 2).map(|(start, _)| start);
                return Found::Often([one, other].into_iter().chain(more).collect());
            }
        }
    }
    Found::Nowhere { nearest: nearest(texts, wanted) }
}

/// Returns the start of the lines that have the most in common with `wanted`: equal lines count most, then words that
/// lines share.
fn nearest(texts: &[Cow<'_, str>], wanted: &[String]) -> usize {
    let words = |line: &'_ str| -> Vec<String> {
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        words.take(MOST_WORDS).map(str::to_owned).collect()
    };
    let wanted = &wanted[..wanted.len().min((MOST_COMPARED / texts.len().max(1)).max(1))];
    // Words that stand nowhere in the wanted text never count.
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    let wanted: Vec<(&str, BTreeSet<u32>)> = wanted
        .iter()
        .map(|line| {
            let number = |word| {
                let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                *numbers.entry(word).or_insert(next)
            };
            (line.trim(), words(line).into_iter().map(number).collect())
        })
        .collect();
    let have: Vec<(&str, Vec<u32>)> = texts
        .iter()
        .map(|line| (line.trim(), words(line).iter().filter_map(|word| numbers.get(word).copied()).collect()))
        .collect();
    let common = |start: usize| -> usize {
        let pairs = have[start..].iter().zip(&wanted);
        let pair = |((line, words), (want, known)): (&(&str, Vec<u32>), &(&str, BTreeSet<u32>))| match line == want {
            true => 10,
            false => words.iter().filter(|word| known.contains(word)).count(),
        };
        pairs.map(pair).sum()
    };
    (0..have.len()).max_by_key(|start| (common(*start), std::cmp::Reverse(*start))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_way_that_finds_anything_decides() {
        let source = Source::new(b"def f():\n    a = 1 \n    b\n\ndef g():\n        a = 1\n").unwrap();
        let found = |text: &str| find(&source, &text.lines().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(found("    a = 1"), Found::Once { start: 1, shift: None });
        assert_eq!(found("a = 1\nb"), Found::Once { start: 1, shift: Some((String::new(), "    ".into())) });
        assert_eq!(found("a = 1"), Found::Often(vec![1, 5]));
        assert_eq!(found("def g():\n    c"), Found::Nowhere { nearest: 4 });
        assert_eq!(found(""), Found::Nowhere { nearest: 0 });
    }
}
