//! What can go wrong with a store, and how SQLite's own errors are read.

use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};

use crate::canon::{RunId, Sha256};

/// Says what was wrong with which part of a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is not SQLite, or belongs to another program.
    #[error("{} is not a runproof store: {reason}", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What it is instead, as far as it can be told.
        reason: String,
    },
    /// The file was written by a newer program.
    #[error("{} has store version {found}; this program reads up to version {known}", path.display())]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
        /// The newest version that this program reads.
        known: i64,
    },
    /// The file does not exist.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// A file from somebody else breaks a rule for such files.
    #[error("{} is refused: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The rule that it breaks.
        reason: String,
    },
    /// Stored bytes contradict each other.
    #[error("damaged at {place}: {problem}")]
    Corrupt {
        /// The row or block.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A body does not have the digest that it was stored under.
    #[error("body {slot:?} of event {seq} of run {run} does not match its digest")]
    DigestMismatch {
        /// The run.
        run: RunId,
        /// The event's number in the run.
        seq: u32,
        /// The body's slot.
        slot: String,
    },
    /// No space is left on the device.
    #[error("no space left for the store")]
    DiskFull,
    /// The device or a limit keeps the file from being written.
    #[error("the store cannot be written: {0}")]
    Unwritable(String),
    /// Another process holds the write lock.
    #[error("the store is locked by another writer")]
    Locked,
    /// The store was opened for reading.
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// No such run.
    #[error("no run {0} in the store")]
    MissingRun(RunId),
    /// No such body.
    #[error("event {seq} of run {run} has no body {slot:?}")]
    MissingBody {
        /// The run.
        run: RunId,
        /// The event's number in the run.
        seq: u32,
        /// The slot asked for.
        slot: String,
    },
    /// A run with this id is there already.
    #[error("run {0} is in the store already")]
    RunExists(RunId),
    /// The run has ended, so nothing can be added to it.
    #[error("run {0} has ended")]
    RunEnded(RunId),
    /// Another run with the same id but other content is there already.
    #[error("run {0} is in the store already, with other content")]
    Conflict(RunId),
    /// A run ended in two stores with different canonical roots.
    #[error("run {run} came out differently: canonical root {} in {}, {} in {}", roots[0], files[0].display(), roots[1], files[1].display())]
    Diverged {
        /// The run.
        run: RunId,
        /// The stores.
        files: Box<[PathBuf; 2]>,
        /// Its canonical root in each of them.
        roots: Box<[Sha256; 2]>,
    },
    /// One of several files is at fault.
    #[error("{}: {error}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<StoreError>,
    },
    /// Something is larger than the format allows.
    #[error("{what} is {size} bytes; the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The caller's values cannot be stored.
    #[error("cannot be stored: {0}")]
    Invalid(String),
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Anything else that SQLite reports.
    #[error("sqlite: {0}")]
    Sqlite(rusqlite::Error),
}

impl StoreError {
    pub(crate) fn corrupt(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Corrupt { place: place.into(), problem: problem.into() }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::StorageFull {
            return Self::DiskFull;
        }
        Self::Io { path: path.to_owned(), source }
    }

    /// Returns whether the stored bytes themselves are at fault, not the caller or the machine.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::In { error, .. } => error.is_damage(),
            error => matches!(error, Self::Corrupt { .. } | Self::DigestMismatch { .. }),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        match &error {
            E::SqliteFailure(failure, message) => {
                let text = || message.clone().unwrap_or_else(|| failure.to_string());
                match failure.code {
                    ErrorCode::DiskFull => Self::DiskFull,
                    ErrorCode::SystemIoFailure => match failure.extended_code {
                        // The index of the write-ahead log is a file of its own, which a full disk has no room for.
                        ffi::SQLITE_IOERR_SHMSIZE => Self::DiskFull,
                        ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_TRUNCATE => {
                            Self::Unwritable(text())
                        }
                        _ => Self::Sqlite(error),
                    },
                    ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Locked,
                    ErrorCode::ReadOnly => Self::ReadOnly,
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TooBig => {
                        Self::corrupt("the database file", text())
                    }
                    ErrorCode::OperationInterrupted => {
                        Self::corrupt("the database file", "reading it takes more steps than any sound store needs")
                    }
                    _ => Self::Sqlite(error),
                }
            }
            E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::Utf8Error(..)
            | E::InvalidColumnType(..) => Self::corrupt("a column", error.to_string()),
            _ => Self::Sqlite(error),
        }
    }
}
