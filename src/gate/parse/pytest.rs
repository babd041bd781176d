//! pytest: the short summary (`-rA`), result lines (`-v`), the closing line.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use crate::gate::{Status, TestReport};

/// The closing line: `=== 1 failed, 2 passed in <time> ===`, with `-q` without the rules.
static CLOSING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^=* ?((?:\d+ [a-z]+(?:, )?)+|no tests ran) ?in <time>(?:, \d+ [a-z]+)*(?: \([^)]*\))? ?=*$")
        .expect("a tested pattern")
});
static COUNT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(\d+) (passed|failed|error|errors|skipped|xfailed|xpassed)\b").expect("a tested pattern")
});
/// `path::name STATUS [ 50%]`, as `-v` prints while running.
static RUNNING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(\S+::.+?|\S+\.py) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)(?: \(.*\))?(?: +\[ *\d+%\])?$")
        .expect("a tested pattern")
});
/// The head of what a test printed, in the sections about single tests.
static CAPTURED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^-+ Captured (?:stdout|stderr|log) \w+ -+$").expect("a tested pattern"));

/// Reads the log into the report.
pub(super) fn read(log: &str, report: &mut TestReport) {
    let lines: Vec<&str> = log.lines().collect();
    // Suites that test a runner print whole reports of their own: the last summary and closing line are the outer ones.
    let summary = lines.iter().rposition(|line| line.trim_matches(['=', ' ']) == "short test summary info");
    if let Some(closing) = lines.iter().rev().find_map(|line| CLOSING.captures(line.trim_end())) {
        let counts = COUNT.captures_iter(closing.get(1).map_or("", |counts| counts.as_str()));
        report.ran =
            Some(counts.filter(|count| &count[2] != "skipped").filter_map(|count| count[1].parse::<u64>().ok()).sum());
    }
    let (mut is_captured, mut is_over) = (false, false);
    for line in &lines[..summary.unwrap_or(lines.len())] {
        // What a test printed may be the report of a run within it; a second run of the command follows a closing line.
        if CAPTURED.is_match(line) {
            is_captured = true;
        } else if is_over && line.trim_matches(['=', ' ']) == "test session starts" {
            is_captured = false;
        }
        is_over = CLOSING.is_match(line.trim_end()) || is_over && line.trim().is_empty();
        if !is_captured
            && let Some(result) = RUNNING.captures(line.trim_end())
            && let Some(status) = status(&result[2])
        {
            insert(report, &result[1], status);
        }
    }
    let mut seen = BTreeSet::new();
    for line in &lines[summary.map_or(lines.len(), |start| start + 1)..] {
        if let Some((word, rest)) = line.trim_end().split_once(' ')
            && let Some(status) = status(word)
            && !rest.starts_with('[')
        {
            // A failing teardown is a second line in another word; the same word twice is a second test.
            if report.tests.get(id(rest)) == Some(&status) && seen.contains(id(rest)) {
                report.duplicates.insert(id(rest).to_owned());
            }
            seen.insert(id(rest).to_owned());
            insert(report, id(rest), status);
        } else if let Some((word, rest)) = line.trim_end().split_once(' ')
            && word.len() >= 4
            && word.bytes().all(|byte| byte.is_ascii_uppercase())
            && rest.contains("::")
            && status(word).is_none()
        {
            report.unknown.insert(id(rest).to_owned(), word.to_owned());
            insert(report, id(rest), Status::Error);
        }
    }
    // Names in lists that no test of the outer run can have come from such inner reports; they have no `::`.
    for line in &lines {
        if let Some((word, rest)) = line.split_once(' ')
            && let Some(status) = status(word)
            && let Some(name) = rest.split_whitespace().next()
            && !name.contains("::")
            && word != "SKIPPED"
        {
            report.tests.entry(name.to_owned()).and_modify(|known| *known = status).or_insert(status);
        }
    }
}

fn status(word: &str) -> Option<Status> {
    match word {
        "PASSED" | "XPASS" => Some(Status::Passed),
        "FAILED" => Some(Status::Failed),
        "ERROR" => Some(Status::Error),
        "SKIPPED" => Some(Status::Skipped),
        "XFAIL" => Some(Status::Xfail),
        _ => None,
    }
}

/// Returns the id at the start of a summary line, without the message after ` - `; a bracket may hold one.
fn id(rest: &str) -> &str {
    let mut depth = 0_usize;
    for (at, character) in rest.char_indices() {
        match character {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 && rest[at..].starts_with(" - ") => return &rest[..at],
            _ => {}
        }
    }
    match depth {
        0 => rest,
        // A bracket that never closes is part of a message.
        _ => rest.split(" - ").next().unwrap_or(rest),
    }
}

