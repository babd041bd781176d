//! Getting bodies and events back out.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::block::BlockCache;
use super::extent::{Encoding, Place};
use super::limits::{MAX_BODY, MAX_EVENTS, MAX_SLOTS};
use super::row::{AttemptRow, StoredBody, StoredEvent};
use super::write::Conversation;
use super::{StoreError, mark, stream};
use crate::canon::{Blake3, RunId};

/// The two slots that are columns of the event row.
pub(crate) const INLINE: [&str; 2] = ["request", "reply"];

/// Returns the row id of an event.
pub(crate) fn event_id(run: u32, seq: u32) -> i64 {
    i64::from(run) << 32 | i64::from(seq)
}

/// Returns the bytes that lie at `place`, still in their encoding.
pub(crate) fn gather(connection: &Connection, cache: &mut BlockCache, place: &Place) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::with_capacity(place.stored_size() as usize);
    for extent in &place.extents {
        let block = cache.get(connection, extent)?;
        bytes.extend_from_slice(block.get(extent).unwrap_or_default());
    }
    Ok(bytes)
}

/// Where one body lies, and what it must be.
#[derive(Debug)]
pub(crate) struct BodyRow {
    pub(crate) digest: Blake3,
    pub(crate) size: u64,
    pub(crate) at: Vec<u8>,
}

impl BodyRow {
    fn read(row: &Row<'_>, first: usize) -> Result<Option<Self>, StoreError> {
        let digest: Option<[u8; 32]> = row.get(first)?;
        let (size, at): (Option<u64>, Option<Vec<u8>>) = (row.get(first + 1)?, row.get(first + 2)?);
        match (digest, size, at) {
            (None, None, None) => Ok(None),
            (Some(digest), Some(size), Some(at)) if size <= MAX_BODY => {
                Ok(Some(Self { digest: Blake3::from_bytes(digest), size, at }))
            }
            _ => Err(StoreError::corrupt("a body's columns", "some are missing, or the size is out of range")),
        }
    }

    /// Rebuilds the body; `None` if its bytes do not have the digest.
    pub(crate) fn rebuild(
        &self,
        connection: &Connection,
        cache: &mut BlockCache,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let place = Place::from_bytes(&self.at)?;
        if place.encoding == Encoding::Plain && place.stored_size() != self.size {
            return Err(StoreError::corrupt("an extent list", "it does not add up to the size of its body"));
        }
        let bytes = gather(connection, cache, &place)?;
        let body = match place.encoding {
            Encoding::Plain => bytes,
            Encoding::Stream => stream::join(&bytes, self.size as usize).ok_or_else(|| {
                StoreError::corrupt("a rearranged stream", "it does not rebuild to the size of its body")
            })?,
        };
        Ok((Blake3::of(&body) == self.digest).then_some(body))
    }
}

/// Finds one body.
pub(crate) fn body_row(connection: &Connection, run: u32, seq: u32, slot: &str) -> Result<Option<BodyRow>, StoreError> {
    let sql = match slot {
        "request" => "SELECT request, request_size, request_at FROM event WHERE id = ?1",
        "reply" => "SELECT reply, reply_size, reply_at FROM event WHERE id = ?1",
        _ => "SELECT digest, size, at FROM body WHERE event = ?1 AND slot = ?2",
    };
    let mut statement = connection.prepare_cached(sql)?;
    let id = event_id(run, seq);
    let mut rows = if INLINE.contains(&slot) { statement.query([id])? } else { statement.query(params![id, slot])? };
    match rows.next()? {
        Some(row) => BodyRow::read(row, 0),
        None => Ok(None),
    }
}

/// Returns where the latest body of a conversation lies.
pub(crate) fn last_place(connection: &Connection, key: &Conversation) -> Result<Option<Place>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT id FROM event WHERE id >= ? AND id < ? AND kind = ? ORDER BY id DESC LIMIT 1")?;
    let range = (event_id(key.run, 0), event_id(key.run + 1, 0));
    let last: Option<i64> = statement.query_row(params![range.0, range.1, key.kind], |row| row.get(0)).optional()?;
    let Some(last) = last else { return Ok(None) };
    let row = body_row(connection, key.run, (last & 0xffff_ffff) as u32, &key.slot)?;
    row.map(|row| Place::from_bytes(&row.at)).transpose()
}

/// An event with the places of its bodies, in the same order.
pub(crate) type Found = (StoredEvent, Vec<BodyRow>);

