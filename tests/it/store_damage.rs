//! Damaged and hostile store files: refused or reported, and never a wrong byte.

use std::fs;
use std::path::Path;

use runproof::canon::Blake3;
use runproof::store::{Access, Store, StoreError};
use rusqlite::{Connection, params};

use crate::store::{Bodies, assert_holds, open, run_id, small_store};

/// How a damaged file was met.
#[derive(Debug, PartialEq)]
enum Met {
    Refused,
    Reported,
    Harmless,
}

/// Opens and reads everything; panics if a wrong byte is taken for a right one.
fn meet(path: &Path, access: Access, turns: &[(String, Bodies)]) -> Met {
    let Ok(store) = open(path, access) else { return Met::Refused };
    for run in [1, 2] {
        for (seq, (_, bodies)) in turns.iter().enumerate() {
            for (slot, body) in bodies {
                if let Ok(found) = store.body(run_id(run), seq as u32, slot) {
                    // A row may be exchanged for another sound one; the manifest knows. Made-up bytes it cannot be.
                    let known = turns.iter().flat_map(|(_, bodies)| bodies.values()).any(|body| *body == found);
                    assert!(known, "slot {slot} of event {seq}");
                    let _ = store.blob(&Blake3::of(body));
                }
            }
        }
    }
    match store.verify(&mut |_, _| {}) {
        Ok(report) if report.is_sound() => {
            for run in [1, 2] {
                assert_holds(&store, run_id(run), turns);
                assert_eq!(store.attempts(run_id(run)).unwrap().len(), 1);
                assert_eq!(store.run(run_id(run)).unwrap().unwrap().outcome, "resolved");
            }
            Met::Harmless
        }
        _ => Met::Reported,
    }
}

fn flips(access: Access, step: usize) -> [usize; 3] {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let turns = small_store(&path);
    let sound = fs::read(&path).unwrap();
    let mut counts = [0; 3];
    for at in (0..sound.len()).step_by(step) {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        counts[meet(&path, access, &turns) as usize] += 1;
    }
    counts
}

#[test]
fn flipped_bytes_are_found_or_harmless() {
    let [refused, reported, harmless] = flips(Access::Foreign, 61);
    // Most of so small a file is room in its pages.
    assert!(refused.min(reported) > 20, "{refused} {reported} {harmless}");
}

#[test]
#[ignore = "takes minutes"]
#[expect(clippy::print_stdout, reason = "its counts are quoted")]
fn every_flipped_byte_is_found_or_harmless() {
    for access in [Access::Foreign, Access::Read, Access::Write] {
        let [refused, reported, harmless] = flips(access, 1);
        println!("{access:?}: {refused} refused, {reported} reported, {harmless} harmless");
    }
}

/// Changes a sound store by SQL, as somebody else might, and tells how it is met.
fn forged(change: impl FnOnce(&Connection)) -> (Met, Result<Store, StoreError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let turns = small_store(&path);
    let connection = Connection::open(&path).unwrap();
    change(&connection);
    connection.close().unwrap();
    (meet(&path, Access::Foreign, &turns), open(&path, Access::Foreign))
}

#[test]
fn anything_but_the_exact_schema_is_refused() {
    for sql in [
        "CREATE VIEW more AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        "CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM event; END",
        "CREATE TABLE more (x)",
        "CREATE INDEX more ON event (kind)",
        "CREATE INDEX more ON event (length(data))",
        "CREATE VIRTUAL TABLE more USING fts5 (x)",
        "ALTER TABLE event ADD COLUMN more TEXT DEFAULT 'x'",
        "ALTER TABLE event ADD COLUMN more INTEGER AS (length(zeroblob(1000000000)))",
        "DROP TABLE chunk",
        "ALTER TABLE event RENAME TO old; CREATE VIEW event AS SELECT * FROM old",
        "ANALYZE",
    ] {
        let (met, opened) = forged(|connection| connection.execute_batch(sql).unwrap());
        assert_eq!(met, Met::Refused, "{sql}");
        assert!(matches!(opened, Err(StoreError::NotAStore { .. })), "{sql}: {opened:?}");
    }
}

