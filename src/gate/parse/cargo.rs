//! `cargo test`'s text, by binary: `test name ... ok`, the list of failures, the closing line of each binary.
//!
//! A key is `binary (source) > test`, for doctests `crate (doc) > item`. A doctest's line number moves with every edit
//! above it and is no part of its key; the second one of an item is `item #2`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::gate::{Status, TestReport};

static BINARY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*Running (?:unittests )?(\S.*?) \((?:\S*/)?(\S+?)(?:-[0-9a-f]{16})?(?:\.exe)?\)$")
        .expect("a tested pattern")
});
static DOCUMENTED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\s*Doc-tests (\S+)$").expect("a tested pattern"));
static RESULT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^test (.+?) \.\.\. ?(.*)$").expect("a tested pattern"));
static CLOSING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^test result: \S+ (\d+) passed; (\d+) failed; \d+ ignored;").expect("a tested pattern")
});
/// What stands behind a name and is no part of it.
static BEHIND: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?: \(line \d+\))?(?: - (?:should panic|compile fail|compile))*$").expect("a tested pattern")
});

/// What is known of the binary whose lines are being read.
#[derive(Default)]
struct Binary {
    group: String,
    /// How often a name was there.
    seen: BTreeMap<String, u32>,
    /// The test that waits for its status: with `--nocapture` what it prints comes between.
    waiting: Option<String>,
    /// The names below `failures:`.
    failures: Vec<String>,
}

/// Reads the log into the report.
pub(super) fn read(log: &str, report: &mut TestReport) {
    let mut binary = Binary::default();
    for line in log.lines().map(str::trim_end) {
        if let Some(running) = BINARY.captures(line) {
            binary = Binary { group: format!("{} ({})", &running[2], &running[1]), ..Binary::default() };
        } else if let Some(documented) = DOCUMENTED.captures(line) {
            binary = Binary { group: format!("{} (doc)", &documented[1]), ..Binary::default() };
        } else if let Some(result) = RESULT.captures(line) {
            binary.result(&result[1], &result[2], report);
        } else if let Some(closing) = CLOSING.captures(line) {
            let count = |at: usize| closing[at].parse::<u64>().unwrap_or(0);
            report.ran = Some(report.ran.unwrap_or(0).saturating_add(count(1)).saturating_add(count(2)));
            binary.close(count(1), count(2), report);
        } else if line == "failures:" {
            binary.failures.clear();
        } else if let Some(name) = line.strip_prefix("    ") {
            binary.failures.push(name.to_owned());
        } else if let (Some(name), Some(status)) = (&binary.waiting, status(line)) {
            report.record(name.clone(), status);
            binary.waiting = None;
        }
    }
}

impl Binary {
    fn key(&mut self, name: &str) -> String {
        let item = BEHIND.replace(name, "").into_owned();
        let is_documentation = item.len() < name.trim_end_matches(" - should panic").len();
        let number = self.seen.entry(item.clone()).or_insert(0);
        *number += 1;
        let ordinal = if is_documentation && *number > 1 { format!(" #{number}") } else { String::new() };
        if self.group.is_empty() { item + &ordinal } else { format!("{} > {item}{ordinal}", self.group) }
    }

    fn result(&mut self, name: &str, word: &str, report: &mut TestReport) {
        let key = self.key(name);
        match status(word) {
            Some(status) => report.record(key, status),
            None if !word.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic()) && word.len() < 12 => {
                report.record_unknown(key, word);
            }
            None => self.waiting = Some(key),
        }
    }

    /// Ends the binary; one that named no test (`--quiet`) stands for its tests, and names those that failed.
    fn close(&mut self, passed: u64, failed: u64, report: &mut TestReport) {
        if self.seen.is_empty() && passed + failed > 0 {
            report.quiet = true;
            if failed == 0 {
                report.record(self.group.clone(), Status::Passed);
            }
            for name in std::mem::take(&mut self.failures) {
                let key = self.key(&name);
                report.record(key, Status::Failed);
            }
        }
        let group = std::mem::take(&mut self.group);
        *self = Self { group, ..Self::default() };
    }
}

