//! Changing several files as one: old bytes to a journal, new files renamed into place, undone in reverse on failure.
//!
//! The journal is a folder in the worktree's control folder. It exists, complete, from before the first change to after
//! the last; whoever finds one undoes what it lists. Undoing twice is undoing once.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::WorkspaceError;
use super::error::at;
use super::files::{make_folders_below, plain_path, remove_all};
use crate::canon::{FileMode, json};

/// One file as it was before a change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    path: String,
    /// Mode of the file, or nothing if there was none. Its bytes are in the journal's file of the entry's number.
    mode: Option<FileMode>,
    /// The outermost folder that the change makes for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<String>,
}

/// Writes all `changes` below `root`, or none.
pub(super) fn write(
    root: &Path,
    control: &Path,
    changes: &BTreeMap<String, Option<(Vec<u8>, FileMode)>>,
) -> Result<(), WorkspaceError> {
    let before = record(root, control, changes)?;
    let done = before.iter().zip(changes.values()).enumerate().try_for_each(|(number, (before, change))| {
        let full = root.join(&before.path);
        match change {
            Some((bytes, mode)) => replace(root, &full, number, bytes, *mode),
            None => at(&full, fs::remove_file(&full)).map(|()| prune(root, &full)),
        }
    });
    match done {
        Ok(()) => remove_all(&folder(control)),
        Err(error) => {
            roll_back(root, control)?;
            Err(error)
        }
    }
}

/// Undoes an unfinished change and says whether there was one.
pub(super) fn roll_back(root: &Path, control: &Path) -> Result<bool, WorkspaceError> {
    // A journal still being written belongs to a change that had not begun.
    remove_all(&control.join("journal.new"))?;
    let folder = folder(control);
    if !folder.exists() {
        return Ok(false);
    }
    let path = folder.join("entries.json");
    let entries: Vec<Before> = json::from_bytes(&at(&path, fs::read(&path))?)
        .map_err(|error| WorkspaceError::Damaged(format!("the journal: {error}")))?;
    for (number, before) in entries.iter().enumerate().rev() {
        let full = plain_path(root, &before.path)?;
        remove_all(&temporary(&full, number))?;
        match before.mode {
            Some(mode) => {
                let saved = folder.join(number.to_string());
                replace(root, &full, number, &at(&saved, fs::read(&saved))?, mode)?;
            }
            None => {
                remove_all(&full)?;
                if let Some(made) = &before.made {
                    remove_all(&plain_path(root, made)?)?;
                }
            }
        }
    }
    remove_all(&folder)?;
    Ok(true)
}

fn folder(control: &Path) -> PathBuf {
    control.join("journal")
}

/// Checks every target and puts the old bytes into a complete journal.
fn record(
    root: &Path,
    control: &Path,
    changes: &BTreeMap<String, Option<(Vec<u8>, FileMode)>>,
) -> Result<Vec<Before>, WorkspaceError> {
    let new = control.join("journal.new");
    remove_all(&new)?;
    at(&new, fs::create_dir(&new))?;
    let mut entries = Vec::new();
    for (number, (path, change)) in changes.iter().enumerate() {
        let full = plain_path(root, path)?;
        // One change must not make a folder of what another makes a file.
        if path.match_indices('/').any(|(end, _)| changes.get(&path[..end]).is_some_and(Option::is_some)) {
            return Err(WorkspaceError::UnsafePath(path.clone()));
        }
        let mode = match fs::symlink_metadata(&full) {
            Ok(metadata) if metadata.is_file() => super::scan::mode_of(&metadata),
            Ok(_) => return Err(WorkspaceError::NotAFile(path.clone())),
            Err(_) if change.is_none() => return Err(WorkspaceError::NotAFile(path.clone())),
            Err(_) => None,
        };
        if mode.is_some() {
            let bytes = at(&full, fs::read(&full))?;
            save(&new.join(number.to_string()), &bytes)?;
        }
        let made = path.match_indices('/').map(|(end, _)| &path[..end]).find(|folder| !root.join(folder).exists());
        entries.push(Before { path: path.clone(), mode, made: made.map(str::to_owned) });
    }
    save(&new.join("entries.json"), &json::to_bytes(&entries).expect("paths and modes are plain JSON"))?;
    at(&new, File::open(&new).and_then(|folder| folder.sync_all()))?;
    at(&new, fs::rename(&new, folder(control)))?;
    at(control, File::open(control).and_then(|folder| folder.sync_all()))?;
    Ok(entries)
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), WorkspaceError> {
    at(path, File::create(path).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())))
}

fn temporary(full: &Path, number: usize) -> PathBuf {
    full.with_file_name(format!(".runproof-{number}.new"))
}

/// Writes a file beside its place, flushes it and renames it over what is there.
fn replace(root: &Path, full: &Path, number: usize, bytes: &[u8], mode: FileMode) -> Result<(), WorkspaceError> {
    let parent = full.parent().unwrap_or(root);
    at(parent, make_folders_below(root, parent))?;
    let new = temporary(full, number);
    let bits = if mode == FileMode::Executable { 0o755 } else { 0o644 };
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(bits).open(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(bits))?;
        file.sync_all()?;
        fs::rename(&new, full)?;
        File::open(parent)?.sync_all()
    });
    if written.is_err() {
        fs::remove_file(&new).ok();
    }
    at(full, written)
}

/// Removes the folders that a deletion left empty: git keeps none.
fn prune(root: &Path, full: &Path) {
    let mut folder = full.parent();
    while let Some(path) = folder.filter(|path| *path != root && fs::remove_dir(path).is_ok()) {
        folder = path.parent();
    }
}
