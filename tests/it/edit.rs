//! Every case of the reply grammar: a reply of `fixtures/replies` against one small project, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use runproof::canon::{Blake3, FileMode, Tree, TreeEntry};
use runproof::edit::{Change, Code, Context, Format, Limits, Proposal, Refusal, patch, propose};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::snap;

const BASKET: &str = "\"\"\"A shopping basket.\"\"\"\n\nimport math\n\n\nclass Basket:\n    def __init__(self):\n        self.prices = []\n\n    def add(self, price):\n        self.prices.append(price)\n\n    def total(self):\n        result = 0\n        for price in self.prices:\n            result = price\n        return result\n\n    @property\n    def mean(self):\n        if not self.prices:\n            return 0\n        return self.total() / len(self.prices)\n\n\ndef rounded(value, digits=2):\n    factor = 10 ** digits\n    return math.floor(value * factor) / factor\n";
const UTIL: &str = "def helper(value):\n    return value\n\n\ndef other(value):\n    return value\n";

/// Path, bytes, and whether the prompt showed the file.
const PROJECT: &[(&str, &[u8], bool)] = &[
    ("notes.txt", b"Remember the milk.\n", true),
    ("lib/latin.py", b"NAME = 'caf\xe9'\nSIZE = 2\n", false),
    ("lib/other.py", b"x = 1\n", false),
    ("lib/util.py", b"y = 1\n", false),
    ("shop/basket.py", BASKET.as_bytes(), true),
    ("shop/broken.py", b"x = 1\nf(a b)\n", true),
    ("shop/call.py", b"def call(value):\n    return (value\n    )\n", true),
    ("shop/data.bin", b"\x00\x01", true),
    ("shop/link.py", b"basket.py", false),
    ("shop/mark.py", b"\xef\xbb\xbfdef f(value):\n    return value\n", true),
    ("shop/open.py", b"def f(value):\n    return value", true),
    ("shop/other.py", b"x = 1\n", false),
    ("shop/tabs.py", b"def f(value):\n\tif value:\n\t\treturn value\n\treturn 0\n", true),
    ("shop/util.py", UTIL.as_bytes(), true),
    ("shop/windows.py", b"def f(value):\r\n    return value\r\n", true),
    ("src/lib.rs", b"pub fn add(a: u8, b: u8) -> u8 {\n    a - b\n}\n", true),
    ("tests/test_basket.py", b"import unittest\n", true),
    ("web/broken.go", b"package web\n\nfunc Open(a, b int) int {\n\treturn a + b\n}\n\nvar wrong = (1\n", false),
    ("web/broken.js", b"export function open(a, b) {\n  return a + b;\n}\n\nconst wrong = (1;\n", false),
    ("web/broken.ts", b"export function open(a: number, b: number): number {\n  return a + b;\n}\n\nconst wrong: number = ;\n", false),
    ("web/cart.go", b"package web\n\n// Total adds prices up.\nfunc Total(prices []int) int {\n\tresult := 0\n\tfor _, price := range prices {\n\t\tresult = price\n\t}\n\treturn result\n}\n\nfunc Mean(prices []int) int {\n\treturn Total(prices) / len(prices)\n}\n", false),
    ("web/cart.js", b"export function total(prices) {\n  let result = 0;\n  for (const price of prices) {\n    result = price;\n  }\n  return result;\n}\n\nexport const mean = (prices) => {\n  return total(prices) / prices.length;\n};\n", false),
    ("web/cart.ts", b"export interface Item {\n  price: number;\n}\n\nexport function total(items: Item[]): number {\n  let result = 0;\n  for (const item of items) {\n    result = item.price;\n  }\n  return result;\n}\n", false),
];

struct Project {
    tree: Tree,
    shown: BTreeMap<String, Vec<u8>>,
}

fn project() -> Project {
    let (mut tree, mut shown) = (Tree::default(), BTreeMap::new());
    for (path, bytes, is_shown) in PROJECT {
        let mode = if *path == "shop/link.py" { FileMode::Symlink } else { FileMode::Regular };
        let entry = TreeEntry { mode, digest: Blake3::of(bytes), size: bytes.len() as u64 };
        tree.insert((*path).to_owned(), entry);
        if *is_shown {
            shown.insert((*path).to_owned(), bytes.to_vec());
        }
    }
    Project { tree, shown }
}

