//! The one JSON object that `jest --json` and vitest's `--reporter=json` print: files with their assertion results.

use serde::Deserialize;

use crate::gate::{Status, TestReport, WORKTREE};

#[derive(Deserialize)]
struct Results {
    #[serde(rename = "testResults")]
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    name: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
    #[serde(rename = "assertionResults", default)]
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    #[serde(rename = "ancestorTitles", default)]
    blocks: Vec<String>,
    title: String,
    status: String,
    #[serde(rename = "failureMessages", default)]
    messages: Vec<String>,
}

impl File {
    fn path(&self) -> &str {
        self.name.strip_prefix(WORKTREE).map_or(self.name.as_str(), |path| path.trim_start_matches('/'))
    }

    fn key(&self, test: &Test) -> String {
        let path: String = test.blocks.iter().map(|block| format!("{block} > ")).collect();
        format!("{} > {path}{}", self.path(), test.title)
    }
}

/// Finds the last such object; it begins a line and may be followed by other output.
fn results(log: &str) -> Option<Results> {
    let starts = std::iter::once(0).chain(log.match_indices("\n{").map(|(at, _)| at + 1));
    let candidates: Vec<usize> = starts.filter(|at| log[*at..].starts_with('{')).collect();
    candidates.into_iter().rev().take(64).find_map(|at| {
        let mut values = serde_json::Deserializer::from_str(&log[at..]).into_iter::<Results>();
        values.next()?.ok()
    })
}

/// Reads the log into the report; says whether it holds such an object.
pub(super) fn read(log: &str, report: &mut TestReport) -> bool {
    let Some(results) = results(log) else { return false };
    let mut ran = 0;
    for file in &results.files {
        for test in &file.tests {
            let status = match test.status.as_str() {
                "passed" => Status::Passed,
                "failed" => Status::Failed,
                "pending" | "skipped" | "todo" | "disabled" => Status::Skipped,
                word => {
                    report.record_unknown(file.key(test), word);
                    continue;
                }
            };
            ran += u64::from(status != Status::Skipped);
            report.record(file.key(test), status);
        }
        if file.status == "failed" && !file.tests.iter().any(|test| test.status == "failed") {
            report.record(file.path().to_owned(), Status::Error);
        }
    }
    report.ran = Some(ran);
    true
}

/// Returns each failing test's key with what it said.
pub(in crate::gate) fn failures(log: &str) -> Vec<(String, String)> {
    let mut failures = Vec::new();
    for file in results(log).map(|results| results.files).unwrap_or_default() {
        for test in file.tests.iter().filter(|test| !test.messages.is_empty()) {
            failures.push((file.key(test), test.messages.join("\n")));
        }
        if file.status == "failed" && !file.tests.iter().any(|test| test.status == "failed") {
            failures.push((file.path().to_owned(), file.message.clone()));
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::super::{Parser, report_of};
    use super::*;

    #[test]
    fn files_and_tests_are_read() {
        let log = r#"noise
{"numTotalTests":4,"success":false,"testResults":[{"name":"/testbed/src/a.test.js","status":"failed","message":"m","startTime":1,"endTime":2,"assertionResults":[
{"ancestorTitles":["sums"],"title":"adds","status":"passed","failureMessages":[],"duration":1},
{"ancestorTitles":["sums"],"title":"fails","status":"failed","failureMessages":["Error: no\n    at a.test.js:3:4"]},
{"ancestorTitles":[],"title":"later","status":"pending"},
{"ancestorTitles":[],"title":"odd","status":"focused"}]},
{"name":"/testbed/src/b.test.js","status":"failed","message":"SyntaxError","assertionResults":[]}]}
Done.
"#;
        let report = report_of(Parser::Jest, 1, log);
        let expected = [
            ("src/a.test.js > sums > adds", Status::Passed),
            ("src/a.test.js > sums > fails", Status::Failed),
            ("src/a.test.js > later", Status::Skipped),
            ("src/a.test.js > odd", Status::Error),
            ("src/b.test.js", Status::Error),
        ];
        assert_eq!(report.tests, expected.into_iter().map(|(name, status)| (name.to_owned(), status)).collect());
        assert_eq!((report.ran, report.unknown.len()), (Some(2), 1));
        assert_eq!(failures(log)[1], ("src/b.test.js".to_owned(), "SyntaxError".to_owned()));
    }
}
