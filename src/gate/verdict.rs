//! The red gate before the edits, the green gate after them.

use serde::{Deserialize, Serialize};

use super::{Exceeded, Status, TestReport};

/// What the tests must show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// The instance's lists: tests that must turn from failing to passing, and tests that must keep passing.
    Lists {
        /// Must pass after the edits.
        fail_to_pass: Vec<String>,
        /// Must still pass, or be skipped, after the edits.
        pass_to_pass: Vec<String>,
    },
    /// No lists: what failed before must pass, what passed before must still pass.
    Baseline,
}

/// What the red gate found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedVerdict {
    /// Whether the run can serve as the state before the edits.
    pub valid: bool,
    /// Tests that fail and should pass in the end.
    pub failing: Vec<String>,
    /// Tests that should pass throughout and do not pass now.
    pub broken: Vec<String>,
    /// What was wrong, as codes.
    pub codes: Vec<String>,
}

/// What the green gate found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GreenVerdict {
    /// Whether the edits solved the task.
    pub passed: bool,
    /// Tests that failed before and pass now.
    pub fixed: Vec<String>,
    /// Tests that should pass now and do not.
    pub still_failing: Vec<String>,
    /// Tests that passed before and do not pass now.
    pub newly_failing: Vec<String>,
    /// What was wrong with the run as a whole, as codes.
    pub codes: Vec<String>,
}

/// Judges the run before the edits.
///
/// With lists it is valid if the runner or the log names at least one test and no test of `fail_to_pass` passes yet. A
/// baseline is valid if tests ran.
pub fn red(expected: &Expected, report: &TestReport) -> RedVerdict {
    let mut codes = endings(report);
    let (failing, broken) = match expected {
        Expected::Lists { fail_to_pass, pass_to_pass } => {
            if codes.is_empty() && report.tests.is_empty() {
                codes.push("G-NO-TESTS".to_owned());
            }
            if fail_to_pass.iter().any(|name| passes(report, name)) {
                codes.push("G-ALREADY-PASSES".to_owned());
            }
            let failing = fail_to_pass.iter().filter(|name| !passes(report, name)).cloned().collect();
            (failing, pass_to_pass.iter().filter(|name| !is_kept(report, name)).cloned().collect())
        }
        Expected::Baseline => {
            if codes.is_empty() && !report.executed() && report.failing().is_empty() {
                codes.push("G-NO-TESTS".to_owned());
            }
            (report.failing().into_iter().map(str::to_owned).collect(), Vec::new())
        }
    };
    RedVerdict { valid: codes.is_empty(), failing, broken, codes }
}

/// Judges the run after the edits; `baseline` is the run before them.
///
/// A run that ended early, ran no test, or exits with an error that no failing test explains is never passed.
pub fn green(expected: &Expected, baseline: &TestReport, report: &TestReport) -> GreenVerdict {
    let mut codes = endings(report);
    if codes.is_empty() {
        if !report.executed() {
            codes.push("G-NO-TESTS".to_owned());
        } else if report.exit != Some(0) && report.failing().is_empty() {
            codes.push("G-EXIT".to_owned());
        }
    }
    let (mut fixed, mut still_failing, mut newly_failing) = (Vec::new(), Vec::new(), Vec::new());
    match expected {
        Expected::Lists { fail_to_pass, pass_to_pass } => {
            for name in fail_to_pass {
                if passes(report, name) { fixed.push(name.clone()) } else { still_failing.push(name.clone()) }
            }
            newly_failing.extend(pass_to_pass.iter().filter(|name| !is_kept(report, name)).cloned());
        }
        Expected::Baseline => {
            for (name, before) in &baseline.tests {
                let now = report.tests.get(name);
                if before.is_failure() {
                    let passes_now = match now {
                        Some(now) => now.is_pass(),
                        // A runner that names only failures has said that it passes by not naming it.
                        None => !names_passes(report) && report.executed(),
                    };
                    if passes_now { fixed.push(name.clone()) } else { still_failing.push(name.clone()) }
                } else if before.is_pass() && !now.is_some_and(|now| now.is_pass() || *now == Status::Skipped) {
                    newly_failing.push(name.clone());
                }
            }
            let is_new = |name: &&str| !baseline.tests.contains_key(*name);
            newly_failing.extend(report.failing().into_iter().filter(is_new).map(str::to_owned));
            if report.ran < baseline.ran {
                codes.push("G-FEWER-TESTS".to_owned());
            }
        }
    }
    let passed = codes.is_empty() && still_failing.is_empty() && newly_failing.is_empty();
    GreenVerdict { passed, fixed, still_failing, newly_failing, codes }
}

