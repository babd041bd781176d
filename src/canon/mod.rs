//! Canonical bytes and the digests over them.
//!
//! Everything that is hashed anywhere in the tool passes through here: canonical JSON ([`json`]), digests and blob
//! references ([`digest`]), RFC 6962 Merkle roots ([`merkle`]), digests of file trees ([`tree`]) and the id
//! newtypes ([`id`]). Nothing here reads a file, a clock or the environment.

pub mod digest;
pub mod id;
pub mod json;
pub mod merkle;
pub mod tree;

pub use digest::{Blake3, BlobRef, DigestError, Sha256};
pub use id::{IdError, RunId};
pub use json::CanonError;
pub use tree::{FileMode, Tree, TreeEntry, TreeError};
