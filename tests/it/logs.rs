//! What both readings make of the logs in `fixtures/logs`: the harness's, and the strict one.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::slice::from_ref;

use runproof::gate::{Compat, Execution, Expected, Level, Parser, normalise, red, report};

use crate::snap;

fn logs(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/logs").join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn read_all(folder: &str, functions: &[&str]) -> String {
    let mut text = String::new();
    for path in logs(folder) {
        let log = fs::read(&path).unwrap();
        writeln!(text, "{}", path.file_stem().unwrap().to_string_lossy()).unwrap();
        for function in functions {
            let map = Compat::named(function).unwrap().read(&String::from_utf8_lossy(&log));
            writeln!(text, "  {function}: {map:?}").unwrap();
        }
    }
    text
}

#[test]
fn logs_are_read_as_the_harness_reads_them() {
    const PYTEST: &[&str] = &["pytest", "matplotlib", "pytest_options", "pytest_v2", "seaborn"];
    for (folder, functions) in [
        ("pytest", PYTEST),
        ("django", &["django"]),
        ("sympy", &["sympy"]),
        ("cargo", &["cargo"]),
        ("go", &["gotest"]),
        ("jest", &["jest", "jest_json"]),
        ("vitest", &["vitest"]),
    ] {
        snap!("gate", format!("logs_{folder}"), read_all(folder, functions));
    }
}

/// Reads the logs of `fixtures/logs/strict`; a `truncated` one is of a run that was stopped at its log cap.
fn read_strictly(parser: Parser) -> String {
    let mut text = String::new();
    for path in logs(&format!("strict/{}", parser.name())) {
        let log = fs::read(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let truncated = name == "truncated";
        let (exit, sandbox) = ((!truncated).then_some(i32::from(name != "zero")), Level::None);
        let execution = Execution { exit, signal: None, timed_out: false, truncated, exceeded: None, sandbox, log };
        let report = report(parser, &normalise(&execution.to_bytes()).unwrap());
        writeln!(
            text,
            "{name}: ran {:?}, baseline {:?}",
            report.ran,
            red(&Expected::Baseline, from_ref(&report)).codes
        )
        .unwrap();
        for (test, status) in &report.tests {
            let twice = if report.duplicates.contains(test) { ", twice" } else { "" };
            let word = report.unknown.get(test).map_or(String::new(), |word| format!(", unknown {word:?}"));
            writeln!(text, "  {test}: {status:?}{twice}{word}").unwrap();
        }
    }
    text
}

#[test]
fn logs_are_read_strictly() {
    for parser in [
        Parser::Pytest,
        Parser::Unittest,
        Parser::Django,
        Parser::Sympy,
        Parser::Cargo,
        Parser::Nextest,
        Parser::Go,
        Parser::Jest,
        Parser::Vitest,
    ] {
        snap!("gate", format!("strict_{}", parser.name()), read_strictly(parser));
    }
}