#[test]
fn files_of_others_and_newer_stores_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for content in [&b""[..], b"text", b"SQLite format 3\0", &[0xa5; 5000]] {
        fs::write(&path, content).unwrap();
        for access in [Access::Write, Access::Read, Access::Foreign] {
            let opened = open(&path, access);
            assert!(matches!(opened, Err(StoreError::NotAStore { .. })), "{access:?} {content:?}: {opened:?}");
        }
        assert_eq!(fs::read(&path).unwrap(), content, "left as it was");
    }
    let (_, opened) = forged(|connection| connection.pragma_update(None, "user_version", 2).unwrap());
    assert!(matches!(opened, Err(StoreError::NewerVersion { found: 2, known: 1, .. })));
    let (_, opened) = forged(|connection| connection.pragma_update(None, "application_id", 7).unwrap());
    assert!(matches!(opened, Err(StoreError::NotAStore { .. })));
    let opened = open(folder.path(), Access::Foreign);
    assert!(matches!(opened, Err(StoreError::Refused { .. })), "{opened:?}");
}

#[test]
fn a_truncated_store_is_found_at_every_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let turns = small_store(&path);
    let sound = fs::read(&path).unwrap();
    for length in (0..sound.len()).step_by(509) {
        fs::write(&path, &sound[..length]).unwrap();
        assert_ne!(meet(&path, Access::Foreign, &turns), Met::Harmless, "{length}");
    }
}

#[test]
fn a_forged_write_ahead_log_beside_a_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    small_store(&path);
    for suffix in ["wal", "journal"] {
        let beside = folder.path().join(format!("store.sqlite-{suffix}"));
        fs::write(&beside, [7; 100]).unwrap();
        assert!(matches!(open(&path, Access::Foreign), Err(StoreError::Refused { .. })), "{suffix}");
        fs::remove_file(beside).unwrap();
    }
    open(&path, Access::Foreign).unwrap();
}

