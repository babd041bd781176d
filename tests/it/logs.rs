//! What the harness's readings make of the logs in `fixtures/logs`.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use runproof::gate::Compat;

use crate::snap;

fn read_all(folder: &str, functions: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/logs").join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut text = String::new();
    for path in paths {
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
