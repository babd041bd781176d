//! `cargo nextest run`: a line a test, `PASS [time] binary test`, and a summary.

use std::sync::LazyLock;

use regex::Regex;

use crate::gate::{Status, TestReport};

static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:TRY \d+ )?([A-Z][A-Z-]+)(?: \d+/\d+)? \[[^\]]*\] (?:\(\s*\d+/\d+\) )?(\S+) (\S+)$")
        .expect("a tested pattern")
});
static SUMMARY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*Summary \[[^\]]*\]\s+(\d+)(?:/\d+)? tests? run:").expect("a tested pattern"));

/// Reads the log into the report.
pub(super) fn read(log: &str, report: &mut TestReport) {
    for line in log.lines().map(str::trim_end) {
        if let Some(summary) = SUMMARY.captures(line) {
            report.ran = summary[1].parse().ok();
        } else if let Some(result) = RESULT.captures(line) {
            let key = format!("{} > {}", &result[2], &result[3]);
            // What failed is told again below the summary; of several tries the last one counts.
            let is_again = report.ran.is_some() || line.trim_start().starts_with("TRY ");
            match &result[1] {
                "SLOW" | "TERMINATING" | "RETRY" | "START" => {}
                "PASS" | "LEAK" if is_again => {}
                // Its tries failed before, and were noted.
                "FLAKY" => {
                    report.tests.insert(key, Status::Passed);
                }
                "PASS" | "LEAK" => report.record(key, Status::Passed),
                "SKIP" => report.record(key, Status::Skipped),
                "FAIL" | "LEAK-FAIL" if is_again => {
                    report.tests.entry(key).or_insert(Status::Failed);
                }
                "FAIL" | "LEAK-FAIL" => report.record(key, Status::Failed),
                word if word == "TIMEOUT" || word == "ABORT" || word.starts_with("SIG") => {
                    report.tests.insert(key, Status::Error);
                }
                _ if is_again => {}
                word => report.record_unknown(key, word),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Parser, report_of};
    use super::*;

    #[test]
    fn lines_and_summary_are_read() {
        let log = "\
    Starting 4 tests across 2 binaries (1 test skipped)
        PASS [   0.004s] (1/4) a tests::adds
        FAIL [   0.005s] (2/4) a::it wrong
  stdout ---
    thread 'wrong' panicked at tests/it.rs:3:5:
     SIGABRT [   0.005s] a::it aborts
  TRY 1 FAIL [   0.005s] a sometimes
 FLAKY 2/3 [   0.005s] a sometimes
        HUH? [   0.005s] a strange
     Summary [   0.010s] 4 tests run: 2 passed (1 flaky), 2 failed, 1 skipped
        FAIL [   0.005s] (2/4) a::it wrong
     SIGABRT [   0.005s] a::it aborts
error: test run failed
";
        let report = report_of(Parser::Nextest, 100, log);
        let expected = [
            ("a > tests::adds", Status::Passed),
            ("a::it > wrong", Status::Failed),
            ("a::it > aborts", Status::Error),
            ("a > sometimes", Status::Passed),
        ];
        assert_eq!(report.tests, expected.into_iter().map(|(name, status)| (name.to_owned(), status)).collect());
        assert_eq!((report.ran, report.duplicates.len()), (Some(4), 0));
    }
}
