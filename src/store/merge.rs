//! Several stores joined in a new one.
//!
//! The new file depends on the runs alone, not on the order of the files, nor on how often one of them is named or
//! what was merged before: runs are copied in one order, and of two recordings of one run the same one always stays.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::export::{beside, copy_run, remove};
use super::file::tidy;
use super::row::{AttemptRow, RunRow, RunStatus, StoredEvent};
use super::{Access, Durability, Store, StoreError};
use crate::canon::{RunId, Sha256};

/// What [`Store::merge`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// Runs of the new store, in its order.
    pub runs: Vec<RunRow>,
    /// Runs that several files hold, equal in everything but times and other observations.
    pub equal: Vec<RunId>,
    /// Runs that were performed more than once, with one canonical root and different raw ones.
    pub twice: Vec<Twice>,
    /// Unfinished recordings that were left out for a finished or longer one of the same run.
    pub left_out: Vec<RunId>,
    /// Bytes of the new file.
    pub bytes: u64,
}

/// A run that was performed more than once. The smallest raw root stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twice {
    /// The run.
    pub run: RunId,
    /// The raw root that stays.
    pub kept: Sha256,
    /// The others.
    pub others: Vec<Sha256>,
}

/// A run with everything but the bytes of its bodies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Whole {
    row: RunRow,
    events: Vec<StoredEvent>,
    attempts: Vec<AttemptRow>,
}

impl Whole {
    pub(crate) fn of(store: &Store, row: RunRow) -> Result<Self, StoreError> {
        Ok(Self { events: store.events(row.id)?, attempts: store.attempts(row.id)?, row })
    }

    /// Returns it without what was merely observed: equal evidence is the same run.
    pub(crate) fn evidence(mut self) -> Self {
        self.row.started_ms = 0;
        self.row.finished_ms = self.row.finished_ms.map(|_| 0);
        self.events.iter_mut().for_each(|event| event.observation.clear());
        self
    }
}

/// A run in one of the files.
type Found = (usize, RunRow);

impl Store {
    /// Joins the stores `files` in a new file `out`, which appears whole or not at all; the files are only read.
    /// Recordings of one run count as one: a finished one before others, then the smallest raw root, then the earliest.
    /// With `replace`, a store at `out` is replaced; it may be one of `files`. `progress` gets steps done and in all.
    ///
    /// # Errors
    /// [`StoreError::In`] with what is wrong with a file; [`StoreError::Diverged`] for a run that ended with different
    /// canonical roots, [`StoreError::Conflict`] for one with other content under one root; [`StoreError::Locked`] if
    /// somebody else writes to `out`; [`StoreError::Io`] with `AlreadyExists` and other reasons not to write it.
    pub fn merge(
        files: &[PathBuf],
        out: &Path,
        replace: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Merged, StoreError> {
        if !replace && out.symlink_metadata().is_ok() {
            return Err(StoreError::io(out, std::io::ErrorKind::AlreadyExists.into()));
        }
        let stores = files.iter().map(|file| open(file).map_err(within(file))).collect::<Result<Vec<_>, _>>()?;
        let mut found = BTreeMap::<RunId, Vec<Found>>::new();
        for (index, (store, file)) in stores.iter().zip(files).enumerate() {
            for row in store.runs().map_err(within(file))? {
                found.entry(row.id).or_default().push((index, row));
            }
        }
        let mut merged = Merged::default();
        let mut chosen = Vec::new();
        for candidates in found.into_values() {
            chosen.push(match <[Found; 1]>::try_from(candidates) {
                Ok([only]) => only,
                Err(several) => choose(several, &stores, files, &mut merged)?,
            });
        }
        chosen.sort_by_key(|(_, row)| (row.started_ms, row.id));
        let part = Part::take(out)?;
        let written = part.write(&chosen, &stores, files, progress).and_then(|()| {
            merged.bytes = part.file.metadata().map_err(|error| StoreError::io(&part.path, error))?.len();
            drop(stores);
            part.put(out, replace)
        });
        if let Err(error) = written {
            part.discard()?;
            return Err(error);
        }
        merged.runs = chosen.into_iter().map(|(_, row)| row).collect();
        Ok(merged)
    }
}

/// Says in which file something is wrong.
fn within(path: &Path) -> impl Fn(StoreError) -> StoreError + '_ {
    |error| match error {
        // These name the file themselves, or are about the machine.
        error @ (StoreError::NotAStore { .. }
        | StoreError::NewerVersion { .. }
        | StoreError::Missing(_)
        | StoreError::Refused { .. }
        | StoreError::Io { .. }
        | StoreError::DiskFull) => error,
        error => StoreError::In { path: path.to_owned(), error: Box::new(error) },
    }
}

/// Opens a file by the rules for somebody else's; one whose recorder was killed is read with its write-ahead log.
fn open(file: &Path) -> Result<Store, StoreError> {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let is_cut_off = Path::new(&log).symlink_metadata().is_ok_and(|log| log.is_file() && log.len() > 0);
    Store::open(file, if is_cut_off { Access::Read } else { Access::Foreign }, Durability::Full)
}