/// Codes for a run that did not come to its own end.
fn endings(report: &TestReport) -> Vec<String> {
    let found = [
        report.timed_out.then_some("G-TIMEOUT"),
        report.truncated.then_some("G-LOG-CAP"),
        report.exceeded.map(Exceeded::code),
    ];
    let mut codes: Vec<String> = found.into_iter().flatten().map(str::to_owned).collect();
    if codes.is_empty() && report.exit.is_none() {
        codes.push("G-SIGNAL".to_owned());
    }
    codes
}

fn passes(report: &TestReport, name: &str) -> bool {
    report.status(name).is_some_and(Status::is_pass)
}

fn is_kept(report: &TestReport, name: &str) -> bool {
    report.status(name).is_some_and(|status| status.is_pass() || status == Status::Skipped)
}

fn names_passes(report: &TestReport) -> bool {
    report.tests.values().any(|status| status.is_pass())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(exit: i32, tests: &[(&str, Status)]) -> TestReport {
        let ran = tests.iter().filter(|(_, status)| *status != Status::Skipped).count() as u64;
        let tests = tests.iter().map(|(name, status)| ((*name).to_owned(), *status)).collect();
        TestReport { tests, exit: Some(exit), ran: Some(ran), ..TestReport::default() }
    }

    fn lists() -> Expected {
        Expected::Lists { fail_to_pass: vec!["f".into()], pass_to_pass: vec!["p".into(), "s".into()] }
    }

    const BEFORE: &[(&str, Status)] = &[("f", Status::Failed), ("p", Status::Passed), ("s", Status::Skipped)];
    const AFTER: &[(&str, Status)] = &[("f", Status::Passed), ("p", Status::Passed), ("s", Status::Skipped)];

    #[test]
    fn the_known_fix_passes_and_nothing_else_does() {
        for expected in [lists(), Expected::Baseline] {
            let before = report(1, BEFORE);
            assert!(red(&expected, &before).valid);
            let verdict = green(&expected, &before, &report(0, AFTER));
            assert!(verdict.passed, "{verdict:?}");
            assert_eq!(verdict.fixed, ["f"]);
            let no_op = green(&expected, &before, &before);
            assert_eq!((no_op.passed, no_op.still_failing), (false, vec!["f".to_owned()]));
            let broken = green(&expected, &before, &report(1, &[("f", Status::Passed), ("p", Status::Error)]));
            assert!(!broken.passed && broken.newly_failing.contains(&"p".to_owned()));
            let gone = green(&expected, &before, &report(0, &[("f", Status::Passed)]));
            assert!(!gone.passed && gone.newly_failing.contains(&"p".to_owned()));
        }
    }

    #[test]
    fn an_exit_code_that_no_failing_test_explains_is_refused() {
        let before = report(1, BEFORE);
        for expected in [lists(), Expected::Baseline] {
            assert_eq!(green(&expected, &before, &report(1, AFTER)).codes, ["G-EXIT"]);
        }
    }

    #[test]
    fn a_run_without_an_end_is_never_green() {
        let before = report(1, BEFORE);
        let end = |change: &dyn Fn(&mut TestReport)| {
            let mut after = report(0, AFTER);
            change(&mut after);
            let verdict = green(&lists(), &before, &after);
            assert!(!verdict.passed);
            verdict.codes.join(" ")
        };
        assert_eq!(end(&|after| after.timed_out = true), "G-TIMEOUT");
        assert_eq!(end(&|after| after.truncated = true), "G-LOG-CAP");
        for exceeded in [Exceeded::Processes, Exceeded::Memory, Exceeded::Disk, Exceeded::FileSize] {
            assert_eq!(end(&|after| (after.exit, after.exceeded) = (None, Some(exceeded))), exceeded.code());
        }
        assert_eq!(end(&|after| (after.exit, after.signal) = (None, Some(11))), "G-SIGNAL");
        assert_eq!(end(&|after| after.ran = None), "G-NO-TESTS");
        assert_eq!(end(&|after| after.ran = Some(0)), "G-NO-TESTS");
    }

    #[test]
    fn a_red_run_must_fail_where_it_should() {
        assert_eq!(red(&lists(), &report(0, AFTER)).codes, ["G-ALREADY-PASSES"]);
        assert_eq!(red(&lists(), &report(2, &[])).codes, ["G-NO-TESTS"]);
        let broken = red(&lists(), &report(1, &[("f", Status::Failed)]));
        assert_eq!((broken.valid, broken.broken.len()), (true, 2));
        assert!(!red(&Expected::Baseline, &report(5, &[])).valid);
    }

    #[test]
    fn a_baseline_of_a_runner_that_names_only_failures_counts() {
        let mut before = report(1, &[("f", Status::Failed)]);
        before.ran = Some(5);
        let mut after = report(0, &[]);
        after.ran = Some(5);
        assert!(green(&Expected::Baseline, &before, &after).passed);
        after.ran = Some(4);
        assert_eq!(green(&Expected::Baseline, &before, &after).codes, ["G-FEWER-TESTS"]);
    }
}
