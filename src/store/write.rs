//! Putting the bytes of bodies into blocks.
//!
//! A body is compared with the previous body of its conversation (same run, event kind and slot): what they have in
//! common at the beginning and at the end costs extents only. What lies between is cut at content-defined borders,
//! looked up by content, and the rest appended to the run's open block. All of it happens inside the caller's
//! transaction; when that fails, the writer is thrown away and read back from the file.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use fastcdc::v2020::FastCDC;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::StoreError;
use super::block::{self, ARCHIVE_LEVEL, Block, BlockCache, LEVEL};
use super::extent::{Encoding, Extent, Place};
use super::limits::{BASES_SIZE, BLOCK_SIZE, LANES, MAX_EXTENTS};
use super::read;
use super::stream::{self, common_prefix, common_suffix};

/// Sizes of content-defined chunks.
const CHUNK: (usize, usize, usize) = (1024, 4096, 16384);
/// Smaller new text is not looked up.
const MIN_LOOKUP: usize = 1024;
/// A body that has less in common with its base is stored without it.
const MIN_COMMON: usize = 64;

/// Names the sequence of bodies in which each one resembles the one before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Conversation {
    pub(crate) run: u32,
    pub(crate) kind: String,
    pub(crate) slot: String,
}

impl Conversation {
    /// Says whether the body is computed from others of its event: whoever repeats its text repeats theirs too.
    fn is_derived(&self) -> bool {
        self.kind == "exchange" && matches!(&*self.slot, "request" | "canonical")
    }

    /// Bodies that grow side by side lie in lanes of their own, so that the new text of each stays contiguous.
    fn lane(&self) -> usize {
        let slot = match &*self.slot {
            "request" => 0,
            "reply" | "canonical" => 1,
            "sent" => 2,
            // Grows like the others of a recorded agent, which has no model call of ours beside it.
            "received" => return 4,
            _ => 3,
        };
        if matches!(&*self.kind, "model_call" | "exchange") { slot } else { slot + 4 }
    }
}

/// A body as it lies in the blocks: its bytes after the encoding, and where they are.
#[derive(Debug)]
struct Base {
    bytes: Vec<u8>,
    extents: Vec<Extent>,
}

/// A block that still takes text.
#[derive(Debug, Default)]
struct OpenBlock {
    lanes: [Vec<u8>; LANES],
    /// How much of each lane is in hot rows.
    saved: [usize; LANES],
    size: usize,
}

/// What the writing side keeps in memory. All of it can be read back from the file.
#[derive(Debug)]
pub(crate) struct Writer {
    open: BTreeMap<u32, OpenBlock>,
    /// The open block of each active run.
    owners: BTreeMap<u32, u32>,
    next_block: u32,
    bases: BTreeMap<Conversation, Option<Base>>,
    bases_size: usize,
}

