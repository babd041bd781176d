//! A task's base tree on disk: made, read, digested, restored, patched.
//!
//! A worktree is a folder with two children. `tree` is what tests see: the files, and a `.git` that holds one commit
//! and shares no object with the origin, so that no later fix can be found in its history. `control` is ours: the same
//! repository again, which restores the first, the listing of the base, and the journal of a change under way.
//! Commands of ours use the repository in `control`, since a test could have changed the configuration of the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::at;
use super::files::{make_folder, plain_path, put, remove_all, set_mode};
use super::journal::{self, Left};
use super::objects::{Blobs, Listed, list};
use super::origin::{Origin, resolve, unbundle};
use super::scan::{Stamp, entry_of, mode_of, walk};
use super::{Git, WorkspaceError};
use crate::canon::tree::{is_safe_path, is_scratch};
use crate::canon::{Blake3, FileMode, Tree, TreeEntry, json};

/// The largest file that [`Worktree::read`] returns, in bytes.
pub const MAX_READ: u64 = 64 << 20;

/// Says what opening a worktree found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// No change was under way, and none was made since the tree was laid out or the last change began.
    Clean,
    /// The last change was made whole; the tree is the one after it.
    Finished,
    /// A change was under way when the process ended; the tree is the one before it again.
    RolledBack,
}

/// One file of the base: what it must be and the object that restores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Base {
    #[serde(flatten)]
    pub(super) entry: TreeEntry,
    /// Object id of the bytes.
    pub(super) blob: String,
}

/// A base tree on disk, private to one task.
#[derive(Debug)]
pub struct Worktree {
    pub(super) git: Git,
    at: PathBuf,
    pub(super) base: BTreeMap<String, Base>,
    /// Files that were found to be the base's, with the stamps that they had then.
    known: BTreeMap<String, Stamp>,
}

impl Worktree {
    /// Makes a worktree of `base_commit` (the last commit, if not named) at `at`, which must not exist.
    ///
    /// The origin is only read. Without `base_commit` it must have no uncommitted changes; [`Origin::Folder`] ignores it.
    ///
    /// # Errors
    /// An origin that is no repository, a commit it does not hold, uncommitted changes, names that are not UTF-8.
    pub fn create(git: &Git, origin: &Origin, base_commit: Option<&str>, at: &Path) -> Result<Self, WorkspaceError> {
        if fs::symlink_metadata(at).is_ok() {
            return Err(WorkspaceError::Exists(at.to_owned()));
        }
        make_folder(at)?;
        let at = super::error::at(at, at.canonicalize())?;
        let made = Self::fill(git, origin, base_commit, &at);
        if made.is_err() {
            // Nobody has used it yet; half a worktree is worth nothing.
            remove_all(&at).ok();
        }
        made
    }

    fn fill(git: &Git, origin: &Origin, base_commit: Option<&str>, at: &Path) -> Result<Self, WorkspaceError> {
        let mut worktree = Self { git: git.clone(), at: at.to_owned(), base: BTreeMap::new(), known: BTreeMap::new() };
        make_folder(&worktree.root())?;
        make_folder(&worktree.control())?;
        match origin {
            Origin::Clone(path) => {
                let folder = git.folder_of(path).ok_or_else(|| WorkspaceError::NotARepository(path.clone()))?;
                let commit = resolve(git, path, &folder, base_commit)?;
                worktree.copy_commit(&folder, &commit)?;
            }
            Origin::Bundle(path) => {
                let folder = worktree.control().join("bundle");
                let head = unbundle(git, path, &folder)?;
                let commit = resolve(git, path, &folder, Some(base_commit.unwrap_or(&head)))?;
                worktree.copy_commit(&folder, &commit)?;
                remove_all(&folder)?;
            }
            Origin::Folder(path) => worktree.copy_folder(path)?,
        }
        worktree.show_repository()?;
        let listing = json::to_bytes(&worktree.base).expect("a listing holds strings and sizes below 2^53");
        let path = worktree.control().join("base.json");
        super::error::at(&path, fs::write(&path, listing))?;
        Ok(worktree)
    }

    /// Opens a worktree that an earlier process made, undoing a change that it had not finished.
    ///
    /// # Errors
    /// No worktree there, or a damaged control folder.
    pub fn open(git: &Git, at: &Path) -> Result<(Self, Recovery), WorkspaceError> {
        let at = super::error::at(at, at.canonicalize())?;
        let path = at.join("control/base.json");
        let listing = super::error::at(&path, fs::read(&path))?;
        let base: BTreeMap<String, Base> =
            json::from_bytes(&listing).map_err(|error| WorkspaceError::Damaged(error.to_string()))?;
        if let Some(path) = base.keys().find(|path| !is_safe_path(path)) {
            return Err(WorkspaceError::UnsafePath(path.clone()));
        }
        let worktree = Self { git: git.clone(), at, base, known: BTreeMap::new() };
        let recovery = match journal::recover(&worktree.root(), &worktree.control())? {
            Left::Nothing => Recovery::Clean,
            Left::Undone => Recovery::RolledBack,
            Left::Done => Recovery::Finished,
        };
        Ok((worktree, recovery))
    }

