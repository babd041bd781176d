//! Blocks: up to eight lanes of text, sealed together in one zstd frame.
//!
//! Each lane collects one kind of body, so that a conversation's new text is contiguous and its extents few; one
//! frame holds them all, so that an answer compresses against the request that repeats it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};
use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, DParameter};

use super::StoreError;
use super::extent::{Extent, put, take};
use super::limits::{CACHE_SIZE, LANES, MAX_BLOCK};

/// Level while recording.
pub(crate) const LEVEL: i32 = 9;
/// Level of a compacted store.
pub(crate) const ARCHIVE_LEVEL: i32 = 19;

/// The uncompressed content of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    /// Where each lane begins, and the end of the last.
    borders: [usize; LANES + 1],
}

impl Block {
    /// Puts lanes together.
    pub(crate) fn from_lanes(lanes: &[Vec<u8>; LANES]) -> Self {
        let mut bytes = Vec::with_capacity(lanes.iter().map(Vec::len).sum());
        let mut borders = [0; LANES + 1];
        for (index, lane) in lanes.iter().enumerate() {
            bytes.extend_from_slice(lane);
            borders[index + 1] = bytes.len();
        }
        Self { bytes, borders }
    }

    pub(crate) fn lane(&self, lane: usize) -> &[u8] {
        &self.bytes[self.borders[lane]..self.borders[lane + 1]]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the bytes of an extent, if the lane holds them.
    pub(crate) fn get(&self, extent: &Extent) -> Option<&[u8]> {
        let start = extent.start as usize;
        self.lane(usize::from(extent.lane)).get(start..start.checked_add(extent.length as usize)?)
    }

    /// Returns the columns `lanes` and `z` of this block.
    pub(crate) fn seal(&self, level: i32) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
        let mut lanes = Vec::new();
        for lane in 0..LANES {
            put(&mut lanes, self.lane(lane).len() as u64);
        }
        let mut context = CCtx::create();
        let mut z = Vec::with_capacity(zstd_safe::compress_bound(self.bytes.len()));
        let parameters =
            [CParameter::CompressionLevel(level), CParameter::ChecksumFlag(true), CParameter::ContentSizeFlag(true)];
        parameters
            .into_iter()
            .try_for_each(|parameter| context.set_parameter(parameter).map(drop))
            .and_then(|()| context.compress2(&mut z, &self.bytes))
            .map_err(|code| StoreError::Invalid(format!("zstd: {}", zstd_safe::get_error_name(code))))?;
        Ok((lanes, z))
    }

    /// Reads a block back from its columns, accepting exactly one frame of exactly the stated size.
    pub(crate) fn open(id: u32, lanes: &[u8], z: &[u8]) -> Result<Self, StoreError> {
        let wrong = |problem: &str| StoreError::corrupt(format!("block {id}"), problem);
        let mut rest = lanes;
        let mut borders = [0; LANES + 1];
        for lane in 0..LANES {
            let length = take(&mut rest).ok_or_else(|| wrong("lane lengths cut off"))?;
            let end = borders[lane] as u64 + length;
            borders[lane + 1] =
                usize::try_from(end).ok().filter(|end| *end <= MAX_BLOCK).ok_or_else(|| wrong("too large"))?;
        }
        if !rest.is_empty() {
            return Err(wrong("bytes after the lane lengths"));
        }
        let size = borders[LANES];
        if !matches!(zstd_safe::get_frame_content_size(z), Ok(Some(held)) if held == size as u64) {
            return Err(wrong("the frame does not hold the stated size"));
        }
        if zstd_safe::find_frame_compressed_size(z) != Ok(z.len()) {
            return Err(wrong("not exactly one whole frame"));
        }
        if zstd_safe::get_dict_id_from_frame(z).is_some() {
            return Err(wrong("the frame asks for a dictionary"));
        }
        let mut bytes = Vec::with_capacity(size);
        let mut context = DCtx::create();
        context
            .set_parameter(DParameter::WindowLogMax(22))
            .and_then(|_| context.decompress(&mut bytes, z))
            .map_err(|code| wrong(zstd_safe::get_error_name(code)))?;
        if bytes.len() != size {
            return Err(wrong("the frame holds fewer bytes than stated"));
        }
        Ok(Self { bytes, borders })
    }
}

const HOT_LANE: u32 = 28;

