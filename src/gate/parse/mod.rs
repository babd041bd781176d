//! From a canonical log to a [`TestReport`], one runner a file.
//!
//! A log is always read *strictly*: full names, `file > test` where a file or package is known, duplicates and unknown
//! statuses flagged. Where an instance's lists were made by the SWE-bench harness, it is read a second time as that does
//! ([`Compat`]), and the lists are looked up there. Colours are removed in the strict reading only. Results files
//! (JUnit) are not read: a command writes them where it likes, and what was printed is what is recorded.

mod cargo;
mod compat;
mod compat_django;
pub(super) mod go;
mod jest;
pub(super) mod json;
mod nextest;
mod pytest;
mod sympy;
mod unittest;
mod vitest;

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

pub use compat::Compat;

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
    /// `cargo test`.
    Cargo,
    /// `cargo nextest run`.
    Nextest,
    /// `go test`, plain, `-v` or `-json`.
    Go,
    /// jest, plain, `--verbose` or `--json`.
    Jest,
    /// vitest, with its default, verbose or json reporter.
    Vitest,
    /// Whichever of them the log looks like, for commands like `make test`.
    Auto,
}

impl Parser {
    const ALL: [Self; 10] = [
        Self::Pytest,
        Self::Unittest,
        Self::Django,
        Self::Sympy,
        Self::Cargo,
        Self::Nextest,
        Self::Go,
        Self::Jest,
        Self::Vitest,
        Self::Auto,
    ];

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
            ("nextest", Self::Nextest),
            ("cargo test", Self::Cargo),
            ("cargo t ", Self::Cargo),
            ("go test", Self::Go),
            ("vitest", Self::Vitest),
            ("jest", Self::Jest),
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
            Self::Cargo => "cargo",
            Self::Nextest => "nextest",
            Self::Go => "go",
            Self::Jest => "jest",
            Self::Vitest => "vitest",
            Self::Auto => "auto",
        }
    }

    /// Returns the parser that a log is for; `Auto` looks at what only one runner prints.
    pub(super) fn recognise(self, log: &str) -> Self {
        static SIGNS: LazyLock<Vec<(Regex, Parser)>> = LazyLock::new(|| {
            [
                (r"(?m)^test result: \S+ \d+ passed;", Parser::Cargo),
                (r"(?m)^\s*Summary \[.*\] +\d+ tests? run:", Parser::Nextest),
                (r"(?m)^ Test Files  \d", Parser::Vitest),
                (r#"(?m)^Tests:  .*\d+ total$|^\{.*"testResults":"#, Parser::Jest),
                (r#"(?m)^(?:ok  |FAIL|\?   )\t\S+|^\{.*"Action":".*"Package":"#, Parser::Go),
                (r"(?m)^ ?tests finished: \d", Parser::Sympy),
                (r"(?m)^Ran \d+ tests? in ", Parser::Unittest),
            ]
            .map(|(sign, parser)| (Regex::new(sign).expect("a tested pattern"), parser))
            .into()
        });
        match self {
            Self::Auto => SIGNS.iter().find(|(sign, _)| sign.is_match(log)).map_or(Self::Pytest, |(_, parser)| *parser),
            known => known,
        }
    }
}

impl FromStr for Parser {
    type Err = String;

    /// Reads a parser's name, also in the harness's spelling (`parse_log_pytest_v2`).
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(parser) = Self::ALL.into_iter().find(|parser| parser.name() == text) {
            return Ok(parser);
        }
        match Compat::named(text) {
            Some(Compat::Django) => Ok(Self::Django),
            Some(Compat::Sympy) => Ok(Self::Sympy),
            Some(Compat::Cargo) => Ok(Self::Cargo),
            Some(Compat::Gotest) => Ok(Self::Go),
            Some(Compat::Jest | Compat::JestJson) => Ok(Self::Jest),
            Some(Compat::Vitest) => Ok(Self::Vitest),
            Some(_) => Ok(Self::Pytest),
            None => {
                let known = Self::ALL.map(Self::name).join(", ");
                Err(format!(
                    "{text:?} is no known log parser; known are {known}, and the harness's parse_log_ names of Python's \
                     runners, cargo, gotest, jest, jest_json and vitest"
                ))
            }
        }
    }
}

/// Both readings of a run's log: the strict one, and the harness's one where lists are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reader {
    /// The strict parser.
    pub parser: Parser,
    /// The harness's function by which listed names are looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compat: Option<Compat>,
}

impl From<Parser> for Reader {
    fn from(parser: Parser) -> Self {
        Self { parser, compat: None }
    }
}

impl Reader {
    /// Chooses by the instance's own word, the test command and the repository.
    ///
    /// The harness's reading is taken where the instance has lists and is named in the harness's spelling or of a
    /// repository that the harness knows. A runner's plain name (`pytest`) asks for the strict reading alone.
    ///
    /// # Errors
    /// A word that names no parser.
    pub fn choose(name: Option<&str>, command: &str, repo: &str, has_lists: bool) -> Result<Self, String> {
        let named: Option<Parser> = name.map(str::parse).transpose()?;
        let parser = named.or_else(|| Parser::guess(None, command, repo)).unwrap_or(Parser::Auto);
        let compat = match name {
            Some(name) if Parser::ALL.iter().any(|parser| parser.name() == name) => None,
            Some(name) => Compat::named(name),
            None => Compat::of_repository(repo),
        };
        Ok(Self { parser, compat: compat.filter(|_| has_lists) })
    }