    /// Returns the folder that holds the files, as an absolute path.
    pub fn root(&self) -> PathBuf {
        self.at.join("tree")
    }

    /// Returns the listing of the base.
    pub fn base(&self) -> Tree {
        let mut tree = Tree::default();
        for (path, base) in &self.base {
            tree.insert(path.clone(), base.entry);
        }
        tree
    }

    /// Returns the listing of what lies on disk, by-products of running tests left out unless the base holds them.
    ///
    /// # Errors
    /// Unreadable files, and names that are not UTF-8.
    pub fn tree(&self) -> Result<Tree, WorkspaceError> {
        let root = self.root();
        let mut tree = Tree::default();
        walk(&root, &mut |found| {
            let Some(mode) = mode_of(&found.metadata) else { return Ok(found.metadata.is_dir()) };
            let path = found.path()?;
            if !is_scratch(path) || self.base.contains_key(path) {
                tree.insert(path.to_owned(), entry_of(&root.join(&found.relative), mode)?);
            }
            Ok(true)
        })?;
        Ok(tree)
    }

    /// Returns the bytes of a regular file.
    ///
    /// # Errors
    /// A path that leaves the tree or passes through a link, no regular file there, or one beyond [`MAX_READ`].
    pub fn read(&self, path: &str) -> Result<Vec<u8>, WorkspaceError> {
        let full = plain_path(&self.root(), path)?;
        let metadata = fs::symlink_metadata(&full).map_err(|_| WorkspaceError::NotAFile(path.to_owned()))?;
        if !metadata.is_file() {
            return Err(WorkspaceError::NotAFile(path.to_owned()));
        }
        let too_large = |size| WorkspaceError::TooLarge { path: path.to_owned(), size, cap: MAX_READ };
        if metadata.len() > MAX_READ {
            return Err(too_large(metadata.len()));
        }
        let mut bytes = Vec::new();
        let mut file = at(&full, fs::File::open(&full))?;
        at(&full, file.by_ref().take(MAX_READ + 1).read_to_end(&mut bytes))?;
        if bytes.len() as u64 > MAX_READ { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
    }

    /// Brings the tree back to the base: changed files rewritten, everything else removed, `.git` included.
    ///
    /// A file that was the base's before and whose stamp did not change since is not read again; [`Worktree::tree`]
    /// reads every file, always.
    ///
    /// # Errors
    /// Files that cannot be removed or written.
    pub fn restore(&mut self) -> Result<(), WorkspaceError> {
        let root = self.root();
        journal::forget(&self.control())?;
        let tick = self.control().join("tick");
        at(&tick, fs::write(&tick, "1"))?;
        let now = Stamp::of(&at(&tick, fs::metadata(&tick))?);
        let mut sound = BTreeSet::new();
        let mut known = BTreeMap::new();
        let mut doomed = Vec::new();
        walk(&root, &mut |found| {
            let path = found.relative.to_str();
            let full = root.join(&found.relative);
            if found.metadata.is_dir() {
                let keep = path.is_some_and(|path| self.holds_folder(path));
                if keep {
                    set_mode(&full, 0o755, &found.metadata)?;
                } else {
                    doomed.push(full);
                }
                return Ok(keep);
            }
            let base = path.and_then(|path| self.base.get(path).map(|base| (path, base)));
            match (base, mode_of(&found.metadata)) {
                (Some((path, base)), Some(mode))
                    if mode == base.entry.mode
                        && found.metadata.len() == base.entry.size
                        && (self.known.get(path) == Some(&Stamp::of(&found.metadata))
                            || entry_of(&full, mode).is_ok_and(|entry| entry == base.entry)) =>
                {
                    let stamp = Stamp::of(&found.metadata);
                    if stamp.is_before(&now) {
                        known.insert(path.to_owned(), stamp);
                    }
                    sound.insert(path.to_owned());
                }
                _ => doomed.push(full),
            }
            Ok(true)
        })?;
        self.known = known;
        doomed.iter().try_for_each(|path| remove_all(path))?;
        let lost: Vec<(&String, &Base)> = self.base.iter().filter(|(path, _)| !sound.contains(*path)).collect();
        if !lost.is_empty() {
            let ids = lost.iter().map(|(_, base)| base.blob.clone()).collect();
            let mut blobs = Blobs::ask(&self.git, &self.repository(), ids)?;
            for (path, base) in lost {
                put(&root, path, base.entry.mode, &blobs.next()?)?;
            }
        }
        self.show_repository()
    }

    /// Writes all `changes` (bytes and mode, or nothing to delete) or none.
    ///
    /// The old bytes go to a journal first; each new file is written beside its place, flushed and renamed. If anything
    /// fails, or the process dies (see [`Worktree::open`]), the tree is the one before.
    ///
    /// # Errors
    /// Unsafe paths, paths through links, links and by-products as targets, a missing file to delete, a full disk.
    pub fn write(&mut self, changes: &BTreeMap<String, Option<(Vec<u8>, FileMode)>>) -> Result<(), WorkspaceError> {
        for (path, change) in changes {
            let is_link = change.as_ref().is_some_and(|(_, mode)| *mode == FileMode::Symlink);
            if is_link || (is_scratch(path) && !self.base.contains_key(path)) {
                return Err(WorkspaceError::UnsafePath(path.clone()));
            }
        }
        journal::write(&self.root(), &self.control(), changes)
    }

    /// Applies a unified diff with `git apply`: all of it or none.
    ///
    /// # Errors
    /// A patch that does not apply to what lies on disk, with git's own words.
    pub fn apply_patch(&mut self, patch: &[u8]) -> Result<(), WorkspaceError> {
        if patch.trim_ascii().is_empty() {
            return Ok(());
        }
        let mut command = self.git.command_with_fixed_umask();
        command.arg("--git-dir").arg(self.repository()).arg("--work-tree").arg(self.root()).current_dir(self.root());
        command.args(["apply", "--whitespace=nowarn", "-"]);
        self.git.run("apply the patch", &mut command, patch).map(drop).map_err(as_patch_error)
    }

    /// Returns the tree that `git apply` makes of the base and `patch`, without touching the disk's tree.
    ///
    /// # Errors
    /// A patch that does not apply to a fresh checkout of the base.
    pub fn check_patch(&self, patch: &[u8]) -> Result<Tree, WorkspaceError> {
        let index = self.control().join("check.index");
        let with_index = |arguments: &[&str]| {
            let mut command = self.git.command();
            command.env("GIT_INDEX_FILE", &index).arg("--git-dir").arg(self.repository()).args(arguments);
            command
        };
        self.git.run("read the base", &mut with_index(&["read-tree", "HEAD"]), b"")?;
        if !patch.trim_ascii().is_empty() {
            let mut apply = with_index(&["apply", "--cached", "--whitespace=nowarn", "-"]);
            self.git.run("apply the patch", &mut apply, patch).map_err(as_patch_error)?;
        }
        let made = self.git.line("write the patched tree", &mut with_index(&["write-tree"]))?;
        at(&index, fs::remove_file(&index))?;
        let listing = list(&self.git, &self.repository(), &made)?.files;
        let is_new = |path: &String, file: &Listed| self.base.get(path).is_none_or(|base| base.blob != file.blob);
        let ids = listing.iter().filter(|(path, file)| is_new(path, file)).map(|(_, file)| file.blob.clone()).collect();
        let mut blobs = Blobs::ask(&self.git, &self.repository(), ids)?;
        let mut tree = Tree::default();
        for (path, file) in listing {
            let entry = match self.base.get(&path) {
                Some(base) if base.blob == file.blob => TreeEntry { mode: file.mode, ..base.entry },
                _ => {
                    let bytes = blobs.next()?;
                    TreeEntry { mode: file.mode, digest: Blake3::of(&bytes), size: bytes.len() as u64 }
                }
            };
            tree.insert(path, entry);
        }
        Ok(tree)
    }

    /// Removes the worktree from the disk.
    ///
    /// # Errors
    /// Files that cannot be removed.
    pub fn remove(self) -> Result<(), WorkspaceError> {
        remove_all(&self.at)
    }

    pub(super) fn control(&self) -> PathBuf {
        self.at.join("control")
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.at.join("control/git")
    }

    fn holds_folder(&self, folder: &str) -> bool {
        let prefix = format!("{folder}/");
        self.base.range(prefix.clone()..).next().is_some_and(|(path, _)| path.starts_with(&prefix))
    }
}

pub(super) fn as_patch_error(error: WorkspaceError) -> WorkspaceError {
    match error {
        WorkspaceError::Git { message, .. } => WorkspaceError::Patch(message),
        other => other,
    }
}
