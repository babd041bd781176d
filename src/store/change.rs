//! What one transaction may do: begin and end runs, append events and attempts.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Transaction, params};

use super::block::BlockCache;
use super::extent::Place;
use super::limits::{MAX_BODY, MAX_DATA, MAX_EVENTS, MAX_NAME, MAX_SLOTS};
use super::read::{INLINE, event_id};
use super::row::{AttemptRow, NewAttempt, NewEvent, NewRun, RunEnd, RunRow, RunStatus, StoredBody, StoredEvent};
use super::run::find_run;
use super::write::{Conversation, Writer};
use super::{StoreError, mark};
use crate::canon::{Blake3, RunId};

/// What this process knows about the file as a writer, as long as nobody else changes it.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    pub(crate) writer: Option<Writer>,
    /// Number and next event of the runs appended to.
    pub(crate) runs: BTreeMap<RunId, (u32, u32)>,
    pub(crate) version: i64,
    pub(crate) changed: bool,
}

/// One transaction that changes the store.
pub(crate) struct Change<'a> {
    pub(crate) transaction: &'a Transaction<'a>,
    pub(crate) writing: &'a mut Writing,
    pub(crate) cache: &'a mut BlockCache,
}

impl Change<'_> {
    pub(crate) fn writer(&mut self) -> Result<(&mut Writer, &mut BlockCache), StoreError> {
        let writer = match &mut self.writing.writer {
            Some(writer) => writer,
            none => none.insert(Writer::load(self.transaction)?),
        };
        Ok((writer, self.cache))
    }

    /// Writes what open blocks gained to the file.
    pub(crate) fn save(&mut self) -> Result<(), StoreError> {
        match &mut self.writing.writer {
            Some(writer) => writer.save(self.transaction),
            None => Ok(()),
        }
    }

    /// Forgets where anything lies, after it was moved.
    pub(crate) fn forget(&mut self) {
        *self.writing = Writing { version: self.writing.version, changed: true, ..Writing::default() };
        self.cache.clear();
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
        // Without its number of events, which is counted again while the run is open.
        self.transaction.execute(
            "UPDATE run SET status = ?, outcome = '', attempts = 0, events = NULL, raw_root = NULL,
                            canonical_root = NULL, finished_ms = NULL, mark = ? WHERE number = ?",
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
