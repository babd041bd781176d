//! SymPy's `bin/test --verbose`: a line a test under a line a file, headed blocks for failures, a closing line.

use std::sync::LazyLock;

use regex::Regex;

use crate::gate::{Status, TestReport};

static FILE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(\S+\.py)\[\d+\]").expect("a tested pattern"));
static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(test_\w+) (ok|F|E|f|s|w|X|K|T)(?:\s.*)?(?:\[(?:OK|FAIL)\])?$").expect("a tested pattern")
});
static BLOCK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^_+ (\S+\.py):(\w+) _+$").expect("a tested pattern"));
static CLOSING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^=* ?tests finished: (.*?),? *in <time> ?=*").expect("a tested pattern"));
static COUNT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(\d+) (?:passed|failed|exceptions|expected to fail but passed)").expect("a tested pattern")
});

/// Reads the log into the report.
pub(super) fn read(log: &str, report: &mut TestReport) {
    let mut file = "";
    for line in log.lines().map(str::trim_end) {
        if let Some(head) = FILE.captures(line) {
            file = head.get(1).map_or("", |path| path.as_str());
        } else if let Some(result) = RESULT.captures(line) {
            let status = match &result[2] {
                "ok" | "X" => Status::Passed,
                "F" => Status::Failed,
                "E" | "T" | "K" => Status::Error,
                "f" => Status::Xfail,
                _ => Status::Skipped,
            };
            record(report, file, &result[1], status);
        } else if let Some(block) = BLOCK.captures(line) {
            record(report, &block[1], &block[2], Status::Failed);
        } else if let Some(closing) = CLOSING.captures(line) {
            let counts = COUNT.captures_iter(closing.get(1).map_or("", |counts| counts.as_str()));
            report.ran = Some(counts.filter_map(|count| count[1].parse::<u64>().ok()).sum());
        }
    }
}

fn record(report: &mut TestReport, file: &str, test: &str, status: Status) {
    let name = format!("{file}:{test}");
    // The lists name tests without their file.
    report.aliases.insert(test.to_owned(), name.clone());
    report.tests.entry(name).and_modify(|known| *known = status.max(*known)).or_insert(status);
}

#[cfg(test)]
mod tests {
    use super::super::{Parser, report_of};
    use super::*;

    #[test]
    fn lines_blocks_and_the_end_are_read() {
        let log = "\
============================= test process starts ==============================
random seed:        1

sympy/core/tests/test_a.py[4] 
test_one ok
test_two F
test_three f
test_four ok                                                             [FAIL]


________________________________________________________________________________
____________________ sympy/core/tests/test_a.py:test_two _____________________
Traceback (most recent call last):
AssertionError

 tests finished: 2 passed, 1 failed, 1 expected to fail, in 0.05 seconds 
DO *NOT* COMMIT!
";
        let report = report_of(Parser::Sympy, 1, log);
        for (name, status) in [
            ("test_one", Status::Passed),
            ("test_two", Status::Failed),
            ("sympy/core/tests/test_a.py:test_two", Status::Failed),
            ("test_three", Status::Xfail),
            ("test_four", Status::Passed),
        ] {
            assert_eq!(report.status(name), Some(status), "{name}");
        }
        assert_eq!(report.ran, Some(3));
    }
}
