//! vitest, as text of its default and verbose reporters. A key is `file > describe > test`.
//!
//! The default reporter gives a passing file one line, which stands for its tests.

use std::sync::LazyLock;

use regex::Regex;

use crate::gate::{Status, TestReport};

static FILE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^ ([✓❯×↓]) (?:\|[^|]+\| )?(\S.*?)\s+\(\d+ tests?\b[^)]*\)(?: .*)?$").expect("a tested pattern")
});
static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(\s+)([✓×↓]) (?:\|[^|]+\| )?(.+?)(?:\s+\d+m?s|\s+<time>)?(?: \[skipped\])?$")
        .expect("a tested pattern")
});
static FAILURE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^ FAIL  (?:\|[^|]+\| )?(.+?)(?: \[ .* \])?$").expect("a tested pattern"));
static TOTAL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\s+Tests  (.*)$").expect("a tested pattern"));
static COUNT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(\d+) (passed|failed)\b").expect("a tested pattern"));

/// Reads the log into the report.
pub(super) fn read(log: &str, report: &mut TestReport) {
    let mut file = String::new();
    for line in log.lines().map(str::trim_end) {
        if let Some(head) = FILE.captures(line) {
            file = head[2].to_owned();
            match &head[1] {
                "✓" => report.record(file.clone(), Status::Passed),
                "↓" => report.record(file.clone(), Status::Skipped),
                _ => {}
            }
            report.quiet = true;
        } else if let Some(failure) = FAILURE.captures(line) {
            // A whole file that could not be loaded has no test behind its name.
            let status = if failure[1].contains(" > ") { Status::Failed } else { Status::Error };
            let entry = report.tests.entry(failure[1].to_owned());
            entry.and_modify(|known| *known = status.max(*known)).or_insert(status);
        } else if let Some(total) = TOTAL.captures(line) {
            let counts = COUNT.captures_iter(total.get(1).map_or("", |counts| counts.as_str()));
            report.ran = Some(counts.filter_map(|count| count[1].parse::<u64>().ok()).sum());
        } else if let Some(result) = RESULT.captures(line) {
            let status = match &result[2] {
                "✓" => Status::Passed,
                "×" => Status::Failed,
                _ => Status::Skipped,
            };
            let is_of_file = result[1].len() > 1 && !file.is_empty();
            let key = if is_of_file { format!("{file} > {}", &result[3]) } else { result[3].to_owned() };
            if is_of_file && report.tests.get(&file) == Some(&Status::Passed) {
                // Slow tests of a passing file are named below it; the file still stands for all.
                report.tests.insert(key, status);
            } else {
                report.record(key, status);
            }
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
    fn the_default_reporter_names_files_and_failures() {
        let log = "
 RUN  v3.2.4 /testbed

 ✓ src/a.test.js (3 tests) 2ms
 ❯ src/b.test.js (2 tests | 1 failed) 5ms
   ✓ sums > adds 1ms
   × sums > fails 3ms
     → expected 1 to be 2 // Object.is equality

⎯⎯⎯⎯⎯⎯⎯ Failed Suites 1 ⎯⎯⎯⎯⎯⎯⎯

 FAIL  src/c.test.js [ src/c.test.js ]
Error: no
⎯⎯⎯⎯⎯⎯⎯ Failed Tests 1 ⎯⎯⎯⎯⎯⎯⎯

 FAIL  src/b.test.js > sums > fails
AssertionError: expected 1 to be 2 // Object.is equality
 ❯ src/b.test.js:5:15

 Test Files  2 failed | 1 passed (3)
      Tests  1 failed | 4 passed (5)
   Start at  10:00:00
   Duration  300ms (transform 1ms, setup 0ms)
";
        let report = report_of(Parser::Vitest, 1, log);
        let expected = [
            ("src/a.test.js", Status::Passed),
            ("src/b.test.js > sums > adds", Status::Passed),
            ("src/b.test.js > sums > fails", Status::Failed),
            ("src/c.test.js", Status::Error),
        ];
        assert_eq!(tests(&report), expected);
        assert_eq!((report.ran, report.duplicates.len()), (Some(5), 0));
        assert_eq!(report.outcome("src/a.test.js > x"), Some(Status::Passed));
    }

    #[test]
    fn the_verbose_reporter_names_every_test() {
        let log = " ✓ src/a.test.js > sums > adds 1ms\n ↓ src/a.test.js > later [skipped]\n × src/a.test.js > no 2ms\n ✓ src/a.test.js > sums > adds 1ms\n\n Tests  1 failed | 1 passed | 1 skipped (3)\n";
        let report = report_of(Parser::Vitest, 1, log);
        let expected = [
            ("src/a.test.js > later", Status::Skipped),
            ("src/a.test.js > no", Status::Failed),
            ("src/a.test.js > sums > adds", Status::Passed),
        ];
        assert_eq!(tests(&report), expected);
        assert_eq!((report.ran, report.duplicates.len()), (Some(2), 1));
    }
}