fn file(path: &str) -> Option<(Vec<u8>, FileMode)> {
    let found = PROJECT.iter().find(|(known, ..)| *known == path);
    found.map(|(_, bytes, _)| (bytes.to_vec(), FileMode::Regular))
}

impl Project {
    fn propose(&self, reply: &[u8], cut_off: bool) -> Result<Proposal, Refusal> {
        let protected = |path: &str| path.starts_with("tests/");
        let context =
            Context { tree: &self.tree, shown: &self.shown, cut_off, protected: &protected, limits: Limits::default() };
        propose(reply, &context, &mut |path| file(path).map(|(bytes, _)| bytes))
    }
}

struct Case {
    name: String,
    note: String,
    cut_off: bool,
    reply: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/replies");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_some_and(|end| end == "txt") {
            let text = fs::read_to_string(&path).unwrap();
            let (head, reply) = text.split_once("\n---\n").expect("a line of three dashes");
            let (note, settings) = head.split_once('\n').unwrap_or((head, ""));
            let cut_off = settings == "cut off";
            found.push(Case { name, note: note.to_owned(), cut_off, reply: reply.as_bytes().to_vec() });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn shown(codes: &[Code]) -> String {
    codes.iter().map(|code| code.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_case_has_its_outcome() {
    let project = project();
    for case in cases() {
        let outcome = match project.propose(&case.reply, case.cut_off) {
            Ok(proposal) => {
                let diff = patch(&file, &proposal);
                let diff = String::from_utf8_lossy(&diff).replace('\r', "␍").replace('\u{feff}', "␣bom␣");
                format!("accepted {}\nreasoning: {}\n\n{diff}", shown(&proposal.codes), proposal.reasoning)
            }
            Err(refusal) => format!(
                "refused {} after {}\n{}\n\n{}",
                refusal.code,
                shown(&refusal.codes),
                refusal.message,
                refusal.excerpt
            ),
        };
        snap!("edit", case.name.as_str(), format!("{}\n\n{outcome}", case.note));
    }
}

#[test]
fn the_record_of_a_proposal_and_of_a_refusal() {
    let project = project();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let reply = "FILE: shop/basket.py\nLINES: 16\nREASONING: add up.\n```\n            result += price\n```\n";
    let accepted = project.propose(reply.as_bytes(), false).unwrap();
    let refused = project.propose(b"no", false).unwrap_err();
    snap!("edit", "records", format!("{}\n{}\n", text(accepted.to_bytes()), text(refused.to_bytes())));
}

#[test]
fn every_case_of_the_grammar_is_shown() {
    let names: BTreeSet<usize> = cases().iter().map(|case| case.name[..2].parse().unwrap()).collect();
    let missing: Vec<usize> = (1..=45).filter(|number| !names.contains(number)).collect();
    assert!(missing.is_empty(), "no reply shows {missing:?}");
    assert_eq!(Refusal::repeated(2).code, Code::Repeat);
}

#[test]
fn accepted_changes_leave_all_other_files_alone() {
    let project = project();
    for case in cases() {
        let Ok(proposal) = project.propose(&case.reply, case.cut_off) else { continue };
        assert!(!proposal.changes.is_empty(), "{}", case.name);
        for (path, entry) in proposal.base.iter() {
            match proposal.changes.get(path) {
                None => assert_eq!(proposal.result.get(path), Some(entry), "{}: {path}", case.name),
                Some(Change::Remove) => assert_eq!(proposal.result.get(path), None, "{}: {path}", case.name),
                Some(Change::Write { bytes, mode }) => {
                    let after = proposal.result.get(path).unwrap();
                    assert_eq!((after.digest, after.mode), (Blake3::of(bytes), *mode), "{}: {path}", case.name);
                    assert_eq!(*mode, entry.mode, "{}: {path}", case.name);
                }
            }
        }
    }
}

/// A reply made of pieces of the fixtures, as a confused model would write it.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<String> = cases()
        .iter()
        .flat_map(|case| {
            String::from_utf8(case.reply.clone()).unwrap().split_inclusive('\n').map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let piece = prop_oneof![6 => prop::sample::select(pieces), 2 => junk()];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat().into_bytes())
}

fn junk() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("```\n".to_owned()),
        Just("LINES: 1-9999999999999999999999\n".to_owned()),
        Just("LINES: 2-1\n".to_owned()),
        Just("FILE: shop/windows.py\n".to_owned()),
        Just("FILE: shop/mark.py\n".to_owned()),
        Just("FILE: shop/open.py\n".to_owned()),
        Just("<<<<<<< SEARCH\n".to_owned()),
        Just("=======\n".to_owned()),
        Just(">>>>>>> REPLACE\n".to_owned()),
        Just("\u{feff}\u{200b}\t \r".to_owned()),
        "[ -~\n]{0,20}",
        any::<String>(),
    ]
}

/// How a file ends its lines, begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Style {
    Unix,
    Windows,
    Mixed,
    Bare,
    Mark,
}