impl Writer {
    /// Reads the open blocks from the file.
    pub(crate) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let mut statement = connection.prepare_cached("SELECT DISTINCT id >> 32 FROM hot ORDER BY 1")?;
        let ids = statement.query_map([], |row| row.get::<_, u32>(0))?.collect::<Result<Vec<_>, _>>()?;
        let mut open = BTreeMap::new();
        for id in ids {
            let lanes = block::read_hot(connection, id)?.unwrap_or_default();
            let saved = std::array::from_fn(|lane: usize| lanes[lane].len());
            open.insert(id, OpenBlock { size: saved.iter().sum(), saved, lanes });
        }
        let sealed: Option<u32> = connection.query_row("SELECT max(id) FROM block", [], |row| row.get(0))?;
        let newest = open.last_key_value().map(|(id, _)| *id).max(sealed).unwrap_or(0);
        let next_block = newest.checked_add(1).filter(|id| *id < 1 << 31);
        let next_block = next_block.ok_or_else(|| StoreError::corrupt("the blocks", "their numbers are used up"))?;
        Ok(Self { open, owners: BTreeMap::new(), next_block, bases: BTreeMap::new(), bases_size: 0 })
    }

    /// Gives the run's block to the next run that begins.
    pub(crate) fn release(&mut self, run: u32) {
        self.owners.remove(&run);
        let held: Vec<_> = self.bases.keys().filter(|key| key.run == run).cloned().collect();
        for key in held {
            if let Some(Some(base)) = self.bases.remove(&key) {
                self.bases_size -= base.bytes.len();
            }
        }
    }

    /// Stores one body and returns where it lies. `related` is a body of the same event that may resemble it more
    /// than its predecessor does.
    pub(crate) fn place(
        &mut self,
        connection: &Connection,
        cache: &mut BlockCache,
        conversation: Conversation,
        body: &[u8],
        related: Option<&Conversation>,
    ) -> Result<Place, StoreError> {
        let split = stream::split(body);
        let (encoding, bytes) = match &split {
            Some(split) => (Encoding::Stream, split.as_slice()),
            None => (Encoding::Plain, body),
        };
        let mut place = Place { encoding, extents: Vec::new() };
        let mut tail = Place::plain();
        self.recall(connection, cache, &conversation)?;
        let candidates = [Some(&conversation), related].into_iter().flatten();
        let best = candidates
            .filter_map(|key| self.bases.get(key)?.as_ref())
            .map(|base| {
                let prefix = common_prefix(&base.bytes, bytes);
                (prefix, common_suffix(&base.bytes[prefix..], &bytes[prefix..]), base)
            })
            .max_by_key(|(prefix, suffix, _)| prefix + suffix)
            .filter(|(prefix, suffix, _)| prefix + suffix >= MIN_COMMON);
        let mut between = 0..bytes.len();
        if let Some((prefix, suffix, base)) = best {
            place.push_range(&base.extents, 0, prefix);
            tail.push_range(&base.extents, base.bytes.len() - suffix, base.bytes.len());
            between = prefix..bytes.len() - suffix;
        }
        let lane = conversation.lane();
        let is_noted = !conversation.is_derived();
        let mut target = Target { connection, cache, writer: self, run: conversation.run, lane, is_noted };
        target.add(&mut place, &bytes[between])?;
        tail.extents.into_iter().for_each(|extent| place.push(extent));
        if place.extents.len() > MAX_EXTENTS {
            place.extents.clear();
            target.append(&mut place, bytes)?;
        }
        self.remember(conversation, Base { bytes: bytes.to_vec(), extents: place.extents.clone() });
        Ok(place)
    }

    /// Loads the previous body of a conversation after the store was opened anew.
    fn recall(
        &mut self,
        connection: &Connection,
        cache: &mut BlockCache,
        key: &Conversation,
    ) -> Result<(), StoreError> {
        if let Entry::Vacant(entry) = self.bases.entry(key.clone()) {
            let place = read::last_place(connection, key)?;
            let base = match place {
                Some(place) => Some(Base { bytes: read::gather(connection, cache, &place)?, extents: place.extents }),
                None => None,
            };
            self.bases_size += base.as_ref().map_or(0, |base| base.bytes.len());
            entry.insert(base);
        }
        Ok(())
    }

    fn remember(&mut self, key: Conversation, base: Base) {
        self.bases_size += base.bytes.len();
        if let Some(Some(old)) = self.bases.insert(key, Some(base)) {
            self.bases_size -= old.bytes.len();
        }
        if self.bases_size > BASES_SIZE {
            self.bases.clear();
            self.bases_size = 0;
        }
    }

    /// Writes what the open blocks gained to hot rows.
    pub(crate) fn save(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection.prepare_cached("INSERT INTO hot (id, bytes) VALUES (?, ?)")?;
        for (&id, block) in &mut self.open {
            for (lane, bytes) in block.lanes.iter().enumerate() {
                let saved = &mut block.saved[lane];
                if bytes.len() > *saved {
                    statement.execute(params![block::hot_id(id, lane, *saved), &bytes[*saved..]])?;
                    *saved = bytes.len();
                }
            }
        }
        Ok(())
    }

    /// Seals every open block.
    pub(crate) fn seal_all(&mut self, connection: &Connection) -> Result<(), StoreError> {
        while let Some((&id, _)) = self.open.first_key_value() {
            // Once, when the file is closed: there is time.
            self.seal(connection, id, ARCHIVE_LEVEL)?;
        }
        Ok(())
    }

    fn seal(&mut self, connection: &Connection, id: u32, level: i32) -> Result<(), StoreError> {
        let Some(open) = self.open.remove(&id) else { return Ok(()) };
        self.owners.retain(|_, owned| *owned != id);
        let (lanes, z) = Block::from_lanes(&open.lanes).seal(level)?;
        connection
            .prepare_cached("INSERT INTO block (id, lanes, z) VALUES (?, ?, ?)")?
            .execute(params![id, lanes, z])?;
        let range = block::hot_range(id);
        connection
            .prepare_cached("DELETE FROM hot WHERE id >= ? AND id < ?")?
            .execute(params![range.start, range.end])?;
        Ok(())
    }

    /// Returns the open block of a run: its own, one that nobody has, or a new one.
    fn block_for(&mut self, run: u32, room: usize, connection: &Connection) -> Result<u32, StoreError> {
        let owned = self.owners.get(&run).copied();
        let id = owned.or_else(|| self.open.keys().copied().find(|id| !self.owners.values().any(|owned| owned == id)));
        if let Some(id) = id {
            let size = self.open[&id].size;
            if size == 0 || size + room <= BLOCK_SIZE {
                self.owners.insert(run, id);
                return Ok(id);
            }
            self.seal(connection, id, LEVEL)?;
        }
        let id = self.next_block;
        self.next_block += 1;
        self.open.insert(id, OpenBlock::default());
        self.owners.insert(run, id);
        Ok(id)
    }
}

/// Where new bytes of one body go.
struct Target<'a> {
    connection: &'a Connection,
    cache: &'a mut BlockCache,
    writer: &'a mut Writer,
    run: u32,
    lane: usize,
    /// Whether its chunks are noted for later look-ups.
    is_noted: bool,
}

