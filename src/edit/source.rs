//! A file as lines whose bytes stay as they are, and the file after some of its lines were replaced.

use std::borrow::Cow;
use std::ops::Range;

use super::types::Replaced;

/// Lines of a file, without the byte order mark.
#[derive(Debug, Clone)]
pub(super) struct Source<'a> {
    bytes: &'a [u8],
    mark: &'a [u8],
    /// Content and line end of each line.
    lines: Vec<(&'a [u8], &'a [u8])>,
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
        Some(Self { bytes, mark, lines, eol })
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
    pub(super) fn line(&self, index: usize) -> Cow<'a, str> {
        self.lines.get(index).map_or(Cow::Borrowed(""), |(content, _)| String::from_utf8_lossy(content))
    }

    /// Says whether the line with this index is UTF-8.
    pub(super) fn is_text(&self, index: usize) -> bool {
        self.lines.get(index).is_none_or(|(content, _)| std::str::from_utf8(content).is_ok())
    }

    /// Returns the text of all lines.
    pub(super) fn texts(&self) -> Vec<Cow<'a, str>> {
        (0..self.len()).map(|index| self.line(index)).collect()
    }

    /// Returns the file with the splices applied, which must be sorted and apart; `None` if they are not.
    ///
    /// Bytes outside the ranges stay, and so do lines at the ends of a range that the new text repeats. New lines end as
    /// most lines of the file do, and the end of the file keeps or lacks its line end as before.
    pub(super) fn with(&self, splices: &[Splice]) -> Option<Vec<u8>> {
        let mut lines: Vec<(Cow<'_, [u8]>, &[u8])> = Vec::with_capacity(self.lines.len());
        let eol = self.eol.as_bytes();
        let kept = |range: Range<usize>| self.lines[range].iter().map(|(text, eol)| (Cow::Borrowed(*text), *eol));
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
            lines.extend(new[head..new.len() - tail].iter().map(|text| (Cow::Owned(text.to_vec()), eol)));
            lines.extend(kept(end - tail..end));
            next = end;
        }
        lines.extend(kept(next..self.lines.len()));

        let mut out = self.mark.to_vec();
        let last = lines.len().saturating_sub(1);
        for (index, (text, end)) in lines.iter().enumerate() {
            out.extend_from_slice(text);
            let is_bare = index == last && self.lacks_final_newline();
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
        assert_eq!(spliced(b"", 0..0, &["a"]), "a\n");
        // A line that the new text repeats keeps its own line end.
        assert_eq!(spliced(b"a\r\nb\nc\n", 0..3, &["a", "B", "c"]), "a\r\nB\nc\n");
        assert!(Source::new(b"a\0b").is_none());
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