const STYLES: [Style; 5] = [Style::Unix, Style::Windows, Style::Mixed, Style::Bare, Style::Mark];

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    Blocks,
    Whole,
    SearchReplace,
    Diff,
    OneShot,
}

const SHAPES: [Shape; 5] = [Shape::Blocks, Shape::Whole, Shape::SearchReplace, Shape::Diff, Shape::OneShot];

/// First and last line of the basket, and what may stand there.
type Wish = (usize, usize, &'static [&'static str]);

const WISHES: [Wish; 7] = [
    (1, 1, &["\"\"\"A basket.\"\"\""]),
    (8, 8, &["        self.prices = []", "        self.count = 0"]),
    (11, 11, &["        price = abs(price)", "        self.prices.append(price)"]),
    (14, 17, &["        return sum(self.prices)"]),
    (16, 16, &["            result += price"]),
    (22, 22, &["            return None"]),
    (28, 28, &["    return round(value, digits)"]),
];

impl Style {
    fn path(self) -> String {
        format!("styles/{self:?}.py").to_lowercase()
    }

    /// The basket in this style.
    fn bytes(self) -> Vec<u8> {
        let lines: Vec<&str> = BASKET.lines().collect();
        let mut out = if self == Self::Mark { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
        for (index, line) in lines.iter().enumerate() {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(match self {
                Self::Bare if index + 1 == lines.len() => b"",
                Self::Windows => b"\r\n",
                Self::Mixed if index % 3 == 0 => b"\r\n",
                _ => b"\n",
            });
        }
        out
    }

    /// What must come out, worked out line by line and by nothing of the applier.
    fn expected(self, wishes: &[Wish]) -> Vec<u8> {
        let before = self.bytes();
        let eol: &[u8] = if self == Self::Windows { b"\r\n" } else { b"\n" };
        let mut out = Vec::new();
        for (index, line) in before.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let Some((first, _, new)) = wishes.iter().find(|wish| (wish.0..=wish.1).contains(&(index + 1))) else {
                out.extend_from_slice(line);
                continue;
            };
            if index + 1 != *first {
                continue;
            }
            if index == 0 && self == Self::Mark {
                out.extend_from_slice(b"\xef\xbb\xbf");
            }
            // A line that the wish repeats is as it was.
            let own = line.trim_ascii_end().strip_prefix(b"\xef\xbb\xbf").unwrap_or(line.trim_ascii_end());
            let is_last = index + 1 == BASKET.lines().count();
            for (at, text) in new.iter().enumerate() {
                out.extend_from_slice(text.as_bytes());
                let end = &line[line.trim_ascii_end().len()..];
                let end = if text.as_bytes() == own { end } else { eol };
                out.extend_from_slice(if self == Self::Bare && is_last && at + 1 == new.len() { b"" } else { end });
            }
        }
        out
    }
}

impl Shape {
    fn format(self) -> Format {
        if self == Self::OneShot { Format::Patch } else { Format::Direct }
    }

