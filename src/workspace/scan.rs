//! What lies on disk in a worktree: a sorted walk, digests, and the rule of what counts.
//!
//! By-products of running tests (`__pycache__` and the like) are not part of the tree unless the base holds them: their
//! bytes carry times and interpreter versions, and no test result may depend on them, since restoring removes them. The
//! repository's own ignore files are *not* consulted: whoever edits the tree could hide files behind them.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::WorkspaceError;
use super::error::at;
use crate::canon::tree::DEEPEST;
use crate::canon::{Blake3, FileMode, TreeEntry};

/// One thing found on disk.
pub(super) struct Found {
    /// Path relative to the root, as on disk.
    pub(super) relative: PathBuf,
    /// Its metadata, links not followed.
    pub(super) metadata: Metadata,
}

impl Found {
    /// Returns the path with `/` between parts.
    pub(super) fn path(&self) -> Result<&str, WorkspaceError> {
        let name = self.relative.as_os_str();
        name.to_str().ok_or_else(|| WorkspaceError::NotUtf8(name.to_string_lossy().into_owned()))
    }
}

/// Walks `root` in path order, folders before what they hold, without following links and without `.git`.
///
/// `enter` is asked for every thing found; `false` for a folder leaves out what it holds.
pub(super) fn walk(
    root: &Path,
    enter: &mut dyn FnMut(Found) -> Result<bool, WorkspaceError>,
) -> Result<(), WorkspaceError> {
    let mut stack = vec![(PathBuf::new(), 0)];
    while let Some((relative, depth)) = stack.pop() {
        if depth > 0 {
            let path = root.join(&relative);
            let metadata = at(&path, fs::symlink_metadata(&path))?;
            let is_folder = metadata.is_dir();
            if !enter(Found { relative: relative.clone(), metadata })? || !is_folder {
                continue;
            }
        }
        if depth > DEEPEST {
            return Err(WorkspaceError::UnsafePath(relative.to_string_lossy().chars().take(200).collect()));
        }
        let folder = root.join(&relative);
        let mut names: Vec<OsString> = Vec::new();
        for entry in at(&folder, fs::read_dir(&folder))? {
            let name = at(&folder, entry)?.file_name();
            if !name.eq_ignore_ascii_case(".git") {
                names.push(name);
            }
        }
        names.sort_unstable_by(|a, b| b.as_bytes().cmp(a.as_bytes()));
        stack.extend(names.into_iter().map(|name| (relative.join(name), depth + 1)));
    }
    Ok(())
}

/// Returns git's kind of a file or link, or nothing for folders, sockets, pipes and devices.
pub(super) fn mode_of(metadata: &Metadata) -> Option<FileMode> {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        Some(FileMode::Symlink)
    } else if !kind.is_file() {
        None
    } else if metadata.permissions().mode() & 0o100 != 0 {
        Some(FileMode::Executable)
    } else {
        Some(FileMode::Regular)
    }
}

/// Reads and digests the file or link at `path`, a piece at a time: a test may leave a very large one.
pub(super) fn entry_of(path: &Path, mode: FileMode) -> Result<TreeEntry, WorkspaceError> {
    if mode == FileMode::Symlink {
        let target = at(path, fs::read_link(path))?;
        let bytes = target.as_os_str().as_bytes();
        return Ok(TreeEntry { mode, digest: Blake3::of(bytes), size: bytes.len() as u64 });
    }
    let mut file = at(path, fs::File::open(path))?;
    let mut hasher = blake3::Hasher::new();
    let size = at(path, std::io::copy(&mut file, &mut hasher))?;
    Ok(TreeEntry { mode, digest: Blake3::from_bytes(*hasher.finalize().as_bytes()), size })
}

/// What the kernel says about a file that changes whenever the file does; no program without the right to set the clock
/// can forge the time of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    size: u64,
    mode: u32,
    changed: (i64, i64),
}

impl Stamp {
    /// Returns the stamp of a file.
    pub(super) fn of(metadata: &Metadata) -> Self {
        let (inode, size, mode) = (metadata.ino(), metadata.len(), metadata.mode());
        Self { inode, size, mode, changed: (metadata.ctime(), metadata.ctime_nsec()) }
    }

    /// Says whether a change at or after the making of `other` would show in this stamp.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        self.changed < other.changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_is_sorted_and_leaves_git_out() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["b/x", "a/z", "a/y", ".git/config", "c", "a.py"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let mut seen = Vec::new();
        walk(folder.path(), &mut |found| {
            seen.push(found.path()?.to_owned());
            Ok(found.relative != Path::new("b"))
        })
        .unwrap();
        assert_eq!(seen, ["a", "a/y", "a/z", "a.py", "b", "c"]);
    }
}
