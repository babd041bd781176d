//! The red gate before the edits, the green gate after them.

use std::collections::BTreeSet;

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
    /// Whether the runs can serve as the state before the edits.
    pub valid: bool,
    /// Tests that fail and should pass in the end.
    pub failing: Vec<String>,
    /// Tests that should pass throughout and do not pass now.
    pub broken: Vec<String>,
    /// Tests that ended differently in runs of the same tree.
    pub flaky: Vec<String>,
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
    /// Tests that do not pass now, and did not always pass before either: told, not held against the edits.
    pub flaky: Vec<String>,
    /// Why it is not passed, as codes: what was wrong with the run as a whole, then with its tests.
    pub codes: Vec<String>,
}

/// Judges the runs before the edits, all of the same tree; what they disagree on is flaky.
///
/// With lists they are valid if each names at least one test and no test of `fail_to_pass` passes in any; other listed
/// tests that never pass are told as broken. A baseline is valid if tests ran.
pub fn red(expected: &Expected, reports: &[TestReport]) -> RedVerdict {
    let mut codes: Vec<String> = Vec::new();
    let is_empty = |report: &TestReport| match expected {
        Expected::Lists { .. } => report.tests.is_empty(),
        Expected::Baseline => !report.executed() && report.failing().is_empty(),
    };
    for report in reports {
        let endings = endings(report);
        if endings.is_empty() && is_empty(report) {
            add(&mut codes, "G-NO-TESTS");
        }
        endings.iter().for_each(|code| add(&mut codes, code));
    }
    if reports.is_empty() {
        add(&mut codes, "G-NO-TESTS");
    }
    // A run that did not come to its end says nothing about single tests.
    let has_end = codes.is_empty();
    let mut flaky = flaky_names(reports);
    let (failing, broken) = match expected {
        Expected::Lists { fail_to_pass, pass_to_pass } => {
            let passing_runs = |name: &&String| reports.iter().filter(|report| passes(report, name)).count();
            if has_end && fail_to_pass.iter().any(|name| passing_runs(&name) == reports.len()) {
                add(&mut codes, "G-ALREADY-PASSES");
            } else if has_end && fail_to_pass.iter().any(|name| passing_runs(&name) > 0) {
                // What sometimes passes without a fix proves none.
                add(&mut codes, "G-FLAKY");
            }
            let broken: Vec<String> = pass_to_pass
                .iter()
                .filter(|name| !reports.iter().any(|report| is_kept(report, name)))
                .cloned()
                .collect();
            flaky.extend(fail_to_pass.iter().chain(pass_to_pass).filter(|name| is_flaky(reports, name)).cloned());
            (fail_to_pass.iter().filter(|name| passing_runs(name) == 0).cloned().collect(), broken)
        }
        Expected::Baseline => {
            let failing = reports.first().map(TestReport::failing).unwrap_or_default();
            (failing.into_iter().filter(|name| !is_flaky(reports, name)).map(str::to_owned).collect(), Vec::new())
        }
    };
    flaky.sort();
    flaky.dedup();
    RedVerdict { valid: codes.is_empty(), failing, broken, flaky, codes }
}

fn add(codes: &mut Vec<String>, code: &str) {
    if !codes.iter().any(|known| known == code) {
        codes.push(code.to_owned());
    }
}