fn block(connection: &Connection) -> (Vec<u8>, Vec<u8>) {
    connection.query_row("SELECT lanes, z FROM block", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

fn content(z: &[u8]) -> Vec<u8> {
    zstd::decode_all(z).unwrap()
}

#[test]
fn frames_that_are_not_exactly_the_block_are_reported() {
    let frame = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
    let forge: [(&str, &dyn Fn(Vec<u8>) -> Vec<u8>); 8] = [
        ("a bomb", &|_| frame(&vec![0; 200 << 20])),
        ("another size", &|z| {
            // The size field ends the frame header; where it lies does not matter to the test.
            let mut z = z;
            z[5] ^= 1;
            z
        }),
        ("a second frame", &|z| [z, frame(b"more")].concat()),
        ("a skippable frame", &|z| [z, vec![0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]].concat()),
        ("a skippable frame first", &|z| [vec![0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], z].concat()),
        ("a cut", &|z| z[..z.len() - 1].to_vec()),
        ("more bytes", &|z| [z, vec![0]].concat()),
        ("no size in the header", &|z| {
            let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
            std::io::Write::write_all(&mut encoder, &content(&z)).unwrap();
            encoder.finish().unwrap()
        }),
    ];
    for (name, forge) in forge {
        let (met, _) = forged(|connection| {
            let (_, z) = block(connection);
            connection.execute("UPDATE block SET z = ?", [forge(z)]).unwrap();
        });
        assert_eq!(met, Met::Reported, "{name}");
    }
    let (met, _) = forged(|connection| {
        connection.execute("UPDATE block SET lanes = x'ffffffff7f00000000000000'", []).unwrap();
    });
    assert_eq!(met, Met::Reported, "lanes beyond the limit");
    let (met, _) = forged(|connection| {
        let (_, z) = block(connection);
        connection.execute("UPDATE block SET z = ?", [frame(&content(&z))]).unwrap();
    });
    assert_eq!(met, Met::Harmless, "the same bytes in another frame");
}

#[test]
fn extents_that_lead_elsewhere_are_reported() {
    let event = (1_i64 << 32) | 3;
    for (name, at) in [
        ("nothing", &b""[..]),
        ("an unknown encoding", b"\x02"),
        ("a block that is not there", b"\0\x90\x4e\0\x20"),
        ("block 0", b"\0\0\0\x20"),
        ("beyond the lane", b"\0\x10\x80\x80\x80\x01\x20"),
        ("a lane that is empty", b"\0\x13\0\x20"),
        ("a negative offset", b"\0\x10\x01\x20"),
        ("no length", b"\0\x10\0\0"),
        ("gigabytes", b"\0\x10\0\xff\xff\xff\xff\x0f"),
        ("a cut number", b"\0\x10\0\xff"),
        ("a stream that is none", b"\x01\x10\0\x20"),
        ("other bytes", b"\0\x10\0\x20"),
    ] {
        let (met, _) = forged(|connection| {
            connection.execute("UPDATE event SET request_at = ? WHERE id = ?", params![at, event]).unwrap();
        });
        assert_eq!(met, Met::Reported, "{name}");
    }
    let many = [&b"\0"[..], &b"\x10\0\x7f\0\x01\x7f".repeat(400_000)].concat();
    let (met, _) = forged(|connection| {
        connection
            .execute("UPDATE event SET request_at = ?, request_size = 1 << 26 WHERE id = ?", params![many, event])
            .unwrap();
    });
    assert_eq!(met, Met::Reported, "the same bytes a million times");
}

#[test]
fn rows_that_contradict_each_other_are_reported() {
    for sql in [
        "UPDATE event SET request = randomblob(32) WHERE seq = 2",
        "UPDATE event SET request = randomblob(31) WHERE seq = 2",
        "UPDATE event SET request_size = request_size + 1 WHERE seq = 2",
        "UPDATE event SET request_size = -1 WHERE seq = 2",
        "UPDATE event SET request_size = NULL WHERE seq = 2",
        "UPDATE event SET data = '{}' WHERE seq = 2",
        "UPDATE event SET kind = 'test' WHERE seq = 2",
        "UPDATE event SET observation = '' WHERE seq = 2",
        "UPDATE event SET request_at = (SELECT request_at FROM event WHERE seq = 3) WHERE seq = 2",
        "DELETE FROM event WHERE seq = 2",
        "DELETE FROM event WHERE seq = 5",
        "INSERT INTO event (id, kind, data, observation, mark) VALUES ((1 << 32) + 6, 'test', '{}', '', 0)",
        "INSERT INTO event (id, kind, data, observation, mark) VALUES (-1, 'test', '{}', '', 0)",
        "UPDATE event SET id = id + (100 << 32) WHERE run = 1",
        "UPDATE body SET digest = randomblob(32)",
        "UPDATE body SET slot = 'other'",
        "UPDATE body SET event = event + 100",
        "DELETE FROM body",
        "INSERT INTO body VALUES (77, 'reply', x'', 1, x'00')",
        "UPDATE run SET model = 'another'",
        "UPDATE run SET outcome = 'resolved!'",
        "UPDATE run SET status = 'open'",
        "UPDATE run SET status = 'nothing'",
        "UPDATE run SET events = 7",
        "UPDATE run SET raw_root = randomblob(32)",
        "UPDATE run SET raw_root = x'00'",
        "UPDATE run SET finished_ms = -1",
        "UPDATE run SET id = 'x' WHERE number = 1",
        "UPDATE run SET number = 1 << 40 WHERE number = 1",
        "DELETE FROM run WHERE number = 1",
        "UPDATE attempt SET outcome = 'x'",
        "UPDATE attempt SET id = 5 WHERE run = 1",
        "UPDATE block SET id = id + 1",
        "DELETE FROM block",
        "INSERT INTO hot VALUES (1 << 32, x'00')",
        "INSERT INTO hot VALUES ((9 << 32) + 5, x'00')",
        "INSERT INTO hot VALUES (-1, x'00')",
        "INSERT INTO chunk VALUES (1, 1, 0, 0, 10)",
        "INSERT INTO chunk VALUES (1, 1, 200, 0, 10)",
        "INSERT INTO chunk VALUES (1, -1, 0, 0, 10)",
        "INSERT INTO chunk VALUES (1, 1, 0, 9223372036854775807, 10)",
    ] {
        let (met, _) = forged(|connection| {
            assert!(connection.execute(sql, []).unwrap() > 0, "{sql}");
        });
        assert_eq!(met, Met::Reported, "{sql}");
    }
}

#[test]
fn values_of_another_type_than_their_column_are_found() {
    for (table, sql) in [
        ("event", "UPDATE event SET request_size = '12abc' WHERE seq = 1"),
        ("event", "UPDATE event SET data = x'00ff' WHERE seq = 1"),
        ("event", "UPDATE event SET request = 5 WHERE seq = 1"),
        ("run", "UPDATE run SET started_ms = 1.5"),
        ("body", "UPDATE body SET size = 'x'"),
    ] {
        let (met, _) = forged(|connection| {
            // Loosens the table for one moment, then puts its text back.
            let strict: String = connection
                .query_row("SELECT sql FROM sqlite_schema WHERE name = ?", [table], |row| row.get(0))
                .unwrap();
            let write = |text: &str| {
                connection.pragma_update(None, "writable_schema", true).unwrap();
                connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", [text, table]).unwrap();
                connection.execute_batch("PRAGMA writable_schema = RESET").unwrap();
            };
            write(&strict.replace(" STRICT, WITHOUT", " WITHOUT").replace(" STRICT", ""));
            assert!(connection.execute(sql, []).unwrap() > 0);
            write(&strict);
        });
        assert_ne!(met, Met::Harmless, "{sql}");
    }
}
