//! Prints the table of attacks on certificates: what is expected of each row, and what came of it.
//!
//! `cargo run --example attacks` runs the vectors in `certs/` and the tests that `certs/attacks.json` names.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The tests that drive the vectors.
const DRIVERS: [&str; 2] = [
    "vectors::every_case_of_a_run_comes_out_as_written_beside_it_each_in_a_process",
    "vectors::every_case_of_a_campaign_comes_out_as_written_beside_it_each_in_a_process",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows: Vec<Value> = serde_json::from_slice(&fs::read(root.join("certs/attacks.json"))?)?;
    let named = rows.iter().flat_map(tests_of);
    let tests: BTreeSet<&str> = named.chain(DRIVERS).collect();
    let results = tempfile::NamedTempFile::new()?;
    let output = Command::new(env!("CARGO"))
        .args(["test", "--locked", "--lib", "--test", "it", "--no-fail-fast", "--", "--exact"])
        .args(&tests)
        .env("RUNPROOF_VECTOR_RESULTS", results.path())
        .current_dir(root)
        .output()?;
    let outcomes: BTreeMap<String, String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "))
        .map(|(name, outcome)| (name.trim_end_matches(" - should panic").to_owned(), outcome.to_owned()))
        .collect();
    // By row: name, expected exit code, exit code, reason.
    let mut vectors: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in fs::read_to_string(results.path())?.lines() {
        let result: Value = serde_json::from_str(line)?;
        vectors.entry(text(&result, "row").to_owned()).or_default().push(result);
    }
    println!("| id | expected | got | by |\n|---|---|---|---|");
    let mut wrong = 0;
    for row in &rows {
        wrong += usize::from(!print(row, &vectors.remove(text(row, "id")).unwrap_or_default(), &outcomes));
    }
    // What is no row of the table: cases of campaigns, and some more of runs.
    for (id, results) in vectors {
        let codes: BTreeSet<i64> = results.iter().filter_map(|result| result["expected"].as_i64()).collect();
        let codes: Vec<String> = codes.iter().map(i64::to_string).collect();
        let row = serde_json::json!({"id": id, "expected": codes.join("/")});
        wrong += usize::from(!print(&row, &results, &outcomes));
    }
    println!("\n{} rows, {wrong} not as expected", rows.len());
    if wrong > 0 { Err("some rows came out otherwise".into()) } else { Ok(()) }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn tests_of(row: &Value) -> impl Iterator<Item = &str> {
    row["tests"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Prints a row and says whether everything came out as expected.
fn print(row: &Value, vectors: &[Value], outcomes: &BTreeMap<String, String>) -> bool {
    let (mut got, mut by, mut sound) = (Vec::new(), Vec::new(), true);
    for vector in vectors {
        let reason = text(vector, "reason");
        let said = if reason.is_empty() { String::new() } else { format!(" {reason}") };
        got.push(format!("{}{said}", vector["exit"]));
        by.push(text(vector, "name").to_owned());
        sound &= vector["exit"] == vector["expected"] && vector["as_expected"] == true;
    }
    got.dedup();
    for test in tests_of(row) {
        let outcome = outcomes.get(test).map_or("not run", String::as_str);
        got.push(format!("test {outcome}"));
        by.push(format!("`{test}`"));
        sound &= outcome == "ok";
    }
    if let Some(reason) = row["reason"].as_str() {
        got.push("no test".into());
        by.push(reason.to_owned());
    }
    sound &= !by.is_empty();
    got.dedup();
    let (id, expected) = (text(row, "id"), text(row, "expected").replace('|', " or "));
    println!("| {id} | {expected} | {} | {} |", got.join(", "), by.join(", "));
    sound
}