/// Judges the run after the edits; `before` are the runs before them.
///
/// A run that ended early, ran no test or fewer than before, names more results than it ran tests, or whose exit code
/// and failing tests do not explain each other, is never passed.
pub fn green(expected: &Expected, before: &[TestReport], report: &TestReport) -> GreenVerdict {
    let mut codes = endings(report);
    if codes.is_empty() {
        codes.extend(contradictions(before, report).into_iter().map(str::to_owned));
    }
    let (mut fixed, mut still_failing, mut newly_failing) = (Vec::new(), Vec::new(), Vec::new());
    let mut flaky = Vec::new();
    match expected {
        Expected::Lists { fail_to_pass, pass_to_pass } => {
            for name in fail_to_pass {
                if passes(report, name) { fixed.push(name.clone()) } else { still_failing.push(name.clone()) }
            }
            for name in pass_to_pass.iter().filter(|name| !is_kept(report, name)) {
                if is_flaky(before, name) { flaky.push(name.clone()) } else { newly_failing.push(name.clone()) }
            }
        }
        Expected::Baseline => {
            let unsteady = flaky_names(before);
            let baseline = before.first().map(|report| &report.tests).into_iter().flatten();
            for (name, before) in baseline.filter(|(name, _)| !unsteady.contains(name)) {
                let now = report.outcome(name);
                if before.is_failure() {
                    let passes_now = match now {
                        Some(now) => now.is_pass(),
                        // A runner that names only failures has said that it passes by not naming it.
                        None => !names_passes(report) && report.executed(),
                    };
                    if passes_now { fixed.push(name.clone()) } else { still_failing.push(name.clone()) }
                } else if before.is_pass() && !now.is_some_and(|now| now.is_pass() || now == Status::Skipped) {
                    newly_failing.push(name.clone());
                }
            }
            let is_new = |name: &&str| !before.iter().any(|report| report.tests.contains_key(*name));
            newly_failing.extend(report.failing().into_iter().filter(is_new).map(str::to_owned));
            flaky.extend(unsteady.into_iter().filter(|name| !is_kept(report, name)));
        }
    }
    if !still_failing.is_empty() {
        codes.push("G-NOT-FIXED".to_owned());
    }
    if !newly_failing.is_empty() {
        codes.push("G-REGRESSION".to_owned());
    }
    let passed = codes.is_empty();
    GreenVerdict { passed, fixed, still_failing, newly_failing, flaky, codes }
}

/// Codes for a run that came to its end and still cannot be believed.
fn contradictions(before: &[TestReport], report: &TestReport) -> Vec<&'static str> {
    if !report.executed() {
        // Nothing but a closing line tells a run that ended well from one that was ended by the code under test.
        let had_end = before.iter().any(|before| before.ran.is_some_and(|ran| ran > 0));
        let is_early = report.exit == Some(0) && report.ran.is_none() && had_end;
        return vec![if is_early { "G-EARLY-EXIT" } else { "G-NO-TESTS" }];
    }
    let has_failures = TestReport::explains_failure;
    let honest_failure = |report: &TestReport| report.exit != Some(0) && has_failures(report);
    // Tests of a runner print failures of runs within them, before the edits as after; a test that should pass and
    // fails throughout is found by its name.
    let is_known = |name: &&str| before.iter().any(|before| before.outcome(name).is_some_and(Status::is_failure));
    let hides = |report: &TestReport| has_failures(report) && !report.failing().iter().all(is_known);
    let exit_hides = report.exit == Some(0) && hides(report) && before.iter().any(honest_failure);
    let unexplained = report.exit != Some(0) && !has_failures(report);
    // Runs of the same tests print the same surplus: tests within tests, failing parts of one test.
    let surplus = |report: &TestReport| (executed(report)).saturating_sub(report.ran.unwrap_or(0));
    let forged = !report.quiet && surplus(report) > before.iter().map(surplus).max().unwrap_or(u64::MAX);
    let fewer = before.iter().filter_map(|before| before.ran).min().is_some_and(|least| report.ran < Some(least));
    let found = [(exit_hides || unexplained, "G-EXIT"), (forged, "G-FORGED"), (fewer, "G-FEWER-TESTS")];
    found.into_iter().filter_map(|(is_so, code)| is_so.then_some(code)).collect()
}

/// Number of tests that the log names as having run.
fn executed(report: &TestReport) -> u64 {
    report.tests.values().filter(|status| **status != Status::Skipped).count() as u64
}

/// What matters of a test's end when runs are compared.
#[derive(PartialEq, Eq)]
enum End {
    Kept,
    Failed,
    Absent,
}

fn end(report: &TestReport, name: &str) -> End {
    match report.listed(name).or_else(|| report.outcome(name)) {
        Some(status) if status.is_failure() => End::Failed,
        Some(_) => End::Kept,
        None => End::Absent,
    }
}

