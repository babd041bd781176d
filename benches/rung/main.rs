//! How long a run of 100 calls takes to assess and to verify, cold: each figure is a process of its own; see README.md beside this file.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench reads the clock and prints figures")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use runproof::rung::{Replay, RunInput, Verdict, assess_run};
use runproof::store::{Access, Durability, Store};
use runproof::transcript::{Evidence, Folder};

const CALLS: u32 = 100;
const STORE: &str = ".runproof/transcripts.sqlite";

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Has the program record a run of a hundred calls: most are refused, two are tested, the last one is right.
fn record(folder: &Path) -> Outcome {
    let files = [
        ("task/task.toml", "id = \"total\"\ntest_command = \"python3 -m unittest -v\"\n"),
        ("task/issue.md", "The total of a basket counts only the last price.\n"),
        (
            "task/repo/basket.py",
            "def total(prices):\n    result = 0\n    for price in prices:\n        result = price\n    return result\n",
        ),
        (
            "task/repo/test_basket.py",
            "import unittest\nfrom basket import total\n\n\nclass Two(unittest.TestCase):\n    def test_two(self):\n        self.assertEqual(total([2, 3]), 5)\n",
        ),
    ];
    for (name, text) in files {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().expect("a file has a folder"))?;
        fs::write(file, text)?;
    }
    let answer = |line: &str| format!("FILE: basket.py\nLINES: 4-4\nREASONING: add up\n```\n        {line}\n```\n");
    let reply = |number: u32| match number {
        50 => answer("result = price + 1"),
        CALLS => answer("result += price"),
        _ => format!("I cannot help with that, for the {number}th time."),
    };
    let script: String =
        (1..=CALLS).map(|number| format!("{}\n", serde_json::json!({"reply": reply(number)}))).collect();
    fs::write(folder.join("script.jsonl"), script)?;
    let attempts = CALLS.to_string();
    run(folder, &["solve", "task", "--model", "scripted:script.jsonl", "--quiet", "--attempts", &attempts])?;
    run(folder, &["key", "new", "key"])?;
    run(folder, &["certify", "--key", "key", "-o", "certificate.json", "--evidence", "evidence"])
}

/// Runs the program to its good end.
fn run(folder: &Path, args: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_runproof")).args(args).current_dir(folder).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn store(folder: &Path) -> Result<Store, runproof::store::StoreError> {
    Store::open(&folder.join(STORE), Access::Foreign, Durability::Full)
}

/// Assesses the evidence: every digest, both roots, every criterion that needs no replay.
fn assess(evidence: &Evidence<'_>) {
    let replay = Replay::None("not in this bench");
    let rung = assess_run(&RunInput { evidence, roots: None, replay });
    let open: Vec<_> = rung.criteria().iter().filter(|c| c.verdict != Verdict::Passed).map(|c| &c.name).collect();
    assert_eq!(open, ["replay-equal"]);
}

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().collect();
    if let [_, measure, folder, source] = args.as_slice()
        && measure == "measure"
    {
        let (started, folder) = (Instant::now(), Path::new(folder));
        if source == "store" {
            let store = store(folder)?;
            let run = store.runs()?.pop().ok_or("no run")?.id;
            assess(&Evidence::of_run(&store, run)?);
        } else {
            let folder = Folder::open(&folder.join("evidence"))?;
            assess(&Evidence::of_folder(&folder)?);
        }
        println!("{}", started.elapsed().as_micros());
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    record(folder.path())?;
    for source in ["store", "folder"] {
        let mut times = Vec::new();
        for _ in 0..11 {
            let started = Instant::now();
            let output =
                Command::new(std::env::current_exe()?).arg("measure").arg(folder.path()).arg(source).output()?;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let inside: u128 = String::from_utf8(output.stdout)?.trim().parse()?;
            times.push((started.elapsed().as_micros(), inside));
        }
        times.sort_unstable();
        let ((whole, inside), (best, _)) = (times[5], times[0]);
        let [whole, inside, best] = [whole, inside, best].map(|us| us as f64 / 1000.0);
        println!(
            "assess    {CALLS} calls from a {source}: median {whole:.1} ms with process start ({inside:.1} ms inside), best {best:.1} ms"
        );
    }
    for level in ["evidence", "replay"] {
        for (source, path) in [("store", STORE), ("folder", "evidence")] {
            let verify = ["verify", "certificate.json", "--key", "key.pub", "--require", level, "--evidence", path];
            let mut times = Vec::new();
            for _ in 0..11 {
                let started = Instant::now();
                run(folder.path(), &verify)?;
                times.push(started.elapsed().as_micros());
            }
            times.sort_unstable();
            let [median, best] = [times[5], times[0]].map(|us| us as f64 / 1000.0);
            println!(
                "verify    {CALLS} calls from a {source} at level {level}: median {median:.1} ms, best {best:.1} ms"
            );
        }
    }
    Ok(())
}
