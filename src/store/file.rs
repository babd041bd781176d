//! The open store: runs, events and bodies in, and out again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::block::BlockCache;
use super::change::{Change, Writing};
use super::read;
use super::row::{AttemptRow, NewAttempt, NewEvent, NewRun, RunEnd, RunRow, StoredEvent};
use super::run::{find_run, run_rows};
use super::{Access, Durability, StoreError, open};
use crate::canon::{Blake3, RunId};

/// An open transcript store.
///
/// Every method that changes something is one transaction: it has happened when the method returns, and has not
/// happened at all if it fails or the process dies. Several processes may write to one file; each waits for the
/// other's transaction. Dropping a store without [`Store::close`] loses nothing.
#[derive(Debug)]
pub struct Store {
    pub(crate) connection: Connection,
    pub(crate) access: Access,
    pub(crate) cache: RefCell<BlockCache>,
    pub(crate) writing: Writing,
    /// Numbers of the runs read; a run keeps its number.
    numbers: RefCell<BTreeMap<RunId, u32>>,
    /// Where a body with each digest is, by the first eight bytes of the digest; built on first use.
    index: RefCell<Option<BTreeMap<[u8; 8], Vec<(u32, u32)>>>>,
}

impl Store {
    /// Opens a store file.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::NotAStore`], [`StoreError::NewerVersion`], [`StoreError::Refused`] or
    /// [`StoreError::Corrupt`], by what the file is; [`StoreError::Locked`], [`StoreError::DiskFull`] or
    /// [`StoreError::Io`], by the state of the machine.
    pub fn open(path: &Path, access: Access, durability: Durability) -> Result<Self, StoreError> {
        let connection = open::open(path, access, durability)?;
        Ok(Self {
            cache: RefCell::new(BlockCache::new(budget(&connection, access)?)),
            connection,
            access,
            writing: Writing::default(),
            numbers: RefCell::default(),
            index: RefCell::default(),
        })
    }

    /// Returns where the file is, for who opens it once more in another thread.
    pub fn path(&self) -> PathBuf {
        self.connection.path().map(PathBuf::from).unwrap_or_default()
    }

    /// Begins a run.
    ///
    /// # Errors
    /// [`StoreError::RunExists`] if the id is taken.
    pub fn begin_run(&mut self, run: &NewRun<'_>) -> Result<(), StoreError> {
        self.change(|change| change.begin_run(run))
    }

    /// Appends an event to a run and returns its number, counted from 0. The event and all its bodies are durable
    /// when this returns.
    ///
    /// # Errors
    /// [`StoreError::MissingRun`], [`StoreError::RunEnded`]; [`StoreError::Invalid`] or [`StoreError::TooLarge`] for
    /// values that the format cannot hold; [`StoreError::DiskFull`] and [`StoreError::Locked`].
    pub fn append(&mut self, run: RunId, event: &NewEvent<'_>) -> Result<u32, StoreError> {
        self.change(|change| change.append(run, event))
    }

    /// Adds the row of an attempt, for people who query the store.
    ///
    /// # Errors
    /// As [`Store::append`]; [`StoreError::Invalid`] if the run has an attempt of this number.
    pub fn record_attempt(&mut self, run: RunId, attempt: &NewAttempt<'_>) -> Result<(), StoreError> {
        self.change(|change| change.attempt(run, attempt))
    }

    /// Ends a run. Nothing can be appended to it afterwards.
    ///
    /// # Errors
    /// [`StoreError::MissingRun`], [`StoreError::RunEnded`]; [`StoreError::Invalid`] for the status `Open`.
    pub fn finish_run(&mut self, run: RunId, end: &RunEnd<'_>) -> Result<(), StoreError> {
        self.change(|change| change.finish_run(run, end))
    }

    /// Opens a run again that failed or was interrupted, so that it can be gone on with.
    ///
    /// # Errors
    /// [`StoreError::MissingRun`]; [`StoreError::RunEnded`] for a run that came to its own end.
    pub fn reopen_run(&mut self, run: RunId) -> Result<(), StoreError> {
        self.change(|change| change.reopen_run(run))
    }

    /// Returns all runs, the oldest first.
    pub fn runs(&self) -> Result<Vec<RunRow>, StoreError> {
        Ok(run_rows(&self.connection)?.into_iter().map(|(_, run)| run).collect())
    }

    /// Returns one run, if it is there.
    pub fn run(&self, id: RunId) -> Result<Option<RunRow>, StoreError> {
        Ok(find_run(&self.connection, id)?.map(|(_, run)| run))
    }

    /// Returns the events of a run in order, without the bytes of their bodies.
    ///
    /// # Errors
    /// [`StoreError::MissingRun`]; [`StoreError::Corrupt`] if an event is missing or its columns were altered.
    pub fn events(&self, run: RunId) -> Result<Vec<StoredEvent>, StoreError> {
        let number = self.number(run)?;
        let _snapshot = self.connection.unchecked_transaction()?;
        let mut events = Vec::new();
        read::events(&self.connection, number, run, |event| {
            events.push(event?.0);
            Ok(())
        })?;
        Ok(events)
    }

    /// Returns the exact bytes of one body, after checking that they have its digest.
    ///
    /// # Errors
    /// [`StoreError::MissingRun`], [`StoreError::MissingBody`], [`StoreError::DigestMismatch`],
    /// [`StoreError::Corrupt`].
    pub fn body(&self, run: RunId, seq: u32, slot: &str) -> Result<Vec<u8>, StoreError> {
        // One snapshot: while the pieces are gathered, another process may move them to other blocks.
        let _snapshot = self.connection.unchecked_transaction()?;
        let row = read::body_row(&self.connection, self.number(run)?, seq, slot)?;
        let row = row.ok_or_else(|| StoreError::MissingBody { run, seq, slot: slot.to_owned() })?;
        let body = row.rebuild(&self.connection, &mut self.cache.borrow_mut())?;
        body.ok_or_else(|| StoreError::DigestMismatch { run, seq, slot: slot.to_owned() })
    }

