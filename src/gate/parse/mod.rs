//! From a canonical log to a [`TestReport`], one runner a file.

mod pytest;
mod sympy;
mod unittest;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::TestReport;
use super::execution::{Head, split};

/// How a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parser {
    /// pytest's result lines, best with `-rA` or `-v`.
    Pytest,
    /// `python -m unittest`, best with `-v`.
    Unittest,
    /// Django's `runtests.py` and `manage.py test`: unittest's lines, at `--verbosity 2`.
    Django,
    /// SymPy's `bin/test --verbose`.
    Sympy,
}

impl Parser {
    /// Returns the parser for a test command, from the instance's own word for it, the command, or the repository.
    pub fn guess(name: Option<&str>, command: &str, repo: &str) -> Option<Self> {
        let by_command = [
            ("pytest", Self::Pytest),
            ("py.test", Self::Pytest),
            ("runtests.py", Self::Django),
            ("manage.py test", Self::Django),
            ("bin/test", Self::Sympy),
            ("unittest", Self::Unittest),
            ("nose2", Self::Unittest),
        ];
        let by_repo = [("django/django", Self::Django), ("sympy/sympy", Self::Sympy)];
        name.and_then(|name| name.parse().ok())
            .or_else(|| by_command.iter().find(|(word, _)| command.contains(word)).map(|(_, parser)| *parser))
            .or_else(|| by_repo.iter().find(|(name, _)| *name == repo).map(|(_, parser)| *parser))
    }

    /// Returns the name used in instances and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pytest => "pytest",
            Self::Unittest => "unittest",
            Self::Django => "django",
            Self::Sympy => "sympy",
        }
    }
}

impl FromStr for Parser {
    type Err = String;

    /// Reads a parser's name, also in the harness's spelling (`parse_log_pytest_v2`).
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix("parse_log_").unwrap_or(text);
        match name {
            "django" => Ok(Self::Django),
            "sympy" => Ok(Self::Sympy),
            "unittest" => Ok(Self::Unittest),
            "seaborn" | "matplotlib" => Ok(Self::Pytest),
            name if name.starts_with("pytest") => Ok(Self::Pytest),
            _ => Err(format!("{text:?} is no known log parser; known are pytest, unittest, django and sympy")),
        }
    }
}

/// Reads a canonical record. Bytes that are none give an empty report, which no gate lets pass.
pub fn report(parser: Parser, canonical_execution: &[u8]) -> TestReport {
    let Ok((Head { exit, signal, timed_out, truncated, exceeded, .. }, log)) = split(canonical_execution) else {
        return TestReport::default();
    };
    let log = String::from_utf8_lossy(log);
    let mut report = TestReport { exit, signal, timed_out, truncated, exceeded, ..TestReport::default() };
    match parser {
        Parser::Pytest => pytest::read(&log, &mut report),
        Parser::Unittest | Parser::Django => unittest::read(&log, &mut report),
        Parser::Sympy => sympy::read(&log, &mut report),
    }
    report
}

#[cfg(test)]
pub(super) fn report_of(parser: Parser, exit: i32, log: &str) -> TestReport {
    use crate::gate::{Execution, Level, normalise};
    let log = log.as_bytes().to_vec();
    let execution = Execution {
        exit: Some(exit),
        signal: None,
        timed_out: false,
        truncated: false,
        exceeded: None,
        sandbox: Level::None,
        log,
    };
    report(parser, &normalise(&execution.to_bytes()).expect("a record"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_runner_is_guessed_from_name_command_and_repository() {
        for (name, command, repo, expected) in [
            (Some("parse_log_pytest_v2"), "make check", "a/b", Some(Parser::Pytest)),
            (None, "python -m pytest -rA x.py", "django/django", Some(Parser::Pytest)),
            (None, "python tests/runtests.py --verbosity 2 x", "a/b", Some(Parser::Django)),
            (None, "python bin/test -C --verbose x.py", "a/b", Some(Parser::Sympy)),
            (None, "python3 -m unittest -v", "a/b", Some(Parser::Unittest)),
            (None, "make check", "sympy/sympy", Some(Parser::Sympy)),
            (None, "make check", "a/b", None),
        ] {
            assert_eq!(Parser::guess(name, command, repo), expected, "{command}");
        }
    }

    proptest! {
        #[test]
        fn no_log_stops_a_parser(log in "(?s)([A-Z]{4,6}[: ]|test_a \\(m\\.C\\)| \\.\\.\\. |ok|\n|[=_ ]{1,9}|::|\\[|\\]|[0-9]{1,30} passed| in <time>|.){0,40}") {
            for parser in [Parser::Pytest, Parser::Unittest, Parser::Django, Parser::Sympy] {
                let report = report_of(parser, 0, &log);
                prop_assert_eq!(report.exit, Some(0));
            }
        }
    }
}
