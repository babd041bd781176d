//! An evidence folder: `manifest.jsonl` and the blobs that it names, each in `blobs/` under its SHA-256.
//!
//! Whoever reads one has not made it. Files are opened below the folder's own descriptor without following links, must
//! be regular, must have the size that the manifest says, and are read once: the bytes that are hashed are the bytes
//! that are used. `sha256sum` can check the folder without us. The folder of a campaign has `manifests/` in place of
//! the one manifest, and shares the blobs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};

use super::evidence::EvidenceError;
use crate::canon::{Blake3, BlobRef, Sha256};
use crate::store::MAX_BODY;

/// Name of the manifest in an evidence folder.
pub const MANIFEST: &str = "manifest.jsonl";
/// Name of the folder of blobs in an evidence folder.
pub const BLOBS: &str = "blobs";
/// Name of the folder of its runs' manifests in the evidence folder of a campaign, each under its SHA-256.
pub(super) const MANIFESTS: &str = "manifests";
/// Bytes of a manifest that are read.
const MAX_MANIFEST: u64 = 64 << 20;
/// Entries of `blobs/` that are looked at when the superfluous ones are counted.
const MAX_LISTED: usize = 1 << 20;

/// An evidence folder that was opened; everything in it is somebody else's.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    folder: OwnedFd,
    blobs: Option<OwnedFd>,
    manifests: Option<OwnedFd>,
}

impl Folder {
    /// Opens the folder. A link is followed only if it is `path` itself, which the user named.
    ///
    /// # Errors
    /// A path that is no folder or cannot be read.
    pub fn open(path: &Path) -> Result<Self, EvidenceError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(rustix::fs::CWD, path, flags, Mode::empty())
            .map_err(|error| EvidenceError::io(path.to_owned(), error.into()))?;
        let below = |name| openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::empty()).ok();
        let (blobs, manifests) = (below(BLOBS), below(MANIFESTS));
        Ok(Self { path: path.to_owned(), folder, blobs, manifests })
    }

    /// Returns the path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a file of the folder itself, such as the manifest, of at most `cap` bytes.
    ///
    /// # Errors
    /// A file that is not there, is no regular file, or is larger.
    pub fn read(&self, name: &str, cap: u64) -> Result<Vec<u8>, EvidenceError> {
        if !is_file_name(name) {
            return Err(EvidenceError::Name(name.chars().take(100).collect()));
        }
        read_below(&self.folder, name, name, |size| match size > cap {
            true => Err(EvidenceError::Size { name: name.into(), size, limit: cap }),
            false => Ok(()),
        })
    }

    pub(super) fn manifest(&self) -> Result<Vec<u8>, EvidenceError> {
        self.read(MANIFEST, MAX_MANIFEST)
    }

    /// Reads the manifest of a run of a campaign and checks it against both digests.
    pub(super) fn member(&self, sha256: Sha256, blake3: Blake3) -> Result<Vec<u8>, EvidenceError> {
        let name = sha256.to_hex();
        let shown = format!("{MANIFESTS}/{name}");
        let Some(manifests) = &self.manifests else { return Err(EvidenceError::Missing(shown)) };
        let bytes = read_below(manifests, &name, &shown, |size| match size > MAX_MANIFEST {
            true => Err(EvidenceError::Size { name: shown.clone(), size, limit: MAX_MANIFEST }),
            false => Ok(()),
        })?;
        if (Sha256::of(&bytes), Blake3::of(&bytes)) != (sha256, blake3) {
            return Err(EvidenceError::Differs(shown));
        }
        Ok(bytes)
    }

    /// Reads a blob and checks it against everything that its reference says.
    pub(super) fn blob(&self, blob: &BlobRef) -> Result<Vec<u8>, EvidenceError> {
        let name = blob.sha256.to_hex();
        let shown = format!("{BLOBS}/{name}");
        let Some(blobs) = &self.blobs else { return Err(EvidenceError::Missing(shown)) };
        let bytes = read_below(blobs, &name, &shown, |size| match size {
            size if size > MAX_BODY => Err(EvidenceError::Size { name: shown.clone(), size, limit: MAX_BODY }),
            size if size != blob.size => Err(EvidenceError::Differs(shown.clone())),
            _ => Ok(()),
        })?;
        if BlobRef::of(&bytes) != *blob {
            return Err(EvidenceError::Differs(shown));
        }
        Ok(bytes)
    }

    /// Counts the files in `blobs/` that `wanted` does not ask for.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn superfluous(&self, wanted: &dyn Fn(&str) -> bool) -> Result<usize, EvidenceError> {
        let Some(blobs) = &self.blobs else { return Ok(0) };
        let failed = |error: rustix::io::Errno| EvidenceError::io(self.path.join(BLOBS), error.into());
        let mut count = 0;
        for entry in rustix::fs::Dir::read_from(blobs).map_err(failed)?.take(MAX_LISTED) {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            count += usize::from(name != "." && name != ".." && !wanted(&name));
        }
        Ok(count)
    }
}

