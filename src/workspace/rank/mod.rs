//! Ranking the files of a tree for a task: offline, deterministic, in integers.
//!
//! Four kinds of evidence are added up: what the task names by path, traceback or module ([`mentions`]); which files
//! define the names it uses ([`source`]); how much of its vocabulary a file shares, weighed as in BM25 ([`weigh`]); and
//! the names of failing tests. Files that look like tests, documentation or set-up are put back. Ties go by path.
//! How often that finds the file to change, and what each rule brings, is measured in `benches/ranking`.

mod mentions;
mod source;
mod terms;
mod weigh;

use std::collections::{BTreeMap, BTreeSet};

use crate::canon::{FileMode, Tree};

use mentions::Mentions;
use source::{Facts, Reader};
use terms::Terms;

/// Version of the ranking rules; part of the orchestration digest, raised on purpose with every change.
pub const RANKING: u32 = 3;

/// What the files are ranked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The issue text.
    pub issue: String,
    /// What failing tests say; may be empty.
    pub failing: String,
}

/// A file and what it scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    /// Path in the tree.
    pub path: String,
    /// The higher, the more relevant.
    pub score: u64,
    /// What was found besides shared vocabulary, strongest first, for people.
    pub reasons: Vec<String>,
}

/// Suffixes of files that an answer may edit.
const SOURCES: [&str; 22] = [
    ".py", ".pyx", ".rs", ".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".go", ".java", ".kt", ".scala", ".c", ".h",
    ".cc", ".cpp", ".hpp", ".cs", ".rb", ".php", ".swift",
];

/// Files larger than this are not read: generated tables.
const LARGEST: u64 = 1 << 20;

/// The most of the task that is looked at, in bytes.
const LONGEST_TASK: usize = 1 << 18;

/// Ranks the source files of a tree for a task, the best first.
pub fn rank(tree: &Tree, read: &mut dyn FnMut(&str) -> Option<Vec<u8>>, query: &Query) -> Vec<Ranked> {
    let (issue, failing) = (start(&query.issue), start(&query.failing));
    let paths: Vec<&str> = tree
        .iter()
        .filter(|(path, entry)| entry.mode != FileMode::Symlink && entry.size <= LARGEST && is_source(path))
        .map(|(path, _)| path)
        .collect();
    let terms = Terms::of(issue, failing);
    let mut mentions = Mentions::find(&paths, issue, failing);
    let mut reader = Reader::new(&terms);
    let mut facts: Vec<(&str, Facts)> = Vec::with_capacity(paths.len());
    for path in paths {
        let Some(bytes) = read(path) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        if mentions.is_named_test(path) {
            mentions.follow_imports(&text);
        }
        facts.push((path, reader.read(path, &text)));
    }
    let vocabulary = weigh::vocabulary(&facts, &terms);
    let definitions = definitions(&facts, &terms);
    let best = vocabulary.iter().max().copied().unwrap_or(0);
    let mut ranked: Vec<Ranked> = facts
        .iter()
        .zip(vocabulary)
        .map(|((path, _), shared)| {
            let mut evidence = mentions.evidence(path);
            evidence.extend(definitions.get(path).into_iter().flatten().cloned());
            evidence.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
            // Evidence is measured against the best shared vocabulary, in percent: long and short issues weigh alike.
            let percent: u64 = evidence.iter().map(|(percent, _)| percent).sum();
            let score = (shared + best * percent / 100) / put_back(path);
            let reasons = evidence.into_iter().map(|(_, reason)| reason).take(3).collect();
            Ranked { path: (*path).to_owned(), score, reasons }
        })
        .collect();
    ranked.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.path.cmp(&b.path)));
    ranked
}

/// Evidence from definitions: who defines a name that the task uses, the more the fewer define it.
fn definitions<'a>(facts: &[(&'a str, Facts)], terms: &Terms) -> BTreeMap<&'a str, Vec<(u64, String)>> {
    let mut holders: BTreeMap<&str, BTreeSet<&'a str>> = BTreeMap::new();
    // The project's own name is in every issue and says nothing.
    let packages: BTreeSet<&str> = facts.iter().flat_map(|(path, _)| path.split('/').rev().skip(1).last()).collect();
    for (path, facts) in facts.iter().filter(|(path, _)| put_back(path) == 1) {
        for name in facts.defines.iter().filter(|name| !packages.contains(name.as_str())) {
            holders.entry(name).or_default().insert(path);
        }
    }
    let mut found: BTreeMap<&str, Vec<(u64, String)>> = BTreeMap::new();
    for (name, paths) in holders {
        let worth = terms.worth_of_definition(name) / (paths.len() as u64 * paths.len() as u64).max(1);
        if worth > 0 {
            for path in paths {
                found.entry(path).or_default().push((worth, format!("defines {name}")));
            }
        }
    }
    for evidence in found.values_mut() {
        // A file that defines a hundred of the task's words is a large file, not a hundred times the right one.
        evidence.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        evidence.truncate(4);
    }
    found
}

fn is_source(path: &str) -> bool {
    SOURCES.iter().any(|suffix| path.ends_with(suffix))
}

