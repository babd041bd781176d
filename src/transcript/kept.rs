//! Blobs that were read and checked are kept, so that a run is hashed once and not for each criterion.

use std::collections::BTreeMap;

use crate::canon::{Blake3, BlobRef, Sha256};

/// Bytes of blobs that are kept at most; what is beyond is read, and checked, again.
const KEPT_BYTES: usize = 64 << 20;

/// Everything that a reference says of its blob: equal by one digest is not yet equal by the other.
pub(super) type Reference = (Blake3, Sha256, u64);

pub(super) fn reference(blob: &BlobRef) -> Reference {
    (blob.blake3, blob.sha256, blob.size)
}

/// Blobs that were read and checked.
#[derive(Default)]
pub(super) struct Kept {
    blobs: BTreeMap<Reference, Box<[u8]>>,
    size: usize,
}

impl Kept {
    /// Keeps a blob, if there is room.
    pub(super) fn keep(&mut self, blob: &BlobRef, bytes: &[u8]) {
        if self.size + bytes.len() <= KEPT_BYTES && self.blobs.insert(reference(blob), bytes.into()).is_none() {
            self.size += bytes.len();
        }
    }

    /// Returns the bytes of a blob that is kept.
    pub(super) fn get(&self, blob: &BlobRef) -> Option<&[u8]> {
        self.blobs.get(&reference(blob)).map(AsRef::as_ref)
    }
}
