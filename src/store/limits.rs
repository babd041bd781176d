//! Every size that the format bounds. Readers refuse what writers never make.

/// Lanes of a block.
pub(crate) const LANES: usize = 8;
/// Bytes of one body.
pub const MAX_BODY: u64 = 64 << 20;
/// Extents of one body; a body that would need more is stored afresh.
pub(crate) const MAX_EXTENTS: usize = 4096;
/// Uncompressed bytes at which a block is sealed while recording.
pub(crate) const BLOCK_SIZE: usize = 512 << 10;
/// Uncompressed bytes of a block in a compacted store.
pub(crate) const ARCHIVE_BLOCK_SIZE: usize = 1 << 20;
/// Uncompressed bytes of a block that a reader accepts.
pub(crate) const MAX_BLOCK: usize = 4 << 20;
/// Bytes of an event's own fields, and of its observation.
pub(crate) const MAX_DATA: usize = 16 << 20;
/// Bytes of a name, kind, slot and the like.
pub(crate) const MAX_NAME: usize = 4096;
/// Events of one run.
pub(crate) const MAX_EVENTS: u32 = 1 << 20;
/// Bodies of one event.
pub(crate) const MAX_SLOTS: usize = 1 << 16;
/// Decompressed blocks that are kept in memory, in bytes.
pub(crate) const CACHE_SIZE: usize = 24 << 20;
/// Bodies that are kept in memory as bases for the next one, in bytes.
pub(crate) const BASES_SIZE: usize = 64 << 20;
