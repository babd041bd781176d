//! Prints what the gates read from logs, as JSON lines: `cargo run --example parse -- PARSER LOG…`.
//!
//! PARSER is a name of the SWE-bench harness (`parse_log_pytest_v2`), for the harness's reading, or a runner's (`cargo`),
//! for the strict one. `--canonical` reads a log as a replay does, after its normalisation.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "an example is its own command line")]

use runproof::gate::{Compat, Execution, Level, Parser, Reader, normalise, report};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_canonical = arguments.first().is_some_and(|first| first == "--canonical");
    arguments.drain(..usize::from(is_canonical));
    let (name, files) = arguments.split_first().ok_or("which parser, and which logs?")?;
    let compat = if name.starts_with("parse_log_") { Compat::named(name) } else { None };
    let parser: Parser = name.parse()?;
    for file in files {
        let log = std::fs::read(file)?;
        if let (Some(compat), false) = (compat, is_canonical) {
            let map = compat.read(&String::from_utf8_lossy(&log));
            println!("{}", serde_json::json!({"log": file, "map": map}));
            continue;
        }
        let (sandbox, exit) = (Level::None, Some(0));
        let execution =
            Execution { exit, signal: None, timed_out: false, truncated: false, exceeded: None, sandbox, log };
        let report = report(Reader { parser, compat }, &normalise(&execution.to_bytes())?);
        let map = match &report.harness {
            Some(map) => serde_json::json!(map),
            None => serde_json::json!(report.tests),
        };
        let (duplicates, unknown) = (&report.duplicates, &report.unknown);
        let line = serde_json::json!({"log": file, "map": map, "duplicates": duplicates, "unknown": unknown, "ran": report.ran});
        println!("{line}");
    }
    Ok(())
}
