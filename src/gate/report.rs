//! What a runner said about each test, independent of the runner.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::normalise;
use super::{Exceeded, Reader};

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
    /// Tests whose docstring stands for another test too, with that docstring.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub shared_docstrings: BTreeMap<String, String>,
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
    /// How the log was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reader: Option<Reader>,
    /// Names that one run gave more than one result; the worst counts.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub duplicates: BTreeSet<String>,
    /// Statuses that are none of the runner's, by test; such a test is an error.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unknown: BTreeMap<String, String>,
    /// Whether the runner names only failing tests, and passing files or packages as a whole.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub quiet: bool,
    /// What the SWE-bench harness reads from the same log, in its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub harness: Option<BTreeMap<String, String>>,
}

/// How a listed name was found under another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Folding {
    /// The class path of Python 3.11 has the method's name in it, the older one has not.
    ClassPath,
    /// The list has the docstring and the log the name, or the other way round.
    Docstring,
    /// The list's name was cut within its brackets.
    CutBracket,
    /// Something in the list's name is replaced in canonical logs.
    Normalised,
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
        let cleaned = || full(&normalise::name(name));
        full(name).or_else(|| full(&fold(name)?)).or_else(|| self.by_prefix(name)).or_else(cleaned)
    }

    /// Returns how the test that an instance's list names ended.
    ///
    /// Where the harness's reading is there, it decides, as the harness does: a test that it does not name has not
    /// passed, and a status that is none counts as an error. It takes a printed `... ok` for a result, so a test that
    /// the strict reading saw fail has failed all the same.
    pub fn listed(&self, name: &str) -> Option<Status> {
        let Some(harness) = &self.harness else { return self.status(name) };
        let (key, folding) = self.found(harness, name)?;
        // Several tests may share a docstring, of which the harness sees the last; the strict reading tells them apart.
        let own = self.tests.get(&fold(name).unwrap_or_else(|| name.to_owned()));
        match (folding, own) {
            (Some(Folding::Docstring), Some(status)) => Some(*status),
            (_, Some(status)) if status.is_failure() => Some(*status),
            _ => harness.get(key).map(|word| harness_status(word)),
        }
    }

    /// Returns the listed names that were found under another name, with that name and how.
    pub fn folded<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, (String, Folding)> {
        let Some(harness) = &self.harness else { return BTreeMap::new() };
        let found = names.into_iter().filter_map(|name| {
            let (key, folding) = self.found(harness, name)?;
            Some((name.clone(), (key.to_owned(), folding?)))
        });
        found.collect()
    }

    /// Says whether the log explains an exit code that is not zero: some test failed, in the harness's reading too.
    pub fn explains_failure(&self) -> bool {
        let named = |harness: &BTreeMap<String, String>| {
            harness.is_empty() || harness.values().any(|word| matches!(word.as_str(), "FAILED" | "ERROR"))
        };
        !self.failing().is_empty() && self.harness.as_ref().is_none_or(named)
    }

    /// Finds a listed name among the harness's: as it is, cut within a bracket, or folded.
    fn found<'a>(&'a self, harness: &'a BTreeMap<String, String>, name: &str) -> Option<(&'a str, Option<Folding>)> {
        if let Some((key, _)) = harness.get_key_value(name) {
            return Some((key, None));
        }
        if let Some((key, _)) = harness.get_key_value(&normalise::name(name)) {
            return Some((key, Some(Folding::Normalised)));
        }
        let count = |bracket| name.matches(bracket).count();
        if count('[') > count(']') {
            let mut keys = harness.range(name.to_owned()..).take_while(|(key, _)| key.starts_with(name));
            let (first, word) = keys.next()?;
            let passes = |word: &String| harness_status(word).is_pass();
            return keys.all(|(_, other)| passes(other) == passes(word)).then_some((first, Some(Folding::CutBracket)));
        }
        let short = fold(name).unwrap_or_else(|| name.to_owned());
        let same_class = || harness.keys().find(|key| fold(key).as_deref() == Some(&short) || **key == short);
        let other_name = || {
            // The strict reading knows which docstring belongs to which test.
            let docstrings = self.aliases.iter().filter(|(_, full)| **full == short).map(|(docstring, _)| docstring);
            let docstrings = docstrings.chain(self.shared_docstrings.get(&short));
            let full = self.aliases.get(name);
            let of_full =
                full.and_then(|full| harness.keys().find(|key| *key == full || fold(key).as_ref() == Some(full)));
            docstrings.filter_map(|docstring| harness.get_key_value(docstring)).map(|(key, _)| key).next().or(of_full)
        };
        same_class()
            .map(|key| (key.as_str(), Some(Folding::ClassPath)))
            .or_else(|| other_name().map(|key| (key.as_str(), Some(Folding::Docstring))))
    }

    /// Returns the status of a test by its full name; a file or package that passed without naming its tests speaks
    /// for them.
    pub fn outcome(&self, name: &str) -> Option<Status> {
        let group = || name.split_once(" > ").map_or("", |(group, _)| group);
        let passed = || self.tests.get(group()).copied().filter(|status| *status == Status::Passed);
        self.tests.get(name).copied().or_else(passed)
    }

    /// Notes a result; a second one for the same name is a duplicate.
    pub(super) fn record(&mut self, name: String, status: Status) {
        if let Some(known) = self.tests.get_mut(&name) {
            *known = status.max(*known);
            self.duplicates.insert(name);
        } else {
            self.tests.insert(name, status);
        }
    }

    /// Notes a result in a word that is no status.
    pub(super) fn record_unknown(&mut self, name: String, word: &str) {
        self.unknown.insert(name.clone(), word.to_owned());
        self.record(name, Status::Error);
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

fn harness_status(word: &str) -> Status {
    match word {
        "PASSED" => Status::Passed,
        "XFAIL" => Status::Xfail,
        "SKIPPED" => Status::Skipped,
        "FAILED" => Status::Failed,
        _ => Status::Error,
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

    #[test]
    fn a_printed_pass_does_not_outweigh_a_failure() {
        let mut report = report(&[("test_a (m.C)", Status::Failed), ("test_b (m.C)", Status::Passed)]);
        let lines = [("test_a (m.C)", "PASSED"), ("test_a (m.C.test_a)", "FAILED"), ("test_b (m.C)", "PASSED")];
        report.harness = Some(lines.map(|(name, word)| (name.to_owned(), word.to_owned())).into());
        assert_eq!(report.listed("test_a (m.C)"), Some(Status::Failed));
        assert_eq!(report.listed("test_b (m.C)"), Some(Status::Passed));
    }

    #[test]
    fn a_name_with_a_replaced_part_is_found() {
        let listed = "t.py::a[localhost:8080-/tmp/some-name]".to_owned();
        let name = normalise::name(&listed);
        assert!(name.contains("<port>"), "{name}");
        let mut report = report(&[(&name, Status::Passed)]);
        assert_eq!(report.status(&listed), Some(Status::Passed));
        report.harness = Some(BTreeMap::from([(name, "PASSED".to_owned())]));
        assert_eq!(report.listed(&listed), Some(Status::Passed));
        assert_eq!(report.folded([&listed])[&listed].1, Folding::Normalised);
    }
}
