//! Small operations on files and folders below a root: put, copy, compare, remove; none follows a link.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::WorkspaceError;
use super::error::at;
use crate::canon::FileMode;
use crate::canon::tree::is_safe_path;

/// Returns the place of `path` below `root` after checking that no part of the way is a link.
pub(super) fn plain_path(root: &Path, path: &str) -> Result<PathBuf, WorkspaceError> {
    if !is_safe_path(path) {
        return Err(WorkspaceError::UnsafePath(path.to_owned()));
    }
    let mut full = root.to_owned();
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        full.push(part);
        if let Ok(metadata) = fs::symlink_metadata(&full)
            && (metadata.is_symlink() || (parts.peek().is_some() && !metadata.is_dir()))
        {
            return Err(WorkspaceError::UnsafePath(path.to_owned()));
        }
    }
    Ok(full)
}

/// Writes one new file or link below `root`, with its folders; nothing is there yet.
pub(super) fn put(root: &Path, path: &str, mode: FileMode, bytes: &[u8]) -> Result<(), WorkspaceError> {
    let full = root.join(path);
    if let Some(folder) = full.parent().filter(|folder| !folder.is_dir()) {
        at(folder, make_folders_below(root, folder))?;
    }
    match mode {
        FileMode::Symlink => at(&full, symlink(std::ffi::OsStr::from_bytes(bytes), &full)),
        FileMode::Regular => put_file(&full, 0o644, bytes),
        FileMode::Executable => put_file(&full, 0o755, bytes),
    }
}

fn put_file(full: &Path, mode: u32, bytes: &[u8]) -> Result<(), WorkspaceError> {
    let mut file = at(full, fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(full))?;
    at(full, std::io::Write::write_all(&mut file, bytes))?;
    let metadata = at(full, file.metadata())?;
    // The umask of the process must not show in the tree.
    if metadata.permissions().mode() & 0o777 == mode { Ok(()) } else { set_mode(full, mode, &metadata) }
}

/// Makes the folders between `root` and `folder`, each with mode 755.
pub(super) fn make_folders_below(root: &Path, folder: &Path) -> std::io::Result<()> {
    let mut full = root.to_owned();
    for part in folder.strip_prefix(root).unwrap_or(Path::new("")) {
        full.push(part);
        match fs::create_dir(&full) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => {
                made?;
                fs::set_permissions(&full, fs::Permissions::from_mode(0o755))?;
            }
        }
    }
    Ok(())
}

pub(super) fn make_folder(path: &Path) -> Result<(), WorkspaceError> {
    at(path, fs::create_dir_all(path))
}

pub(super) fn set_mode(path: &Path, mode: u32, metadata: &fs::Metadata) -> Result<(), WorkspaceError> {
    if metadata.permissions().mode() & 0o7777 == mode {
        return Ok(());
    }
    at(path, fs::set_permissions(path, fs::Permissions::from_mode(mode)))
}

/// Removes whatever is at `path`, also folders without permissions, and nothing behind links.
pub(super) fn remove_all(path: &Path) -> Result<(), WorkspaceError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.is_dir() {
        return at(path, fs::remove_file(path));
    }
    if fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    // An ordinary user cannot enter a folder that a test left without permissions.
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        at(&folder, fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)))?;
        for entry in at(&folder, fs::read_dir(&folder))?.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    at(path, fs::remove_dir_all(path))
}

pub(super) fn copy_all(from: &Path, to: &Path) -> Result<(), WorkspaceError> {
    make_folder(to)?;
    for entry in at(from, fs::read_dir(from))? {
        let entry = at(from, entry)?;
        let target = to.join(entry.file_name());
        if at(from, entry.file_type())?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            at(&target, fs::copy(entry.path(), &target))?;
        }
    }
    Ok(())
}

/// Says whether two folders hold the same names and bytes.
pub(super) fn same_files(a: &Path, b: &Path) -> Result<bool, WorkspaceError> {
    let Ok(listed) = fs::read_dir(b) else { return Ok(false) };
    let mut left: BTreeSet<_> = listed.flatten().map(|entry| entry.file_name()).collect();
    for entry in at(a, fs::read_dir(a))? {
        let entry = at(a, entry)?;
        let other = b.join(entry.file_name());
        let Ok(metadata) = fs::symlink_metadata(&other) else { return Ok(false) };
        left.remove(&entry.file_name());
        let own = at(a, entry.metadata())?;
        let same = if own.is_dir() {
            metadata.is_dir() && same_files(&entry.path(), &other)?
        } else {
            metadata.is_file()
                && metadata.len() == own.len()
                && at(a, fs::read(entry.path()))? == fs::read(&other).unwrap_or_default()
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(left.is_empty())
}
