//! Figures about a store for people.

use rusqlite::Connection;

use super::{Store, StoreError};

/// What a store holds and what it costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Runs.
    pub runs: u64,
    /// Events.
    pub events: u64,
    /// Bodies.
    pub bodies: u64,
    /// Bytes of all bodies, each counted as often as it was stored.
    pub body_bytes: u64,
    /// Sealed blocks.
    pub blocks: u64,
    /// Bytes of the sealed blocks, compressed.
    pub block_bytes: u64,
    /// Bytes in blocks that are not sealed yet.
    pub open_bytes: u64,
    /// Bytes of the file, without a write-ahead log beside it.
    pub file_bytes: u64,
    /// Bytes of the file that are free.
    pub free_bytes: u64,
}

impl Store {
    /// Counts what the store holds.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        let connection = &self.connection;
        let _snapshot = connection.unchecked_transaction()?;
        let number = |sql: &str| -> Result<u64, StoreError> { Ok(connection.query_row(sql, [], |row| row.get(0))?) };
        let page = number("SELECT page_size FROM pragma_page_size")?;
        Ok(Stats {
            runs: number("SELECT count(*) FROM run")?,
            events: number("SELECT count(*) FROM event")?,
            bodies: number("SELECT (SELECT count(request) + count(reply) FROM event) + (SELECT count(*) FROM body)")?,
            body_bytes: body_bytes(connection)?,
            blocks: number("SELECT count(*) FROM block")?,
            block_bytes: number("SELECT coalesce(sum(length(z)), 0) FROM block")?,
            open_bytes: number("SELECT coalesce(sum(length(bytes)), 0) FROM hot")?,
            file_bytes: page * number("SELECT page_count FROM pragma_page_count")?,
            free_bytes: page * number("SELECT freelist_count FROM pragma_freelist_count")?,
        })
    }
}

/// Returns the bytes of all bodies by what their rows say.
pub(crate) fn body_bytes(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(sum(request_size), 0) + coalesce(sum(reply_size), 0)
                      + (SELECT coalesce(sum(size), 0) FROM body) FROM event";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}
