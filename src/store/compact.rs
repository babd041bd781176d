//! Compaction: larger blocks at a high level, without bytes that no body needs, and no free pages.
//!
//! Everything happens in the file itself, in one transaction: no second file is renamed into place, which another
//! process that has the store open would go on writing past.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use rusqlite::{Connection, params};

use super::block::{ARCHIVE_LEVEL, Block, BlockCache, load};
use super::change::Change;
use super::extent::{Extent, Place};
use super::file::tidy;
use super::limits::{ARCHIVE_BLOCK_SIZE, LANES};
use super::{Access, Durability, Store, StoreError, read, run};

/// What [`Store::compact`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the file before.
    pub before: u64,
    /// Bytes of the file after.
    pub after: u64,
    /// Blocks before.
    pub blocks_before: u64,
    /// Blocks after.
    pub blocks_after: u64,
}

/// Bytes of blocks that bodies lie in, by block and lane, in order; neighbours are one.
type Live = BTreeMap<(u32, u8), Vec<Range<u32>>>;
/// Where each of them lies now.
type Moved = BTreeMap<(u32, u8), Vec<(Range<u32>, u32, u32)>>;

impl Store {
    /// Seals the file's blocks again, larger and at a high level, checks every body against its digest, and gives
    /// free pages back. `progress` gets steps done and in all.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::DigestMismatch`] or [`StoreError::Corrupt`] if the store was damaged before,
    /// in which case it is left as it was.
    pub fn compact(path: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Compacted, StoreError> {
        let mut store = Self::open(path, Access::Write, Durability::Full)?;
        let before = store.stats()?;
        store.change(|change| compact(change, progress))?;
        let after = store.stats()?;
        tidy(&store.connection, true)?;
        let file_bytes = store.stats()?.file_bytes;
        store.connection.close().map_err(|(_, error)| error)?;
        Ok(Compacted {
            before: before.file_bytes,
            after: file_bytes,
            blocks_before: before.blocks,
            blocks_after: after.blocks,
        })
    }
}

/// Seals the blocks again and checks that the result gives back every body.
pub(crate) fn compact(change: &mut Change<'_>, progress: &mut dyn FnMut(u64, u64)) -> Result<(), StoreError> {
    let connection = change.transaction;
    let (writer, _) = change.writer()?;
    writer.seal_all(connection)?;
    let mut statement = connection.prepare("SELECT id FROM block ORDER BY id")?;
    let old = statement.query_map([], |row| row.get::<_, u32>(0))?.collect::<Result<Vec<_>, _>>()?;
    let mut left = connection.query_row("SELECT count(*) FROM event", [], |row| row.get::<_, u64>(0))?;
    // A block takes about as long as a hundred events.
    let total = 100 * old.len() as u64 + left;
    let live = live(connection)?;
    let mut moved = Moved::new();
    let mut lanes: [Vec<u8>; LANES] = Default::default();
    let mut next = old.last().map_or(1, |id| id + 1);
    for (index, id) in old.iter().enumerate() {
        let block = load(connection, *id)?;
        let held: usize = lanes.iter().map(Vec::len).sum();
        let own = live.range((*id, 0)..(*id + 1, 0));
        let needed: usize = own.clone().flat_map(|(_, ranges)| ranges).map(ExactSizeIterator::len).sum();
        if held > 0 && held + needed > ARCHIVE_BLOCK_SIZE {
            seal(connection, next, &mut lanes)?;
            next += 1;
        }
        for (place, ranges) in own {
            let lane = usize::from(place.1);
            for range in ranges {
                let missing = || StoreError::corrupt(format!("block {id}"), "an extent reaches beyond its lane");
                let bytes = block.lane(lane).get(range.start as usize..range.end as usize).ok_or_else(missing)?;
                moved.entry(*place).or_default().push((range.clone(), next, lanes[lane].len() as u32));
                lanes[lane].extend_from_slice(bytes);
            }
        }
        progress(100 * index as u64, total);
    }
    seal(connection, next, &mut lanes)?;
    if let Some(last) = old.last() {
        connection.execute("DELETE FROM block WHERE id <= ?", [last])?;
    }
    move_places(connection, &moved)?;
    // From here on nothing is trusted: the new file must give back every body.
    let mut cache = BlockCache::new(u64::MAX);
    for (number, run) in run::run_rows(connection)? {
        read::events(connection, number, run.id, |found| {
            let (event, bodies) = found?;
            for (stored, row) in event.bodies.iter().zip(bodies) {
                let mismatch = || StoreError::DigestMismatch { run: run.id, seq: event.seq, slot: stored.slot.clone() };
                row.rebuild(connection, &mut cache)?.ok_or_else(mismatch)?;
            }
            left = left.saturating_sub(1);
            progress(total - left, total);
            Ok(())
        })?;
    }
    change.forget();
    Ok(())
}

fn seal(connection: &Connection, id: u32, lanes: &mut [Vec<u8>; LANES]) -> Result<(), StoreError> {
    let block = Block::from_lanes(&std::mem::take(lanes));
    if block.len() > 0 {
        let (lanes, z) = block.seal(ARCHIVE_LEVEL)?;
        connection.execute("INSERT INTO block (id, lanes, z) VALUES (?, ?, ?)", params![id, lanes, z])?;
    }
    Ok(())
}

/// Finds the bytes that bodies lie in. What a run that is gone left behind is none of them.
fn live(connection: &Connection) -> Result<Live, StoreError> {
    let mut live = Live::new();
    let mut statement = connection.prepare(
        "SELECT request_at FROM event WHERE request_at IS NOT NULL UNION ALL
         SELECT reply_at FROM event WHERE reply_at IS NOT NULL UNION ALL SELECT at FROM body",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for extent in Place::from_bytes(&row.get::<_, Vec<u8>>(0)?)?.extents {
            let range = extent.start..extent.start.saturating_add(extent.length);
            live.entry((extent.block, extent.lane)).or_default().push(range);
        }
    }
    for ranges in live.values_mut() {
        ranges.sort_by_key(|range| (range.start, range.end));
        ranges.dedup_by(|next, range| {
            let touches = next.start <= range.end;
            if touches {
                range.end = range.end.max(next.end);
            }
            touches
        });
    }
    Ok(live)
}