fn is_flaky(reports: &[TestReport], name: &str) -> bool {
    reports.split_first().is_some_and(|(first, rest)| rest.iter().any(|report| end(report, name) != end(first, name)))
}

fn flaky_names(reports: &[TestReport]) -> Vec<String> {
    let names: BTreeSet<&String> = reports.iter().flat_map(|report| report.tests.keys()).collect();
    names.into_iter().filter(|name| is_flaky(reports, name)).cloned().collect()
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
    report.listed(name).is_some_and(Status::is_pass)
}

fn is_kept(report: &TestReport, name: &str) -> bool {
    report.listed(name).is_some_and(|status| status.is_pass() || status == Status::Skipped)
}

fn names_passes(report: &TestReport) -> bool {
    report.tests.values().any(|status| status.is_pass())
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

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
            assert!(red(&expected, from_ref(&before)).valid);
            let verdict = green(&expected, from_ref(&before), &report(0, AFTER));
            assert!(verdict.passed, "{verdict:?}");
            assert_eq!(verdict.fixed, ["f"]);
            let no_op = green(&expected, from_ref(&before), &before);
            assert_eq!((no_op.passed, no_op.still_failing), (false, vec!["f".to_owned()]));
            assert_eq!(no_op.codes, ["G-NOT-FIXED"]);
            let broken =
                green(&expected, from_ref(&before), &report(1, &[("f", Status::Passed), ("p", Status::Error)]));
            assert!(!broken.passed && broken.newly_failing.contains(&"p".to_owned()));
            let gone = green(&expected, from_ref(&before), &report(0, &[("f", Status::Passed)]));
            assert!(!gone.passed && gone.newly_failing.contains(&"p".to_owned()));
        }
    }

    #[test]
    fn an_exit_code_that_no_failing_test_explains_is_refused() {
        let before = report(1, BEFORE);
        for expected in [lists(), Expected::Baseline] {
            assert_eq!(green(&expected, from_ref(&before), &report(1, AFTER)).codes, ["G-EXIT"]);
        }
    }

    #[test]
    fn failures_within_passing_tests_are_not_held_against_an_answer() {
        let with = |exit, tests: &[(&str, Status)], inner| {
            let mut report = report(exit, tests);
            report.tests.insert(inner, Status::Failed);
            report
        };
        let before = with(1, BEFORE, "inner".to_owned());
        let after = |inner: &str| green(&lists(), from_ref(&before), &with(0, AFTER, inner.to_owned()));
        assert!(after("inner").passed, "{:?}", after("inner"));
        assert_eq!(after("other").codes, ["G-EXIT"], "a failure that was not there before");
        assert_eq!(after("p").codes, ["G-EXIT", "G-REGRESSION"]);
        assert_eq!(after("f").codes, ["G-NOT-FIXED"]);
    }

    #[test]
    fn a_run_without_an_end_is_never_green() {
        let before = report(1, BEFORE);
        let end = |change: &dyn Fn(&mut TestReport)| {
            let mut after = report(0, AFTER);
            change(&mut after);
            let verdict = green(&lists(), from_ref(&before), &after);
            assert!(!verdict.passed);
            verdict.codes.join(" ")
        };
        assert_eq!(end(&|after| after.timed_out = true), "G-TIMEOUT");
        assert_eq!(end(&|after| after.truncated = true), "G-LOG-CAP");
        for exceeded in [Exceeded::Processes, Exceeded::Memory, Exceeded::Disk, Exceeded::FileSize] {
            assert_eq!(end(&|after| (after.exit, after.exceeded) = (None, Some(exceeded))), exceeded.code());
        }
        assert_eq!(end(&|after| (after.exit, after.signal) = (None, Some(11))), "G-SIGNAL");
        assert_eq!(end(&|after| after.ran = None), "G-EARLY-EXIT");
        assert_eq!(end(&|after| after.ran = Some(0)), "G-NO-TESTS");
    }

    #[test]
    fn a_red_run_must_fail_where_it_should() {
        assert_eq!(red(&lists(), &[report(0, AFTER)]).codes, ["G-ALREADY-PASSES"]);
        assert_eq!(red(&lists(), &[report(2, &[])]).codes, ["G-NO-TESTS"]);
        let broken = red(&lists(), &[report(1, &[("f", Status::Failed)])]);
        assert_eq!((broken.valid, broken.broken.len()), (true, 2));
        assert!(!red(&Expected::Baseline, &[report(5, &[])]).valid);
    }

    #[test]
    fn a_baseline_of_a_runner_that_names_only_failures_counts() {
        let mut before = report(1, &[("f", Status::Failed)]);
        before.ran = Some(5);
        let mut after = report(0, &[]);
        after.ran = Some(5);
        assert!(green(&Expected::Baseline, from_ref(&before), &after).passed);
        after.ran = Some(4);
        assert_eq!(green(&Expected::Baseline, from_ref(&before), &after).codes, ["G-FEWER-TESTS"]);
    }

    #[test]
    fn what_two_runs_of_one_tree_disagree_on_is_flaky_and_not_held_against_an_answer() {
        let first = report(1, BEFORE);
        let second = report(1, &[("f", Status::Failed), ("p", Status::Failed), ("s", Status::Skipped)]);
        let before = [first, second];
        let after = report(1, &[("f", Status::Passed), ("p", Status::Failed), ("s", Status::Skipped)]);
        for expected in [lists(), Expected::Baseline] {
            let verdict = red(&expected, &before);
            assert!(verdict.valid, "{verdict:?}");
            assert_eq!((verdict.flaky, verdict.failing), (vec!["p".to_owned()], vec!["f".to_owned()]));
            let verdict = green(&expected, &before, &after);
            assert!(verdict.passed, "{verdict:?}");
            assert_eq!((verdict.flaky, verdict.fixed), (vec!["p".to_owned()], vec!["f".to_owned()]));
            assert!(!green(&expected, &before[..1], &after).passed, "one run cannot tell");
        }
        let steady =
            [report(1, BEFORE), report(1, &[("f", Status::Error), ("p", Status::Xfail), ("s", Status::Passed)])];
        assert_eq!(red(&lists(), &steady).flaky, Vec::<String>::new());
    }

    #[test]
    fn a_test_that_sometimes_passes_proves_no_fix() {
        let before = [report(1, BEFORE), report(0, AFTER)];
        let verdict = red(&lists(), &before);
        assert_eq!((verdict.codes, verdict.flaky), (vec!["G-FLAKY".to_owned()], vec!["f".to_owned()]));
        let mut hangs = report(0, &[]);
        hangs.timed_out = true;
        assert_eq!(red(&lists(), &[report(1, BEFORE), hangs]).codes, ["G-TIMEOUT"]);
        assert_eq!(red(&lists(), &[]).codes, ["G-NO-TESTS"]);
    }

    #[test]
    fn a_run_that_contradicts_itself_is_refused() {
        let before = report(1, BEFORE);
        for expected in [lists(), Expected::Baseline] {
            let codes = |change: &dyn Fn(&mut TestReport)| {
                let mut after = report(0, AFTER);
                change(&mut after);
                let verdict = green(&expected, from_ref(&before), &after);
                assert!(!verdict.passed);
                verdict.codes.join(" ")
            };
            assert_eq!(codes(&|after| after.ran = None), "G-EARLY-EXIT");
            assert_eq!(codes(&|after| (after.exit, after.ran) = (Some(1), None)), "G-NO-TESTS");
            assert_eq!(codes(&|after| after.ran = Some(1)), "G-FORGED G-FEWER-TESTS");
            let forge = |after: &mut TestReport| {
                after.tests.insert("forged".into(), Status::Passed);
            };
            assert_eq!(codes(&forge), "G-FORGED");
            let hide = |after: &mut TestReport| {
                after.tests.insert("p".into(), Status::Failed);
            };
            assert_eq!(codes(&hide), "G-EXIT G-REGRESSION");
        }
    }
}
