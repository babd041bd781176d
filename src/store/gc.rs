//! Removing runs that nobody needs, and the bytes that only they needed.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, params};

use super::compact::compact;
use super::file::tidy;
use super::read::{self, event_id};
use super::row::{RunRow, RunStatus};
use super::run::run_rows;
use super::{Access, Durability, Store, StoreError};
use crate::canon::RunId;

/// Which runs are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unneeded {
    /// Runs on an instance that did not end, where one begun later with the same name and options did; but none of these,
    /// which somebody still counts on.
    Superseded(BTreeSet<RunId>),
    /// These, whatever they are.
    Runs(Vec<RunId>),
}

/// What [`Store::gc`] removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// The runs.
    pub runs: Vec<RunRow>,
    /// Bytes of their bodies, each counted as often as it was stored.
    pub body_bytes: u64,
    /// Bytes of the file before.
    pub before: u64,
    /// Bytes of the file after.
    pub after: u64,
}

impl Store {
    /// Removes runs and compacts the rest, in one transaction. Nobody else may have the store open, so no run in it is
    /// still being recorded. With `dry_run` nothing is changed. `progress` gets steps done and in all.
    ///
    /// # Errors
    /// As [`Store::compact`]; [`StoreError::Locked`] if somebody else has the store open; [`StoreError::MissingRun`].
    pub fn gc(
        path: &Path,
        unneeded: &Unneeded,
        dry_run: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Collected, StoreError> {
        if dry_run {
            let store = Self::open(path, Access::Read, Durability::Full)?;
            let file = store.stats()?.file_bytes;
            let runs = select(&store.connection, unneeded)?;
            let body_bytes = body_bytes(&store.connection, &runs)?;
            let runs = runs.into_iter().map(|(_, row)| row).collect();
            return Ok(Collected { runs, body_bytes, before: file, after: file });
        }
        // Only whoever is alone can leave the write-ahead log.
        tidy(&Self::open(path, Access::Write, Durability::Full)?.connection, false)?;
        let mut store = Self::open(path, Access::Write, Durability::Full)?;
        let before = store.stats()?.file_bytes;
        let (runs, body_bytes) = store.change(|change| {
            let runs = select(change.transaction, unneeded)?;
            let body_bytes = body_bytes(change.transaction, &runs)?;
            runs.iter().try_for_each(|(number, _)| remove(change.transaction, *number))?;
            compact(change, progress)?;
            Ok((runs, body_bytes))
        })?;
        tidy(&store.connection, true)?;
        let after = store.stats()?.file_bytes;
        store.connection.close().map_err(|(_, error)| error)?;
        Ok(Collected { runs: runs.into_iter().map(|(_, row)| row).collect(), body_bytes, before, after })
    }
}

fn select(connection: &Connection, unneeded: &Unneeded) -> Result<Vec<(u32, RunRow)>, StoreError> {
    let mut rows = run_rows(connection)?;
    let wanted = match unneeded {
        Unneeded::Superseded(kept) => {
            let mut found = superseded(connection, &rows)?;
            found.retain(|id| !kept.contains(id));
            found
        }
        Unneeded::Runs(ids) => {
            let is_missing = |id: &&RunId| !rows.iter().any(|(_, row)| row.id == **id);
            match ids.iter().find(is_missing) {
                Some(missing) => return Err(StoreError::MissingRun(*missing)),
                None => ids.clone(),
            }
        }
    };
    rows.retain(|(_, row)| wanted.contains(&row.id));
    Ok(rows)
}

fn superseded(connection: &Connection, rows: &[(u32, RunRow)]) -> Result<Vec<RunId>, StoreError> {
    let key = |row: &RunRow| {
        let texts = [&row.kind, &row.name, &row.instance, &row.arm, &row.model, &row.tests, &row.orchestration];
        texts.map(String::clone)
    };
    let mut wanted = Vec::new();
    let unfinished = rows.iter().filter(|(_, row)| row.status != RunStatus::Finished && !row.instance.is_empty());
    for (number, row) in unfinished {
        let later = |other: &&(u32, RunRow)| {
            other.1.status == RunStatus::Finished && other.0 > *number && key(&other.1) == key(row)
        };
        for (other, _) in rows.iter().filter(later) {
            // The seed and other options are in the first event.
            if row.events == 0 || header(connection, *number)? == header(connection, *other)? {
                wanted.push(row.id);
                break;
            }
        }
    }
    Ok(wanted)
}

/// Returns the fields of a run's first event.
fn header(connection: &Connection, number: u32) -> Result<String, StoreError> {
    let sql = "SELECT data FROM event WHERE id = ?";
    Ok(connection.prepare_cached(sql)?.query_row([event_id(number, 0)], |row| row.get(0))?)
}

fn body_bytes(connection: &Connection, runs: &[(u32, RunRow)]) -> Result<u64, StoreError> {
    let mut bytes = 0;
    for (number, row) in runs {
        read::events(connection, *number, row.id, |found| {
            bytes += found?.0.bodies.iter().map(|body| body.size).sum::<u64>();
            Ok(())
        })?;
    }
    Ok(bytes)
}

fn remove(connection: &Connection, number: u32) -> Result<(), StoreError> {
    let range = (event_id(number, 0), event_id(number + 1, 0));
    for sql in [
        "DELETE FROM body WHERE event >= ? AND event < ?",
        "DELETE FROM event WHERE id >= ? AND id < ?",
        "DELETE FROM attempt WHERE id >= ? AND id < ?",
    ] {
        connection.execute(sql, params![range.0, range.1])?;
    }
    connection.execute("DELETE FROM run WHERE number = ?", [number])?;
    Ok(())
}
