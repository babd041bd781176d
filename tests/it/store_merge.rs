//! Stores joined: in whatever order, as often as one likes, the same file; and never half of one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use runproof::canon::Sha256;
use runproof::store::{Access, Durability, Merged, NewRun, RunEnd, RunStatus, Store, StoreError};
use tempfile::TempDir;

use crate::store::{append, assert_holds, conversation, new_run, open, run_end, run_id};

/// One recording of a run: which, how it went, and when.
#[derive(Debug, Clone)]
struct Recording {
    run: u8,
    /// Events, of which all but the last one's number come from the same course; `None` for all of them and an end.
    cut: Option<usize>,
    /// Which of two raw forms of the same canonical course it is.
    form: u8,
    started: u64,
}

fn recording() -> impl Strategy<Value = Recording> {
    let cut = proptest::option::weighted(0.4, 0..4_usize);
    (1..5_u8, cut, 0..2_u8, 0..3_u64).prop_map(|(run, cut, form, started)| Recording { run, cut, form, started })
}

fn raw_root(recording: &Recording) -> Sha256 {
    Sha256::of(&[recording.run, recording.form])
}

fn write(path: &Path, recordings: &[Recording]) -> PathBuf {
    let mut store = open(path, Access::Create).unwrap();
    for recording in recordings {
        let id = run_id(recording.run);
        if store.run(id).unwrap().is_some() {
            continue;
        }
        let started_ms = 1_700_000_000_000 + recording.started;
        store.begin_run(&NewRun { started_ms, ..new_run(id) }).unwrap();
        let course = conversation(4);
        for (kind, bodies) in course.iter().take(recording.cut.unwrap_or(4)) {
            let mut bodies = bodies.clone();
            bodies.get_mut("reply").unwrap().push(b'0' + recording.form);
            append(&mut store, id, kind, &bodies);
        }
        if recording.cut.is_none() {
            let canonical_root = Sha256::of(&[recording.run]);
            let end =
                RunEnd { raw_root: raw_root(recording), canonical_root, finished_ms: started_ms + 5, ..run_end() };
            store.finish_run(id, &end).unwrap();
        }
    }
    store.close().unwrap();
    path.to_owned()
}

fn merge(files: &[&Path], out: &Path) -> Result<Merged, StoreError> {
    let files: Vec<PathBuf> = files.iter().map(|file| file.to_path_buf()).collect();
    Store::merge(&files, out, false, &mut |_, _| {})
}

/// Merges into a file named anew and returns it with its bytes.
fn merged(folder: &TempDir, name: &str, files: &[&Path]) -> (PathBuf, Vec<u8>) {
    let out = folder.path().join(name);
    merge(files, &out).unwrap();
    let bytes = fs::read(&out).unwrap();
    (out, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]

    #[test]
    fn order_grouping_and_repetition_give_the_same_bytes(
        stores in proptest::collection::vec(proptest::collection::vec(recording(), 0..5), 3),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..).zip(&stores).map(|(n, one)| write(&folder.path().join(format!("s{n}")), one)).collect();
        let [a, b, c] = [0, 1, 2].map(|n: usize| paths[n].as_path());
        let before: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        let (whole, bytes) = merged(&folder, "abc", &[a, b, c]);
        prop_assert_eq!(&merged(&folder, "cba", &[c, b, a]).1, &bytes);
        prop_assert_eq!(&merged(&folder, "repeated", &[b, a, &whole, c, b]).1, &bytes);
        prop_assert_eq!(&merged(&folder, "again", &[&whole]).1, &bytes);
        let (ab, _) = merged(&folder, "ab", &[a, b]);
        let (bc, _) = merged(&folder, "bc", &[b, c]);
        prop_assert_eq!(&merged(&folder, "ab-c", &[&ab, c]).1, &bytes);
        prop_assert_eq!(&merged(&folder, "a-bc", &[a, &bc]).1, &bytes);
        prop_assert_eq!(paths.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), before);

        // What stays is by the rules, and whole.
        let store = open(&whole, Access::Foreign).unwrap();
        prop_assert_eq!(store.verify(&mut |_, _| {}).unwrap().damaged, 0);
        let firsts = stores.iter().flat_map(|one| {
            one.iter().enumerate().filter(|(at, new)| !one[..*at].iter().any(|old| old.run == new.run)).map(|(_, new)| new)
        });
        let firsts: Vec<&Recording> = firsts.collect();
        for run in 1..5 {
            let all: Vec<&&Recording> = firsts.iter().filter(|one| one.run == run).collect();
            let row = store.run(run_id(run)).unwrap();
            prop_assert_eq!(row.is_some(), !all.is_empty());
            let Some(row) = row else { continue };
            let ended: Vec<&&&Recording> = all.iter().filter(|one| one.cut.is_none()).collect();
            prop_assert_eq!(row.status == RunStatus::Finished, !ended.is_empty());
            prop_assert_eq!(row.raw_root, ended.iter().map(|one| raw_root(one)).min());
            prop_assert_eq!(row.events as usize, if ended.is_empty() { all.iter().filter_map(|one| one.cut).max().unwrap() } else { 4 });
        }
    }
}