    /// An answer of this shape that asks for the wishes.
    fn reply(self, path: &str, wishes: &[Wish]) -> String {
        let old: Vec<&str> = BASKET.lines().collect();
        let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let marked =
            |mark: char, lines: &[&str]| lines.iter().map(|line| format!("{mark}{line}\n")).collect::<String>();
        match self {
            Self::Blocks => wishes
                .iter()
                .map(|(first, last, new)| {
                    format!("FILE: {path}\nLINES: {first}-{last}\nREASONING: so.\n```python\n{}```\n\n", joined(new))
                })
                .collect(),
            Self::Whole => {
                let mut new: Vec<&str> = old.clone();
                for (first, last, lines) in wishes.iter().rev() {
                    new.splice(first - 1..*last, lines.iter().copied());
                }
                format!("The whole file:\n\n{path}\n```python\n{}```\n", joined(&new))
            }
            Self::SearchReplace => wishes
                .iter()
                .map(|(first, last, new)| {
                    let old = joined(&old[first - 1..*last]);
                    format!("{path}\n<<<<<<< SEARCH\n{old}=======\n{}>>>>>>> REPLACE\n\n", joined(new))
                })
                .collect(),
            Self::Diff | Self::OneShot => {
                let mut out = format!("--- a/{path}\n+++ b/{path}\n");
                // Lines that the hunks before have added.
                let mut grown = 0_isize;
                for (first, last, new) in wishes {
                    let start = first.saturating_sub(2).max(1);
                    let end = (last + 1).min(old.len());
                    let context = [&old[start - 1..first - 1], &old[*last..end]];
                    let count = end + 1 - start;
                    let new_count = count - (last + 1 - first) + new.len();
                    out.push_str(&format!(
                        "@@ -{start},{count} +{},{new_count} @@\n",
                        start.saturating_add_signed(grown)
                    ));
                    out.push_str(&marked(' ', context[0]));
                    out.push_str(&marked('-', &old[first - 1..*last]));
                    out.push_str(&marked('+', new));
                    out.push_str(&marked(' ', context[1]));
                    grown += new_count as isize - count as isize;
                }
                out
            }
        }
    }
}

/// What is done to an answer that would be right.
#[derive(Debug, Clone)]
enum Mangling {
    None,
    Drop(prop::sample::Index),
    Repeat(prop::sample::Index),
    Insert(prop::sample::Index, String),
    Swap(prop::sample::Index, prop::sample::Index),
    Cut(prop::sample::Index),
    Replace(prop::sample::Index, String),
    Indent(prop::sample::Index, String),
    Windows,
}

impl Mangling {
    fn apply(&self, reply: &str) -> Vec<u8> {
        let mut lines: Vec<String> = reply.split_inclusive('\n').map(str::to_owned).collect();
        let count = lines.len();
        match self {
            Self::None => {}
            Self::Drop(at) => drop(lines.remove(at.index(count))),
            Self::Repeat(at) => lines.insert(at.index(count), lines[at.index(count)].clone()),
            Self::Insert(at, text) => lines.insert(at.index(count), text.clone()),
            Self::Swap(one, other) => lines.swap(one.index(count), other.index(count)),
            Self::Cut(at) => {
                let mut bytes = reply.as_bytes().to_vec();
                bytes.truncate(at.index(bytes.len()));
                return bytes;
            }
            Self::Replace(at, text) => {
                let mut bytes = reply.as_bytes().to_vec();
                let at = at.index(bytes.len());
                bytes.splice(at..at + 1, text.bytes());
                return bytes;
            }
            Self::Indent(at, indent) => {
                let line = &mut lines[at.index(count)];
                *line = format!("{indent}{}", line.trim_start_matches(' '));
            }
            Self::Windows => return reply.replace('\n', "\r\n").into_bytes(),
        }
        lines.concat().into_bytes()
    }
}

fn mangling() -> impl Strategy<Value = Mangling> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => Just(Mangling::None),
        1 => index().prop_map(Mangling::Drop),
        1 => index().prop_map(Mangling::Repeat),
        2 => (index(), junk()).prop_map(|(at, text)| Mangling::Insert(at, text)),
        1 => (index(), index()).prop_map(|(one, other)| Mangling::Swap(one, other)),
        1 => index().prop_map(Mangling::Cut),
        1 => (index(), "[ -~\t]{0,2}").prop_map(|(at, text)| Mangling::Replace(at, text)),
        1 => (index(), "[ \t]{0,9}").prop_map(|(at, indent)| Mangling::Indent(at, indent)),
        1 => Just(Mangling::Windows),
    ]
}

