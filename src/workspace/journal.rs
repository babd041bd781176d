//! Changing several files as one: old bytes to a journal, new files renamed into place, undone in reverse on failure.
//!
//! The journal is a folder in the worktree's control folder. It exists, complete, from before the first change to after
//! the last; whoever finds one undoes what it lists. Undoing twice is undoing once. Renaming it is the moment at which
//! the change, or its undoing, is done: a folder that is removed bit by bit never has the journal's name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::WorkspaceError;
use super::error::at;
use super::files::{make_folders_below, plain_path, remove_all};
use crate::canon::{Blake3, FileMode, json};

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
    /// Digest of those bytes, for seeing a change by somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Blake3>,
}

/// What is left of the last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// It was under way, and is undone now.
    Undone,
    /// It was made whole.
    Done,
}

/// Writes all `changes` below `root`, or none.
pub(super) fn write(
    root: &Path,
    control: &Path,
    changes: &BTreeMap<String, Option<(Vec<u8>, FileMode)>>,
) -> Result<(), WorkspaceError> {
    let before = record(root, control, changes)?;
    apply(root, control, &before, changes)
}

/// Makes the changes that the journal holds the old bytes of.
fn apply(
    root: &Path,
    control: &Path,
    before: &[Before],
    changes: &BTreeMap<String, Option<(Vec<u8>, FileMode)>>,
) -> Result<(), WorkspaceError> {
    let mut reached = 0;
    let done = before.iter().zip(changes.values()).enumerate().try_for_each(|(number, (before, change))| {
        let full = root.join(&before.path);
        unchanged(&full, before)?;
        reached = number + 1;
        match change {
            Some((bytes, mode)) => replace(root, &full, number, bytes, *mode),
            None => {
                at(&full, fs::remove_file(&full).and_then(|()| synced(full.parent().unwrap_or(root))))?;
                prune(root, &full);
                Ok(())
            }
        }
    });
    match done {
        Ok(()) => close(control, DONE),
        Err(error) => {
            // What somebody else changed meanwhile is theirs: only what was reached is undone.
            undo(root, control, &before[..reached])?;
            close(control, UNDONE).and_then(|()| forget(control))?;
            Err(error)
        }
    }
}

/// Undoes an unfinished change and says what was left of the last one.
pub(super) fn recover(root: &Path, control: &Path) -> Result<Left, WorkspaceError> {
    // A journal still being written belongs to a change that had not begun.
    remove_all(&control.join("journal.new"))?;
    let folder = folder(control);
    if !folder.exists() {
        remove_all(&control.join(UNDONE))?;
        return Ok(if control.join(DONE).exists() { Left::Done } else { Left::Nothing });
    }
    let path = folder.join("entries.json");
    let entries: Vec<Before> = json::from_bytes(&at(&path, fs::read(&path))?)
        .map_err(|error| WorkspaceError::Damaged(format!("the journal: {error}")))?;
    undo(root, control, &entries)?;
    close(control, UNDONE)?;
    remove_all(&control.join(UNDONE))?;
    Ok(Left::Undone)
}

/// Forgets the last change: the tree is about to be laid out anew.
pub(super) fn forget(control: &Path) -> Result<(), WorkspaceError> {
    [DONE, UNDONE].iter().try_for_each(|name| remove_all(&control.join(name)))
}

/// Puts the old files back, the last one first.
fn undo(root: &Path, control: &Path, entries: &[Before]) -> Result<(), WorkspaceError> {
    let folder = folder(control);
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
    Ok(())
}

