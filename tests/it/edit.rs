//! Every case of the reply grammar: a reply of `fixtures/replies` against one small project, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use runproof::canon::{Blake3, FileMode, Tree, TreeEntry};
use runproof::edit::{Change, Code, Context, Limits, Proposal, Refusal, patch, propose};

use proptest::prelude::*;

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
    let junk = prop_oneof![
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
    ];
    let piece = prop_oneof![6 => prop::sample::select(pieces), 2 => junk];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    // `PROPTEST_CASES=100000` makes it a long search.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_mangled_reply_panics_or_harms_a_file(reply in mangled(), cut_off in any::<bool>()) {
        let project = project();
        let before = project.tree.digest();
        let outcome = project.propose(&reply, cut_off);
        prop_assert_eq!(project.tree.digest(), before);
        let Ok(proposal) = outcome else { return Ok(()) };
        prop_assert!(!proposal.changes.is_empty());
        prop_assert!(proposal.codes.iter().all(|code| !code.is_refusal()));
        prop_assert!(proposal.result.digest() != before);
        for (path, change) in &proposal.changes {
            prop_assert!(!path.starts_with("tests/") && path != "shop/link.py" && path != "shop/data.bin", "{}", path);
            let Change::Write { bytes, mode } = change else { continue };
            let old = project.tree.get(path);
            prop_assert_eq!(*mode, old.map_or(FileMode::Regular, |entry| entry.mode));
            match path.as_str() {
                "shop/mark.py" => prop_assert!(bytes.starts_with(b"\xef\xbb\xbf")),
                "shop/open.py" => prop_assert!(!bytes.ends_with(b"\n") || bytes.ends_with(b"\n\n"), "{:?}", bytes),
                "shop/windows.py" => {
                    let ends = |end: &[u8]| bytes.windows(end.len()).filter(|window| *window == end).count();
                    prop_assert_eq!(ends(b"\n"), ends(b"\r\n"));
                }
                _ => {}
            }
        }
    }
}