/// An answer to try: pieces in any order, or a right one of some shape and what is done to it.
#[derive(Debug, Clone)]
enum Answer {
    Pieces(Vec<u8>),
    Right(Shape, Style, Vec<Wish>, Mangling),
}

fn answer() -> impl Strategy<Value = Answer> {
    let wishes = prop::sample::subsequence(WISHES.to_vec(), 1..3).prop_map(|mut wishes| {
        // Wishes that touch are no clear wish.
        wishes.dedup_by(|later, earlier| later.0 <= earlier.1 + 3);
        wishes
    });
    let right = (prop::sample::select(&SHAPES[..]), prop::sample::select(&STYLES[..]), wishes, mangling());
    prop_oneof![
        1 => mangled().prop_map(Answer::Pieces),
        2 => right.prop_map(|(shape, style, wishes, mangling)| Answer::Right(shape, style, wishes, mangling)),
    ]
}

/// The project with the basket in every style beside its own files.
fn styled_project() -> Project {
    let mut project = project();
    for style in STYLES {
        let bytes = style.bytes();
        let entry = TreeEntry { mode: FileMode::Regular, digest: Blake3::of(&bytes), size: bytes.len() as u64 };
        project.tree.insert(style.path(), entry);
        project.shown.insert(style.path(), bytes);
    }
    project
}

/// Checks that every byte of an edited file outside the replaced lines is where and as it was.
///
/// Lines are counted anew here; the one freedom is that a last line without an end gets one when text comes behind it.
fn outside_is_untouched(before: &[u8], after: &[u8], proposal: &Proposal, path: &str) -> Result<(), TestCaseError> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    prop_assert_eq!(before.starts_with(MARK), after.starts_with(MARK), "{}: byte order mark", path);
    let lines = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let bytes = bytes.strip_prefix(MARK).unwrap_or(bytes);
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    let (old, new) = (lines(before), lines(after));
    let (mut old_at, mut new_at) = (0, 0);
    let end = runproof::edit::Replaced { after: u32::try_from(old.len()).unwrap(), lines: 0, new: 0 };
    for replaced in proposal.replaced[path].iter().chain([&end]) {
        let kept = (replaced.after as usize).checked_sub(old_at);
        let Some(kept) = kept else { return Err(TestCaseError::fail(format!("{path}: ranges overlap"))) };
        let found: Vec<Vec<u8>> = new.iter().skip(new_at).take(kept).cloned().collect();
        let mut wanted = old[old_at..old_at + kept].to_vec();
        // Something follows the line that was the last one and had no end.
        let is_last = old_at + kept == old.len() && new.len() > new_at + kept;
        if let (true, Some(last)) = (is_last, wanted.last_mut().filter(|last| !last.ends_with(b"\n"))) {
            last.extend_from_slice(if found.last().is_some_and(|line| line.ends_with(b"\r\n")) {
                b"\r\n"
            } else {
                b"\n"
            });
        }
        prop_assert_eq!(found, wanted, "{}: lines after {}", path, old_at);
        old_at += kept + replaced.lines as usize;
        new_at += kept + replaced.new as usize;
    }
    prop_assert_eq!(new_at, new.len(), "{}: all lines are accounted for", path);
    Ok(())
}

/// How many answers of a kind were given, and how many accepted.
type Shares = BTreeMap<String, (usize, usize)>;

