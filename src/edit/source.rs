//! A file as lines whose bytes stay as they are, and the file after some of its lines were replaced.

use std::borrow::Cow;
use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::runs::is_within;
use super::types::Replaced;

/// Lines of a file, without the byte order mark.
#[derive(Debug, Clone)]
pub(super) struct Source<'a> {
    bytes: &'a [u8],
    mark: &'a [u8],
    /// Content and line end of each line.
    lines: Vec<(&'a [u8], &'a [u8])>,
    texts: Vec<Cow<'a, str>>,
    /// The line end that most lines have.
    eol: &'static str,
}

/// Lines to replace, counted from 0, and what comes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) new: Vec<String>,
}

impl Splice {
    /// Returns where and how much, for the record.
    pub(super) fn replaced(&self) -> Replaced {
        let count = |number: usize| u32::try_from(number).expect("files are limited to far fewer lines");
        Replaced { after: count(self.range.start), lines: count(self.range.len()), new: count(self.new.len()) }
    }
}

impl<'a> Source<'a> {
    /// Takes a file apart; `None` if it holds NUL bytes, so is no text.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        if bytes.contains(&0) {
            return None;
        }
        let mark: &[u8] = if bytes.starts_with(b"\xef\xbb\xbf") { &bytes[..3] } else { &[] };
        let lines: Vec<(&[u8], &[u8])> = bytes[mark.len()..]
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| {
                let content = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(line);
                line.split_at(content.len())
            })
            .collect();
        let long = lines.iter().filter(|(_, eol)| eol.len() == 2).count();
        let eol = if long * 2 > lines.len() { "\r\n" } else { "\n" };
        let texts = lines.iter().map(|(content, _)| String::from_utf8_lossy(content)).collect();
        Some(Self { bytes, mark, lines, texts, eol })
    }

    /// Returns the bytes of the whole file.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the number of lines.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Says whether lines mostly end in carriage return and line feed.
    pub(super) fn has_long_ends(&self) -> bool {
        self.eol.len() == 2
    }

    /// Says whether the last line has no line end.
    pub(super) fn lacks_final_newline(&self) -> bool {
        self.lines.last().is_some_and(|(_, eol)| eol.is_empty())
    }

    /// Returns the text of the line with this index, without its end; empty beyond the file.
    pub(super) fn line(&self, index: usize) -> &str {
        self.texts.get(index).map_or("", AsRef::as_ref)
    }

    /// Says whether the line with this index is UTF-8.
    pub(super) fn is_text(&self, index: usize) -> bool {
        self.lines.get(index).is_none_or(|(content, _)| std::str::from_utf8(content).is_ok())
    }

    /// Returns the text of all lines.
    pub(super) fn texts(&self) -> &[Cow<'a, str>] {
        &self.texts
    }

    /// Returns what a splice really changes: a long text, such as a whole file, says most lines anew as they are.
    ///
    /// A text that differs in more than `most` lines stays one splice.
    pub(super) fn minimal(&self, splice: &Splice, most: usize) -> Vec<Splice> {
        let old: Vec<&[u8]> = self.lines[splice.range.clone()].iter().map(|(text, _)| *text).collect();
        let new: Vec<&[u8]> = splice.new.iter().map(String::as_bytes).collect();
        if !is_within(&old, &new, most) {
            return vec![splice.clone()];
        }
        let mut found = Vec::new();
        let (mut old_at, mut new_at) = (0, 0);
        // Only the lengths are used: positions in the operations of `similar` can be off after it joins them.
        for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
            let (removed, added) = (op.old_range().len(), op.new_range().len());
            if !matches!(op, DiffOp::Equal { .. }) {
                let start = splice.range.start + old_at;
                let new = splice.new[new_at..new_at + added].to_vec();
                found.push(Splice { range: start..start + removed, new });
            }
            (old_at, new_at) = (old_at + removed, new_at + added);
        }
        if found.is_empty() { vec![splice.clone()] } else { found }
    }

    /// Returns the file with the splices applied, which must be sorted and apart; `None` if they are not.
    ///
    /// Bytes outside the ranges stay, and so do lines at the ends of a range that the new text repeats. New lines end as
    /// most lines of the file do; a new last line has a line end where the last one had one.
    pub(super) fn with(&self, splices: &[Splice]) -> Option<Vec<u8>> {
        // Text, line end, and whether the line is new.
        let mut lines: Vec<(Cow<'_, [u8]>, &[u8], bool)> = Vec::with_capacity(self.lines.len());
        let eol = self.eol.as_bytes();
        let kept =
            |range: Range<usize>| self.lines[range].iter().map(|(text, eol)| (Cow::Borrowed(*text), *eol, false));
        let mut next = 0;
        for splice in splices {
            let Range { start, end } = splice.range;
            if start < next || end < start || end > self.lines.len() {
                return None;
            }
            lines.extend(kept(next..start));
            let old = &self.lines[start..end];
            let new: Vec<&[u8]> = splice.new.iter().map(String::as_bytes).collect();
            let same = |(old, new): &(&(&[u8], &[u8]), &&[u8])| old.0 == **new;
            let head = old.iter().zip(&new).take_while(same).count();
            let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(same).count();
            lines.extend(kept(start..start + head));
            lines.extend(new[head..new.len() - tail].iter().map(|text| (Cow::Owned(text.to_vec()), eol, true)));
            lines.extend(kept(end - tail..end));
            next = end;
        }
        lines.extend(kept(next..self.lines.len()));

        let mut out = self.mark.to_vec();
        let last = lines.len().saturating_sub(1);
        for (index, (text, end, is_new)) in lines.iter().enumerate() {
            out.extend_from_slice(text);
            // A line that comes to be the last, since those behind it are gone, keeps its end. A blank one without an end
            // would be no line.
            let is_bare =
                index == last && self.lacks_final_newline() && (*is_new || end.is_empty()) && !text.is_empty();
            out.extend_from_slice(match (is_bare, end.is_empty()) {
                (true, _) => b"",
                (false, true) => eol,
                (false, false) => end,
            });
        }
        Some(out)
    }
}

