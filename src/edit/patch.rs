//! The change as a unified diff in git's format: what the run hands over, and what `git apply` must accept.

use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::types::{Change, Proposal};
use crate::canon::FileMode;

const CONTEXT: usize = 3;

/// Returns the proposal as a patch against the files that `before` reads; empty if nothing changes.
///
/// Prefixes are `a/` and `b/`; there is no date and no index line, which `git apply` does not need for text.
pub fn patch(before: &dyn Fn(&str) -> Option<(Vec<u8>, FileMode)>, proposal: &Proposal) -> Vec<u8> {
    let mut out = Vec::new();
    for (path, change) in &proposal.changes {
        let old = before(path);
        let new = match change {
            Change::Write { bytes, mode } => Some((bytes.clone(), *mode)),
            Change::Remove => None,
        };
        if old != new {
            write_file(path, old.as_ref(), new.as_ref(), &mut out);
        }
    }
    out
}

type File = (Vec<u8>, FileMode);

fn write_file(path: &str, old: Option<&File>, new: Option<&File>, out: &mut Vec<u8>) {
    let (a, b) = (quoted("a/", path), quoted("b/", path));
    let mut line = |text: String| {
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    };
    line(format!("diff --git {a} {b}"));
    match (old, new) {
        (None, Some((_, mode))) => line(format!("new file mode {}", digits(*mode))),
        (Some((_, mode)), None) => line(format!("deleted file mode {}", digits(*mode))),
        (Some((_, from)), Some((_, to))) if from != to => {
            line(format!("old mode {}", digits(*from)));
            line(format!("new mode {}", digits(*to)));
        }
        _ => {}
    }
    let empty: &[u8] = &[];
    let old_lines = lines(old.map_or(empty, |(bytes, _)| bytes));
    let new_lines = lines(new.map_or(empty, |(bytes, _)| bytes));
    if old_lines == new_lines {
        return;
    }
    let end = |path: &str| if path.contains(' ') && !path.starts_with('"') { "\t" } else { "" };
    line(format!("--- {}", old.map_or("/dev/null".to_owned(), |_| format!("{a}{}", end(&a)))));
    line(format!("+++ {}", new.map_or("/dev/null".to_owned(), |_| format!("{b}{}", end(&b)))));
    write_hunks(&old_lines, &new_lines, out);
}

/// A line of either side: kept, removed or added.
type Marked<'a> = (u8, &'a [u8]);

fn write_hunks(old: &[&[u8]], new: &[&[u8]], out: &mut Vec<u8>) {
    let marked = marked(old, new);
    let is_change = |index: usize| marked.get(index).is_some_and(|(mark, _)| *mark != b' ');
    let mut next = 0;
    // Lines of the old and the new side before `next`.
    let (mut old_at, mut new_at) = (0, 0);
    while let Some(first) = (next..marked.len()).find(|index| is_change(*index)) {
        let start = first.saturating_sub(CONTEXT).max(next);
        let mut end = first + 1;
        // Changes whose context would touch share a hunk.
        while let Some(more) = (end..(end + 2 * CONTEXT + 1).min(marked.len())).find(|index| is_change(*index)) {
            end = more + 1;
        }
        let end = (end + CONTEXT).min(marked.len());
        old_at += start - next;
        new_at += start - next;
        let hunk = &marked[start..end];
        let old_count = hunk.iter().filter(|(mark, _)| *mark != b'+').count();
        let new_count = hunk.iter().filter(|(mark, _)| *mark != b'-').count();
        let ranges = (counted(&(old_at..old_at + old_count)), counted(&(new_at..new_at + new_count)));
        out.extend_from_slice(format!("@@ -{} +{} @@\n", ranges.0, ranges.1).as_bytes());
        hunk.iter().for_each(|(mark, line)| write_line(*mark, line, out));
        (old_at, new_at, next) = (old_at + old_count, new_at + new_count, end);
    }
}