fn no_harm(project: &Project, answer: &Answer, cut_off: bool, shares: &Mutex<Shares>) -> Result<(), TestCaseError> {
    let (before, shown) = (project.tree.digest(), project.shown.clone());
    let (reply, format) = match answer {
        Answer::Pieces(reply) => (reply.clone(), Format::Direct),
        Answer::Right(shape, style, wishes, mangling) => {
            (mangling.apply(&shape.reply(&style.path(), wishes)), shape.format())
        }
    };
    let protected = |path: &str| path.starts_with("tests/");
    let (tree, limits) = (&project.tree, Limits::default());
    let context = Context { tree, shown: &project.shown, cut_off, protected: &protected, limits };
    let read = |path: &str| shown.get(path).cloned().or_else(|| file(path).map(|(bytes, _)| bytes));
    let outcome = format.propose(&reply, &context, &mut |path| read(path));
    prop_assert_eq!(project.tree.digest(), before);
    prop_assert!(project.shown == shown);
    if let Answer::Right(shape, style, _, mangling) = answer {
        let kind = if matches!(mangling, Mangling::None) { "right" } else { "mangled" };
        let mut shares = shares.lock().unwrap();
        for key in [format!("{kind} {shape:?}"), format!("{kind} {style:?}")] {
            let share = shares.entry(key).or_default();
            *share = (share.0 + 1, share.1 + usize::from(outcome.is_ok()));
        }
    } else {
        let mut shares = shares.lock().unwrap();
        let share = shares.entry("pieces".into()).or_default();
        *share = (share.0 + 1, share.1 + usize::from(outcome.is_ok()));
    }
    if let Answer::Right(shape, style, wishes, Mangling::None) = answer {
        // Git wants the line ends of a file in its diff, and models do not write them.
        let is_exact = *shape != Shape::OneShot || matches!(style, Style::Unix);
        match &outcome {
            Ok(proposal) if is_exact => {
                let wanted = Change::Write { bytes: style.expected(wishes), mode: FileMode::Regular };
                prop_assert_eq!(proposal.changes.get(&style.path()), Some(&wanted), "{:?}", wishes);
            }
            Ok(_) => {}
            Err(refusal) => prop_assert!(!is_exact || cut_off, "refused: {:?}", refusal),
        }
    }
    let Ok(proposal) = outcome else { return Ok(()) };
    prop_assert!(!proposal.changes.is_empty());
    prop_assert!(proposal.codes.iter().all(|code| !code.is_refusal()));
    prop_assert!(proposal.result.digest() != before);
    // The files beside those changed are the same, and those changed are what the result says.
    let mut result = project.tree.clone();
    for (path, change) in &proposal.changes {
        prop_assert!(!path.starts_with("tests/") && path != "shop/link.py" && path != "shop/data.bin", "{}", path);
        let old = project.tree.get(path).map(|entry| entry.mode);
        match change {
            Change::Remove => drop(result.remove(path)),
            Change::Write { bytes, mode } => {
                prop_assert_eq!(*mode, old.unwrap_or(FileMode::Regular));
                let entry = TreeEntry { mode: *mode, digest: Blake3::of(bytes), size: bytes.len() as u64 };
                result.insert(path.clone(), entry);
                if old.is_some() {
                    outside_is_untouched(&read(path).unwrap(), bytes, &proposal, path)?;
                }
            }
        }
    }
    prop_assert_eq!(result.digest(), proposal.result.digest());
    Ok(())
}

/// `PROPTEST_CASES=100000` makes it a long search; `--nocapture` shows how many answers of which kind were accepted.
#[test]
#[expect(clippy::print_stdout, reason = "the shares are what a long search is for")]
fn no_mangled_reply_panics_or_harms_a_file() {
    let shares = Mutex::new(Shares::new());
    let project = styled_project();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = config.cases;
    // The same answers each time, so that the shares below do not depend on luck.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, rng)
        .run(&(answer(), prop::bool::weighted(0.1)), |(answer, cut_off)| no_harm(&project, &answer, cut_off, &shares));
    let shares = shares.into_inner().unwrap();
    let table = shares.iter().map(|(kind, (all, taken))| format!("{kind:<22} {taken:>6} of {all:>6} accepted\n"));
    println!("{cases} cases\n{}", table.collect::<String>());
    outcome.unwrap();
    // A search that never accepts anything shows nothing.
    for kind in SHAPES.iter().map(|shape| format!("{shape:?}")).chain(STYLES.iter().map(|style| format!("{style:?}"))) {
        let (all, taken) = shares.get(&format!("right {kind}")).copied().unwrap_or_default();
        assert!(taken * 4 >= all && taken > 0, "{kind}: {taken} of {all} right answers were accepted");
        let (_, taken) = shares.get(&format!("mangled {kind}")).copied().unwrap_or_default();
        assert!(cases < 200 || taken > 0, "{kind}: no mangled answer was accepted");
    }
}
