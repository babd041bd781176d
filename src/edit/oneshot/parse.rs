//! From a reply to the parts of a diff, by the rules of the program that is to apply it.

/// Which program's rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// `git apply`.
    Git,
    /// `patch --batch --fuzz=5 -p1`.
    Patch,
}

impl Program {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Git => "git apply",
            Self::Patch => "patch",
        }
    }
}

/// What a line of a hunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Context,
    Old,
    New,
}

/// One hunk: where it is said to be and its lines with their ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hunk {
    /// First line of the old side from 1, or 0 for an empty file.
    pub(super) old_start: usize,
    /// First line of the new side.
    pub(super) new_start: usize,
    pub(super) lines: Vec<(Mark, Vec<u8>)>,
}

/// The part of a diff that is about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileDiff {
    /// Path before, without its first folder; nothing for a new file.
    pub(super) old: Option<String>,
    /// Path afterwards; nothing for a removed file.
    pub(super) new: Option<String>,
    pub(super) hunks: Vec<Hunk>,
}

impl FileDiff {
    /// Says whether the part removes its file.
    pub(super) fn removes(&self) -> bool {
        self.new.is_none()
    }
}

/// Finds the diff in a reply: in its first fence that holds one, else from its first header to the end.
pub(super) fn find(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_header = |index: usize| {
        let line = lines[index];
        let next = lines.get(index + 1).copied().unwrap_or_default();
        line.starts_with("diff --git ") || (line.starts_with("--- ") && next.starts_with("+++ "))
    };
    let first = (0..lines.len()).find(|index| is_header(*index))?;
    let is_fenced = lines[..first].iter().filter(|line| line.starts_with("```")).count() % 2 == 1;
    let end = lines[first..].iter().position(|line| is_fenced && line.starts_with("```"));
    let mut diff = lines[first..end.map_or(lines.len(), |end| first + end)].concat();
    if !diff.ends_with('\n') {
        diff.push('\n');
    }
    Some(diff)
}

/// Reads the parts of a diff.
///
/// # Errors
/// What the program would call corrupt or malformed, by the line.
pub(super) fn parse(diff: &str, program: Program) -> Result<Vec<FileDiff>, String> {
    let lines: Vec<&str> = diff.split_inclusive('\n').collect();
    let mut files: Vec<FileDiff> = Vec::new();
    let mut index = 0;
    while index < lines.len() {
        let next = lines.get(index + 1).copied().unwrap_or_default();
        if let (Some(old), Some(new)) = (lines[index].strip_prefix("--- "), next.strip_prefix("+++ ")) {
            let [old, new] = [(old, index), (new, index + 1)].map(|(text, at)| name(text, at + 1));
            index += 2;
            let mut hunks = Vec::new();
            while let Some(header) = lines.get(index).and_then(|line| ranges(line)) {
                hunks.push(hunk(&lines, &mut index, header, program)?);
            }
            if hunks.is_empty() {
                return Err(format!("no hunk header at line {}", index + 1));
            }
            files.push(FileDiff { old: old?, new: new?, hunks });
            continue;
        }
        if program == Program::Git && ranges(lines[index]).is_some() {
            return Err(format!("a hunk without a header at line {}", index + 1));
        }
        index += 1;
    }
    match files.is_empty() {
        true => Err("no part of it names a file and holds a hunk".into()),
        false => Ok(files),
    }
}

/// Reads a name: without its first folder (`-p1`), and nothing for `/dev/null`.
fn name(text: &str, line: usize) -> Result<Option<String>, String> {
    let text = text.split('\t').next().unwrap_or_default().trim_end();
    if text == "/dev/null" {
        return Ok(None);
    }
    match text.split_once('/') {
        Some((_, path)) if !path.is_empty() => Ok(Some(path.to_owned())),
        _ => Err(format!("no file name behind the first folder at line {line}")),
    }
}

/// Starts and lengths of a hunk's header.
type Ranges = [(usize, usize); 2];

/// Reads `@@ -a,b +c,d @@`.
fn ranges(line: &str) -> Option<Ranges> {
    let (old, rest) = line.strip_prefix("@@ -")?.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    let range = |text: &str| -> Option<(usize, usize)> {
        let (start, length) = text.split_once(',').unwrap_or((text, "1"));
        let number = |text: &str| text.parse::<u32>().ok().map(|number| number as usize);
        Some((number(start)?, number(length)?))
    };
    Some([range(old)?, range(new)?])
}

/// Reads a hunk's lines until both sides are as long as its header says; `index` is at the header.
fn hunk(
    lines: &[&str],
    index: &mut usize,
    [(old_start, old), (new_start, new)]: Ranges,
    program: Program,
) -> Result<Hunk, String> {
    *index += 1;
    let mut left = [old, new];
    let mut found: Vec<(Mark, Vec<u8>)> = Vec::new();
    while left != [0, 0] {
        let at = *index + 1;
        let corrupt = || Err(format!("malformed at line {at}: the hunk's header counts other lines"));
        let (mark, text) = match lines.get(*index) {
            // `patch` takes up to two lines that are missing at the very end for blank ones.
            None if program == Program::Patch && left[0] == left[1] && left[0] < 3 => (Mark::Context, "\n"),
            None => return corrupt(),
            Some(&"\n") => (Mark::Context, "\n"),
            Some(line) => match (line.as_bytes().first(), program) {
                (Some(b' '), _) => (Mark::Context, &line[1..]),
                (Some(b'-'), _) => (Mark::Old, &line[1..]),
                (Some(b'+'), _) => (Mark::New, &line[1..]),
                (Some(b'\\'), _) => {
                    without_end(&mut found);
                    *index += 1;
                    continue;
                }
                // `patch` thinks that a blank at the beginning was eaten.
                (Some(b'\t'), Program::Patch) => (Mark::Context, *line),
                _ => return corrupt(),
            },
        };
        let sides = [mark != Mark::New, mark != Mark::Old];
        for (left, counts) in left.iter_mut().zip(sides) {
            match (counts, left.checked_sub(1)) {
                (true, None) => return corrupt(),
                (true, Some(less)) => *left = less,
                (false, _) => {}
            }
        }
        found.push((mark, text.as_bytes().to_vec()));
        *index += 1;
    }
    if lines.get(*index).is_some_and(|line| line.starts_with('\\')) {
        without_end(&mut found);
        *index += 1;
    }
    if found.iter().all(|(mark, _)| *mark == Mark::Context) {
        return Err(format!("a hunk that changes nothing before line {}", *index + 1));
    }
    Ok(Hunk { old_start, new_start, lines: found })
}

/// Takes the end off the last line, as `\ No newline at end of file` says.
fn without_end(lines: &mut [(Mark, Vec<u8>)]) {
    if let Some((_, text)) = lines.last_mut()
        && text.last() == Some(&b'\n')
    {
        text.pop();
    }
}