/// Refuses to touch a file that is not what the journal saved.
fn unchanged(full: &Path, before: &Before) -> Result<(), WorkspaceError> {
    let found = match fs::read(full) {
        Ok(bytes) => Some(Blake3::of(&bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(_) if before.digest.is_none() => None,
        Err(source) => return Err(WorkspaceError::Io { path: full.to_owned(), source }),
    };
    if found == before.digest { Ok(()) } else { Err(WorkspaceError::ChangedMeanwhile(before.path.clone())) }
}

/// Name of a journal whose change was made.
const DONE: &str = "journal.done";
/// Name of a journal whose change was undone.
const UNDONE: &str = "journal.undone";

/// Ends the journal under another name, at one moment.
fn close(control: &Path, name: &str) -> Result<(), WorkspaceError> {
    let ended = control.join(name);
    remove_all(&ended)?;
    at(&ended, fs::rename(folder(control), &ended).and_then(|()| synced(control)))
}

fn synced(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
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
    forget(control)?;
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
        let digest = match mode {
            Some(_) => {
                let bytes = at(&full, fs::read(&full))?;
                save(&new.join(number.to_string()), &bytes)?;
                Some(Blake3::of(&bytes))
            }
            None => None,
        };
        let made = path.match_indices('/').map(|(end, _)| &path[..end]).find(|folder| !root.join(folder).exists());
        entries.push(Before { path: path.clone(), mode, made: made.map(str::to_owned), digest });
    }
    save(&new.join("entries.json"), &json::to_bytes(&entries).expect("paths and modes are plain JSON"))?;
    at(&new, synced(&new))?;
    at(&new, fs::rename(&new, folder(control)).and_then(|()| synced(control)))?;
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
    if !parent.exists() {
        at(parent, make_folders_below(root, parent))?;
        // A new folder is an entry of the one above it.
        let above = parent.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
        above.into_iter().try_for_each(|folder| at(folder, synced(folder)))?;
    }
    let new = temporary(full, number);
    let bits = if mode == FileMode::Executable { 0o755 } else { 0o644 };
    let written = fs::OpenOptions::new().write(true).create_new(true).mode(bits).open(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(bits))?;
        file.sync_all()?;
        fs::rename(&new, full)?;
        synced(parent)
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            for name in ["tree", "control"] {
                fs::create_dir(place.0.path().join(name)).unwrap();
            }
            for (name, text) in [("a", "1"), ("b", "2"), ("c", "3")] {
                fs::write(place.root().join(name), text).unwrap();
            }
            place
        }

        fn root(&self) -> PathBuf {
            self.0.path().join("tree")
        }

        fn control(&self) -> PathBuf {
            self.0.path().join("control")
        }

        fn texts(&self) -> Vec<String> {
            ["a", "b", "c", "new/d"].map(|name| fs::read_to_string(self.root().join(name)).unwrap_or_default()).into()
        }
    }

    fn changes() -> BTreeMap<String, Option<(Vec<u8>, FileMode)>> {
        let write = |text: &str| Some((text.as_bytes().to_vec(), FileMode::Regular));
        [("a", write("one")), ("b", None), ("c", write("three")), ("new/d", write("four"))]
            .map(|(path, change)| (path.to_owned(), change))
            .into()
    }

    #[test]
    fn a_file_that_somebody_else_changed_meanwhile_stays_theirs_and_the_rest_is_undone() {
        let place = Place::new();
        let (root, control, changes) = (place.root(), place.control(), changes());
        let before = record(&root, &control, &changes).unwrap();
        fs::write(root.join("c"), "theirs").unwrap();
        let error = apply(&root, &control, &before, &changes).unwrap_err();
        assert!(matches!(error, WorkspaceError::ChangedMeanwhile(path) if path == "c"));
        assert_eq!(place.texts(), ["1", "2", "theirs", ""]);
        assert_eq!(recover(&root, &control).unwrap(), Left::Nothing);
    }

    #[test]
    fn a_process_that_dies_at_any_step_leaves_the_tree_before_or_the_one_after() {
        // A full change makes these names in the control folder one after the other; death comes between any two.
        for step in 0..=changes().len() {
            let place = Place::new();
            let (root, control, changes) = (place.root(), place.control(), changes());
            let before = record(&root, &control, &changes).unwrap();
            let some = changes.iter().take(step).map(|(path, change)| (path.clone(), change.clone())).collect();
            let kept = control.join("kept");
            fs::rename(folder(&control), &kept).unwrap();
            fs::create_dir(folder(&control)).unwrap();
            apply(&root, &control, &before[..step], &some).unwrap();
            remove_all(&control.join(DONE)).unwrap();
            fs::rename(&kept, folder(&control)).unwrap();
            assert_eq!(recover(&root, &control).unwrap(), Left::Undone, "{step}");
            assert_eq!(place.texts(), ["1", "2", "3", ""], "{step}");
            assert!(!root.join("new").exists());
            assert_eq!(recover(&root, &control).unwrap(), Left::Nothing, "undone once");
        }
        let place = Place::new();
        write(&place.root(), &place.control(), &changes()).unwrap();
        assert_eq!(place.texts(), ["one", "", "three", "four"]);
        assert_eq!(recover(&place.root(), &place.control()).unwrap(), Left::Done);
        // A journal that is half removed has no say any more.
        fs::remove_file(place.control().join(DONE).join("entries.json")).unwrap();
        assert_eq!(recover(&place.root(), &place.control()).unwrap(), Left::Done);
        assert_eq!(place.texts(), ["one", "", "three", "four"]);
    }
}
