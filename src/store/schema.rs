//! The tables, the version rule and the check that a file holds exactly these tables.

use std::path::Path;

use rusqlite::Connection;

use super::StoreError;

/// `RPRF`, the file's type in SQLite's own header field.
pub const APPLICATION_ID: i64 = 0x5250_5246;
/// Schema version that this program writes, and the newest that it reads.
pub const VERSION: i64 = 1;
/// Oldest schema version that this program reads and writes.
pub const OLDEST: i64 = 1;

/// Page size. Small, because most tables of a small store are nearly empty; blocks live in overflow chains anyway.
pub(crate) const PAGE_SIZE: u32 = 1024;

/// Name and text of every table, in the order in which they are made.
pub(crate) const TABLES: [(&str, &str); 7] = [
    (
        "run",
        "CREATE TABLE run (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL, kind TEXT NOT NULL, instance TEXT NOT NULL, arm TEXT NOT NULL, model TEXT NOT NULL,
  tests TEXT NOT NULL, orchestration TEXT NOT NULL, started_ms INTEGER NOT NULL,
  status TEXT NOT NULL, outcome TEXT NOT NULL, attempts INTEGER NOT NULL, events INTEGER,
  raw_root BLOB, canonical_root BLOB, finished_ms INTEGER,
  mark INTEGER NOT NULL
) STRICT",
    ),
    (
        "event",
        "CREATE TABLE event (
  id INTEGER PRIMARY KEY,
  run INTEGER AS (id >> 32) VIRTUAL, seq INTEGER AS (id & 4294967295) VIRTUAL,
  kind TEXT NOT NULL, data TEXT NOT NULL,
  request BLOB, request_size INTEGER, request_at BLOB,
  reply BLOB, reply_size INTEGER, reply_at BLOB,
  observation TEXT NOT NULL,
  mark INTEGER NOT NULL
) STRICT",
    ),
    (
        "body",
        "CREATE TABLE body (
  event INTEGER NOT NULL, slot TEXT NOT NULL,
  digest BLOB NOT NULL, size INTEGER NOT NULL, at BLOB NOT NULL,
  PRIMARY KEY (event, slot)
) STRICT, WITHOUT ROWID",
    ),
    (
        "attempt",
        "CREATE TABLE attempt (
  id INTEGER PRIMARY KEY,
  run INTEGER AS (id >> 32) VIRTUAL, number INTEGER AS (id & 4294967295) VIRTUAL,
  outcome TEXT NOT NULL, codes TEXT NOT NULL,
  mark INTEGER NOT NULL
) STRICT",
    ),
    ("block", "CREATE TABLE block (id INTEGER PRIMARY KEY, lanes BLOB NOT NULL, z BLOB NOT NULL) STRICT"),
    ("hot", "CREATE TABLE hot (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT"),
    (
        "chunk",
        "CREATE TABLE chunk (hash INTEGER PRIMARY KEY, block INTEGER NOT NULL, lane INTEGER NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL) STRICT",
    ),
];

/// Makes the tables in an empty database.
pub(crate) fn create(connection: &Connection) -> Result<(), StoreError> {
    for (_, text) in TABLES {
        connection.execute_batch(text)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    Ok(())
}

/// Returns whether the database holds nothing at all.
pub(crate) fn is_empty(connection: &Connection) -> Result<bool, StoreError> {
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(objects == 0 && application == 0)
}

/// Checks whose file this is, its version, and that its schema is the expected text and nothing else.
///
/// Nothing but the header and `sqlite_schema` is read, so no view, trigger, generated column or virtual table of
/// somebody else's making is ever evaluated.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let foreign = |reason: String| StoreError::NotAStore { path: path.to_owned(), reason };
    let pragma = |name| -> Result<i64, StoreError> {
        connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => foreign("not an SQLite file".to_owned()),
            _ => error.into(),
        })
    };
    let application = pragma("application_id")?;
    if application != APPLICATION_ID {
        return Err(foreign(format!("an SQLite file with application id {application:#010x}")));
    }
    let version = pragma("user_version")?;
    if version > VERSION {
        return Err(StoreError::NewerVersion { path: path.to_owned(), found: version, known: VERSION });
    }
    if version < OLDEST {
        return Err(foreign(format!("its store version is {version}")));
    }
    let mut statement = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid")?;
    let mut rows = statement.query([])?;
    let mut expected = TABLES.iter();
    while let Some(row) = rows.next()? {
        let text = |index| row.get::<_, Option<String>>(index);
        let (kind, name, table, sql) = (text(0)?, text(1)?, text(2)?, text(3)?);
        let name = name.unwrap_or_default();
        if name == "sqlite_autoindex_run_1" {
            if kind.as_deref() == Some("index") && table.as_deref() == Some("run") && sql.is_none() {
                continue;
            }
        } else if kind.as_deref() == Some("table")
            && table.as_deref() == Some(&*name)
            && expected.next().is_some_and(|(known, text)| *known == name && sql.as_deref() == Some(*text))
        {
            continue;
        }
        let name: String = name.chars().take(60).collect();
        return Err(foreign(format!("its schema differs at {name:?}")));
    }
    match expected.next() {
        Some((name, _)) => Err(foreign(format!("its table {name:?} is missing"))),
        None => Ok(()),
    }
}
