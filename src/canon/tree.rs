//! A file tree as a value: path, mode and digest of every file, sorted by path bytes.
//!
//! The listing's canonical bytes are what a `tree` event records; its digest is what every later check of a worktree
//! compares with. Folders exist only through their files, as in git.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Blake3, CanonError, json};

/// The deepest folder of a tree that is read; real repositories stay below 40.
pub const DEEPEST: usize = 500;
/// Folders that tests and interpreters leave behind.
const SCRATCH_FOLDERS: &[&str] = &["__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"];
/// Endings of files that tests and interpreters leave behind.
const SCRATCH_ENDINGS: &[&str] = &[".pyc", ".pyo"];

/// Kind of a file, in git's sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileMode {
    /// A regular file (git mode 100644).
    Regular,
    /// A regular file with the owner's execute bit (git mode 100755).
    Executable,
    /// A symbolic link (git mode 120000); its bytes are the target.
    Symlink,
}

/// Mode and content digest of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeEntry {
    /// Kind of the file.
    pub mode: FileMode,
    /// Digest of the file's bytes.
    pub digest: Blake3,
    /// Length in bytes.
    pub size: u64,
}

/// Says why bytes are not a tree listing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// Not canonical JSON of the right shape.
    #[error("the tree listing is malformed: {0}")]
    Malformed(#[from] CanonError),
    /// A path that no worktree can hold.
    #[error("the tree listing holds the unsafe path {0:?}")]
    UnsafePath(String),
}

/// Every file of a worktree, keyed by its path relative to the root, `/` between parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tree {
    entries: BTreeMap<String, TreeEntry>,
}

impl Tree {
    /// Returns the entry at `path`.
    pub fn get(&self, path: &str) -> Option<&TreeEntry> {
        self.entries.get(path)
    }

    /// Puts `entry` at `path` and returns what was there.
    pub fn insert(&mut self, path: String, entry: TreeEntry) -> Option<TreeEntry> {
        self.entries.insert(path, entry)
    }

    /// Removes the entry at `path` and returns it.
    pub fn remove(&mut self, path: &str) -> Option<TreeEntry> {
        self.entries.remove(path)
    }

    /// Returns the entries in path order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TreeEntry)> {
        self.entries.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Returns the number of files.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Says whether the tree holds no file.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the canonical listing.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_bytes(self).expect("a tree holds only strings and sizes below 2^53")
    }

    /// Returns the digest of the canonical listing.
    pub fn digest(&self) -> Blake3 {
        Blake3::of(&self.to_bytes())
    }

    /// Reads a canonical listing.
    ///
    /// # Errors
    /// Bytes that are not a canonical listing, or that hold a path which leaves the tree.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TreeError> {
        let tree: Self = json::from_bytes(bytes)?;
        match tree.entries.keys().find(|path| !is_safe_path(path)) {
            Some(path) => Err(TreeError::UnsafePath(path.clone())),
            None => Ok(tree),
        }
    }
}

/// Says whether `path` is relative, has no empty, `.` or `..` part, and stays out of git's own folder.
pub fn is_safe_path(path: &str) -> bool {
    !path.contains(['\0', '\\'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && !is_git_folder(part))
}

/// Says whether some file system takes this name for git's own folder (git's `core.protectNTFS` and `protectHFS`).
pub fn is_git_folder(name: &str) -> bool {
    let name: String = name.chars().filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}')).collect();
    let name = name.split(':').next().unwrap_or_default().trim_end_matches([' ', '.']);
    name.eq_ignore_ascii_case(".git") || name.eq_ignore_ascii_case("git~1")
}

/// Says whether a path is a by-product of running tests.
pub fn is_scratch(path: &str) -> bool {
    SCRATCH_ENDINGS.iter().any(|ending| path.ends_with(ending))
        || path.split('/').any(|part| SCRATCH_FOLDERS.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: &[u8]) -> TreeEntry {
        TreeEntry { mode: FileMode::Regular, digest: Blake3::of(bytes), size: bytes.len() as u64 }
    }

    #[test]
    fn a_listing_reads_back_and_its_digest_sees_every_part() {
        let mut tree = Tree::default();
        tree.insert("a/b.py".into(), entry(b"x"));
        tree.insert("a.py".into(), entry(b"y"));
        assert_eq!(Tree::from_bytes(&tree.to_bytes()).unwrap(), tree);

        let before = tree.digest();
        let mut moved = tree.clone();
        let old = moved.remove("a.py").unwrap();
        moved.insert("b.py".into(), old);
        assert_ne!(moved.digest(), before);
        tree.insert("a.py".into(), TreeEntry { mode: FileMode::Executable, ..old });
        assert_ne!(tree.digest(), before);
    }

    #[test]
    fn paths_that_leave_the_tree_are_refused() {
        for path in ["../x", "/x", "a//b", "a/../b", ".git/config", "a/.GIT/x", "", "a\\b", "a\0b", "./a", "a/"] {
            assert!(!is_safe_path(path), "{path:?}");
            let mut tree = Tree::default();
            tree.insert(path.into(), entry(b""));
            assert!(Tree::from_bytes(&tree.to_bytes()).is_err(), "{path:?}");
        }
        assert!(is_safe_path("a/b.c/.gitignore"));
    }

    #[test]
    fn by_products_are_known_by_name() {
        for path in ["__pycache__/a.pyc", "a/__pycache__/b", "x.pyc", "a/.pytest_cache/v/x"] {
            assert!(is_scratch(path), "{path}");
        }
        for path in ["a/pycache/b.py", "pyc", "targets/x"] {
            assert!(!is_scratch(path), "{path}");
        }
    }
}