fn finished(run: u8, form: u8, started: u64) -> Recording {
    Recording { run, cut: None, form, started }
}

#[test]
fn the_summary_says_what_was_equal_what_was_twice_and_what_was_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let a = write(&at("a"), &[finished(1, 0, 2), finished(2, 0, 0), Recording { cut: Some(2), ..finished(3, 0, 0) }]);
    let b = write(&at("b"), &[finished(1, 0, 1), finished(2, 1, 0), finished(3, 0, 1)]);
    let found = merge(&[&a, &b], &at("out")).unwrap();
    assert_eq!((&found.equal, &found.left_out), (&vec![run_id(1)], &vec![run_id(3)]));
    let roots = [raw_root(&finished(2, 0, 0)), raw_root(&finished(2, 1, 0))];
    assert_eq!((found.twice[0].run, found.twice[0].kept), (run_id(2), roots[0].min(roots[1])));
    assert_eq!(found.twice[0].others, [roots[0].max(roots[1])]);
    // The oldest first, and of equal recordings the earliest.
    let rows: Vec<_> = found.runs.iter().map(|row| (row.id, row.started_ms - 1_700_000_000_000)).collect();
    assert_eq!(rows, [(run_id(2), 0), (run_id(1), 1), (run_id(3), 1)]);
    assert_eq!(found.bytes, fs::metadata(at("out")).unwrap().len());
    // Equal but for times is present for an import too.
    let mut store = open(&b, Access::Write).unwrap();
    assert!(matches!(store.import(&a), Err(StoreError::Conflict(run)) if run != run_id(1)));
    let c = write(&at("c"), &[finished(1, 0, 0)]);
    assert_eq!(store.import(&c).unwrap().present, [run_id(1)]);
}

#[test]
fn a_run_that_came_out_differently_is_named_with_both_roots_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let a = write(&at("a"), &[finished(1, 0, 0)]);
    let mut other = open(&at("b"), Access::Create).unwrap();
    other.begin_run(&new_run(run_id(1))).unwrap();
    other.finish_run(run_id(1), &run_end()).unwrap();
    other.close().unwrap();
    let error = merge(&[&a, &at("b")], &at("out")).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StoreError::Diverged { .. }), "{text}");
    for root in [Sha256::of(b"canonical"), Sha256::of(&[1])] {
        assert!(text.contains(&root.to_string()), "{text}");
    }
    // One root over two contents is no second recording.
    let mut liar = open(&at("c"), Access::Create).unwrap();
    liar.begin_run(&new_run(run_id(1))).unwrap();
    let raw_root = raw_root(&finished(1, 0, 0));
    liar.finish_run(run_id(1), &RunEnd { raw_root, canonical_root: Sha256::of(&[1]), ..run_end() }).unwrap();
    liar.close().unwrap();
    assert!(matches!(merge(&[&a, &at("c")], &at("out")), Err(StoreError::Conflict(_))));
    let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["a", "b", "c"]);
}

#[test]
fn a_link_in_the_place_of_the_part_leads_to_nothing_that_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let a = write(&at("a"), &[finished(1, 0, 0)]);
    fs::write(at("other"), "mine").unwrap();
    std::os::unix::fs::symlink(at("other"), at("out.part")).unwrap();
    assert!(matches!(merge(&[&a], &at("out")).unwrap_err(), StoreError::Io { .. }));
    assert_eq!(fs::read(at("other")).unwrap(), b"mine");
}

