//! A forward-only reader that knows its position, never reads past the announced length and hashes what it passes.

use std::io::{BufReader, ErrorKind, Read};

use sha2::Digest as _;

use super::EngineError;
use crate::canon::Sha256;

/// Reads weights front to back.
pub(crate) struct Source<R> {
    reader: BufReader<R>,
    length: u64,
    position: u64,
    hasher: sha2::Sha256,
}

impl<R: Read> Source<R> {
    /// Wraps a reader that holds `length` bytes.
    pub(crate) fn new(reader: R, length: u64) -> Self {
        Self { reader: BufReader::with_capacity(1 << 16, reader), length, position: 0, hasher: sha2::Sha256::new() }
    }

    /// Returns the offset of the next byte.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Returns the announced length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Checks that `needed` more bytes are there, before anything is allocated for them.
    ///
    /// # Errors
    /// [`EngineError::Truncated`], naming `what`.
    pub(crate) fn demand(&self, needed: u64, what: &str) -> Result<(), EngineError> {
        if needed > self.length - self.position {
            return Err(self.truncated(needed, what));
        }
        Ok(())
    }

    /// Fills `buffer` with the next bytes.
    ///
    /// # Errors
    /// A failing reader, or a file that ends before `buffer` is full.
    pub(crate) fn fill(&mut self, buffer: &mut [u8], what: &str) -> Result<(), EngineError> {
        self.demand(buffer.len() as u64, what)?;
        self.reader.read_exact(buffer).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.truncated(buffer.len() as u64, what),
            _ => EngineError::Read(error),
        })?;
        self.hasher.update(&*buffer);
        self.position += buffer.len() as u64;
        Ok(())
    }

    /// Passes over bytes up to `offset`.
    ///
    /// # Errors
    /// An offset that lies behind or beyond the end, or a failing reader.
    pub(crate) fn skip_to(&mut self, offset: u64, what: &str) -> Result<(), EngineError> {
        let mut left = offset
            .checked_sub(self.position)
            .ok_or_else(|| EngineError::Malformed(format!("{what} begins inside an earlier part")))?;
        self.demand(left, what)?;
        let mut buffer = [0; 4096];
        while left > 0 {
            let part = left.min(buffer.len() as u64);
            self.fill(&mut buffer[..part as usize], what)?;
            left -= part;
        }
        Ok(())
    }

    /// Reads to the end and returns the digest of the whole file.
    ///
    /// # Errors
    /// A failing reader, or one that holds another number of bytes than announced.
    pub(crate) fn finish(mut self) -> Result<Sha256, EngineError> {
        self.skip_to(self.length, "the rest of the file")?;
        if self.reader.read(&mut [0])? != 0 {
            return Err(EngineError::Malformed(format!("the file is longer than {} bytes", self.length)));
        }
        Ok(Sha256::from_bytes(self.hasher.finalize().into()))
    }

    fn truncated(&self, needed: u64, what: &str) -> EngineError {
        EngineError::Truncated { what: what.to_owned(), needed, offset: self.position, length: self.length }
    }
}
