//! Design A, what everybody builds first: one zstd frame a body, one row a call.

use std::path::Path;
use std::time::Instant;

use runproof::canon::Blake3;
use rusqlite::{Connection, params};

use crate::Result;
use crate::corpus::Call;
use crate::median;

pub(crate) struct Baseline {
    connection: Connection,
    calls: u64,
}

impl Baseline {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(
            "CREATE TABLE call (id INTEGER PRIMARY KEY, request_h BLOB, request BLOB, reply_h BLOB, reply BLOB)",
        )?;
        Ok(Self { connection, calls: 0 })
    }

    pub(crate) fn append(&mut self, call: &Call) -> Result<()> {
        let (request, reply) =
            (zstd::bulk::compress(call.request.as_bytes(), 3)?, zstd::bulk::compress(call.reply.as_bytes(), 3)?);
        let (request_h, reply_h) = (Blake3::of(call.request.as_bytes()), Blake3::of(call.reply.as_bytes()));
        self.connection.prepare_cached("INSERT INTO call VALUES (NULL, ?, ?, ?, ?)")?.execute(params![
            request_h.as_bytes(),
            request,
            reply_h.as_bytes(),
            reply
        ])?;
        self.calls += 1;
        Ok(())
    }

    pub(crate) fn size(&self) -> Result<u64> {
        self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")?;
        Ok(self.connection.query_row(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
            [],
            |row| row.get(0),
        )?)
    }

    pub(crate) fn random_reads(&self, count: u64) -> Result<f64> {
        let mut times = Vec::new();
        for index in 0..count {
            let start = Instant::now();
            let mut statement = self.connection.prepare_cached("SELECT request_h, request FROM call WHERE id = ?")?;
            let id = index * 7919 % self.calls + 1;
            let (digest, z): ([u8; 32], Vec<u8>) = statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let body = zstd::bulk::decompress(&z, 64 << 20)?;
            assert_eq!(Blake3::of(&body).as_bytes(), &digest);
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        Ok(median(times))
    }
}
