//! One run as a file of its own, and back.
//!
//! An exported run is a compacted store that holds one run. It is made of the run's bytes alone, so the same run
//! exported from two stores is the same file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::change::Change;
use super::merge::Whole;
use super::row::{NewAttempt, NewEvent, NewRun, RunEnd};
use super::{Access, Durability, Store, StoreError};
use crate::canon::RunId;

/// What [`Store::import`] found in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Runs that were not here before.
    pub added: Vec<RunId>,
    /// Runs that were here already, equal in everything but times and other observations.
    pub present: Vec<RunId>,
}

impl Store {
    /// Writes one run to a new file, which must not exist yet.
    ///
    /// # Errors
    /// [`StoreError::MissingRun`]; damage of the run; [`StoreError::Io`] with `AlreadyExists` and other reasons not
    /// to write the file.
    pub fn export(&self, run: RunId, out: &Path) -> Result<(), StoreError> {
        self.number(run)?;
        // Takes the name first: two exports to one place, and the second is refused.
        File::create_new(out).map_err(|error| StoreError::io(out, error))?;
        let part = beside(out);
        let written = remove(&part).and_then(|()| self.export_to(run, &part)).and_then(|()| {
            let synced = File::open(&part).and_then(|file| file.sync_all());
            synced.and_then(|()| fs::rename(&part, out)).map_err(|error| StoreError::io(out, error))
        });
        if written.is_err() {
            remove(&part)?;
            remove(out)?;
        }
        written
    }

    fn export_to(&self, run: RunId, part: &Path) -> Result<(), StoreError> {
        let mut single = Self::open(part, Access::Create, Durability::Normal)?;
        single.change(|change| copy_run(self, run, change))?;
        single.close()?;
        Self::compact(part, &mut |_, _| {}).map(drop)
    }

    /// Takes the runs of a store file from somebody else into this one: all of them or, on any error, none. Runs that
    /// are here already are left alone if they are equal.
    ///
    /// # Errors
    /// As [`Store::open`] with [`Access::Foreign`]; [`StoreError::Conflict`] if a run of the same id is here with
    /// other content; damage of the file.
    pub fn import(&mut self, file: &Path) -> Result<Imported, StoreError> {
        let other = Self::open(file, Access::Foreign, Durability::Full)?;
        let mut imported = Imported::default();
        for run in other.runs()? {
            match self.run(run.id)? {
                None => imported.added.push(run.id),
                Some(own) => {
                    if Whole::of(self, own)?.evidence() != Whole::of(&other, run.clone())?.evidence() {
                        return Err(StoreError::Conflict(run.id));
                    }
                    imported.present.push(run.id);
                }
            }
        }
        self.change(|change| imported.added.iter().try_for_each(|run| copy_run(&other, *run, change)))?;
        Ok(imported)
    }
}

/// Copies a run, every body checked against its digest.
pub(crate) fn copy_run(from: &Store, id: RunId, to: &mut Change<'_>) -> Result<(), StoreError> {
    let run = from.run(id)?.ok_or(StoreError::MissingRun(id))?;
    to.begin_run(&NewRun {
        id,
        name: &run.name,
        kind: &run.kind,
        instance: &run.instance,
        arm: &run.arm,
        model: &run.model,
        tests: &run.tests,
        orchestration: &run.orchestration,
        started_ms: run.started_ms,
    })?;
    for event in from.events(id)? {
        let bodies = event.bodies.iter().map(|body| Ok((&*body.slot, from.body(id, event.seq, &body.slot)?)));
        let bodies = bodies.collect::<Result<Vec<_>, StoreError>>()?;
        let bodies: Vec<_> = bodies.iter().map(|(slot, body)| (*slot, &**body)).collect();
        let event = NewEvent { kind: &event.kind, data: &event.data, bodies: &bodies, observation: &event.observation };
        to.append(id, &event)?;
    }
    for attempt in from.attempts(id)? {
        to.attempt(id, &NewAttempt { number: attempt.number, outcome: &attempt.outcome, codes: &attempt.codes })?;
    }
    if let (Some(raw_root), Some(canonical_root), Some(finished_ms)) =
        (run.raw_root, run.canonical_root, run.finished_ms)
    {
        let (status, outcome, attempts) = (run.status, &*run.outcome, run.attempts);
        to.finish_run(id, &RunEnd { status, outcome, attempts, raw_root, canonical_root, finished_ms })?;
    }
    Ok(())
}

/// Returns the name of the file that becomes `out` when it is whole.
pub(crate) fn beside(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Removes a file if it is there.
pub(crate) fn remove(file: &Path) -> Result<(), StoreError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io(file, error)),
        _ => Ok(()),
    }
}
