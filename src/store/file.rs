//! The open store: runs, events and bodies in, and out again.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::block::BlockCache;
use super::extent::Place;
use super::limits::{MAX_BODY, MAX_DATA, MAX_EVENTS, MAX_NAME, MAX_SLOTS};
use super::read::{self, INLINE, event_id};
use super::row::{AttemptRow, NewAttempt, NewEvent, NewRun, RunEnd, RunRow, RunStatus, StoredBody, StoredEvent};
use super::write::{Conversation, Writer};
use super::{Access, Durability, StoreError, mark, open};
use crate::canon::{Blake3, RunId, Sha256};

/// An open transcript store.
///
/// Every method that changes something is one transaction: it has happened when the method returns, and has not
/// happened at all if it fails or the process dies. Several processes may write to one file; each waits for the
/// other's transaction. Dropping a store without [`Store::close`] loses nothing.
#[derive(Debug)]
pub struct Store {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    pub(crate) access: Access,
    pub(crate) cache: RefCell<BlockCache>,
    pub(crate) writing: Writing,
    /// Where a body with each digest is, by the first eight bytes of the digest; built on first use.
    index: RefCell<Option<BTreeMap<[u8; 8], Vec<(u32, u32)>>>>,
}

/// What this process knows about the file as a writer, as long as nobody else changes it.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    writer: Option<Writer>,
    /// Number and next event of the runs appended to.
    runs: BTreeMap<RunId, (u32, u32)>,
    version: i64,
    pub(crate) changed: bool,
}

