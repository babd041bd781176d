//! jest, as text with or without `--verbose`. A key is `file > describe > test`.
//!
//! Without `--verbose` only failing tests are named, by headings `● describe › test`, and a passing file stands for its tests.

use std::sync::LazyLock;

use regex::Regex;

use crate::gate::{Status, TestReport};

static FILE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(PASS|FAIL) {1,2}(\S.*?)(?: \([\d.]+ m?s\)| \(<time>\))?(?: \([\d.]+ [MG]B heap size\))?$")
        .expect("a tested pattern")
});
static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(\s+)([✓✕○✎√×]) (?:skipped |todo )?(.+?)(?: \([\d.]+ m?s\)| \(<time>\))?$").expect("a tested pattern")
});
static HEADING: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^  ● (.+)$").expect("a tested pattern"));
static TOTAL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^Tests:\s+(.*)$").expect("a tested pattern"));
static COUNT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(\d+) (passed|failed)\b").expect("a tested pattern"));

/// Reads the log into the report.
pub(super) fn read(log: &str, report: &mut TestReport) {
    let mut file: Option<File> = None;
    for line in log.lines().map(str::trim_end) {
        if let Some(head) = FILE.captures(line) {
            end(file.take(), report);
            // The files that failed are told again below `Summary of all failing tests`.
            file = Some(File { name: head[2].to_owned(), passed: &head[1] == "PASS", ..File::default() });
        } else if let Some(total) = TOTAL.captures(line) {
            end(file.take(), report);
            let counts = COUNT.captures_iter(total.get(1).map_or("", |counts| counts.as_str()));
            report.ran = Some(counts.filter_map(|count| count[1].parse::<u64>().ok()).sum());
        } else if let Some(file) = &mut file {
            file.line(line, report);
        }
    }
    end(file, report);
}

fn end(file: Option<File>, report: &mut TestReport) {
    let Some(file) = file else { return };
    report.quiet |= !file.is_verbose;
    if !file.is_named {
        let status = if file.passed { Status::Passed } else { Status::Error };
        report.tests.entry(file.name).and_modify(|known| *known = status.max(*known)).or_insert(status);
    }
}

#[derive(Default)]
struct File {
    name: String,
    passed: bool,
    /// Whether a result line was there.
    is_verbose: bool,
    /// Whether any test was named.
    is_named: bool,
    /// The open `describe` blocks with their indentation.
    blocks: Vec<(usize, String)>,
    /// Whether the headings of failures have begun; what follows is text of the tests.
    in_failures: bool,
}

impl File {
    fn line(&mut self, line: &str, report: &mut TestReport) {
        if let Some(heading) = HEADING.captures(line) {
            self.in_failures = true;
            let heading = &heading[1];
            if heading != "Test suite failed to run" && !heading.starts_with("Console") {
                let key = format!("{} > {}", self.name, heading.replace(" › ", " > "));
                report
                    .tests
                    .entry(key)
                    .and_modify(|known| *known = Status::Failed.max(*known))
                    .or_insert(Status::Failed);
                self.is_named = true;
            }
        } else if self.in_failures || line.trim().is_empty() {
        } else if let Some(result) = RESULT.captures(line) {
            (self.is_verbose, self.is_named) = (true, true);
            self.close(result[1].chars().count());
            let path: String = self.blocks.iter().map(|(_, block)| format!("{block} > ")).collect();
            let status = match &result[2] {
                "✓" | "√" => Status::Passed,
                "✕" | "×" => Status::Failed,
                _ => Status::Skipped,
            };
            report.record(format!("{} > {path}{}", self.name, &result[3]), status);
        } else {
            let indentation = line.len() - line.trim_start().len();
            if indentation >= 2 {
                self.close(indentation);
                self.blocks.push((indentation, line.trim().to_owned()));
            }
        }
    }

    fn close(&mut self, indentation: usize) {
        while self.blocks.last().is_some_and(|(open, _)| *open >= indentation) {
            self.blocks.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Parser, report_of};
    use super::*;

    #[test]
    fn describe_blocks_are_part_of_the_key() {
        let log = "\
PASS src/a.test.js
  sums
    ✓ adds (3 ms)
    nested
      ✓ adds
      ○ skipped later
  ✓ top (1.2 s)
FAIL src/b.test.js (5.1 s)
  sums
    ✕ adds (4 ms)
    ✓ adds

  ● sums › adds

    expect(received).toBe(expected) // Object.is equality
      ✓ printed by a test

FAIL src/c.test.js
  ● Test suite failed to run

    SyntaxError: x

Test Suites: 2 failed, 1 passed, 3 total
Tests:       1 failed, 1 skipped, 4 passed, 6 total
Snapshots:   0 total
Time:        0.5 s
";
        let report = report_of(Parser::Jest, 1, log);
        let expected = [
            ("src/a.test.js > sums > adds", Status::Passed),
            ("src/a.test.js > sums > nested > adds", Status::Passed),
            ("src/a.test.js > sums > nested > later", Status::Skipped),
            ("src/a.test.js > top", Status::Passed),
            ("src/b.test.js > sums > adds", Status::Failed),
            ("src/c.test.js", Status::Error),
        ];
        assert_eq!(report.tests, expected.into_iter().map(|(name, status)| (name.to_owned(), status)).collect());
        assert_eq!(report.ran, Some(5));
        assert_eq!(report.duplicates.iter().collect::<Vec<_>>(), ["src/b.test.js > sums > adds"]);
    }

    #[test]
    fn a_passing_file_stands_for_its_tests() {
        let red = "PASS src/a.test.js\nFAIL src/b.test.js\n  ● sums › adds\n\n    no\n\nTests:       1 failed, 3 passed, 4 total\n";
        let green = "PASS src/a.test.js\nPASS src/b.test.js\n\nTests:       4 passed, 4 total\n";
        let (red, green) = (report_of(Parser::Jest, 1, red), report_of(Parser::Jest, 0, green));
        assert_eq!(red.failing(), ["src/b.test.js > sums > adds"]);
        assert_eq!(green.outcome("src/b.test.js > sums > adds"), Some(Status::Passed));
        assert_eq!((red.ran, green.ran), (Some(4), Some(4)));
    }
}
