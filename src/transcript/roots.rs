//! The two Merkle roots of a run, grown event by event.

use crate::canon::merkle::MerkleTree;
use crate::canon::{BlobRef, Sha256};

use super::event::{self, ManifestError};

/// The raw root (every manifest line) and the canonical root (what two live runs of the same thing share).
#[derive(Debug, Default, Clone)]
pub struct Roots {
    raw: MerkleTree,
    canonical: MerkleTree,
}

impl Roots {
    /// Appends an event and returns its manifest line.
    ///
    /// # Errors
    /// As [`super::manifest_line`].
    pub fn push(
        &mut self,
        position: u32,
        kind: &str,
        data: &[u8],
        bodies: &[(&str, BlobRef)],
    ) -> Result<Vec<u8>, ManifestError> {
        event::check(position, kind, data)?;
        self.push_canonical(position, kind, data, bodies)
    }

    /// As [`Roots::push`], of a kind that is known and data that was just written in canonical form.
    pub(super) fn push_canonical(
        &mut self,
        position: u32,
        kind: &str,
        data: &[u8],
        bodies: &[(&str, BlobRef)],
    ) -> Result<Vec<u8>, ManifestError> {
        let line = event::written(Some(position), kind, data, bodies)?;
        if let Some(leaf) = event::leaf_written(kind, data, bodies)? {
            self.canonical.push(&leaf);
        }
        self.raw.push(&line);
        Ok(line)
    }

    /// Returns the root over all manifest lines.
    pub fn raw(&self) -> Sha256 {
        self.raw.root()
    }

    /// Returns the root over the canonical leaves.
    pub fn canonical(&self) -> Sha256 {
        self.canonical.root()
    }

    /// Returns the number of events.
    pub fn len(&self) -> u64 {
        self.raw.len()
    }

    /// Says whether no event was appended.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }
}
