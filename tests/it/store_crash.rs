//! The store under sudden death and without space.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use runproof::store::{Access, Durability, Store};

use crate::store::{append, assert_holds, conversation, new_run, open, run_end, run_id};

const FILE: &str = "RUNPROOF_TEST_STORE";
const TURNS: usize = 120;

/// The recording process of the tests below. It says each event's number once the store has it.
#[test]
#[ignore = "a child process of other tests"]
#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "speaks with its parent")]
fn records_until_it_dies() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let mut store = Store::open(Path::new(&path), Access::Create, Durability::Full).unwrap();
    if store.run(run_id(1)).unwrap().is_none() {
        store.begin_run(&new_run(run_id(1))).unwrap();
    }
    let done = store.run(run_id(1)).unwrap().unwrap().events as usize;
    for (kind, bodies) in &conversation(TURNS)[done..] {
        println!("stored {}", append(&mut store, run_id(1), kind, bodies));
    }
}

#[expect(clippy::disallowed_methods, reason = "the child is this very program")]
fn recorder(path: &Path, shell: Option<&str>) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match shell {
        Some(setup) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{setup}; exec \"$0\" \"$@\"")]).arg(program);
            shell
        }
        None => Command::new(program),
    };
    command.args(["store_crash::records_until_it_dies", "--exact", "--ignored", "--nocapture", "--quiet"]);
    command.env(FILE, path).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Kills the recorder after it has acknowledged some events, over and over, until the run is whole.
fn kill_and_resume(folder: &Path, step: usize) -> usize {
    let path = folder.join("store.sqlite");
    let turns = conversation(TURNS);
    let (mut kept, mut kills) = (0, 0);
    loop {
        let mut child = recorder(&path, None).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let acknowledged =
            lines.filter_map(|line| line.rsplit_once("stored ")?.1.parse::<usize>().ok()).take(step).last();
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        let store = open(&path, Access::Read).unwrap();
        let events = store.run(run_id(1)).unwrap().map_or(0, |run| run.events as usize);
        assert!(events >= acknowledged.map_or(kept, |last| last + 1), "{events} {acknowledged:?}");
        assert_eq!(store.verify(&mut |_, _| {}).unwrap().damage, []);
        kept = events;
        if kept == TURNS {
            break;
        }
    }
    let mut store = open(&path, Access::Write).unwrap();
    store.finish_run(run_id(1), &run_end()).unwrap();
    store.close().unwrap();
    let store = open(&path, Access::Foreign).unwrap();
    assert_eq!(store.verify(&mut |_, _| {}).unwrap().damage, []);
    assert_holds(&store, run_id(1), &turns);
    kills
}

#[test]
fn a_killed_recorder_loses_no_acknowledged_event_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    assert!(kill_and_resume(folder.path(), 30) >= 3);
}

#[test]
#[ignore = "takes seconds"]
fn a_hundred_kills_lose_no_acknowledged_event() {
    let mut kills = 0;
    while kills < 100 {
        let folder = tempfile::tempdir().unwrap();
        kills += kill_and_resume(folder.path(), 1 + kills % 7);
    }
}

#[test]
fn a_file_that_may_not_grow_keeps_every_acknowledged_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    // In blocks of 512 bytes; without the signal, writing beyond fails like a full disk.
    let output = recorder(&path, Some("trap '' XFSZ; ulimit -f 120")).output().unwrap();
    assert!(!output.status.success());
    let stored = String::from_utf8(output.stdout).unwrap().lines().filter(|line| line.contains("stored ")).count();
    assert!((1..TURNS).contains(&stored), "{stored}");
    let store = open(&path, Access::Write).unwrap();
    assert_eq!(store.verify(&mut |_, _| {}).unwrap().damage, []);
    assert_holds(&store, run_id(1), &conversation(TURNS)[..stored]);
}
