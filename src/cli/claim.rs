//! One process at a time for what is recorded under one id: two would take away each other's worktrees and write between
//! each other's events.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Failure, FailureKind};

/// The names of the locks that this process holds.
static HELD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The sole right to record something, given back when dropped or when the process ends, however it does.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    /// Holds the lock; nothing where the file system has none.
    _file: Option<File>,
}

impl Claim {
    /// Takes the right to work in the folder `scratch` and on `what` is recorded from there.
    ///
    /// # Errors
    /// Another process has it; a place that cannot be written.
    pub(crate) fn take(scratch: &Path, what: &str) -> Result<Self, Failure> {
        let path = beside(scratch, ".lock");
        let failed = |error: std::io::Error| {
            let message = format!("cannot prepare {}: {error}", path.display());
            Failure::new(FailureKind::Environment, message).hint("check that the folder of the store can be written")
        };
        scratch.parent().map(fs::create_dir_all).transpose().map_err(failed)?;
        loop {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let message = format!("{what} is under way in another process");
                    let hint = "wait until it has ended, or end it; in a campaign, --jobs does several runs at once";
                    return Err(Failure::new(FailureKind::Environment, message).hint(hint));
                }
                Err(TryLockError::Error(_)) => return Ok(Self { path, _file: None }),
            }
            // Whoever had it before may have taken the name away between the two steps.
            let same = |there: fs::Metadata, own: fs::Metadata| (there.dev(), there.ino()) == (own.dev(), own.ino());
            if fs::metadata(&path).is_ok_and(|there| file.metadata().is_ok_and(|own| same(there, own))) {
                held().insert(path.clone());
                // Whoever was ended twice left it half removed.
                fs::remove_dir_all(aside(scratch)).ok();
                return Ok(Self { path, _file: Some(file) });
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Before the lock is given back, so that nobody who holds it loses its name.
        fs::remove_file(&self.path).ok();
        held().remove(&self.path);
    }
}

/// Takes the names of all locks away: the process is about to end.
pub(crate) fn give_back_all() {
    held().iter().for_each(|path| drop(fs::remove_file(path)));
}

/// Returns where a folder of worktrees is put to be removed.
pub(crate) fn aside(scratch: &Path) -> PathBuf {
    beside(scratch, ".gone")
}

fn beside(scratch: &Path, suffix: &str) -> PathBuf {
    let mut name = scratch.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn held() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_at_a_time_and_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path().join("work/store-1");
        let first = Claim::take(&scratch, "the run 1").unwrap();
        let refused = Claim::take(&scratch, "the run 1").unwrap_err();
        assert_eq!(refused.message, "the run 1 is under way in another process");
        assert!(Claim::take(&folder.path().join("work/store-2"), "the run 2").is_ok());
        drop(first);
        drop(Claim::take(&scratch, "the run 1").unwrap());
        assert_eq!(fs::read_dir(folder.path().join("work")).unwrap().count(), 0);
    }
}
