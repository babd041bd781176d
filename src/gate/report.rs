//! What a runner said about each test, independent of the runner.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Exceeded;

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It passed.
    Passed,
    /// It failed as its author said it would.
    Xfail,
    /// It did not run.
    Skipped,
    /// An assertion failed.
    Failed,
    /// It could not be run to its end.
    Error,
}

impl Status {
    /// Says whether the test did what it should.
    pub fn is_pass(self) -> bool {
        matches!(self, Self::Passed | Self::Xfail)
    }

    /// Says whether the test found something wrong.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Error)
    }
}

/// What one run of a test command said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TestReport {
    /// Status of every test that the log names, by the runner's own full name.
    pub tests: BTreeMap<String, Status>,
    /// Other names under which a test is known (its docstring, a name cut at a blank), to its full name.
    pub aliases: BTreeMap<String, String>,
    /// Exit code of the command.
    pub exit: Option<i32>,
    /// Signal that ended the command.
    pub signal: Option<i32>,
    /// Whether the time limit ended it.
    pub timed_out: bool,
    /// Whether the log reached its cap.
    pub truncated: bool,
    /// The limit of the sandbox that ended it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exceeded: Option<Exceeded>,
    /// Number of tests that the runner says it ran, if it came to its closing line.
    pub ran: Option<u64>,
}

impl TestReport {
    /// Says whether the runner came to its end and ran at least one test.
    pub fn executed(&self) -> bool {
        !self.timed_out && !self.truncated && self.exceeded.is_none() && self.ran.is_some_and(|ran| ran > 0)
    }

    /// Returns the status of the test that a list names, or nothing if the log does not tell.
    ///
    /// Lists were recorded with other versions: names are tried as they are, as aliases, with the class path of Python
    /// 3.11 folded, and, if a bracket was cut off, as a prefix whose matches must agree.
    pub fn status(&self, name: &str) -> Option<Status> {
        let full = |name: &str| self.tests.get(name).or_else(|| self.tests.get(self.aliases.get(name)?)).copied();
        full(name).or_else(|| full(&fold(name)?)).or_else(|| self.by_prefix(name))
    }

    /// Returns the names of the tests that failed, in order.
    pub fn failing(&self) -> Vec<&str> {
        self.tests.iter().filter(|(_, status)| status.is_failure()).map(|(name, _)| name.as_str()).collect()
    }

    fn by_prefix(&self, name: &str) -> Option<Status> {
        let count = |bracket| name.matches(bracket).count();
        if count('[') <= count(']') {
            return None;
        }
        let mut found = self.tests.range(name.to_owned()..).take_while(|(full, _)| full.starts_with(name));
        let (_, first) = found.next()?;
        found.all(|(_, status)| status == first).then_some(*first)
    }
}

/// Returns the short form of a unittest name: `test_x (m.C.test_x)` as Python 3.11 prints it, `test_x (m.C)` as before.
pub(super) fn fold(name: &str) -> Option<String> {
    let (method, rest) = name.split_once(" (")?;
    let class = rest.strip_suffix(')')?.strip_suffix(method)?.strip_suffix('.')?;
    Some(format!("{method} ({class})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(tests: &[(&str, Status)]) -> TestReport {
        let tests = tests.iter().map(|(name, status)| ((*name).to_owned(), *status)).collect();
        TestReport { tests, ..TestReport::default() }
    }

    #[test]
    fn names_of_either_python_are_found() {
        let mut report = report(&[("test_a (m.C)", Status::Failed)]);
        report.aliases.insert("Says what.".into(), "test_a (m.C)".into());
        for name in ["test_a (m.C)", "test_a (m.C.test_a)", "Says what."] {
            assert_eq!(report.status(name), Some(Status::Failed), "{name}");
        }
        assert_eq!(report.status("test_a (m.D)"), None);
        assert_eq!(fold("test_a (m.C)"), None);
    }

    #[test]
    fn a_cut_bracket_matches_by_prefix_if_all_agree() {
        let report = report(&[
            ("t.py::a[x y]", Status::Passed),
            ("t.py::a[x z]", Status::Passed),
            ("t.py::b[x y]", Status::Passed),
            ("t.py::b[x z]", Status::Failed),
        ]);
        assert_eq!(report.status("t.py::a[x"), Some(Status::Passed));
        assert_eq!(report.status("t.py::b[x"), None);
        assert_eq!(report.status("t.py::a"), None);
    }
}