fn status(word: &str) -> Option<Status> {
    match word {
        "ok" => Some(Status::Passed),
        "FAILED" => Some(Status::Failed),
        word if word == "ignored" || word.starts_with("ignored, ") => Some(Status::Skipped),
        word if word.starts_with("bench: ") => Some(Status::Passed),
        // The time of `--report-time`.
        word => match word.split_once(" <") {
            Some(("ok", "time>")) => Some(Status::Passed),
            Some(("FAILED", "time>")) => Some(Status::Failed),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Parser, report_of};
    use super::*;

    const LOG: &str = "\
   Compiling a v0.1.0 (/testbed)
    Finished `test` profile [unoptimized + debuginfo] target(s) in 0.41s
     Running unittests src/lib.rs (target/debug/deps/a-0123456789abcdef)

running 4 tests
test tests::slow ... ignored, takes long
test tests::adds ... ok
test tests::dies - should panic ... ok
test tests::wrong ... FAILED

failures:

---- tests::wrong stdout ----

thread 'tests::wrong' panicked at src/lib.rs:9:9:
assertion `left == right` failed
  left: 1
 right: 2


failures:
    tests::wrong

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

     Running tests/it.rs (target/debug/deps/it-fedcba9876543210)

running 1 test
test tests::adds ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests a

running 2 tests
test src/lib.rs - f (line 3) ... ok
test src/lib.rs - f (line 9) ... FAILED
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn each_binary_has_its_own_names() {
        let report = report_of(Parser::Cargo, 101, LOG);
        let expected = [
            ("a (src/lib.rs) > tests::slow", Status::Skipped),
            ("a (src/lib.rs) > tests::adds", Status::Passed),
            ("a (src/lib.rs) > tests::dies", Status::Passed),
            ("a (src/lib.rs) > tests::wrong", Status::Failed),
            ("it (tests/it.rs) > tests::adds", Status::Passed),
            ("a (doc) > src/lib.rs - f", Status::Passed),
            ("a (doc) > src/lib.rs - f #2", Status::Failed),
        ];
        assert_eq!(report.tests, expected.into_iter().map(|(name, status)| (name.to_owned(), status)).collect());
        assert_eq!((report.ran, report.quiet, report.duplicates.len()), (Some(6), false, 0));
    }

    #[test]
    fn a_quiet_run_names_its_failures_and_a_passing_binary_stands_for_its_tests() {
        let run = |end: &str| {
            format!(
                "     Running unittests src/lib.rs (target/debug/deps/a-0123456789abcdef)\n\nrunning 2 tests\n{end}"
            )
        };
        let red = run(
            ".F\nfailures:\n\nfailures:\n    tests::wrong\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        let green =
            run("..\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n");
        let (red, green) = (report_of(Parser::Cargo, 101, &red), report_of(Parser::Cargo, 0, &green));
        assert_eq!(red.failing(), ["a (src/lib.rs) > tests::wrong"]);
        assert_eq!(green.outcome("a (src/lib.rs) > tests::wrong"), Some(Status::Passed));
        assert_eq!(green.outcome("b (src/lib.rs) > tests::wrong"), None);
    }

    #[test]
    fn the_same_name_twice_and_an_unknown_word_are_told() {
        let log = "test a ... ok\ntest a ... ok\ntest b ... maybe\ntest c ... printed by it\nok\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        let report = report_of(Parser::Cargo, 0, log);
        assert_eq!(report.duplicates.iter().collect::<Vec<_>>(), ["a"]);
        assert_eq!(report.unknown.get("b").map(String::as_str), Some("maybe"));
        assert_eq!(report.tests["b"], Status::Error);
        assert_eq!(report.tests["c"], Status::Passed);
    }
}