    /// Returns a body with this digest, of whichever event, if there is one.
    ///
    /// The first call reads through all events; later calls only look up.
    pub fn blob(&self, digest: &Blake3) -> Result<Option<Vec<u8>>, StoreError> {
        let mut index = self.index.borrow_mut();
        let index = match &mut *index {
            Some(index) => index,
            none => none.insert(digest_index(&self.connection)?),
        };
        let _snapshot = self.connection.unchecked_transaction()?;
        for &(run, seq) in index.get(&prefix(digest)).into_iter().flatten() {
            for row in read::bodies_of(&self.connection, run, seq)? {
                if row.digest == *digest {
                    return row.rebuild(&self.connection, &mut self.cache.borrow_mut());
                }
            }
        }
        Ok(None)
    }

    /// Returns the attempts of a run in order.
    pub fn attempts(&self, run: RunId) -> Result<Vec<AttemptRow>, StoreError> {
        read::attempts(&self.connection, self.number(run)?, run)
    }

    /// Seals what is open, gives free pages back where that pays, and closes the file.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] and the like; everything recorded stays recorded.
    pub fn close(mut self) -> Result<(), StoreError> {
        if self.writing.changed {
            self.change(|change| {
                let transaction = change.transaction;
                change.writer()?.0.seal_all(transaction)
            })?;
            match tidy(&self.connection, false) {
                // Somebody else is at work in the file; the last one to leave tidies up.
                Err(StoreError::Locked) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        self.connection.close().map_err(|(_, error)| error.into())
    }

    pub(crate) fn number(&self, run: RunId) -> Result<u32, StoreError> {
        if let Some(number) = self.numbers.borrow().get(&run) {
            return Ok(*number);
        }
        let mut statement = self.connection.prepare_cached("SELECT number FROM run WHERE id = ?")?;
        let number = statement.query_row([run.to_string()], |row| row.get(0)).optional()?;
        let number = number.ok_or(StoreError::MissingRun(run))?;
        self.numbers.borrow_mut().insert(run, number);
        Ok(number)
    }

    /// Runs `work` as one transaction. On failure the file is as before, and what the writer had in memory is
    /// forgotten.
    pub(crate) fn change<T>(
        &mut self,
        work: impl FnOnce(&mut Change<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if !matches!(self.access, Access::Create | Access::Write) {
            return Err(StoreError::ReadOnly);
        }
        let Self { connection, cache, writing, index, .. } = self;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 = transaction.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        let cache = cache.get_mut();
        if version != writing.version {
            // Another process has written since: nothing that we remember of open blocks is certain.
            *writing = Writing { version, changed: writing.changed, ..Writing::default() };
            cache.clear();
        }
        let mut change = Change { transaction: &transaction, writing, cache };
        let done = work(&mut change).and_then(|value| {
            change.save()?;
            Ok(value)
        });
        let done = match done {
            Ok(value) => transaction.commit().map(|()| value).map_err(StoreError::from),
            Err(error) => {
                drop(transaction);
                Err(error)
            }
        };
        match done {
            Ok(_) => writing.changed = true,
            Err(_) => {
                *writing = Writing { changed: writing.changed, ..Writing::default() };
                cache.clear();
            }
        }
        *index.get_mut() = None;
        done
    }
}

fn prefix(digest: &Blake3) -> [u8; 8] {
    digest.as_bytes()[..8].try_into().expect("a digest has 32 bytes")
}

fn digest_index(connection: &Connection) -> Result<BTreeMap<[u8; 8], Vec<(u32, u32)>>, StoreError> {
    let mut index = BTreeMap::<_, Vec<_>>::new();
    let mut statement = connection.prepare(
        "SELECT id, request FROM event WHERE request IS NOT NULL UNION ALL
         SELECT id, reply FROM event WHERE reply IS NOT NULL UNION ALL SELECT event, digest FROM body",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, digest): (i64, [u8; 32]) = (row.get(0)?, row.get(1)?);
        let event = ((id >> 32) as u32, id as u32);
        let events = index.entry(prefix(&Blake3::from_bytes(digest))).or_default();
        // One place is enough for equal bodies, but different ones may share the prefix.
        if events.len() < 4 && events.last() != Some(&event) {
            events.push(event);
        }
    }
    Ok(index)
}

/// Returns how many bytes may be decompressed from a file; a bound only where somebody else made it.
fn budget(connection: &Connection, access: Access) -> Result<u64, StoreError> {
    if access != Access::Foreign {
        return Ok(u64::MAX);
    }
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, u64>(0));
    let size = number("page_count")?.saturating_mul(number("page_size")?);
    Ok(size.saturating_mul(4096).clamp(4 << 30, 64 << 30))
}

/// Files up to this size are always rewritten without gaps on closing, larger ones if an eighth is free.
const ALWAYS_VACUUM: i64 = 8 << 20;

/// Folds the write-ahead log into the file, so that the file alone is the store, and rewrites it without gaps if that
/// pays or is demanded.
pub(crate) fn tidy(connection: &Connection, always: bool) -> Result<(), StoreError> {
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (pages, free, size) = (number("page_count")?, number("freelist_count")?, number("page_size")?);
    if always || pages * size <= ALWAYS_VACUUM || free >= pages / 8 {
        connection.execute_batch("VACUUM")?;
    }
    Ok(())
}