/// Returns the row id of hot bytes.
pub(crate) fn hot_id(block: u32, lane: usize, start: usize) -> i64 {
    i64::from(block) << 32 | (lane as i64) << HOT_LANE | start as i64
}

/// Returns the row ids that the hot bytes of `block` can have.
pub(crate) fn hot_range(block: u32) -> Range<i64> {
    i64::from(block) << 32..(i64::from(block) + 1) << 32
}

/// Reads the lanes of a block that is not sealed; `None` if there is no such block.
pub(crate) fn read_hot(connection: &Connection, block: u32) -> Result<Option<[Vec<u8>; LANES]>, StoreError> {
    let mut lanes: [Vec<u8>; LANES] = Default::default();
    let range = hot_range(block);
    let mut statement = connection.prepare_cached("SELECT id, bytes FROM hot WHERE id >= ? AND id < ? ORDER BY id")?;
    let mut rows = statement.query(params![range.start, range.end])?;
    let (mut found, mut size) = (false, 0);
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let bytes =
            row.get_ref(1)?.as_blob().map_err(|_| StoreError::corrupt(format!("hot row {id}"), "not a blob"))?;
        let lane = (id >> HOT_LANE & 15) as usize;
        let start = (id & ((1 << HOT_LANE) - 1)) as usize;
        size += bytes.len();
        let lane = lanes.get_mut(lane).filter(|lane| lane.len() == start && size <= MAX_BLOCK && !bytes.is_empty());
        let lane = lane.ok_or_else(|| StoreError::corrupt(format!("hot row {id}"), "not where the lane continues"))?;
        lane.extend_from_slice(bytes);
        found = true;
    }
    Ok(found.then_some(lanes))
}

/// Blocks read lately, newest use last, within [`CACHE_SIZE`] bytes.
#[derive(Debug)]
pub(crate) struct BlockCache {
    blocks: BTreeMap<u32, (u64, Arc<Block>)>,
    clock: u64,
    size: usize,
    /// Bytes that may still be decompressed; bounds the work that a hostile file can ask for.
    left: u64,
}

impl BlockCache {
    /// Returns an empty cache that will decompress `budget` bytes at most.
    pub(crate) fn new(budget: u64) -> Self {
        Self { blocks: BTreeMap::new(), clock: 0, size: 0, left: budget }
    }

    /// Returns block `id`, which must reach at least to the end of `extent`, from memory or from the file.
    pub(crate) fn get(&mut self, connection: &Connection, extent: &Extent) -> Result<Arc<Block>, StoreError> {
        let id = extent.block;
        self.clock += 1;
        if let Some((used, block)) = self.blocks.get_mut(&id)
            && block.get(extent).is_some()
        {
            *used = self.clock;
            return Ok(block.clone());
        }
        // A block that was still open when it was read may have grown since.
        self.remove(id);
        let block = Arc::new(load(connection, id)?);
        self.left = self.left.checked_sub(block.len() as u64).ok_or_else(|| {
            StoreError::corrupt("the blocks", "reading the bodies takes more work than in any sound store")
        })?;
        if block.get(extent).is_none() {
            return Err(StoreError::corrupt(format!("block {id}"), "an extent reaches beyond its lane"));
        }
        self.insert(id, block.clone());
        Ok(block)
    }

    fn insert(&mut self, id: u32, block: Arc<Block>) {
        self.size += block.len();
        self.blocks.insert(id, (self.clock, block));
        while self.size > CACHE_SIZE && self.blocks.len() > 1 {
            let oldest = self.blocks.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| *id);
            self.remove(oldest.expect("the cache holds more than one block"));
        }
    }

    fn remove(&mut self, id: u32) {
        if let Some((_, block)) = self.blocks.remove(&id) {
            self.size -= block.len();
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
        self.size = 0;
    }
}

/// Reads one block from the file, sealed or hot.
pub(crate) fn load(connection: &Connection, id: u32) -> Result<Block, StoreError> {
    let mut statement = connection.prepare_cached("SELECT lanes, z FROM block WHERE id = ?")?;
    let sealed =
        statement.query_row([id], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))).optional()?;
    if let Some((lanes, z)) = sealed {
        return Block::open(id, &lanes, &z);
    }
    match read_hot(connection, id)? {
        Some(lanes) => Ok(Block::from_lanes(&lanes)),
        None => Err(StoreError::corrupt(format!("block {id}"), "missing")),
    }
}
