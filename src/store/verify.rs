//! Checking a whole store: every page, block, row and body is read, and every digest computed again.

use rusqlite::{Connection, OptionalExtension as _};

use super::block::{self, Block, BlockCache};
use super::extent::Extent;
use super::limits::LANES;
use super::read::{self, Found};
use super::run::run_by_number;
use super::stats::body_bytes;
use super::write::chunk_hash;
use super::{Store, StoreError};
use crate::canon::RunId;

/// More damage than this is counted, not listed.
const MAX_LISTED: usize = 100;

/// One place where a store contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The row, block or body.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What [`Store::verify`] read and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Runs read.
    pub runs: u64,
    /// Events whose columns match their mark.
    pub events: u64,
    /// Bodies whose bytes have their digest.
    pub bodies: u64,
    /// Bytes of those bodies.
    pub body_bytes: u64,
    /// Sealed blocks that open.
    pub blocks: u64,
    /// Look-up entries that lead to the bytes they name.
    pub chunks: u64,
    /// The first hundred places of damage.
    pub damage: Vec<Damage>,
    /// Number of all places of damage.
    pub damaged: u64,
}

impl VerifyReport {
    /// Returns the report on a store that is too damaged to be opened.
    pub fn of(error: StoreError) -> Self {
        let mut report = Self::default();
        match error {
            StoreError::Corrupt { place, problem } => report.add(place, problem),
            other => report.add("the store", other.to_string()),
        }
        report
    }

    /// Returns whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damaged == 0
    }

    fn add(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        self.damaged += 1;
        if self.damage.len() < MAX_LISTED {
            self.damage.push(Damage { place: place.into(), problem: problem.into() });
        }
    }

    /// Notes damage and lets the check go on; anything else ends it.
    fn note<T>(&mut self, place: &str, result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match result {
            Ok(value) => return Ok(Some(value)),
            Err(StoreError::Corrupt { place: inner, problem }) => self.add(format!("{place}: {inner}"), problem),
            Err(error) if error.is_damage() => self.add(place, error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}

impl Store {
    /// Reads everything and computes every digest again. `progress` gets the bytes of bodies done and in all.
    ///
    /// # Errors
    /// Damage is in the report; an error is what keeps the check from being made at all.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, StoreError> {
        let connection = &self.connection;
        let _snapshot = connection.unchecked_transaction()?;
        let mut report = VerifyReport::default();
        let pages = check_pages(connection, &mut report);
        report.note("the database file", pages)?;
        let blocks = check_blocks(connection, &mut report);
        report.note("the blocks", blocks)?;
        let total = report.note("the sizes", body_bytes(connection))?.unwrap_or_default();
        let cache = &mut *self.cache.borrow_mut();
        cache.clear();
        let bodies = check_runs(connection, cache, &mut report, &mut |done| progress(done, total));
        report.note("the runs", bodies)?;
        let chunks = check_chunks(connection, cache, &mut report);
        report.note("the look-up table", chunks)?;
        let strays = check_strays(connection, &mut report);
        report.note("the rows", strays)?;
        Ok(report)
    }
}

fn check_pages(connection: &Connection, report: &mut VerifyReport) -> Result<(), StoreError> {
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let verdict: String = row.get(0)?;
        if verdict != "ok" {
            report.add("the database file", verdict);
        }
    }
    Ok(())
}

fn check_blocks(connection: &Connection, report: &mut VerifyReport) -> Result<(), StoreError> {
    let mut statement = connection.prepare("SELECT id, lanes, z FROM block ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: u32 = row.get(0)?;
        let (lanes, z): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?);
        let opened = report.note("a block", Block::open(id, &lanes, &z))?;
        report.blocks += u64::from(opened.is_some());
        if block::read_hot(connection, id).is_ok_and(|hot| hot.is_some()) {
            report.add(format!("block {id}"), "sealed and open at once");
        }
    }
    let mut statement = connection.prepare("SELECT DISTINCT id >> 32 FROM hot")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let hot = row.get(0).map_err(StoreError::from).and_then(|id| block::read_hot(connection, id));
        report.note("an open block", hot)?;
    }
    Ok(())
}

fn check_runs(
    connection: &Connection,
    cache: &mut BlockCache,
    report: &mut VerifyReport,
    progress: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let mut statement = connection.prepare("SELECT number FROM run ORDER BY number")?;
    let numbers = statement.query_map([], |row| row.get::<_, u32>(0))?.collect::<Result<Vec<_>, _>>()?;
    for number in numbers {
        let Some(run) = report.note("a run", run_by_number(connection, number))? else { continue };
        report.runs += 1;
        let mut check = |found| check_event(connection, cache, report, run.id, found, progress);
        let events = read::events(connection, number, run.id, &mut check);
        let place = format!("run {}", run.id);
        if report.note(&place, events)?.is_some_and(|events| events != run.events) {
            report.add(place, format!("it does not have the {} events that it ended with", run.events));
        }
        let attempts = read::attempts(connection, number, run.id);
        report.note("an attempt", attempts)?;
    }
    Ok(())
}

fn check_event(
    connection: &Connection,
    cache: &mut BlockCache,
    report: &mut VerifyReport,
    run: RunId,
    found: Result<Found, StoreError>,
    progress: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let Some((event, bodies)) = report.note("an event", found)? else { return Ok(()) };
    report.events += 1;
    for (stored, row) in event.bodies.iter().zip(bodies) {
        let (seq, slot) = (event.seq, stored.slot.clone());
        let rebuilt = row
            .rebuild(connection, cache)
            .and_then(|body| body.map(drop).ok_or(StoreError::DigestMismatch { run, seq, slot }));
        let place = format!("body {:?} of event {seq} of run {run}", stored.slot);
        if report.note(&place, rebuilt)?.is_some() {
            report.bodies += 1;
            report.body_bytes += stored.size;
        }
        progress(report.body_bytes);
    }
    Ok(())
}

fn check_chunks(connection: &Connection, cache: &mut BlockCache, report: &mut VerifyReport) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare("SELECT hash, block, lane, start, length FROM chunk ORDER BY block, lane, start")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let hash: i64 = row.get(0)?;
        let extent = Extent { block: row.get(1)?, lane: row.get(2)?, start: row.get(3)?, length: row.get(4)? };
        let found = if usize::from(extent.lane) < LANES {
            cache
                .get(connection, &extent)
                .map(|block| block.get(&extent).is_some_and(|chunk| chunk_hash(chunk) == hash))
        } else {
            Ok(false)
        };
        match report.note("the look-up table", found)? {
            Some(true) => report.chunks += 1,
            Some(false) => report.add(format!("look-up entry {hash}"), "it leads to other bytes"),
            None => {}
        }
    }
    Ok(())
}

fn check_strays(connection: &Connection, report: &mut VerifyReport) -> Result<(), StoreError> {
    for (what, sql) in [
        ("event", "SELECT id FROM event WHERE id >> 32 NOT IN (SELECT number FROM run) LIMIT 1"),
        ("body of event", "SELECT event FROM body WHERE event NOT IN (SELECT id FROM event) LIMIT 1"),
        ("attempt", "SELECT id FROM attempt WHERE id >> 32 NOT IN (SELECT number FROM run) LIMIT 1"),
    ] {
        if let Some(id) = connection.query_row(sql, [], |row| row.get::<_, i64>(0)).optional()? {
            report.add(format!("{what} {id}"), "it belongs to nothing");
        }
    }
    Ok(())
}
