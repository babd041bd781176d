//! Finding lines in a file: exactly, but for trailing space, or moved sideways.

use super::indent;
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

/// Looks for `wanted`, the strictest way of comparing first.
pub(super) fn find(source: &Source<'_>, wanted: &[String]) -> Found {
    let texts = source.texts();
    let same: [fn(&str, &str) -> bool; 3] =
        [|a, b| a == b, |a, b| a.trim_end() == b.trim_end(), |a, b| a.trim() == b.trim()];
    if wanted.is_empty() || wanted.len() > texts.len() || wanted.iter().all(|line| line.trim().is_empty()) {
        return Found::Nowhere { nearest: 0 };
    }
    for (strictness, same) in same.iter().enumerate() {
        let fits = |start: &usize| texts[*start..].iter().zip(wanted).all(|(have, want)| same(have, want));
        let shift_at = |start: usize| {
            let have = indent::of_first(&texts[start..start + wanted.len()])?;
            let want = indent::of_first(wanted)?;
            let moved = indent::shifted(wanted, want, have)?;
            let is_uniform = moved.iter().zip(&texts[start..]).all(|(a, b)| a.trim_end() == b.trim_end());
            is_uniform.then(|| (want.to_owned(), have.to_owned()))
        };
        let starts: Vec<usize> = (0..=texts.len() - wanted.len())
            .filter(fits)
            .filter(|start| strictness < 2 || shift_at(*start).is_some())
            .collect();
        match starts.as_slice() {
            [] => {}
            [start] => {
                let shift = if strictness < 2 { None } else { shift_at(*start) };
                return Found::Once { start: *start, shift };
            }
            _ => return Found::Often(starts),
        }
    }
    // Equal lines count most, then words that lines share.
    let words =
        |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned).collect::<Vec<_>>();
    let wanted_words: Vec<Vec<String>> = wanted.iter().map(|line| words(line)).collect();
    let shared =
        |have: &str, want: &[String]| words(have).iter().filter(|word| !word.is_empty() && want.contains(word)).count();
    let common = |start: usize| -> usize {
        let pairs = texts[start..].iter().zip(wanted.iter().zip(&wanted_words));
        pairs.map(|(have, (want, words))| if have.trim() == want.trim() { 10 } else { shared(have, words) }).sum()
    };
    let nearest = (0..texts.len()).max_by_key(|start| (common(*start), std::cmp::Reverse(*start))).unwrap_or(0);
    Found::Nowhere { nearest }
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