/// Picks one of several recordings of a run, whatever their order.
fn choose(
    candidates: Vec<Found>,
    stores: &[Store],
    files: &[PathBuf],
    merged: &mut Merged,
) -> Result<Found, StoreError> {
    let is_finished = |(_, row): &Found| row.status == RunStatus::Finished;
    let (mut stay, others): (Vec<Found>, Vec<Found>) = candidates.into_iter().partition(is_finished);
    let run = stay.first().or(others.first()).expect("several candidates").1.id;
    let whole =
        |found: &Found| Whole::of(&stores[found.0], found.1.clone()).map_err(|error| within(&files[found.0])(error));
    if stay.is_empty() {
        let ranked = others.into_iter().map(|found| Ok((whole(&found)?, found)));
        let mut ranked = ranked.collect::<Result<Vec<_>, StoreError>>()?;
        ranked.sort_by(|(a, _), (b, _)| b.row.events.cmp(&a.row.events).then_with(|| a.cmp(b)));
        match ranked.iter().all(|(one, _)| one.clone().evidence() == ranked[0].0.clone().evidence()) {
            true => merged.equal.push(run),
            false => merged.left_out.push(run),
        }
        return Ok(ranked.swap_remove(0).1);
    }
    if !others.is_empty() {
        merged.left_out.push(run);
    }
    if let Some(other) = stay.iter().find(|found| found.1.canonical_root != stay[0].1.canonical_root) {
        let root = |found: &Found| found.1.canonical_root.unwrap_or_else(|| Sha256::of(b""));
        let (files, roots) = ([stay[0].0, other.0].map(|index| files[index].clone()), [root(&stay[0]), root(other)]);
        return Err(StoreError::Diverged { run, files: Box::new(files), roots: Box::new(roots) });
    }
    if stay.len() > 1 {
        stay = settle(stay, &whole, merged)?;
    }
    Ok(stay.swap_remove(0))
}

/// Sorts finished recordings of a run with one canonical root, the one that stays first.
fn settle(
    stay: Vec<Found>,
    whole: &dyn Fn(&Found) -> Result<Whole, StoreError>,
    merged: &mut Merged,
) -> Result<Vec<Found>, StoreError> {
    let mut ranked =
        stay.into_iter().map(|found| Ok((whole(&found)?, found))).collect::<Result<Vec<_>, StoreError>>()?;
    ranked.sort_by(|(a, _), (b, _)| {
        let rank = |whole: &Whole| (whole.row.raw_root, whole.row.started_ms, whole.row.finished_ms);
        rank(a).cmp(&rank(b)).then_with(|| a.cmp(b))
    });
    let run = ranked[0].0.row.id;
    for pair in ranked.windows(2).filter(|pair| pair[0].0.row.raw_root == pair[1].0.row.raw_root) {
        if pair[0].0.clone().evidence() != pair[1].0.clone().evidence() {
            return Err(StoreError::Conflict(run));
        }
    }
    let mut roots: Vec<Sha256> = ranked.iter().filter_map(|(whole, _)| whole.row.raw_root).collect();
    roots.dedup();
    match roots.split_first() {
        Some((kept, others)) if !others.is_empty() => {
            merged.twice.push(Twice { run, kept: *kept, others: others.to_vec() });
        }
        _ => merged.equal.push(run),
    }
    Ok(ranked.into_iter().map(|(_, found)| found).collect())
}

/// The file that becomes the result once it is whole. One process at a time has it; what a killed one left is taken
/// over.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn take(out: &Path) -> Result<Self, StoreError> {
        let path = beside(out);
        let failed = |error| StoreError::io(&path, error);
        // A link of that name is nobody's rest: what it leads to would be emptied.
        let (mut options, links) = (OpenOptions::new(), OFlags::NOFOLLOW.bits().cast_signed());
        let file = options.write(true).create(true).truncate(false).custom_flags(links).open(&path).map_err(failed)?;
        file.try_lock().map_err(|_| StoreError::Locked)?;
        // Whoever had the lock before may have given the file its final name meanwhile.
        let is_same = |there: fs::Metadata, own: fs::Metadata| (there.dev(), there.ino()) == (own.dev(), own.ino());
        if !fs::metadata(&path).is_ok_and(|there| file.metadata().is_ok_and(|own| is_same(there, own))) {
            return Err(StoreError::Locked);
        }
        let this = Self { path, file };
        this.remove_logs()?;
        this.file.set_len(0).map_err(|error| StoreError::io(&this.path, error))?;
        Ok(this)
    }

    fn remove_logs(&self) -> Result<(), StoreError> {
        ["-wal", "-shm", "-journal"].iter().try_for_each(|suffix| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(suffix);
            remove(Path::new(&name))
        })
    }

    fn write(
        &self,
        chosen: &[Found],
        stores: &[Store],
        files: &[PathBuf],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), StoreError> {
        let (mut done, total) = (0, chosen.iter().map(|(_, row)| u64::from(row.events) + 1).sum::<u64>());
        let mut store = Store::open(&self.path, Access::Create, Durability::Normal)?;
        for (index, row) in chosen {
            store.change(|change| copy_run(&stores[*index], row.id, change)).map_err(|error| match error {
                error if error.is_damage() => within(&files[*index])(error),
                error => error,
            })?;
            done += u64::from(row.events) + 1;
            progress(done, 2 * total);
        }
        store.close()?;
        Store::compact(&self.path, &mut |done, of| progress(total + total * done / of.max(1), 2 * total))?;
        self.file.sync_all().map_err(|error| StoreError::io(&self.path, error))
    }

    /// Gives the whole file its name.
    fn put(&self, out: &Path, replace: bool) -> Result<(), StoreError> {
        let failed = |error| StoreError::io(out, error);
        match out.symlink_metadata() {
            Ok(_) if !replace => return Err(failed(std::io::ErrorKind::AlreadyExists.into())),
            // Who has the old file open would go on recording into a file without a name.
            Ok(_) => tidy(&Store::open(out, Access::Write, Durability::Full)?.connection, false)?,
            Err(_) => {}
        }
        fs::rename(&self.path, out).map_err(failed)?;
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    fn discard(&self) -> Result<(), StoreError> {
        self.remove_logs()?;
        remove(&self.path)
    }
}
