//! SymPy's `bin/test --verbose`: a line a test under a line a file, headed blocks for failures, a closing line.

use std::sync::LazyLock;

use regex::Regex;

use crate::gate::{Status, TestReport};

static FILE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(\S+\.py)\[\d+\]").expect("a tested pattern"));
static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(test_\w+) (ok|F|E|f|s|w|X|K|T)(?:\s.*)?(?:\[(?:OK|FAIL)\])?$").expect("a tested pattern")
});
/// A status on a line of its own, behind what the test printed.
static RESULT_ALONE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(ok|F|E|f|s|w|X|K|T)(?:\s.*)?(?:\[(?:OK|FAIL)\])?$").expect("a tested pattern"));
/// A test's line with one word where the status stands.
static STRANGE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(test_\w+) ([A-Za-z]+)(?:\s+\[(?:OK|FAIL)\])?$").expect("a tested pattern"));
static BLOCK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^_+ (\S+\.py):(\w+) _+$").expect("a tested pattern"));
static CLOSING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^=* ?tests finished: (.*?),? *in <time> ?=*").expect("a tested pattern"));
static BEGIN_OF_CLOSING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^=* ?tests finished: ").expect("a tested pattern"));
static COUNT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(\d+) (?:passed|failed|exceptions|expected to fail but passed)").expect("a tested pattern")
});

/// Reads the log into the report.
pub(super) fn read(log: &str, report: &mut TestReport) {
    let mut file = "";
    // A test whose line ends in a word that is no status; what it printed may stand before its status.
    let mut waiting: Option<(&str, &str)> = None;
    // The closing line is broken where it is longer than a terminal is wide.
    let mut closing = String::new();
    for line in log.lines().map(str::trim_end) {
        let late = RESULT_ALONE.captures(line).filter(|_| waiting.is_some());
        if let (Some((test, _)), Some(word)) = (waiting, &late) {
            record(report, file, test, status(&word[1]));
        } else if let Some((test, word)) = waiting {
            report.record_unknown(name(file, test), word);
        }
        waiting = None;
        if let Some(head) = FILE.captures(line) {
            file = head.get(1).map_or("", |path| path.as_str());
        } else if let Some(result) = RESULT.captures(line) {
            if report.tests.contains_key(&name(file, &result[1])) {
                report.duplicates.insert(name(file, &result[1]));
            }
            record(report, file, &result[1], status(&result[2]));
        } else if let Some(block) = BLOCK.captures(line) {
            report.unknown.remove(&name(&block[1], &block[2]));
            record(report, &block[1], &block[2], Status::Failed);
        } else if BEGIN_OF_CLOSING.is_match(line) || !closing.is_empty() {
            closing = format!("{closing} {line}").trim().to_owned();
            if let Some(end) = CLOSING.captures(&closing) {
                let counts = COUNT.captures_iter(end.get(1).map_or("", |counts| counts.as_str()));
                report.ran = Some(counts.filter_map(|count| count[1].parse::<u64>().ok()).sum());
                closing.clear();
            } else if line.is_empty() {
                closing.clear();
            }
        } else if let Some(strange) = STRANGE.captures(line)
            && let (Some(test), Some(word)) = (strange.get(1), strange.get(2))
        {
            waiting = Some((test.as_str(), word.as_str()));
        }
    }
}

fn status(word: &str) -> Status {
    match word {
        "ok" | "X" => Status::Passed,
        "F" => Status::Failed,
        "E" | "T" | "K" => Status::Error,
        "f" => Status::Xfail,
        _ => Status::Skipped,
    }
}

fn name(file: &str, test: &str) -> String {
    format!("{file}:{test}")
}

fn record(report: &mut TestReport, file: &str, test: &str, status: Status) {
    let name = name(file, test);
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

    #[test]
    fn a_closing_line_may_be_broken_at_any_blank() {
        for end in [
            " tests finished: 117 passed, 1 expected to fail, 1 expected to fail but passed, \n3 exceptions, in 0.05 seconds \n",
            " tests finished: 117 passed, 1 expected to fail but passed, 3 exceptions, \nin 0.05 seconds \n",
        ] {
            let report =
                report_of(Parser::Sympy, 1, &format!("a/test_a.py[1] \ntest_one ok\n\n{end}DO *NOT* COMMIT!\n"));
            assert_eq!(report.ran, Some(121));
        }
        assert_eq!(report_of(Parser::Sympy, 1, " tests finished: 1 passed, \n\nin 0.05 seconds\n").ran, None);
    }

    #[test]
    fn what_is_twice_or_no_status_is_told() {
        let log = "\
sympy/core/tests/test_a.py[6] 
test_one ok
test_one ok
test_two maybe
test_three printed
ok
test_four Q                                                              [FAIL]

sympy/core/tests/test_b.py[1] 
test_one F                                                               [FAIL]

____________________ sympy/core/tests/test_b.py:test_one _____________________
 tests finished: 5 passed, 1 failed, in 0.05 seconds 
";
        let report = report_of(Parser::Sympy, 1, log);
        assert_eq!(report.duplicates.iter().collect::<Vec<_>>(), ["sympy/core/tests/test_a.py:test_one"]);
        let unknown: Vec<_> = report.unknown.iter().map(|(test, word)| format!("{test}: {word}")).collect();
        let (four, two) = ("sympy/core/tests/test_a.py:test_four: Q", "sympy/core/tests/test_a.py:test_two: maybe");
        assert_eq!(unknown, [four, two]);
        assert_eq!(report.status("sympy/core/tests/test_a.py:test_two"), Some(Status::Error));
        assert_eq!(report.status("sympy/core/tests/test_a.py:test_three"), Some(Status::Passed));
    }
}