/// Says whether `name` can only mean a file of the folder itself, on every system.
fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && !name.ends_with('.') && name.bytes().all(plain)
}

/// Reads a regular file below an open folder, after `accept` has seen its size; never more bytes than that.
fn read_below(
    folder: &OwnedFd,
    name: &str,
    shown: &str,
    accept: impl FnOnce(u64) -> Result<(), EvidenceError>,
) -> Result<Vec<u8>, EvidenceError> {
    // Without waiting: opening a FIFO would otherwise hang until somebody writes to it.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let descriptor = openat(folder, name, flags, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::NOENT => EvidenceError::Missing(shown.to_owned()),
        rustix::io::Errno::LOOP | rustix::io::Errno::MLINK | rustix::io::Errno::NXIO => {
            EvidenceError::NotAFile(shown.to_owned())
        }
        error => EvidenceError::io(PathBuf::from(shown), error.into()),
    })?;
    let failed = |error: std::io::Error| EvidenceError::io(PathBuf::from(shown), error);
    let stat = fstat(&descriptor).map_err(|error| failed(error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(EvidenceError::NotAFile(shown.to_owned()));
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    accept(size)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    File::from(descriptor).take(size).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 != size {
        return Err(EvidenceError::Differs(shown.to_owned()));
    }
    Ok(bytes)
}

/// A folder that is being written.
pub(super) struct Writer {
    folder: PathBuf,
    blobs: BTreeSet<Sha256>,
}

impl Writer {
    /// Writes a file; `name` may lie in a folder of its own.
    pub(super) fn file(&self, name: &str, bytes: &[u8]) -> Result<(), EvidenceError> {
        let path = self.folder.join(name);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| File::create_new(&path).and_then(|mut file| file.write_all(bytes)))
            .map_err(|error| EvidenceError::io(path, error))
    }

    /// Writes a blob that is not there yet.
    pub(super) fn blob(
        &mut self,
        digest: Sha256,
        bytes: impl FnOnce() -> Result<Vec<u8>, EvidenceError>,
    ) -> Result<(), EvidenceError> {
        match self.blobs.insert(digest) {
            true => self.file(&format!("{BLOBS}/{}", digest.to_hex()), &bytes()?),
            false => Ok(()),
        }
    }
}

/// Writes a folder that was not there before: all of it or nothing. Everything is written beside `path` and renamed.
pub(super) fn write_new(
    path: &Path,
    fill: &mut dyn FnMut(&mut Writer) -> Result<(), EvidenceError>,
) -> Result<(), EvidenceError> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    if path.symlink_metadata().is_ok() {
        return Err(EvidenceError::io(path.to_owned(), std::io::ErrorKind::AlreadyExists.into()));
    }
    let failed = |error| EvidenceError::io(part.clone(), error);
    match fs::remove_dir_all(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut writer = Writer { folder: part.clone(), blobs: BTreeSet::new() };
    let written = fs::create_dir_all(part.join(BLOBS))
        .map_err(failed)
        .and_then(|()| fill(&mut writer))
        .and_then(|()| fs::rename(&part, path).map_err(|error| EvidenceError::io(path.to_owned(), error)));
    if written.is_err() {
        // What could not be written completely is of no use; the first error is the one to report.
        let _ = fs::remove_dir_all(&part);
    }
    written
}