    /// Returns the strict reading alone, for names that are not from lists.
    #[must_use]
    pub fn strict(self) -> Self {
        self.parser.into()
    }
}

/// Removes what colours a terminal.
pub(super) fn plain(log: &str) -> Cow<'_, str> {
    static ESCAPE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[@-Z\\^_])").expect("a tested pattern")
    });
    ESCAPE.replace_all(log, "")
}

/// Reads a canonical record. Bytes that are none give an empty report, which no gate lets pass.
pub fn report(reader: impl Into<Reader>, canonical_execution: &[u8]) -> TestReport {
    let Ok((Head { exit, signal, timed_out, truncated, exceeded, .. }, log)) = split(canonical_execution) else {
        return TestReport::default();
    };
    let reader = reader.into();
    let log = String::from_utf8_lossy(log);
    let harness = reader.compat.map(|compat| compat.read(&log));
    let log = plain(&log);
    let parser = reader.parser.recognise(&log);
    let mut report = TestReport { exit, signal, timed_out, truncated, exceeded, harness, ..TestReport::default() };
    report.reader = Some(Reader { parser, ..reader });
    match parser {
        Parser::Pytest | Parser::Auto => pytest::read(&log, &mut report),
        Parser::Unittest | Parser::Django => unittest::read(&log, &mut report),
        Parser::Sympy => sympy::read(&log, &mut report),
        Parser::Cargo => cargo::read(&log, &mut report),
        Parser::Nextest => nextest::read(&log, &mut report),
        Parser::Go => go::read(&log, &mut report),
        Parser::Jest | Parser::Vitest if json::read(&log, &mut report) => {}
        Parser::Jest => jest::read(&log, &mut report),
        Parser::Vitest => vitest::read(&log, &mut report),
    }
    report
}

#[cfg(test)]
pub(super) fn report_of(reader: impl Into<Reader>, exit: i32, log: &str) -> TestReport {
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
    report(reader, &normalise(&execution.to_bytes()).expect("a record"))
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
            (None, "cargo test --workspace", "a/b", Some(Parser::Cargo)),
            (None, "cargo nextest run", "a/b", Some(Parser::Nextest)),
            (None, "go test ./...", "a/b", Some(Parser::Go)),
            (None, "npx vitest run", "a/b", Some(Parser::Vitest)),
            (None, "npx jest", "a/b", Some(Parser::Jest)),
            (None, "make check", "sympy/sympy", Some(Parser::Sympy)),
            (None, "make check", "a/b", None),
        ] {
            assert_eq!(Parser::guess(name, command, repo), expected, "{command}");
        }
    }

    #[test]
    fn the_harness_reads_for_its_own_lists_only() {
        let choose = |name, repo, lists| Reader::choose(name, "pytest", repo, lists).map(|reader| reader.compat);
        assert_eq!(choose(None, "psf/requests", true), Ok(Some(Compat::PytestOptions)));
        assert_eq!(choose(None, "psf/requests", false), Ok(None));
        assert_eq!(choose(None, "me/mine", true), Ok(None));
        assert_eq!(choose(Some("pytest"), "psf/requests", true), Ok(None));
        assert_eq!(choose(Some("parse_log_pytest"), "me/mine", true), Ok(Some(Compat::Pytest)));
        assert_eq!(Reader::choose(None, "make test", "me/mine", true), Ok(Parser::Auto.into()));
        assert!(choose(Some("parse_log_karma"), "a/b", true).is_err_and(|error| error.contains("known are pytest")));
    }

    #[test]
    fn a_log_says_which_runner_it_is_of() {
        for (log, expected) in [
            ("test result: ok. 1 passed; 0 failed; 0 ignored;\n", Parser::Cargo),
            ("ok  \ta/b\t0.1s\n", Parser::Go),
            ("Tests:       1 passed, 1 total\n", Parser::Jest),
            (" Test Files  1 passed (1)\n", Parser::Vitest),
            ("Ran 1 test in 0.1s\n", Parser::Unittest),
            ("= 1 passed in 0.1s =\n", Parser::Pytest),
        ] {
            assert_eq!(Parser::Auto.recognise(log), expected, "{log}");
        }
    }

    proptest! {
        #[test]
        fn no_log_stops_a_parser(log in "(?s)([A-Z]{4,6}[: ]|test_a \\(m\\.C\\)| \\.\\.\\. |ok|\n|[=_ ]{1,9}|::|\\[|\\]|[0-9]{1,30} passed| in <time>|test |--- FAIL: |\t| [✓×❯] | ● |\\{\"Action\":|.){0,40}") {
            for parser in Parser::ALL {
                let report = report_of(parser, 0, &log);
                prop_assert_eq!(report.exit, Some(0));
            }
            for compat in [Compat::Django, Compat::Sympy, Compat::PytestOptions, Compat::PytestV2, Compat::Seaborn, Compat::Vitest] {
                compat.read(&log);
            }
        }
    }
}