/// Reads the events of a run in order and returns their number. A damaged event is handed on as an error, and
/// reading goes on behind it if `each` lets it.
pub(crate) fn events(
    connection: &Connection,
    run: u32,
    id: RunId,
    mut each: impl FnMut(Result<Found, StoreError>) -> Result<(), StoreError>,
) -> Result<u32, StoreError> {
    let range = (event_id(run, 0), event_id(run + 1, 0));
    let mut statement = connection.prepare_cached(
        "SELECT id, kind, data, observation, mark, request, request_size, request_at, reply, reply_size, reply_at
         FROM event WHERE id >= ? AND id < ? ORDER BY id",
    )?;
    let mut rest = connection.prepare_cached(
        "SELECT event, slot, digest, size, at FROM body WHERE event >= ? AND event < ? ORDER BY event, slot",
    )?;
    let mut rows = statement.query(params![range.0, range.1])?;
    let mut others = rest.query(params![range.0, range.1])?;
    let mut other = others.next()?;
    let mut expected = 0;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(0)? != event_id(run, expected) || expected == MAX_EVENTS {
            return Err(StoreError::corrupt(format!("event {expected} of run {id}"), "missing, or one too many"));
        }
        let mut extra = Vec::new();
        while let Some(found) = other {
            if found.get::<_, i64>(0)? != event_id(run, expected) {
                break;
            }
            if extra.len() == MAX_SLOTS {
                return Err(StoreError::corrupt(format!("event {expected} of run {id}"), "too many bodies"));
            }
            extra.push(BodyRow::read(found, 2).and_then(|body| Ok((found.get::<_, String>(1)?, body))));
            other = others.next()?;
        }
        each(event(row, id, expected, extra))?;
        expected += 1;
    }
    if other.is_some() {
        return Err(StoreError::corrupt(format!("run {id}"), "bodies without an event"));
    }
    Ok(expected)
}

fn event(
    row: &Row<'_>,
    run: RunId,
    seq: u32,
    extra: Vec<Result<(String, Option<BodyRow>), StoreError>>,
) -> Result<Found, StoreError> {
    let mut bodies = Vec::new();
    let mut places = Vec::new();
    let inline =
        INLINE.iter().enumerate().map(|(index, slot)| Ok(((*slot).to_owned(), BodyRow::read(row, 5 + 3 * index)?)));
    for body in inline.chain(extra) {
        if let (slot, Some(body)) = body? {
            bodies.push(StoredBody { slot, digest: body.digest, size: body.size });
            places.push(body);
        }
    }
    let data = row.get::<_, String>(2)?.into_bytes();
    let event = StoredEvent { seq, kind: row.get(1)?, data, bodies, observation: row.get(3)? };
    if row.get::<_, i64>(4)? != mark::event(run, &event) {
        return Err(StoreError::corrupt(format!("event {seq} of run {run}"), "its columns do not match its mark"));
    }
    Ok((event, places))
}

/// Returns the rows of all bodies of one event.
pub(crate) fn bodies_of(connection: &Connection, run: u32, seq: u32) -> Result<Vec<BodyRow>, StoreError> {
    let mut found = Vec::new();
    for slot in INLINE {
        found.extend(body_row(connection, run, seq, slot)?);
    }
    let mut statement = connection.prepare_cached("SELECT digest, size, at FROM body WHERE event = ?")?;
    let mut rows = statement.query([event_id(run, seq)])?;
    while let Some(row) = rows.next()? {
        found.extend(BodyRow::read(row, 0)?);
    }
    Ok(found)
}

/// Returns the attempts of a run in order.
pub(crate) fn attempts(connection: &Connection, run: u32, id: RunId) -> Result<Vec<AttemptRow>, StoreError> {
    let sql = "SELECT id & 4294967295, outcome, codes, mark FROM attempt WHERE id >= ? AND id < ? ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![event_id(run, 0), event_id(run + 1, 0)])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        let attempt = AttemptRow { number: row.get(0)?, outcome: row.get(1)?, codes: row.get(2)? };
        if row.get::<_, i64>(3)? != mark::attempt(id, &attempt) {
            let place = format!("attempt {} of run {id}", attempt.number);
            return Err(StoreError::corrupt(place, "its columns do not match its mark"));
        }
        attempts.push(attempt);
    }
    Ok(attempts)
}