impl Target<'_> {
    /// Adds bytes to `place`: by reference where the store has them already, the others at the end of the open block.
    fn add(&mut self, place: &mut Place, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() < MIN_LOOKUP {
            return self.append(place, bytes);
        }
        let chunker = FastCDC::new(bytes, CHUNK.0, CHUNK.1, CHUNK.2);
        // `fresh` are chunks between `written` and `at` that the store does not have.
        let (mut written, mut at) = (0, 0);
        let mut fresh: Vec<(usize, usize, i64)> = Vec::new();
        while at < bytes.len() {
            let (_, end) = chunker.cut(at, bytes.len() - at);
            let chunk = &bytes[at..end];
            let hash = chunk_hash(chunk);
            let Some((back, extent)) = self.find(hash, bytes, written, at, end)? else {
                fresh.push((at, end, hash));
                at = end;
                continue;
            };
            self.append_chunks(place, bytes, written, at - back, &fresh)?;
            fresh.clear();
            place.push(extent);
            at = at - back + extent.length as usize;
            written = at;
        }
        self.append_chunks(place, bytes, written, bytes.len(), &fresh)
    }

    /// Looks a chunk up and stretches the find in both directions, back to `written` at most. The hash is a hint:
    /// only equal bytes count.
    fn find(
        &mut self,
        hash: i64,
        bytes: &[u8],
        written: usize,
        at: usize,
        end: usize,
    ) -> Result<Option<(usize, Extent)>, StoreError> {
        if end - at < MIN_LOOKUP {
            return Ok(None);
        }
        let mut statement =
            self.connection.prepare_cached("SELECT block, lane, start, length FROM chunk WHERE hash = ?")?;
        let found = statement
            .query_row([hash], |row| {
                Ok(Extent { block: row.get(0)?, lane: row.get(1)?, start: row.get(2)?, length: row.get(3)? })
            })
            .optional()?;
        let Some(extent) = found.filter(|extent| usize::from(extent.lane) < LANES) else { return Ok(None) };
        let sealed;
        let lane = match self.writer.open.get(&extent.block) {
            Some(open) => open.lanes[usize::from(extent.lane)].as_slice(),
            None => match self.cache.get(self.connection, &extent) {
                Ok(block) => {
                    sealed = block;
                    sealed.lane(usize::from(extent.lane))
                }
                Err(error) if error.is_damage() => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let start = extent.start as usize;
        if lane.get(start..start + extent.length as usize) != Some(&bytes[at..end]) {
            return Ok(None);
        }
        let back = common_suffix(&bytes[written..at], &lane[..start]);
        let ahead = common_prefix(&bytes[end..], &lane[start + extent.length as usize..]);
        let length = (back + end - at + ahead) as u32;
        Ok(Some((back, Extent { start: (start - back) as u32, length, ..extent })))
    }

    /// Appends `bytes[from..to]` chunk by chunk and notes the chunks for later look-ups.
    fn append_chunks(
        &mut self,
        place: &mut Place,
        bytes: &[u8],
        from: usize,
        to: usize,
        chunks: &[(usize, usize, i64)],
    ) -> Result<(), StoreError> {
        let mut at = from;
        for &(start, end, hash) in chunks {
            let end = end.min(to);
            if end <= at {
                break;
            }
            let extent = self.append_piece(place, &bytes[at..end])?;
            if self.is_noted && start == at && end - start >= MIN_LOOKUP && chunk_hash(&bytes[start..end]) == hash {
                let sql = "INSERT OR IGNORE INTO chunk (hash, block, lane, start, length) VALUES (?, ?, ?, ?, ?)";
                self.connection.prepare_cached(sql)?.execute(params![
                    hash,
                    extent.block,
                    extent.lane,
                    extent.start,
                    extent.length
                ])?;
            }
            at = end;
        }
        Ok(())
    }

    /// Appends bytes without any look-up.
    fn append(&mut self, place: &mut Place, bytes: &[u8]) -> Result<(), StoreError> {
        bytes.chunks(CHUNK.2).try_for_each(|piece| self.append_piece(place, piece).map(drop))
    }

    fn append_piece(&mut self, place: &mut Place, piece: &[u8]) -> Result<Extent, StoreError> {
        let id = self.writer.block_for(self.run, piece.len(), self.connection)?;
        let open = self.writer.open.get_mut(&id).expect("block_for returns an open block");
        let lane = &mut open.lanes[self.lane];
        let extent = Extent { block: id, lane: self.lane as u8, start: lane.len() as u32, length: piece.len() as u32 };
        lane.extend_from_slice(piece);
        open.size += piece.len();
        place.push(extent);
        Ok(extent)
    }
}

/// Returns the look-up key of a chunk.
pub(crate) fn chunk_hash(chunk: &[u8]) -> i64 {
    let hash = blake3::hash(chunk);
    i64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}