impl Store {
    /// Opens a store file.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::NotAStore`], [`StoreError::NewerVersion`], [`StoreError::Refused`] or
    /// [`StoreError::Corrupt`], by what the file is; [`StoreError::Locked`], [`StoreError::DiskFull`] or
    /// [`StoreError::Io`], by the state of the machine.
    pub fn open(path: &Path, access: Access, durability: Durability) -> Result<Self, StoreError> {
        Ok(Self {
            connection: open::open(path, access, durability)?,
            path: path.to_owned(),
            access,
            cache: RefCell::default(),
            writing: Writing::default(),
            index: RefCell::default(),
        })
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
        let mut events = Vec::new();
        read::events(&self.connection, number, run, |event, _| {
            events.push(event);
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
        let number = self.number(run)?;
        let mut statement = self
            .connection
            .prepare_cached("SELECT number, outcome, codes, mark FROM attempt WHERE id >= ? AND id < ? ORDER BY id")?;
        let mut rows = statement.query(params![event_id(number, 0), event_id(number + 1, 0)])?;
        let mut attempts = Vec::new();
        while let Some(row) = rows.next()? {
            let attempt = AttemptRow { number: row.get(0)?, outcome: row.get(1)?, codes: row.get(2)? };
            if row.get::<_, i64>(3)? != mark::attempt(run, &attempt) {
                let place = format!("attempt {} of run {run}", attempt.number);
                return Err(StoreError::corrupt(place, "its columns do not match its mark"));
            }
            attempts.push(attempt);
        }
        Ok(attempts)
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
            match tidy(&self.connection) {
                // Somebody else is at work in the file; the last one to leave tidies up.
                Err(StoreError::Locked) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        self.connection.close().map_err(|(_, error)| error.into())
    }

    pub(crate) fn number(&self, run: RunId) -> Result<u32, StoreError> {
        if let Some((number, _)) = self.writing.runs.get(&run) {
            return Ok(*number);
        }
        let mut statement = self.connection.prepare_cached("SELECT number FROM run WHERE id = ?")?;
        let number = statement.query_row([run.to_string()], |row| row.get(0)).optional()?;
        number.ok_or(StoreError::MissingRun(run))
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
        let version = transaction.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        let cache = cache.get_mut();
        if version != writing.version {
            // Another process has written since: nothing that we remember of open blocks is certain.
            *writing = Writing { version, changed: writing.changed, ..Writing::default() };
            cache.clear();
        }
        let mut change = Change { transaction: &transaction, writing, cache };
        let done = work(&mut change).and_then(|value| {
            if let Some(writer) = &mut change.writing.writer {
                writer.save(&transaction)?;
            }
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

/// One transaction that changes the store.
pub(crate) struct Change<'a> {
    pub(crate) transaction: &'a Transaction<'a>,
    writing: &'a mut Writing,
    cache: &'a mut BlockCache,
}

impl Change<'_> {
    pub(crate) fn writer(&mut self) -> Result<(&mut Writer, &mut BlockCache), StoreError> {
        let writer = match &mut self.writing.writer {
            Some(writer) => writer,
            none => none.insert(Writer::load(self.transaction)?),
        };
        Ok((writer, self.cache))
    }

    pub(crate) fn begin_run(&mut self, run: &NewRun<'_>) -> Result<(), StoreError> {
        let texts = [run.name, run.kind, run.instance, run.arm, run.model, run.tests, run.orchestration];
        for text in texts {
            check_size("a name", text.len(), MAX_NAME)?;
        }
        if find_run(self.transaction, run.id)?.is_some() {
            return Err(StoreError::RunExists(run.id));
        }
        let [name, kind, instance, arm, model, tests, orchestration] = texts.map(str::to_owned);
        let row = RunRow {
            id: run.id,
            name,
            kind,
            instance,
            arm,
            model,
            tests,
            orchestration,
            started_ms: run.started_ms,
            status: RunStatus::Open,
            outcome: String::new(),
            attempts: 0,
            raw_root: None,
            canonical_root: None,
            finished_ms: None,
            events: 0,
        };
        let last: Option<u32> = self.transaction.query_row("SELECT max(number) FROM run", [], |row| row.get(0))?;
        let number = last.unwrap_or(0) + 1;
        self.transaction
            .prepare_cached(
                "INSERT INTO run (number, id, name, kind, instance, arm, model, tests, orchestration, started_ms, status, outcome, attempts, mark)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', 0, ?)",
            )?
            .execute(params![
                number,
                row.id.to_string(),
                row.name,
                row.kind,
                row.instance,
                row.arm,
                row.model,
                row.tests,
                row.orchestration,
                integer(row.started_ms)?,
                row.status.as_str(),
                mark::run(&row),
            ])?;
        self.writing.runs.insert(run.id, (number, 0));
        Ok(())
    }

    /// Returns the number of an open run and the number of its next event.
    fn open_run(&mut self, run: RunId) -> Result<(u32, u32), StoreError> {
        if let Some(known) = self.writing.runs.get(&run) {
            return Ok(*known);
        }
        let (number, row) = find_run(self.transaction, run)?.ok_or(StoreError::MissingRun(run))?;
        if row.status != RunStatus::Open {
            return Err(StoreError::RunEnded(run));
        }
        self.writing.runs.insert(run, (number, row.events));
        Ok((number, row.events))
    }

    pub(crate) fn append(&mut self, run: RunId, event: &NewEvent<'_>) -> Result<u32, StoreError> {
        let data = std::str::from_utf8(event.data)
            .map_err(|_| StoreError::Invalid("an event's fields are not UTF-8".to_owned()))?;
        check_size("an event's kind", event.kind.len(), MAX_NAME)?;
        check_size("an event's fields", data.len(), MAX_DATA)?;
        check_size("an event's observation", event.observation.len(), MAX_DATA)?;
        let bodies = in_order(event.bodies)?;
        let (number, seq) = self.open_run(run)?;
        if seq >= MAX_EVENTS {
            return Err(StoreError::Invalid(format!("run {run} has {seq} events, and may not have more")));
        }
        let mut row = StoredEvent {
            seq,
            kind: event.kind.to_owned(),
            data: event.data.to_vec(),
            bodies: Vec::new(),
            observation: event.observation.to_owned(),
        };
        let mut places: Vec<Vec<u8>> = Vec::new();
        for (slot, body) in bodies {
            let stored = StoredBody { slot: slot.to_owned(), digest: Blake3::of(body), size: body.len() as u64 };
            let twin = row.bodies.iter().position(|other| other.digest == stored.digest);
            let at = match twin {
                Some(twin) => places[twin].clone(),
                None => self.place(number, event.kind, slot, body)?.to_bytes(),
            };
            row.bodies.push(stored);
            places.push(at);
        }
        self.insert(run, number, data, &row, &places)?;
        self.writing.runs.insert(run, (number, seq + 1));
        Ok(seq)
    }

    fn place(&mut self, run: u32, kind: &str, slot: &str, body: &[u8]) -> Result<Place, StoreError> {
        let named = |slot: &str| Conversation { run, kind: kind.to_owned(), slot: slot.to_owned() };
        let related = (slot == "canonical").then(|| named("reply"));
        let connection = self.transaction;
        let (writer, cache) = self.writer()?;
        writer.place(connection, cache, named(slot), body, related.as_ref())
    }

    fn insert(
        &mut self,
        run: RunId,
        number: u32,
        data: &str,
        event: &StoredEvent,
        places: &[Vec<u8>],
    ) -> Result<(), StoreError> {
        let id = event_id(number, event.seq);
        let inline = INLINE.map(|slot| event.bodies.iter().zip(places).find(|(body, _)| body.slot == slot));
        let digest = |index: usize| inline[index].map(|(body, _)| body.digest.as_bytes().as_slice());
        let size = |index: usize| inline[index].map(|(body, _)| body.size as i64);
        let at = |index: usize| inline[index].map(|(_, at)| at);
        self.transaction
            .prepare_cached(
                "INSERT INTO event (id, kind, data, request, request_size, request_at, reply, reply_size, reply_at, observation, mark)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                id,
                event.kind,
                data,
                digest(0),
                size(0),
                at(0),
                digest(1),
                size(1),
                at(1),
                event.observation,
                mark::event(run, event),
            ])?;
        let mut statement = self
            .transaction
            .prepare_cached("INSERT INTO body (event, slot, digest, size, at) VALUES (?, ?, ?, ?, ?)")?;
        for (body, at) in event.bodies.iter().zip(places).filter(|(body, _)| !INLINE.contains(&&*body.slot)) {
            statement.execute(params![id, body.slot, body.digest.as_bytes(), body.size as i64, at])?;
        }
        Ok(())
    }

    pub(crate) fn attempt(&mut self, run: RunId, attempt: &NewAttempt<'_>) -> Result<(), StoreError> {
        check_size("an attempt's outcome", attempt.outcome.len(), MAX_NAME)?;
        check_size("an attempt's codes", attempt.codes.len(), MAX_DATA)?;
        let (number, _) = self.open_run(run)?;
        let row =
            AttemptRow { number: attempt.number, outcome: attempt.outcome.to_owned(), codes: attempt.codes.to_owned() };
        let added = self
            .transaction
            .prepare_cached("INSERT OR IGNORE INTO attempt (id, outcome, codes, mark) VALUES (?, ?, ?, ?)")?
            .execute(params![event_id(number, row.number), row.outcome, row.codes, mark::attempt(run, &row)])?;
        if added == 0 {
            return Err(StoreError::Invalid(format!("run {run} has an attempt {} already", row.number)));
        }
        Ok(())
    }

    pub(crate) fn reopen_run(&mut self, run: RunId) -> Result<(), StoreError> {
        let (number, mut row) = find_run(self.transaction, run)?.ok_or(StoreError::MissingRun(run))?;
        match row.status {
            RunStatus::Open => return Ok(()),
            RunStatus::Finished => return Err(StoreError::RunEnded(run)),
            RunStatus::Failed | RunStatus::Interrupted => {}
        }
        row.status = RunStatus::Open;
        row.outcome = String::new();
        row.attempts = 0;
        (row.raw_root, row.canonical_root, row.finished_ms) = (None, None, None);
        self.transaction.execute(
            "UPDATE run SET status = ?, outcome = '', attempts = 0, raw_root = NULL, canonical_root = NULL,
                            finished_ms = NULL, mark = ? WHERE number = ?",
            params![row.status.as_str(), mark::run(&row), number],
        )?;
        Ok(())
    }

    pub(crate) fn finish_run(&mut self, run: RunId, end: &RunEnd<'_>) -> Result<(), StoreError> {
        check_size("an outcome", end.outcome.len(), MAX_NAME)?;
        if end.status == RunStatus::Open {
            return Err(StoreError::Invalid("a run cannot end as open".to_owned()));
        }
        let (number, events) = self.open_run(run)?;
        let (_, mut row) = find_run(self.transaction, run)?.ok_or(StoreError::MissingRun(run))?;
        row.status = end.status;
        row.outcome = end.outcome.to_owned();
        row.attempts = end.attempts;
        row.events = events;
        row.raw_root = Some(end.raw_root);
        row.canonical_root = Some(end.canonical_root);
        row.finished_ms = Some(end.finished_ms);
        self.transaction
            .prepare_cached(
                "UPDATE run SET status = ?, outcome = ?, attempts = ?, events = ?, raw_root = ?, canonical_root = ?, finished_ms = ?, mark = ?
                 WHERE number = ?",
            )?
            .execute(params![
                row.status.as_str(),
                row.outcome,
                row.attempts,
                row.events,
                end.raw_root.as_bytes(),
                end.canonical_root.as_bytes(),
                integer(end.finished_ms)?,
                mark::run(&row),
                number,
            ])?;
        self.writing.runs.remove(&run);
        if let Some(writer) = &mut self.writing.writer {
            writer.release(number);
        }
        Ok(())
    }
}

/// Sorts bodies as they are stored: the inline slots, then the others by name.
fn in_order<'a>(bodies: &[(&'a str, &'a [u8])]) -> Result<Vec<(&'a str, &'a [u8])>, StoreError> {
    let mut slots = BTreeSet::new();
    for (slot, body) in bodies {
        check_size("a slot's name", slot.len(), MAX_NAME)?;
        check_size("a body", body.len(), MAX_BODY as usize)?;
        if slot.is_empty() || !slots.insert(*slot) {
            return Err(StoreError::Invalid(format!("slot {slot:?} is empty or given twice")));
        }
    }
    if slots.len() > MAX_SLOTS {
        return Err(StoreError::Invalid(format!("an event has {} bodies; the limit is {MAX_SLOTS}", slots.len())));
    }
    let mut bodies = bodies.to_vec();
    bodies.sort_by_key(|(slot, _)| (INLINE.iter().position(|inline| inline == slot).unwrap_or(INLINE.len()), *slot));
    Ok(bodies)
}

fn check_size(what: &str, size: usize, limit: usize) -> Result<(), StoreError> {
    if size > limit {
        return Err(StoreError::TooLarge { what: what.to_owned(), size: size as u64, limit: limit as u64 });
    }
    Ok(())
}

fn integer(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::Invalid(format!("time {value} is out of range")))
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

const RUN_COLUMNS: &str =
    "SELECT number, id, name, kind, instance, arm, model, tests, orchestration, started_ms, status, outcome,
 attempts, events, raw_root, canonical_root, finished_ms, mark FROM run";

pub(crate) fn run_rows(connection: &Connection) -> Result<Vec<(u32, RunRow)>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{RUN_COLUMNS} ORDER BY number"))?;
    let mut rows = statement.query([])?;
    let mut runs = Vec::new();
    while let Some(row) = rows.next()? {
        runs.push(run_row(connection, row)?);
    }
    Ok(runs)
}

pub(crate) fn find_run(connection: &Connection, id: RunId) -> Result<Option<(u32, RunRow)>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{RUN_COLUMNS} WHERE id = ?"))?;
    let mut rows = statement.query([id.to_string()])?;
    rows.next()?.map(|row| run_row(connection, row)).transpose()
}

fn run_row(connection: &Connection, row: &Row<'_>) -> Result<(u32, RunRow), StoreError> {
    let number: u32 = row.get(0)?;
    let wrong = |problem: &str| StoreError::corrupt(format!("run row {number}"), problem);
    let time = |index| -> Result<Option<u64>, StoreError> {
        let value: Option<i64> = row.get(index)?;
        value.map(|value| u64::try_from(value).map_err(|_| wrong("a time is negative"))).transpose()
    };
    let root = |index| -> Result<Option<Sha256>, StoreError> {
        Ok(row.get::<_, Option<[u8; 32]>>(index)?.map(Sha256::from_bytes))
    };
    let (id, status): (String, String) = (row.get(1)?, row.get(10)?);
    let events = match row.get::<_, Option<u32>>(13)? {
        Some(events) => events,
        None => {
            let sql = "SELECT max(id) FROM event WHERE id >= ? AND id < ?";
            let mut statement = connection.prepare_cached(sql)?;
            let range = (event_id(number, 0), event_id(number + 1, 0));
            let last: Option<i64> = statement.query_row(params![range.0, range.1], |row| row.get(0))?;
            last.map_or(0, |id| id as u32 + 1)
        }
    };
    let run = RunRow {
        id: id.parse().map_err(|_| wrong("its id is not an id"))?,
        name: row.get(2)?,
        kind: row.get(3)?,
        instance: row.get(4)?,
        arm: row.get(5)?,
        model: row.get(6)?,
        tests: row.get(7)?,
        orchestration: row.get(8)?,
        started_ms: time(9)?.unwrap_or_default(),
        status: RunStatus::from_text(&status).ok_or_else(|| wrong("its status is unknown"))?,
        outcome: row.get(11)?,
        attempts: row.get(12)?,
        raw_root: root(14)?,
        canonical_root: root(15)?,
        finished_ms: time(16)?,
        events,
    };
    if row.get::<_, i64>(17)? != mark::run(&run) {
        return Err(wrong("its columns do not match its mark"));
    }
    if (run.status == RunStatus::Open) != run.finished_ms.is_none() {
        return Err(wrong("open and ended at once"));
    }
    Ok((number, run))
}

/// Files up to this size are always rewritten without gaps on closing, larger ones if an eighth is free.
const ALWAYS_VACUUM: i64 = 8 << 20;

/// Folds the write-ahead log into the file, so that the file alone is the store, and rewrites it without gaps if that
/// pays.
pub(crate) fn tidy(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (pages, free, size) = (number("page_count")?, number("freelist_count")?, number("page_size")?);
    if pages * size <= ALWAYS_VACUUM || free >= pages / 8 {
        connection.execute_batch("VACUUM")?;
    }
    Ok(())
}
