//! Applies a recorded patch to recorded files: strictly, without fuzz, knowing nothing of how it was made.
//!
//! It reads what [`crate::edit::patch`] writes and git accepts, and refuses everything else: a second opinion on the
//! bytes that an answer led to.

use std::collections::BTreeMap;

use crate::canon::FileMode;
use crate::canon::tree::is_safe_path;

/// A file's bytes and mode.
pub(super) type File = (Vec<u8>, FileMode);

/// Returns every file that the patch names as it is afterwards; `None` for one that is gone.
///
/// # Errors
/// A patch of another form, or one that does not fit what `before` yields, with the line that says so.
pub(super) fn apply(
    patch: &[u8],
    before: &dyn Fn(&str) -> Option<File>,
) -> Result<BTreeMap<String, Option<File>>, String> {
    let mut lines = Lines { rest: patch, number: 0 };
    let mut after = BTreeMap::new();
    while let Some(line) = lines.next() {
        let names = line.strip_prefix(b"diff --git ").ok_or_else(|| lines.wrong("a file's first line belongs here"))?;
        let path = path_of(names).ok_or_else(|| lines.wrong("its two names differ or cannot be read"))?;
        if !is_safe_path(&path) {
            return Err(lines.wrong("it names a file outside the tree"));
        }
        let file = lines.file(&path, before(&path))?;
        if after.insert(path, file).is_some() {
            return Err(lines.wrong("the file is there twice"));
        }
    }
    Ok(after)
}

/// Reads `a/PATH b/PATH` with one and the same path, in quotes or not.
fn path_of(names: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(names).ok()?;
    if text.starts_with('"') {
        let half = (text.len() - 1) / 2;
        let (old, new) = (text.get(..half)?, text.get(half..)?.strip_prefix(' ')?);
        let (old, new) = (unquoted(old)?, unquoted(new)?);
        let path = old.strip_prefix("a/")?;
        return (new.strip_prefix("b/")? == path).then(|| path.to_owned());
    }
    let length = text.len().checked_sub(5)? / 2;
    let path = text.get(2..2 + length)?;
    (text == format!("a/{path} b/{path}")).then(|| path.to_owned())
}

