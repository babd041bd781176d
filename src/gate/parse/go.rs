//! `go test`, as text with or without `-v`, and as the events of `-json`. A key is `package > test`.
//!
//! Without `-v` a passing package is one line; it stands for its tests, under the package's name. The text names a
//! package after its tests, so what it says waits for that line.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use crate::gate::{Status, TestReport};

static RESULT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"--- ([A-Z]+): (\S+) \(<time>\)$").expect("a tested pattern"));
static BEGIN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^=== RUN\s+(\S+)$").expect("a tested pattern"));
static PACKAGE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(ok  |FAIL|\?   )\t(\S+)(?:\t(?:<time>|[\d.]+s|\(cached\)))?(?:\s+coverage: .*)?(?:\s*\[(.+)\])?$")
        .expect("a tested pattern")
});

/// One line of `go test -json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    #[serde(default)]
    package: String,
    test: Option<String>,
    output: Option<String>,
}

fn event(line: &str) -> Option<Event> {
    line.starts_with('{').then(|| serde_json::from_str(line).ok()).flatten()
}

/// Returns the text that the events of `-json` carry, other lines as they are.
pub(in crate::gate) fn text(log: &str) -> String {
    let mut text = String::new();
    for line in log.lines() {
        match event(line) {
            Some(event) => text.push_str(event.output.as_deref().unwrap_or_default()),
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

/// Reads the log into the report.
pub(super) fn read(log: &str, report: &mut TestReport) {
    report.ran = Some(0);
    let mut packages: BTreeMap<String, Package> = BTreeMap::new();
    // Lines of the package that is named later.
    let mut open = Package::default();
    for line in log.lines() {
        let line = line.trim_end_matches(['\r', ' ']);
        if let Some(event) = event(line) {
            let package = packages.entry(event.package.clone()).or_default();
            package.event(&event);
            if event.test.is_none() && matches!(event.action.as_str(), "pass" | "fail" | "skip") {
                let package = packages.remove(&event.package).unwrap_or_default();
                package.end(&event.package, &event.action, report);
            }
        } else if let Some(begin) = BEGIN.captures(line) {
            open.is_verbose = true;
            open.begun.entry(begin[1].to_owned()).or_insert(false);
        } else if let Some(result) = RESULT.captures(line) {
            open.result(&result[2], &result[1]);
        } else if let Some(end) = PACKAGE.captures(line) {
            let action = match (&end[1], end.get(3).map(|note| note.as_str())) {
                ("?   ", _) | (_, Some("no test files" | "no tests to run")) => "skip",
                ("FAIL", Some(_)) => "broken",
                ("FAIL", None) => "fail",
                _ => "pass",
            };
            std::mem::take(&mut open).end(&end[2], action, report);
        }
    }
    // A run that was cut off: what was begun has no end.
    for (name, package) in packages {
        package.end(&name, "fail", report);
    }
}

#[derive(Default)]
struct Package {
    is_verbose: bool,
    /// Tests that began, and whether they ended.
    begun: BTreeMap<String, bool>,
    results: Vec<(String, Status)>,
    /// Words that are no status, by test.
    unknown: BTreeMap<String, String>,
    is_broken: bool,
}

impl Package {
    fn event(&mut self, event: &Event) {
        let Some(test) = &event.test else {
            self.is_broken |= event.output.as_deref().is_some_and(|output| output.trim_end().ends_with("failed]"));
            return;
        };
        self.is_verbose = true;
        match event.action.as_str() {
            "run" => {
                self.begun.entry(test.clone()).or_insert(false);
            }
            "pass" | "fail" | "skip" => self.result(test, &event.action.to_uppercase()),
            _ => {}
        }
    }

    fn result(&mut self, test: &str, word: &str) {
        let status = match word {
            "PASS" => Status::Passed,
            "SKIP" => Status::Skipped,
            "FAIL" => Status::Failed,
            "BENCH" => return,
            _ => {
                self.unknown.insert(test.to_owned(), word.to_owned());
                Status::Error
            }
        };
        self.begun.insert(test.to_owned(), true);
        self.results.push((test.to_owned(), status));
    }

    fn end(mut self, name: &str, action: &str, report: &mut TestReport) {
        let is_ok = matches!(action, "pass" | "skip");
        // A test whose output has no line end hides its own result line; its package tells.
        let lost = self.begun.iter().filter(|(_, ended)| !**ended).map(|(test, _)| test.clone());
        let status = if is_ok { Status::Passed } else { Status::Error };
        self.results.extend(lost.map(|test| (test, status)).collect::<Vec<_>>());
        let explained = self.results.iter().any(|(_, status)| status.is_failure());
        let named = self.results.iter().filter(|(_, status)| *status != Status::Skipped).count() as u64;
        let own = match action {
            "skip" if self.results.is_empty() => Some(Status::Skipped),
            "pass" if self.results.is_empty() => Some(Status::Passed),
            "fail" | "broken" if !explained => {
                let is_broken = self.is_broken || action == "broken";
                Some(if is_broken { Status::Error } else { Status::Failed })
            }
            _ => None,
        };
        // Quiet packages are counted, not their tests: how many failed must not make a run a larger one.
        report.quiet |= !self.is_verbose && own != Some(Status::Skipped);
        let is_broken = own == Some(Status::Error);
        let count = if self.is_verbose { named.max(1) } else { u64::from(own != Some(Status::Skipped) && !is_broken) };
        report.ran = report.ran.map(|ran| ran.saturating_add(count));
        if let Some(status) = own {
            report.record(name.to_owned(), status);
        }
        report.unknown.extend(self.unknown.into_iter().map(|(test, word)| (format!("{name} > {test}"), word)));
        for (test, status) in self.results {
            report.record(format!("{name} > {test}"), status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Parser, report_of};
    use super::*;

    fn tests(report: &TestReport) -> Vec<(&str, Status)> {
        report.tests.iter().map(|(name, status)| (name.as_str(), *status)).collect()
    }

    #[test]
    fn tests_wait_for_the_line_of_their_package() {
        let log = "\
=== RUN   TestA
--- PASS: TestA (0.00s)
=== RUN   TestB
=== RUN   TestB/sub_case
    b_test.go:9: got 1, want 2
--- FAIL: TestB (0.00s)
    --- FAIL: TestB/sub_case (0.00s)
=== RUN   TestC
--- SKIP: TestC (0.00s)
FAIL
FAIL\texample.com/a\t0.004s
=== RUN   TestA
printed--- PASS: TestA (0.00s)
=== RUN   TestD
prints ok
PASS
ok  \texample.com/b\t0.003s
?   \texample.com/c\t[no test files]
FAIL\texample.com/d [build failed]
FAIL
";
        let report = report_of(Parser::Go, 1, log);
        let expected = [
            ("example.com/a > TestA", Status::Passed),
            ("example.com/a > TestB", Status::Failed),
            ("example.com/a > TestB/sub_case", Status::Failed),
            ("example.com/a > TestC", Status::Skipped),
            ("example.com/b > TestA", Status::Passed),
            ("example.com/b > TestD", Status::Passed),
            ("example.com/c", Status::Skipped),
            ("example.com/d", Status::Error),
        ];
        assert_eq!(tests(&report), expected);
        assert_eq!(report.ran, Some(5));
    }

    #[test]
    fn a_quiet_passing_package_stands_for_its_tests() {
        let red = "--- FAIL: TestB (0.00s)\n    b_test.go:9: no\nFAIL\nFAIL\texample.com/a\t0.004s\nok  \texample.com/b\t(cached)\nFAIL\n";
        let green = "ok  \texample.com/a\t0.004s\nok  \texample.com/b\t(cached)\n";
        let (red, green) = (report_of(Parser::Go, 1, red), report_of(Parser::Go, 0, green));
        assert_eq!(red.failing(), ["example.com/a > TestB"]);
        assert_eq!(green.outcome("example.com/a > TestB"), Some(Status::Passed));
        assert_eq!((red.ran, green.ran), (Some(2), Some(2)));
        assert!(!report_of(Parser::Go, 0, "?   \ta\t[no test files]\n").executed());
        assert!(
            !report_of(Parser::Go, 0, "testing: warning: no tests to run\nPASS\nok  \ta\t0.003s [no tests to run]\n")
                .executed()
        );
    }

    #[test]
    fn events_are_read_and_their_text_is_put_together() {
        let log = r#"{"Time":"2026-01-02T03:04:05.678Z","Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: no\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- FAIL: TestA (0.00s)\n"}
{"Action":"fail","Package":"p","Test":"TestA","Elapsed":0.12}
{"Action":"run","Package":"q","Test":"TestA"}
{"Action":"pass","Package":"q","Test":"TestA","Elapsed":0}
{"Action":"run","Package":"p","Test":"TestP"}
{"Action":"fail","Package":"p","Elapsed":0.1}
{"Action":"pass","Package":"q","Elapsed":0.1}
"#;
        let report = report_of(Parser::Go, 1, log);
        let expected = [("p > TestA", Status::Failed), ("p > TestP", Status::Error), ("q > TestA", Status::Passed)];
        assert_eq!(tests(&report), expected);
        assert_eq!(text(log), "    a_test.go:3: no\n--- FAIL: TestA (0.00s)\n");
    }
}
