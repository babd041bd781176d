//! Rows of the `run` table.

use rusqlite::{Connection, Row, params};

use super::read::event_id;
use super::row::{RunRow, RunStatus};
use super::{StoreError, mark};
use crate::canon::{RunId, Sha256};

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

pub(crate) fn run_by_number(connection: &Connection, number: u32) -> Result<RunRow, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{RUN_COLUMNS} WHERE number = ?"))?;
    let mut rows = statement.query([number])?;
    match rows.next()? {
        Some(row) => Ok(run_row(connection, row)?.1),
        None => Err(StoreError::corrupt(format!("run row {number}"), "missing")),
    }
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
