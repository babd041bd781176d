//! kill -9 while edits are being written; the README of this folder says how to run it.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a checking program reads arguments and the clock, prints, and may stop at the first failure"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use runproof::canon::{Blake3, FileMode};
use runproof::workspace::{Git, Origin, Recovery, Worktree};

/// Files that one change writes, adds and deletes.
const FILES: usize = 24;

type Changes = BTreeMap<String, Option<(Vec<u8>, FileMode)>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let git = Git::find(&std::env::var_os("PATH").unwrap_or_default()).unwrap();
    if let [mode, at] = words.as_slice()
        && mode == "--write"
    {
        let (mut worktree, _) = Worktree::open(&git, Path::new(at)).unwrap();
        println!("ready");
        worktree.write(&changes()).unwrap();
        return ExitCode::SUCCESS;
    }
    let trials: u64 = words.first().map_or(50, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let origin = folder.path().join("origin");
    for number in 0..FILES {
        let full = origin.join(path(number));
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, format!("old {number}\n").repeat(4000)).unwrap();
    }
    let lay_out = |name: &str| Worktree::create(&git, &Origin::Folder(origin.clone()), None, &folder.path().join(name));
    let mut whole = lay_out("whole").unwrap();
    let before = whole.tree().unwrap().digest();
    whole.write(&changes()).unwrap();
    let after = whole.tree().unwrap().digest();

    // How long an undisturbed change takes, as seen from outside.
    drop(lay_out("timed").unwrap());
    let length = write(&folder.path().join("timed"), None);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for trial in 0..trials {
        let at = folder.path().join(format!("trial-{trial}"));
        drop(lay_out(&format!("trial-{trial}")).unwrap());
        let chance = u64::from_le_bytes(Blake3::of(&trial.to_le_bytes()).as_bytes()[..8].try_into().unwrap());
        write(&at, Some(length.mul_f64((chance % 1200) as f64 / 1000.0)));
        let (worktree, recovery) = Worktree::open(&git, &at).unwrap();
        let found = worktree.tree().unwrap().digest();
        let said = match (recovery, found) {
            (Recovery::Clean, tree) if tree == before => "before it began",
            (Recovery::RolledBack, tree) if tree == before => "rolled back",
            (Recovery::Finished, tree) if tree == after => "finished",
            (recovery, tree) => {
                panic!("trial {trial}: {recovery:?} and the tree {tree}, {before} before, {after} after")
            }
        };
        *counts.entry(said).or_default() += 1;
        worktree.remove().unwrap();
    }
    println!("{trials} kills within {length:.1?}: {counts:?}, never between");
    ExitCode::SUCCESS
}

/// Starts a process that writes the change, and kills it after `delay`; returns how long it lived after it was ready.
fn write(at: &Path, delay: Option<Duration>) -> Duration {
    let mut child =
        Command::new(std::env::current_exe().unwrap()).arg("--write").arg(at).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let ready = Instant::now();
    if let Some(delay) = delay {
        std::thread::sleep(delay);
        child.kill().unwrap();
    }
    child.wait().unwrap();
    ready.elapsed()
}

fn path(number: usize) -> String {
    format!("part{}/file{number}.txt", number % 5)
}

fn changes() -> Changes {
    (0..FILES)
        .flat_map(|number| {
            let text = format!("new {number}\n").repeat(4000).into_bytes();
            let change = (number % 4 != 3).then_some((text.clone(), FileMode::Executable));
            [(path(number), change), (format!("fresh{}/more{number}.txt", number % 3), Some((text, FileMode::Regular)))]
        })
        .collect()
}