/// Returns the lines of both sides in the order of a diff, removed lines before added ones.
fn marked<'a>(old: &[&'a [u8]], new: &[&'a [u8]]) -> Vec<Marked<'a>> {
    let mut marked: Vec<Marked<'a>> = Vec::with_capacity(old.len() + new.len());
    let (mut old_at, mut new_at) = (0, 0);
    // Only the lengths are used: positions in the operations of `similar` can be off after it joins them.
    for op in capture_diff_slices(Algorithm::Myers, old, new) {
        let (removed, added) = (op.old_range().len(), op.new_range().len());
        let is_equal = matches!(op, DiffOp::Equal { .. });
        let (mark, more) = if is_equal { (b' ', 0) } else { (b'-', added) };
        marked.extend(old.iter().skip(old_at).take(removed).map(|line| (mark, *line)));
        marked.extend(new.iter().skip(new_at).take(more).map(|line| (b'+', *line)));
        old_at += removed;
        new_at += added;
    }
    let side = |other: u8| marked.iter().filter(move |(mark, _)| *mark != other).map(|(_, line)| *line);
    if side(b'+').eq(old.iter().copied()) && side(b'-').eq(new.iter().copied()) {
        return marked;
    }
    // A diff that does not say what it should is worse than a long one.
    old.iter().map(|line| (b'-', *line)).chain(new.iter().map(|line| (b'+', *line))).collect()
}

fn write_line(mark: u8, line: &[u8], out: &mut Vec<u8>) {
    out.push(mark);
    out.extend_from_slice(line);
    if !line.ends_with(b"\n") {
        out.extend_from_slice(b"\n\\ No newline at end of file\n");
    }
}

/// Returns start and length as a hunk header has them: an empty range starts at the line before, a length of one is
/// left out.
fn counted(range: &Range<usize>) -> String {
    match range.len() {
        0 => format!("{},0", range.start),
        1 => format!("{}", range.start + 1),
        n => format!("{},{n}", range.start + 1),
    }
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

const fn digits(mode: FileMode) -> &'static str {
    match mode {
        FileMode::Regular => "100644",
        FileMode::Executable => "100755",
        FileMode::Symlink => "120000",
    }
}

/// Returns the path as git writes it: in quotes, with escapes, if it holds anything but printable ASCII.
fn quoted(prefix: &str, path: &str) -> String {
    if path.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\') {
        return format!("{prefix}{path}");
    }
    let mut text = format!("\"{prefix}");
    for byte in path.bytes() {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\{byte:03o}")),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;
    use crate::canon::Tree;

    type Files = BTreeMap<String, File>;

    fn proposal(before: &Files, after: &Files) -> Proposal {
        let mut changes = BTreeMap::new();
        for path in before.keys().chain(after.keys()) {
            let change = match after.get(path) {
                Some((bytes, mode)) => Change::Write { bytes: bytes.clone(), mode: *mode },
                None => Change::Remove,
            };
            changes.insert(path.clone(), change);
        }
        let (base, result) = (Tree::default(), Tree::default());
        Proposal { changes, codes: Vec::new(), reasoning: String::new(), base, result, replaced: BTreeMap::new() }
    }

    fn apply(before: &Files, diff: &[u8]) -> Files {
        let folder = tempfile::tempdir().unwrap();
        for (path, (bytes, mode)) in before {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, bytes).unwrap();
            let bits = if *mode == FileMode::Executable { 0o755 } else { 0o644 };
            fs::set_permissions(&file, fs::Permissions::from_mode(bits)).unwrap();
        }
        if !diff.is_empty() {
            let mut git = Command::new("git")
                .args(["apply", "--whitespace=nowarn", "-"])
                .current_dir(folder.path())
                .env("GIT_CEILING_DIRECTORIES", folder.path().parent().unwrap())
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            git.stdin.take().unwrap().write_all(diff).unwrap();
            assert!(git.wait().unwrap().success(), "git refuses:\n{}", String::from_utf8_lossy(diff));
        }
        let mut after = Files::new();
        let mut folders = vec![folder.path().to_owned()];
        while let Some(parent) = folders.pop() {
            for entry in fs::read_dir(parent).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let executable = fs::metadata(&path).unwrap().permissions().mode() & 0o100 != 0;
                    let mode = if executable { FileMode::Executable } else { FileMode::Regular };
                    let name = path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
                    after.insert(name, (fs::read(&path).unwrap(), mode));
                }
            }
        }
        after
    }

    fn roundtrip(before: &Files, after: &Files) {
        let diff = patch(&|path| before.get(path).cloned(), &proposal(before, after));
        assert_eq!(&apply(before, &diff), after, "{}", String::from_utf8_lossy(&diff));
    }

    fn files(list: &[(&str, &str, FileMode)]) -> Files {
        list.iter().map(|(path, text, mode)| ((*path).to_owned(), (text.as_bytes().to_vec(), *mode))).collect()
    }

    #[test]
    fn git_accepts_every_kind_of_change() {
        use FileMode::{Executable, Regular};
        let before = files(&[
            ("a.py", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", Regular),
            ("dir/with space.txt", "x\ny", Regular),
            ("gone.txt", "bye\n", Executable),
            ("empty.txt", "", Regular),
            ("ü\"\t.txt", "q\r\nr\r\n", Regular),
            ("run.sh", "echo\n", Regular),
            ("empty_gone.txt", "", Regular),
        ]);
        let after = files(&[
            ("a.py", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9", Regular),
            ("dir/with space.txt", "x\ny\n", Regular),
            ("empty.txt", "now\n", Regular),
            ("ü\"\t.txt", "q\r\nR\r\n", Regular),
            ("run.sh", "echo\n", Executable),
            ("new/file.py", "a\nb", Executable),
            ("new/empty.py", "", Regular),
        ]);
        roundtrip(&before, &after);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn git_turns_before_into_after(
            old in prop::collection::vec("[ab\t\r]{0,2}", 0..30),
            new in prop::collection::vec("[ab\t\r]{0,2}", 0..30),
            ends in any::<[bool; 2]>(),
        ) {
            let text = |lines: &[String], end: bool| {
                let mut text = lines.join("\n");
                if end && !text.is_empty() {
                    text.push('\n');
                }
                text
            };
            let before = files(&[("f", &text(&old, ends[0]), FileMode::Regular)]);
            let after = files(&[("f", &text(&new, ends[1]), FileMode::Regular)]);
            roundtrip(&before, &after);
        }
    }
}