/// Returns the bytes of a new file with these lines.
pub(super) fn new_file(lines: &[String]) -> Vec<u8> {
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spliced(bytes: &[u8], range: Range<usize>, new: &[&str]) -> String {
        let new = new.iter().map(|line| (*line).to_owned()).collect();
        let source = Source::new(bytes).unwrap();
        String::from_utf8(source.with(&[Splice { range, new }]).unwrap()).unwrap()
    }

    #[test]
    fn line_ends_marks_and_the_end_of_the_file_stay() {
        assert_eq!(spliced(b"a\r\nb\r\nc\r\n", 1..2, &["B", "b2"]), "a\r\nB\r\nb2\r\nc\r\n");
        assert_eq!(spliced(b"\xef\xbb\xbfa\nb\n", 0..1, &["A"]), "\u{feff}A\nb\n");
        assert_eq!(spliced(b"a\nb", 1..2, &["B"]), "a\nB");
        assert_eq!(spliced(b"a\nb", 2..2, &["c"]), "a\nb\nc");
        assert_eq!(spliced(b"a\nb", 0..1, &["A"]), "A\nb");
        assert_eq!(spliced(b"a\nb\n", 1..2, &[]), "a\n");
        assert_eq!(spliced(b"a\nb", 1..2, &[]), "a\n");
        assert_eq!(spliced(b"a\nb", 1..2, &["c", ""]), "a\nc\n\n");
        assert_eq!(spliced(b"", 0..0, &["a"]), "a\n");
        // A line that the new text repeats keeps its own line end.
        assert_eq!(spliced(b"a\r\nb\nc\n", 0..3, &["a", "B", "c"]), "a\r\nB\nc\n");
        assert!(Source::new(b"a\0b").is_none());
    }

    #[test]
    fn a_whole_file_changes_only_the_lines_that_differ() {
        let source = Source::new(b"a\r\nb\nc\r\nd\n").unwrap();
        let splice = |range, new: &[&str]| Splice { range, new: new.iter().map(|line| (*line).to_owned()).collect() };
        let minimal = source.minimal(&splice(0..4, &["A", "b", "c", "D"]), 10);
        assert_eq!(minimal, [splice(0..1, &["A"]), splice(3..4, &["D"])]);
        assert_eq!(source.with(&minimal).unwrap(), b"A\nb\nc\r\nD\n");
        assert_eq!(source.minimal(&splice(0..4, &["A"]), 3).len(), 1);
    }

    proptest! {
        #[test]
        fn bytes_outside_the_range_stay(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), Just(0xff)], 0..60),
            ends in any::<[prop::sample::Index; 2]>(),
            new in prop::collection::vec("[ab ]{0,3}", 0..4),
        ) {
            let source = Source::new(&bytes).unwrap();
            let at = [ends[0].index(source.len() + 1), ends[1].index(source.len() + 1)];
            let range = at[0].min(at[1])..at[0].max(at[1]);
            let head: Vec<u8> = source.lines[..range.start].iter().flat_map(|(a, b)| [*a, *b].concat()).collect();
            let tail: Vec<u8> = source.lines[range.end..].iter().flat_map(|(a, b)| [*a, *b].concat()).collect();
            let out = source.with(&[Splice { range: range.clone(), new }]).unwrap();
            // An insertion behind a last line without an end must end that line first.
            if !(source.lacks_final_newline() && range.end == source.len()) {
                prop_assert!(out.starts_with(&head));
                prop_assert!(out.ends_with(&tail));
            }
        }
    }
}
