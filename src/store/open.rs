//! Opening a file: our own, or somebody else's under the rules for hostile files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::limits::MAX_BODY;
use super::{StoreError, schema};

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Writing; makes the file if it is not there.
    Create,
    /// Writing; the file must be there.
    Write,
    /// Reading a file of one's own, also while another process records into it.
    Read,
    /// Reading somebody else's file: immutable, and refused unless it keeps every rule of the format.
    Foreign,
}

/// What a commit outlives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: every commit waits for the disk. For recording.
    Full,
    /// The death of the process. For imports.
    Normal,
}

/// How long a writer waits for another one's transaction.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it waits before it asks again, where SQLite does not wait for it.
const PAUSE: Duration = Duration::from_millis(5);
/// Virtual machine steps between two questions whether a query of a foreign file goes on too long.
const STEPS: i32 = 1 << 20;

pub(crate) fn open(path: &Path, access: Access, durability: Durability) -> Result<Connection, StoreError> {
    match access {
        Access::Create => create(path, durability),
        Access::Write => writable(path, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|connection| {
            schema::check(&connection, path)?;
            pragmas(&connection, durability)?;
            Ok(connection)
        }),
        Access::Read => read(path),
        Access::Foreign => foreign(path),
    }
}

fn create(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| StoreError::io(folder, error))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = writable(path, flags)?;
    connection.pragma_update(None, "page_size", schema::PAGE_SIZE)?;
    let fresh = std::fs::metadata(path).is_ok_and(|file| file.len() == 0);
    if fresh {
        // Two processes may both find the file empty: the lock decides, and the second finds the tables.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if schema::is_empty(&transaction)? {
            schema::create(&transaction)?;
        }
        transaction.commit()?;
    }
    schema::check(&connection, path)?;
    pragmas(&connection, durability)?;
    Ok(connection)
}

fn writable(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = connect(path, &plain(path), flags)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

fn pragmas(connection: &Connection, durability: Durability) -> Result<(), StoreError> {
    write_ahead(connection)?;
    connection.pragma_update(
        None,
        "synchronous",
        match durability {
            Durability::Full => "FULL",
            Durability::Normal => "NORMAL",
        },
    )?;
    Ok(())
}

/// Begins a write-ahead log. SQLite does not wait here by itself: it says at once that the file is locked while the last
/// writer to leave rewrites it, or another one begins the log.
fn write_ahead(connection: &Connection) -> Result<(), StoreError> {
    let begin =
        || connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).map_err(StoreError::from);
    let mut waited = Duration::ZERO;
    loop {
        match begin() {
            Err(StoreError::Locked) if waited < PATIENCE => {
                std::thread::sleep(PAUSE);
                waited += PAUSE;
            }
            begun => return begun,
        }
    }
}

fn read(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, &plain(path), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(PATIENCE)?;
    match schema::check(&connection, path) {
        // A folder that cannot be written has no room for SQLite's index of a write-ahead log. Without such a log
        // nobody is writing either.
        Err(StoreError::Sqlite(error))
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen) && !beside(path, "-wal").exists() =>
        {
            let connection = immutable(path)?;
            schema::check(&connection, path)?;
            Ok(connection)
        }
        // Whoever was killed while it tidied up left a journal, which only a writer can roll back.
        Err(StoreError::ReadOnly) if beside(path, "-journal").exists() => {
            drop(connection);
            schema::check(&writable(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?, path)?;
            let connection = connect(path, &plain(path), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.busy_timeout(PATIENCE)?;
            schema::check(&connection, path)?;
            Ok(connection)
        }
        checked => checked.map(|()| connection),
    }
}

fn foreign(path: &Path) -> Result<Connection, StoreError> {
    let refused = |reason: String| StoreError::Refused { path: path.to_owned(), reason };
    for suffix in ["-wal", "-journal"] {
        // An empty one says nothing; a reader of a live store leaves one behind.
        if beside(path, suffix).symlink_metadata().is_ok_and(|file| file.len() > 0) {
            return Err(refused(format!("a {} file beside it could change what it says", &suffix[1..])));
        }
    }
    let metadata = std::fs::metadata(path).map_err(|error| missing(path, error))?;
    if !metadata.is_file() {
        return Err(refused("not a regular file".to_owned()));
    }
    let mut connection = immutable(path)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_BODY as i32)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, 1 << 16)?;
    connection.set_limit(Limit::SQLITE_LIMIT_COLUMN, 64)?;
    connection.set_limit(Limit::SQLITE_LIMIT_EXPR_DEPTH, 32)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 0)?;
    // Every step of a query touches bytes of the file, so the steps of a sound one are bounded by its size.
    let mut left = 64 + metadata.len() / 1024;
    connection.progress_handler(
        STEPS,
        Some(move || {
            left = left.saturating_sub(1);
            left == 0
        }),
    )?;
    schema::check(&connection, path)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(StoreError::corrupt("the database file", verdict));
    }
    Ok(connection)
}

fn immutable(path: &Path) -> Result<Connection, StoreError> {
    // An absolute path after an empty host, or one that cannot be taken for a host.
    let mut address = String::from(if path.is_absolute() { "file://" } else { "file:./" });
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => address.push(char::from(*byte)),
            _ => address.push_str(&format!("%{byte:02X}")),
        }
    }
    address.push_str("?immutable=1");
    connect(path, Path::new(&address), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
}

/// Returns the path in a form that SQLite does not take for a URI.
fn plain(path: &Path) -> PathBuf {
    Path::new(".").join(path)
}

/// Opens a connection with everything off that a stored schema could use against the reader.
fn connect(path: &Path, address: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    if !flags.contains(OpenFlags::SQLITE_OPEN_CREATE) {
        std::fs::metadata(path).map_err(|error| missing(path, error))?;
    }
    let connection = Connection::open_with_flags(address, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn missing(path: &Path, error: std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::NotFound => StoreError::Missing(path.to_owned()),
        _ => StoreError::io(path, error),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
