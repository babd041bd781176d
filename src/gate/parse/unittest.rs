//! unittest and Django's runner: `name ... ok` lines, the blocks of failures, the closing lines.
//!
//! At verbosity 2 a test with a docstring prints two lines and the second carries the status; what the test prints
//! itself may stand between the dots and the status.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::gate::report::fold;
use crate::gate::{Status, TestReport};

/// `test_a (module.Class.test_a)`, also with a sub-test's parameters behind it.
static NAME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*([\w.]+ \([\w.<>$]+\))(?:\s[\[(].*)?$").expect("a tested pattern"));
/// The parameters of a sub-test behind its test's name.
static SUB_TEST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\) [\[(].*$").expect("a tested pattern"));
/// What may be meant as a status.
static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^[A-Za-z]+(?: [a-z]+)?$").expect("a tested pattern"));
static CLOSING: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^Ran (\d+) tests? in <time>$").expect("a tested pattern"));

/// Reads the log into the report.
pub(super) fn read(log: &str, report: &mut TestReport) {
    // The name that waits for its docstring line, and the test that waits for its status.
    let mut named: Option<String> = None;
    let mut waiting: Option<String> = None;
    // A test whose line ends in a word that is no status, as long as nothing else was printed since.
    let mut strange: Option<(String, &str)> = None;
    let mut seen: BTreeMap<String, Option<Status>> = BTreeMap::new();
    for line in log.lines().map(str::trim_end) {
        let is_own = is_own(line);
        if let Some((test, word)) = strange.take().filter(|_| is_own) {
            report.record_unknown(test, word);
            waiting = None;
        }
        if let Some(ran) = CLOSING.captures(line) {
            report.ran = ran[1].parse().ok();
            waiting = None;
        } else if let Some((word, name)) = line.split_once(": ")
            && let "FAIL" | "ERROR" = word
        {
            let status = if word == "FAIL" { Status::Failed } else { Status::Error };
            if let Some(name) = test_name(name) {
                report.unknown.remove(&name);
                record(report, &name, status);
            }
        } else if let Some((front, end)) = line.rsplit_once(" ... ") {
            // A failing sub-test leaves its test without a word, so that the next one stands on the same line.
            let front = front.rsplit_once(" ... ").map_or(front, |(_, last)| last);
            let test = match (test_name(front), named.take()) {
                (Some(name), _) => name,
                (None, Some(name)) => {
                    let docstring = front.trim().to_owned();
                    if report.aliases.get(&docstring).is_some_and(|known| *known != name) {
                        report.shared_docstrings.insert(name.clone(), docstring);
                    } else {
                        report.aliases.insert(docstring, name.clone());
                    }
                    name
                }
                // A docstring alone names its test in old lists.
                (None, None) => front.trim().to_owned(),
            };
            let found = status(end).or_else(|| glued(end));
            if !SUB_TEST.is_match(front) {
                // A test that fails and then fails to clean up has two lines as well.
                let fails = |status: Option<Status>| status.is_some_and(Status::is_failure);
                let first = seen.insert(test.clone(), found);
                if first.is_some_and(|first| !(fails(first) && fails(found))) {
                    report.duplicates.insert(test.clone());
                }
            }
            match found {
                Some(status) => record(report, &test, status),
                None => {
                    strange = WORD.is_match(end).then(|| (test.clone(), end));
                    waiting = Some(test);
                }
            }
        } else if let (Some(test), Some(status)) = (&waiting, status(line)) {
            record(report, &test.clone(), status);
            waiting = None;
        } else if waiting.is_none() {
            named = test_name(line);
        }
    }
    if let Some((test, word)) = strange {
        report.record_unknown(test, word);
    }
}

/// Says whether the runner itself prints a line when a test is over: the next test, a rule, a blank line, the end.
fn is_own(line: &str) -> bool {
    line.is_empty()
        || line.starts_with("=====")
        || line.starts_with("-----")
        || NAME.is_match(line.split(" ... ").next().unwrap_or(line))
}

/// Returns the status at the end of what a test printed without ending its line; failures have a block of their own.
fn glued(end: &str) -> Option<Status> {
    end.ends_with("ok").then_some(Status::Passed)
}

/// Returns the short form of a test's name.
fn test_name(text: &str) -> Option<String> {
    let name = NAME.captures(text)?.get(1)?.as_str();
    Some(fold(name).unwrap_or_else(|| name.to_owned()))
}

fn status(text: &str) -> Option<Status> {
    match text.trim() {
        "ok" | "OK" => Some(Status::Passed),
        "FAIL" => Some(Status::Failed),
        "ERROR" => Some(Status::Error),
        "expected failure" => Some(Status::Xfail),
        "unexpected success" => Some(Status::Failed),
        text if text == "skipped" || text.starts_with("skipped ") => Some(Status::Skipped),
        _ => None,
    }
}

fn record(report: &mut TestReport, name: &str, status: Status) {
    // A failing sub-test does not keep its test from printing `ok`: the worst word counts.
    report.tests.entry(name.to_owned()).and_modify(|known| *known = status.max(*known)).or_insert(status);
}

#[cfg(test)]
mod tests {
    use super::super::{Parser, report_of};
    use super::*;

    const LOG: &str = "\
Testing against Django installed in '/testbed/django'
test_a (m.tests.C.test_a) ... ok
test_b (m.tests.C.test_b)
Says what it does. ... ok
test_c (m.tests.C.test_c) ... FAIL
test_d (m.tests.C.test_d)
Prints something. ... Creating table
and more
ok
test_e (m.tests.C.test_e) ... skipped 'no database'
test_f (m.tests.C.test_f) ... expected failure
test_g (m.tests.C.test_g) ... ERROR
test_h (m.tests.C.test_h) ... test_i (m.tests.C.test_i) ... ok

======================================================================
ERROR: test_g (m.tests.C.test_g)
----------------------------------------------------------------------
Traceback (most recent call last):
======================================================================
FAIL: test_sub (m.tests.C.test_sub) (i=3)
----------------------------------------------------------------------
Ran 8 tests in 0.012s

FAILED (failures=1, errors=1)
";

    #[test]
    fn every_kind_of_line_is_read() {
        let report = report_of(Parser::Django, 1, LOG);
        for (name, status) in [
            ("test_a (m.tests.C.test_a)", Status::Passed),
            ("test_a (m.tests.C)", Status::Passed),
            ("test_b (m.tests.C)", Status::Passed),
            ("Says what it does.", Status::Passed),
            ("test_c (m.tests.C)", Status::Failed),
            ("Prints something.", Status::Passed),
            ("test_d (m.tests.C)", Status::Passed),
            ("test_e (m.tests.C)", Status::Skipped),
            ("test_f (m.tests.C)", Status::Xfail),
            ("test_g (m.tests.C)", Status::Error),
            ("test_sub (m.tests.C)", Status::Failed),
        ] {
            assert_eq!(report.status(name), Some(status), "{name}");
        }
        assert_eq!(report.ran, Some(8));
        assert!(report.executed());
    }

    #[test]
    fn a_failed_import_is_an_error_and_no_tests_are_no_run() {
        let log =
            "ERROR: m.tests (unittest.loader._FailedTest.m.tests)\n---\nRan 1 test in 0.001s\n\nFAILED (errors=1)\n";
        let report = report_of(Parser::Unittest, 1, log);
        assert_eq!(report.failing(), ["m.tests (unittest.loader._FailedTest)"]);
        assert!(!report_of(Parser::Unittest, 0, "Ran 0 tests in 0.000s\n\nOK\n").executed());
        assert!(!report_of(Parser::Unittest, 0, "OK\n").executed());
    }

    #[test]
    fn what_is_twice_or_no_status_is_told() {
        let log = "\
test_a (m.C) ... ok
test_b (m.C) ... maybe
test_c (m.C)
Says what. ... unsure
test_d (m.C) ... printed
ok
test_e (m.C) ... printedok
test_f (m.C) ... test_a (m.C) ... ok
  test_g (m.C) (i=1) ... skipped 'x'
  test_g (m.C) (i=2) ... skipped 'x'
test_h (m.C) ... alone
test_i (m.C) ... ERROR
test_i (m.C) ... ERROR

======================================================================
FAIL: test_f (m.C) (i=1)
----------------------------------------------------------------------
FAIL: test_f (m.C) (i=2)
----------------------------------------------------------------------
FAIL: test_h (m.C)
----------------------------------------------------------------------
Ran 8 tests in 0.1s
";
        let report = report_of(Parser::Unittest, 1, log);
        assert_eq!(report.duplicates.iter().collect::<Vec<_>>(), ["test_a (m.C)"]);
        let unknown: Vec<_> = report.unknown.iter().map(|(test, word)| format!("{test}: {word}")).collect();
        assert_eq!(unknown, ["test_b (m.C): maybe", "test_c (m.C): unsure"]);
        assert_eq!(report.failing(), ["test_b (m.C)", "test_c (m.C)", "test_f (m.C)", "test_h (m.C)", "test_i (m.C)"]);
        assert_eq!(report.status("test_d (m.C)"), Some(Status::Passed));
        assert_eq!(report.status("test_e (m.C)"), Some(Status::Passed));
    }

    #[test]
    fn a_printed_ok_after_a_failure_changes_nothing() {
        let report = report_of(Parser::Django, 1, "test_c (m.C.test_c) ... FAIL\nok then\nok\nRan 1 test in 0.1s\n");
        assert_eq!(report.status("test_c (m.C)"), Some(Status::Failed));
    }

    #[test]
    fn tests_that_share_a_docstring_are_told_apart() {
        let log =
            "test_a (m.C)\nThe same words. ... FAIL\ntest_b (m.C)\nThe same words. ... ok\n\nRan 2 tests in <time>\n";
        let mut report = TestReport::default();
        read(log, &mut report);
        report.harness = Some(std::collections::BTreeMap::from([("The same words.".to_owned(), "PASSED".to_owned())]));
        let names = ["test_a (m.C)".to_owned(), "test_b (m.C)".to_owned()];
        assert_eq!(report.listed(&names[0]), Some(Status::Failed));
        assert_eq!(report.listed(&names[1]), Some(Status::Passed));
        assert_eq!(report.folded(&names).len(), 2, "and it is said how they were found");
    }
}