fn move_places(connection: &Connection, moved: &Moved) -> Result<(), StoreError> {
    for (select, update) in [
        (
            "SELECT id, '', request_at FROM event WHERE request_at IS NOT NULL",
            "UPDATE event SET request_at = ?3 WHERE id = ?1",
        ),
        (
            "SELECT id, '', reply_at FROM event WHERE reply_at IS NOT NULL",
            "UPDATE event SET reply_at = ?3 WHERE id = ?1",
        ),
        ("SELECT event, slot, at FROM body", "UPDATE body SET at = ?3 WHERE event = ?1 AND slot = ?2"),
    ] {
        let mut statement = connection.prepare(select)?;
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?)))?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let mut update = connection.prepare(update)?;
        for (id, slot, at) in rows {
            let old = Place::from_bytes(&at)?;
            let mut new = Place { encoding: old.encoding, extents: Vec::new() };
            for extent in &old.extents {
                let place = shift(moved, extent);
                new.push(place.ok_or_else(|| StoreError::corrupt(format!("block {}", extent.block), "missing"))?);
            }
            update.execute(params![id, slot, new.to_bytes()])?;
        }
    }
    let mut statement = connection.prepare("SELECT hash, block, lane, start, length FROM chunk")?;
    let chunks = statement.query_map([], |row| {
        let extent = Extent { block: row.get(1)?, lane: row.get(2)?, start: row.get(3)?, length: row.get(4)? };
        Ok((row.get::<_, i64>(0)?, extent))
    })?;
    let chunks = chunks.collect::<Result<Vec<_>, _>>()?;
    let mut update = connection.prepare("UPDATE chunk SET block = ?2, start = ?3 WHERE hash = ?1")?;
    let mut forget = connection.prepare("DELETE FROM chunk WHERE hash = ?1")?;
    for (hash, extent) in chunks {
        match shift(moved, &extent) {
            Some(new) => update.execute(params![hash, new.block, new.start])?,
            None => forget.execute([hash])?,
        };
    }
    Ok(())
}

fn shift(moved: &Moved, extent: &Extent) -> Option<Extent> {
    let ranges = moved.get(&(extent.block, extent.lane))?;
    let (range, block, start) = &ranges[..ranges.partition_point(|(range, ..)| range.start <= extent.start)].last()?;
    let is_inside = extent.start.checked_add(extent.length)? <= range.end;
    is_inside.then(|| Extent { block: *block, start: start + (extent.start - range.start), ..*extent })
}