/// Reads a name in quotes, with git's escapes.
fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    let (mut bytes, mut at) = (Vec::with_capacity(inner.len()), 0);
    while let Some(byte) = inner.get(at) {
        at += 1;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let escaped = *inner.get(at)?;
        at += 1;
        match escaped {
            b'"' | b'\\' => bytes.push(escaped),
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'0'..=b'3' => {
                let octal = std::str::from_utf8(inner.get(at - 1..at + 2)?).ok()?;
                bytes.push(u8::from_str_radix(octal, 8).ok()?);
                at += 2;
            }
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

/// The lines of a patch, without their ends, counted.
struct Lines<'p> {
    rest: &'p [u8],
    number: usize,
}

impl<'p> Lines<'p> {
    fn peek(&self) -> Option<&'p [u8]> {
        (!self.rest.is_empty()).then(|| self.rest.split(|byte| *byte == b'\n').next().unwrap_or_default())
    }

    fn next(&mut self) -> Option<&'p [u8]> {
        let line = self.peek()?;
        self.rest = self.rest.get(line.len() + 1..).unwrap_or_default();
        self.number += 1;
        Some(line)
    }

    fn take(&mut self, prefix: &[u8]) -> Option<&'p [u8]> {
        let rest = self.peek()?.strip_prefix(prefix)?;
        self.next();
        Some(rest)
    }

    fn wrong(&self, what: &str) -> String {
        format!("line {} of the patch: {what}", self.number)
    }

    /// Reads what follows a file's first line, and applies it.
    fn file(&mut self, path: &str, before: Option<File>) -> Result<Option<File>, String> {
        let mode = |digits: &[u8]| match digits {
            b"100644" => Some(FileMode::Regular),
            b"100755" => Some(FileMode::Executable),
            _ => None,
        };
        let (created, deleted) = (self.take(b"new file mode "), self.take(b"deleted file mode "));
        let (from, to) = (self.take(b"old mode "), self.take(b"new mode "));
        let old_mode = deleted.or(from).map(|digits| mode(digits).ok_or_else(|| self.wrong("an unknown mode")));
        let new_mode = created.or(to).map(|digits| mode(digits).ok_or_else(|| self.wrong("an unknown mode")));
        let (old_mode, new_mode) = (old_mode.transpose()?, new_mode.transpose()?);
        let old = match (before, created.is_some()) {
            (None, false) => return Err(self.wrong("it changes a file that is not recorded")),
            (Some(_), true) => return Err(self.wrong("it creates a file that is there")),
            (old, _) => old,
        };
        if old_mode.is_some_and(|mode| old.as_ref().is_some_and(|(_, old)| *old != mode)) {
            return Err(self.wrong("the file has another mode"));
        }
        if (deleted.is_some() || created.is_some()) && from.or(to).is_some() || from.is_some() != to.is_some() {
            return Err(self.wrong("its modes contradict each other"));
        }
        let (bytes, kept_mode) = old.unwrap_or((Vec::new(), FileMode::Regular));
        let bytes = match self.take(b"--- ") {
            None => bytes,
            Some(first) => {
                let second = self.take(b"+++ ").ok_or_else(|| self.wrong("the second name is missing"))?;
                // Other programs go by these names, and not by the file's first line.
                let is_meant =
                    is_side(first, "a/", path, created.is_some()) && is_side(second, "b/", path, deleted.is_some());
                if !is_meant {
                    return Err(self.wrong("its names are those of another file"));
                }
                self.hunks(&bytes)?
            }
        };
        match deleted {
            Some(_) if !bytes.is_empty() => Err(self.wrong("it deletes a file and leaves text in it")),
            Some(_) => Ok(None),
            None => Ok(Some((bytes, new_mode.unwrap_or(kept_mode)))),
        }
    }

    fn hunks(&mut self, before: &[u8]) -> Result<Vec<u8>, String> {
        let old: Vec<&[u8]> = before.split_inclusive(|byte| *byte == b'\n').collect();
        let (mut out, mut at) = (Vec::with_capacity(before.len()), 0);
        while let Some(ranges) = self.take(b"@@ -") {
            let (start, mut removes, mut adds) = header(ranges).ok_or_else(|| self.wrong("the range is malformed"))?;
            // An empty range names the line before it.
            let first = if removes == 0 { start } else { start.wrapping_sub(1) };
            if first < at || first > old.len() {
                return Err(self.wrong("the range is out of order or beyond the file"));
            }
            old[at..first].iter().for_each(|line| out.extend_from_slice(line));
            at = first;
            while removes > 0 || adds > 0 {
                let line = self.next().ok_or_else(|| self.wrong("it ends within a hunk"))?;
                let (mark, text) = line.split_first().ok_or_else(|| self.wrong("a line without a mark"))?;
                let bare = self.take(b"\\ No newline at end of file").is_some();
                let line = [text, if bare { b"" } else { b"\n" }].concat();
                let (is_old, is_new) = (*mark != b'+', *mark != b'-');
                if !matches!(mark, b' ' | b'+' | b'-') || (is_old && removes == 0) || (is_new && adds == 0) {
                    return Err(self.wrong("a line that its range has no room for"));
                }
                if is_old {
                    if old.get(at) != Some(&line.as_slice()) {
                        return Err(self.wrong("the file has another line there"));
                    }
                    (at, removes) = (at + 1, removes - 1);
                }
                if is_new {
                    out.extend_from_slice(&line);
                    adds -= 1;
                }
            }
        }
        old[at..].iter().for_each(|line| out.extend_from_slice(line));
        Ok(out)
    }
}

/// Says whether a name in a `---` or `+++` line is the file's own, or none where the file is not there on that side.
fn is_side(name: &[u8], prefix: &str, path: &str, is_absent: bool) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    if is_absent {
        return name == "/dev/null";
    }
    // Where a name holds a blank, git ends it with a tab.
    let name = name.strip_suffix('\t').unwrap_or(name);
    let name = if name.starts_with('"') { unquoted(name) } else { Some(name.to_owned()) };
    name.is_some_and(|name| name.strip_prefix(prefix) == Some(path))
}