#[test]
fn a_file_at_fault_is_named_and_what_is_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let a = write(&at("a"), &[finished(1, 0, 0)]);
    let b = write(&at("b"), &[finished(2, 0, 0)]);
    let refused = |file: &str, error: StoreError| {
        assert!(error.to_string().contains(file), "{error}");
        assert!(!at("out").exists() && !at("out.part").exists());
        error
    };
    assert!(matches!(refused("none", merge(&[&a, &at("none")], &at("out")).unwrap_err()), StoreError::Missing(_)));
    fs::write(at("text"), "no store").unwrap();
    assert!(matches!(
        refused("text", merge(&[&a, &at("text")], &at("out")).unwrap_err()),
        StoreError::NotAStore { .. }
    ));
    fs::copy(&b, at("newer")).unwrap();
    rusqlite::Connection::open(at("newer")).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let error = refused("newer", merge(&[&a, &at("newer")], &at("out")).unwrap_err());
    assert!(matches!(error, StoreError::NewerVersion { found: 2, .. }));
    fs::copy(&b, at("damaged")).unwrap();
    let damage = "UPDATE event SET observation = 'x'";
    rusqlite::Connection::open(at("damaged")).unwrap().execute(damage, []).unwrap();
    assert!(refused("damaged", merge(&[&a, &at("damaged")], &at("out")).unwrap_err()).is_damage());

    // What is there is replaced only when asked for, only a store, and only if nobody has it open.
    let out = write(&at("there"), &[finished(3, 0, 0)]);
    let before = fs::read(&out).unwrap();
    assert!(matches!(merge(&[&a, &b], &out), Err(StoreError::Io { .. })));
    let force = |files: &[&PathBuf], out: &Path| {
        let files: Vec<PathBuf> = files.iter().copied().cloned().collect();
        Store::merge(&files, out, true, &mut |_, _| {})
    };
    assert!(matches!(force(&[&a], &at("text")), Err(StoreError::NotAStore { .. })));
    assert_eq!(fs::read(at("text")).unwrap(), b"no store");
    let mut busy = open(&out, Access::Write).unwrap();
    busy.begin_run(&new_run(run_id(9))).unwrap();
    assert!(matches!(force(&[&a], &out), Err(StoreError::Locked)));
    drop(busy);
    fs::write(&out, before).unwrap();
    assert_eq!(force(&[&out, &a, &b], &out).unwrap().runs.len(), 3);
    let once = fs::read(&out).unwrap();
    force(&[&out, &b], &out).unwrap();
    assert!(fs::read(&out).unwrap() == once);
}

#[test]
fn a_store_whose_recorder_was_killed_is_taken_with_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut killed = open(&at("live"), Access::Create).unwrap();
    killed.begin_run(&new_run(run_id(1))).unwrap();
    for (kind, bodies) in conversation(3) {
        append(&mut killed, run_id(1), &kind, &bodies);
    }
    // The file and its log as they are at this moment, without the process.
    for suffix in ["", "-wal"] {
        fs::copy(at(&format!("live{suffix}")), at(&format!("killed{suffix}"))).unwrap();
    }
    let (out, _) = merged(&folder, "out", &[&at("killed"), &write(&at("b"), &[finished(2, 0, 0)])]);
    assert_holds(&open(&out, Access::Foreign).unwrap(), run_id(1), &conversation(3));
}

const FILES: &str = "RUNPROOF_TEST_MERGE";

/// The merging process of the tests below.
#[test]
#[ignore = "a child process of other tests"]
#[expect(clippy::disallowed_methods, reason = "speaks with its parent")]
fn merges_until_it_dies() {
    let Some(folder) = std::env::var_os(FILES).map(PathBuf::from) else { return };
    Store::merge(&[folder.join("a"), folder.join("b")], &folder.join("out"), false, &mut |_, _| {}).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the child is this very program")]
fn merger(folder: &Path, setup: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{setup}exec \"$0\" \"$@\"")]).arg(std::env::current_exe().unwrap());
    shell.args(["store_merge::merges_until_it_dies", "--exact", "--ignored", "--quiet"]);
    shell.env(FILES, folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

#[test]
fn killed_or_out_of_space_it_leaves_nothing_by_the_name_and_can_be_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let many: Vec<Recording> = (1..30).map(|run| finished(run, 0, 0)).collect();
    let (a, b) = (write(&at("a"), &many[..15]), write(&at("b"), &many[15..]));
    let (_, bytes) = merged(&folder, "undisturbed", &[&a, &b]);
    // In blocks of 512 bytes; without the signal, writing beyond fails like a full disk.
    let output = merger(folder.path(), "trap '' XFSZ; ulimit -f 30; ").output().unwrap();
    assert!(!output.status.success());
    assert!(!at("out").exists() && !at("out.part").exists());
    let mut cut = 0;
    while !at("out").exists() {
        let mut child = merger(folder.path(), "").spawn().unwrap();
        // The part grows while runs are copied and sealed; it is killed wherever it is then.
        while child.try_wait().unwrap().is_none() && fs::metadata(at("out.part")).map_or(0, |part| part.len()) <= cut {}
        cut += 16 << 10;
        child.kill().unwrap();
        child.wait().unwrap();
        if !at("out").exists() {
            assert!(at("out.part").exists(), "it died before it began");
            assert_eq!((open(&a, Access::Foreign).is_ok(), open(&b, Access::Foreign).is_ok()), (true, true));
        }
        if cut > 1 << 20 {
            assert!(merger(folder.path(), "").status().unwrap().success());
        }
    }
    assert!(cut >= 32 << 10, "it was never killed");
    assert!(fs::read(at("out")).unwrap() == bytes);
    assert!(!at("out.part").exists());
    assert_eq!(Store::open(&at("out"), Access::Foreign, Durability::Full).unwrap().runs().unwrap().len(), 29);
}
