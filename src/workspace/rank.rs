//! A first ranking of files for a task: paths that are mentioned, and rare words that a file shares with the task.

use std::collections::{BTreeMap, BTreeSet};

use crate::canon::{FileMode, Tree};

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
}

/// Suffixes of files that an answer may edit.
const SOURCES: [&str; 6] = [".py", ".rs", ".js", ".ts", ".go", ".java"];
/// Files larger than this are not read.
const LARGEST: u64 = 1 << 20;
/// Score of a file whose path the task mentions.
const MENTION: u64 = 1 << 32;

/// Ranks the source files of a tree for a task, the best first, ties by path.
pub fn rank(tree: &Tree, read: &mut dyn FnMut(&str) -> Option<Vec<u8>>, query: &Query) -> Vec<Ranked> {
    let task = format!("{}\n{}", query.issue, query.failing);
    let wanted = words(&task);
    let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (path, entry) in tree.iter() {
        let is_source = SOURCES.iter().any(|suffix| path.ends_with(suffix));
        if entry.mode == FileMode::Symlink || entry.size > LARGEST || !is_source {
            continue;
        }
        let Some(bytes) = read(path) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let present = words(&text);
        found.insert(path.to_owned(), wanted.iter().filter(|word| present.contains(*word)).copied().collect());
    }
    let files = found.len() as u64;
    let mut holders: BTreeMap<&str, u64> = BTreeMap::new();
    for word in found.values().flatten() {
        *holders.entry(word).or_default() += 1;
    }
    let mut ranked: Vec<Ranked> = found
        .iter()
        .map(|(path, words)| {
            let mentioned = if task.contains(path.as_str()) { MENTION } else { 0 };
            let shared: u64 = words.iter().map(|word| 1000 * files / holders[word] / files.max(1) + 1).sum();
            let score = mentioned + shared;
            Ranked { path: path.clone(), score: if is_test(path) { score / 8 } else { score } }
        })
        .collect();
    ranked.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.path.cmp(&b.path)));
    ranked
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part.starts_with("test_") || part.contains("_test."))
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.len() >= 4).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canon::{Blake3, TreeEntry};

    #[test]
    fn a_mentioned_path_comes_first_then_shared_words_then_tests() {
        let files =
            [("a.py", "def other(): pass"), ("b.py", "def total(): pass"), ("c.py", ""), ("tests/test_b.py", "total")];
        let mut tree = Tree::default();
        for (path, text) in files {
            let digest = Blake3::of(text.as_bytes());
            tree.insert(path.into(), TreeEntry { mode: FileMode::Regular, digest, size: text.len() as u64 });
        }
        let mut read =
            |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| text.as_bytes().to_vec());
        let query = Query { issue: "total is wrong in c.py".into(), failing: String::new() };
        let paths: Vec<String> = rank(&tree, &mut read, &query).into_iter().map(|file| file.path).collect();
        assert_eq!(paths, ["c.py", "b.py", "tests/test_b.py", "a.py"]);
    }
}