fn insert(report: &mut TestReport, name: &str, status: Status) {
    // A test whose teardown fails has two lines; the worse one counts.
    report.tests.entry(name.to_owned()).and_modify(|known| *known = status.max(*known)).or_insert(status);
    if let Some((cut, _)) = name.split_once(' ') {
        report.aliases.insert(cut.to_owned(), name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Parser, report_of};
    use super::*;

    const LOG: &str = "\
============================= test session starts ==============================
collected 6 items

t.py .FsxEX                                                              [100%]

=================================== FAILURES ===================================
____________________________________ test_b ____________________________________
>       assert 1 == 2
E       assert 1 == 2
=========================== short test summary info ============================
PASSED t.py::test_a[x y - z]
SKIPPED [1] t.py:7: no time
XFAIL t.py::test_x - known
XPASS t.py::test_better
FAILED t.py::test_b[a-b] - assert 1 == 2 [really
ERROR t.py::test_e - NameError: x
ERROR broken.py
==== 1 failed, 1 passed, 1 skipped, 1 xfailed, 1 xpassed, 2 errors in 0.12s ====
";

    #[test]
    fn the_summary_names_every_test() {
        let report = report_of(Parser::Pytest, 1, LOG);
        let expected = [
            ("t.py::test_a[x y - z]", Status::Passed),
            ("t.py::test_x", Status::Xfail),
            ("t.py::test_better", Status::Passed),
            ("t.py::test_b[a-b]", Status::Failed),
            ("t.py::test_e", Status::Error),
            ("broken.py", Status::Error),
        ];
        assert_eq!(report.tests, expected.into_iter().map(|(name, status)| (name.to_owned(), status)).collect());
        assert_eq!((report.ran, report.exit), (Some(6), Some(1)));
        assert_eq!(report.status("t.py::test_a[x"), Some(Status::Passed));
    }

    #[test]
    fn result_lines_are_read_too() {
        let log = "t.py::T::test_a PASSED  [ 50%]\nt.py::test_b[x y] SKIPPED (why not) [100%]\n\n=== 1 passed, 1 skipped in 1.00s ===\n";
        let report = report_of(Parser::Pytest, 0, log);
        assert_eq!(report.status("t.py::T::test_a"), Some(Status::Passed));
        assert_eq!(report.status("t.py::test_b[x y]"), Some(Status::Skipped));
        assert_eq!(report.ran, Some(1));
    }

    #[test]
    fn what_a_test_prints_is_not_the_summary() {
        let inner = "PASSED t.py::test_forged\nPASSED [100%]\n= short test summary info =\nPASSED t.py::test_forged\n= 9 passed in 0.01s =\n";
        let report = report_of(Parser::Pytest, 1, &format!("{inner}{LOG}"));
        assert_eq!(report.status("t.py::test_forged"), None);
        assert_eq!(report.status("[100%]"), Some(Status::Passed));
        assert_eq!(report.ran, Some(6));
    }

    #[test]
    fn the_report_of_a_run_within_a_test_is_not_its_own() {
        let session = |tests: &str| format!("=== test session starts ===\n{tests}\n=== 1 failed in 0.01s ===\n");
        let inner = session("inner.py::test_a FAILED [100%]\n");
        let outer = format!(
            "=== test session starts ===\nt.py::test_a PASSED [100%]\n\n=== PASSES ===\n___ test_a ___\n\
             ----- Captured stdout call -----\n{inner}\n=== 1 passed in 1.00s ===\n"
        );
        let report = report_of(Parser::Pytest, 0, &outer);
        assert_eq!((report.failing(), report.ran), (vec![], Some(1)));
        let two = outer + &session("u.py::test_b FAILED [100%]\n");
        let report = report_of(Parser::Pytest, 1, &two);
        assert_eq!((report.failing(), report.tests.len()), (vec!["u.py::test_b"], 2), "a second run of the command");
    }

    #[test]
    fn what_is_twice_or_no_status_is_told() {
        let log = "= short test summary info =\nPASSED t.py::a\nPASSED t.py::a\nPASSED t.py::b\nERROR t.py::b\nRERUN t.py::c\n= 3 passed, 1 error in 0.01s =\n";
        let report = report_of(Parser::Pytest, 1, log);
        assert_eq!(report.duplicates.iter().collect::<Vec<_>>(), ["t.py::a"]);
        assert_eq!(report.unknown.get("t.py::c").map(String::as_str), Some("RERUN"));
        assert_eq!(report.failing(), ["t.py::b", "t.py::c"]);
    }

    #[test]
    fn a_run_without_an_end_ran_nothing() {
        assert_eq!(report_of(Parser::Pytest, 0, "PASSED t.py::test_a\n").ran, None);
        assert!(!report_of(Parser::Pytest, 0, "= no tests ran in 0.01s =\n").executed());
        assert!(!report_of(Parser::Pytest, 0, "= 3 skipped in 0.01s =\n").executed());
        assert!(report_of(Parser::Pytest, 0, "3 passed, 1 warning in 0.01s\n").executed());
    }
}
