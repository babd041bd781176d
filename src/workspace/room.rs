//! Whether a disk has room enough that what fails on it fails for another reason.

use std::path::Path;

use super::WorkspaceError;

/// Free bytes below which tests and `git` may have failed for want of room.
const LEAST: u64 = 16 << 20;

/// Makes sure that the disk of `folder` is not full: what failed on a full one says nothing about the code.
///
/// # Errors
/// Fewer bytes than that are left. A disk that does not say how many has room.
pub fn ensure_room(folder: &Path) -> Result<(), WorkspaceError> {
    match rustix::fs::statvfs(folder) {
        Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST => Err(WorkspaceError::Full),
        _ => Ok(()),
    }
}