/// Returns what a file's score is divided by: 1 for an ordinary source file.
fn put_back(path: &str) -> u64 {
    let name = path.rsplit('/').next().unwrap_or(path);
    let folders: Vec<&str> = path.split('/').rev().skip(1).collect();
    let is_in = |names: &[&str]| folders.iter().any(|folder| names.contains(folder));
    let is_test_name = name.starts_with("test_")
        || ["_test.", "_tests.", ".test.", ".spec.", "Test."].iter().any(|mark| name.contains(mark))
        || ["tests.py", "test.py", "conftest.py"].contains(&name);
    // A folder `testing` at the top holds a project's tests, deeper it is the part of it that helps others to test.
    let is_test_folder = is_in(&["test", "tests", "__tests__", "testdata"]) || folders.last() == Some(&"testing");
    let is_numbered = name.bytes().take_while(u8::is_ascii_digit).count() >= 4;
    if is_test_name || is_test_folder {
        10
    } else if is_in(&[
        "doc",
        "docs",
        "examples",
        "example",
        "benchmarks",
        "bench",
        "asv_bench",
        "release",
        "scripts",
        "bin",
        "extras",
    ]) {
        5
    } else if ["setup.py", "conf.py"].contains(&name) || is_numbered || is_in(&["locale", "vendor", "node_modules"]) {
        3
    } else {
        1
    }
}

fn start(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_TASK);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canon::{Blake3, TreeEntry};
    use proptest::prelude::*;

    fn ranked(files: &[(&str, &str)], issue: &str, failing: &str) -> Vec<String> {
        scored(files, issue, failing).into_iter().map(|file| file.path).collect()
    }

    fn scored(files: &[(&str, &str)], issue: &str, failing: &str) -> Vec<Ranked> {
        let mut tree = Tree::default();
        for (path, text) in files {
            let digest = Blake3::of(text.as_bytes());
            tree.insert((*path).into(), TreeEntry { mode: FileMode::Regular, digest, size: text.len() as u64 });
        }
        let mut read =
            |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| text.as_bytes().to_vec());
        let query = Query { issue: issue.into(), failing: failing.into() };
        rank(&tree, &mut read, &query)
    }

    const FILES: &[(&str, &str)] = &[
        ("pkg/__init__.py", "from .core import total"),
        ("pkg/core.py", "class Basket:\n    def total(self):\n        return sum(self.prices)\n"),
        ("pkg/io.py", "def save(basket):\n    basket.total()\n    basket.total()\n    basket.total()\n"),
        ("pkg/other.py", "def unrelated():\n    pass\n"),
        ("tests/test_core.py", "from pkg.core import Basket\ndef test_total():\n    assert Basket().total() == 0\n"),
        ("README.md", "total total total"),
    ];

    #[test]
    fn who_defines_a_name_stands_before_who_uses_it_and_before_tests() {
        assert_eq!(ranked(FILES, "`Basket.total()` is wrong for an empty basket", "")[0], "pkg/core.py");
        assert!(!ranked(FILES, "total", "").contains(&"README.md".to_owned()));
    }

    #[test]
    fn paths_tracebacks_and_modules_outweigh_words() {
        let words = "The basket total is wrong when prices are saved. ";
        for mention in [
            "see pkg/other.py",
            "File \"/home/x/site-packages/pkg/other.py\", line 3, in f",
            "pkg.other.unrelated fails",
        ] {
            assert_eq!(ranked(FILES, &format!("{words}{mention}"), "")[0], "pkg/other.py", "{mention}");
        }
    }

    #[test]
    fn numbers_that_a_test_prints_rank_nothing() {
        let files = [("a.py", "def mean(values):\n    return sum(values)\n"), ("b.py", "SMALL = 99941556e1\n")];
        let score =
            |failing| scored(&files, "The mean is wrong.", failing).into_iter().map(|f| f.score).collect::<Vec<_>>();
        assert_eq!(score("array([-3.99941556e-01]) mean"), score("array([ 8.04649777e-01]) mean"));
    }

    #[test]
    fn a_failing_test_leads_to_what_it_is_named_after_and_imports() {
        let files = [
            ("pkg/alpha.py", "x = 1"),
            ("pkg/beta.py", "x = 1"),
            ("pkg/gamma.py", "x = 1"),
            ("tests/test_gamma.py", "from pkg import beta\n"),
        ];
        let order = ranked(&files, "something fails", "FAILED tests/test_gamma.py::test_x");
        assert_eq!(order[..2], ["pkg/gamma.py", "pkg/beta.py"]);
    }

    #[test]
    fn equal_scores_go_by_path() {
        assert_eq!(ranked(&[("b.py", "x"), ("a.py", "x"), ("c.py", "x")], "nothing", ""), ["a.py", "b.py", "c.py"]);
    }

    proptest! {
        #[test]
        fn any_text_ranks_every_source_file_once(issue in "(?s).{0,200}", failing in "(?s).{0,200}", body in "(?s).{0,200}") {
            let files = [("a.py", body.as_str()), ("b/c.rs", issue.as_str()), ("d.txt", "")];
            let mut paths = ranked(&files, &issue, &failing);
            paths.sort();
            prop_assert_eq!(paths, ["a.py", "b/c.rs"]);
        }
    }
}