/// Reads `START[,LINES] +START[,LINES] @@`: where the old lines begin, and how many there are on each side.
fn header(text: &[u8]) -> Option<(usize, usize, usize)> {
    let text = std::str::from_utf8(text).ok()?;
    let (old, new) = text.strip_suffix(" @@")?.split_once(" +")?;
    let range = |text: &str| -> Option<(usize, usize)> {
        let (start, lines) = text.split_once(',').unwrap_or((text, "1"));
        Some((start.parse().ok()?, lines.parse().ok()?))
    };
    Some((range(old)?.0, range(old)?.1, range(new)?.1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::canon::Tree;
    use crate::edit::{Change, Proposal};

    fn made(before: Option<&File>, after: Option<&File>, path: &str) -> Vec<u8> {
        let change = match after {
            Some((bytes, mode)) => Change::Write { bytes: bytes.clone(), mode: *mode },
            None => Change::Remove,
        };
        let changes = BTreeMap::from([(path.to_owned(), change)]);
        let (base, result) = (Tree::default(), Tree::default());
        let proposal =
            Proposal { changes, codes: Vec::new(), reasoning: String::new(), base, result, replaced: BTreeMap::new() };
        crate::edit::patch(&|_| before.cloned(), &proposal)
    }

    fn file() -> impl Strategy<Value = Option<File>> {
        let text = prop::collection::vec("[ab\t\r]{0,2}", 0..25).prop_map(|lines| lines.join("\n").into_bytes());
        prop::option::of((text, any::<bool>().prop_map(|x| if x { FileMode::Executable } else { FileMode::Regular })))
    }

    proptest! {
        #[test]
        fn what_the_writer_says_is_what_comes_out(
            before in file(), after in file(), path in "[a-z ü\"]{1,9}(/[a-z]{1,3})?",
        ) {
            prop_assume!(is_safe_path(&path) && before != after);
            let patch = made(before.as_ref(), after.as_ref(), &path);
            let found = apply(&patch, &|_| before.clone()).map_err(TestCaseError::fail)?;
            prop_assert_eq!(found, BTreeMap::from([(path, after)]));
        }

        #[test]
        fn no_bytes_can_do_harm(
            patch in "(diff --git a/x b/x\n|--- a/x\n|\\+\\+\\+ b/x\n|@@ -[0-9]{1,20},[0-9]{1,20} \\+1 @@\n|[ +-]a\n|\\\\ No newline at end of file\n|old mode 100644\n|deleted file mode 100644\n){0,12}",
        ) {
            let _ = apply(patch.as_bytes(), &|_| Some((b"a\nb\n".to_vec(), FileMode::Regular)));
        }
    }

    #[test]
    fn a_patch_that_does_not_fit_or_leaves_the_tree_is_refused() {
        let before = (b"a\nb\nc\n".to_vec(), FileMode::Regular);
        let after = (b"a\nB\nc\n".to_vec(), FileMode::Regular);
        let good = String::from_utf8(made(Some(&before), Some(&after), "x")).unwrap();
        let read = |path: &str| (path == "x").then(|| before.clone());
        assert!(apply(good.as_bytes(), &read).is_ok());
        for (from, to, word) in [
            ("-b", "-c", "another line"),
            ("a/x b/x", "a/y b/y", "not recorded"),
            ("a/x b/x", "a/../x b/../x", "outside the tree"),
            ("a/x b/x", "a/x b/y", "names differ"),
            ("@@ -1,3", "@@ -9,3", "beyond the file"),
            ("@@ -1,3", "@@ -0,3", "beyond the file"),
            ("@@ -1,3", "@@ -1,2", "no room"),
            ("+++ b/x\n", "", "second name"),
            ("+++ b/x", "+++ b/y", "another file"),
            ("--- a/x", "--- a/../x", "another file"),
            ("+++ b/x", "+++ /dev/null", "another file"),
            ("--- a/x", "old mode 100644\n--- a/x", "contradict"),
        ] {
            let error = apply(good.replacen(from, to, 1).as_bytes(), &read).unwrap_err();
            assert!(error.contains(word), "{to}: {error}");
        }
        assert!(apply(format!("{good}{good}").as_bytes(), &read).unwrap_err().contains("twice"));
        assert!(apply(b"hello\n", &read).is_err());
        assert!(path_of(br#""a/x" "b/x""#).is_some() && path_of(br#""a/x"-"b/x""#).is_none());
    }
}
