//! The SWE-bench harness's own reading of a log, with its quirks, since the lists of its instances were made by it.
//!
//! Each function gives what the harness's function of that name (`parse_log_…`, version 5.0.1) gives for the same text:
//! names cut at blanks, colliding names of which the last wins, statuses that are none (`ERROR:`). Nothing is repaired
//! here; what is repaired for other Python versions is done apart, by [`TestReport::listed`](crate::gate::TestReport::listed).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde::Serialize;

/// One reading of the harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compat {
    /// Django's runner.
    Django,
    /// SymPy's `bin/test`.
    Sympy,
    /// pytest, ids cut at the first blank.
    Pytest,
    /// pytest with its mouse buttons as numbers.
    Matplotlib,
    /// pytest, with paths in parameters cut to their last part.
    PytestOptions,
    /// pytest, whole ids.
    PytestV2,
    /// pytest of seaborn: passes and failures only.
    Seaborn,
    /// `cargo test`.
    Cargo,
    /// `go test -v`.
    Gotest,
    /// `jest --verbose`.
    Jest,
    /// `jest --json`, as the harness's image rewrites it.
    JestJson,
    /// vitest's verbose reporter.
    Vitest,
}

/// Names and statuses, as the harness writes them.
pub(super) type Map = BTreeMap<String, String>;

const REPOSITORIES: &[(&str, Compat)] = &[
    ("astropy/astropy", Compat::PytestV2),
    ("django/django", Compat::Django),
    ("matplotlib/matplotlib", Compat::Matplotlib),
    ("mwaskom/seaborn", Compat::Seaborn),
    ("pallets/flask", Compat::Pytest),
    ("psf/requests", Compat::PytestOptions),
    ("pydata/xarray", Compat::Pytest),
    ("pylint-dev/pylint", Compat::PytestOptions),
    ("pytest-dev/pytest", Compat::Pytest),
    ("scikit-learn/scikit-learn", Compat::PytestV2),
    ("sphinx-doc/sphinx", Compat::PytestV2),
    ("sympy/sympy", Compat::Sympy),
];

const NAMES: &[(&str, Compat)] = &[
    ("django", Compat::Django),
    ("sympy", Compat::Sympy),
    ("pytest", Compat::Pytest),
    ("astroid", Compat::Pytest),
    ("flask", Compat::Pytest),
    ("marshmallow", Compat::Pytest),
    ("pvlib", Compat::Pytest),
    ("pyvista", Compat::Pytest),
    ("sqlfluff", Compat::Pytest),
    ("xarray", Compat::Pytest),
    ("matplotlib", Compat::Matplotlib),
    ("pytest_options", Compat::PytestOptions),
    ("pydicom", Compat::PytestOptions),
    ("requests", Compat::PytestOptions),
    ("pylint", Compat::PytestOptions),
    ("pytest_v2", Compat::PytestV2),
    ("astropy", Compat::PytestV2),
    ("scikit", Compat::PytestV2),
    ("sphinx", Compat::PytestV2),
    ("seaborn", Compat::Seaborn),
    ("cargo", Compat::Cargo),
    ("gotest", Compat::Gotest),
    ("jest", Compat::Jest),
    ("jest_json", Compat::JestJson),
    ("vitest", Compat::Vitest),
];

const STATUSES: [&str; 5] = ["FAILED", "PASSED", "SKIPPED", "ERROR", "XFAIL"];

impl Compat {
    /// Returns the reading of the harness's function `name`, with or without its `parse_log_`.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.strip_prefix("parse_log_").unwrap_or(name);
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, compat)| *compat)
    }

    /// Returns the reading that the harness uses for a repository.
    pub fn of_repository(repository: &str) -> Option<Self> {
        REPOSITORIES.iter().find(|(known, _)| *known == repository).map(|(_, compat)| *compat)
    }

    /// Returns the name of the harness's function, without its `parse_log_`.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, compat)| *compat == self).map_or("", |(name, _)| name)
    }

    /// Reads a whole log as the harness does: the part up to a marker that the log itself holds, else all of it.
    pub fn read(self, log: &str) -> Map {
        const BAD: [&str; 4] = ["Patch Apply Failed", "Reset Failed", "Tests Errored", "Tests Timed Out"];
        // The harness opens its logs in text mode: every kind of line end is one.
        let log = log.replace("\r\n", "\n").replace('\r', "\n");
        let marker = |words: &str| format!(">>>>> {words}");
        if BAD.iter().any(|words| log.contains(&marker(words))) {
            return Map::new();
        }
        let region = ["Start Test Output", "End Test Output"]
            .into_iter()
            .fold(log.as_str(), |region, words| region.split(&marker(words)).next().unwrap_or_default());
        let map = self.parse(region);
        if map.is_empty() { self.parse(&log) } else { map }
    }

    /// Reads a text with the harness's function.
    pub fn parse(self, log: &str) -> Map {
        match self {
            Self::Django => super::compat_django::parse(log),
            Self::Sympy => sympy(log),
            Self::Pytest => pytest(log, |_| None, str::to_owned),
            Self::Matplotlib => {
                let numbers =
                    |line: &str| Some(line.replace("MouseButton.LEFT", "1").replace("MouseButton.RIGHT", "3"));
                pytest(log, numbers, str::to_owned)
            }
            Self::PytestOptions => pytest(log, |_| None, last_part),
            Self::PytestV2 => pytest_v2(log),
            Self::Seaborn => seaborn(log),
            Self::Cargo => by_pattern(&CARGO, log, &[("ok", "PASSED"), ("FAILED", "FAILED")], 2, 1),
            Self::Gotest => by_pattern(&GO, log, &[("PASS", "PASSED"), ("FAIL", "FAILED"), ("SKIP", "SKIPPED")], 1, 2),
            Self::Jest => {
                let map = by_pattern(&JEST, log, &[("✓", "PASSED"), ("✕", "FAILED"), ("○", "SKIPPED")], 1, 2);
                map.into_iter().map(|(name, status)| (name.trim_matches(is_blank).to_owned(), status)).collect()
            }
            Self::JestJson => by_pattern(&JEST_JSON, log, &[("PASSED", "PASSED"), ("FAILED", "FAILED")], 1, 2),
            Self::Vitest => by_pattern(&VITEST, log, &[("✓", "PASSED"), ("×", "FAILED"), ("↓", "SKIPPED")], 1, 2),
        }
    }
}

/// Says whether Python's `str.split` takes a character for a blank.
pub(super) fn is_blank(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

pub(super) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(is_blank).filter(|word| !word.is_empty())
}

fn starts_with_status(line: &str) -> bool {
    STATUSES.iter().any(|status| line.starts_with(status))
}

/// `SKIPPED [3] path:line: reason` counts tests and names none.
fn is_skip_summary(status: &str, name: &str) -> bool {
    let count = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    status == "SKIPPED" && count.is_some_and(|count| !count.is_empty() && count.chars().all(char::is_numeric))
}

fn pytest(log: &str, rewrite: impl Fn(&str) -> Option<String>, rename: impl Fn(&str) -> String) -> Map {
    let mut map = Map::new();
    for line in log.split('\n') {
        let mut line = rewrite(line).unwrap_or_else(|| line.to_owned());
        if !starts_with_status(&line) {
            continue;
        }
        if line.starts_with("FAILED") {
            line = line.replace(" - ", " ");
        }
        let mut words = words(&line);
        if let (Some(status), Some(name)) = (words.next(), words.next())
            && !is_skip_summary(status, name)
        {
            map.insert(rename(name), status.to_owned());
        }
    }
    map
}

/// `name[/a/b/c]` becomes `name[/c]`; what stands behind the last bracket is lost.
fn last_part(name: &str) -> String {
    let Some((main, rest)) = name.split_once('[') else { return name.to_owned() };
    let Some((option, _)) = rest.rsplit_once(']') else { return name.to_owned() };
    let is_path = option.starts_with('/') && !option.starts_with("//") && !option.contains('*');
    let last = option.rsplit('/').next().unwrap_or_default();
    if is_path { format!("{main}[/{last}]") } else { format!("{main}[{option}]") }
}

fn pytest_v2(log: &str) -> Map {
    static COLOUR: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[\d+m").expect("a tested pattern"));
    let mut map = Map::new();
    for line in log.split('\n') {
        let mut line = COLOUR.replace_all(line, "").into_owned();
        line.retain(|character| !('\x01'..='\x1f').contains(&character));
        if starts_with_status(&line) {
            if line.starts_with("FAILED") {
                line.truncate(line.find(" - ").unwrap_or(line.len()));
            }
            let words: Vec<&str> = words(&line).collect();
            if let [status, first, ..] = words[..]
                && !is_skip_summary(status, first)
            {
                map.insert(words[1..].join(" "), status.to_owned());
            }
        } else if STATUSES.iter().any(|status| line.ends_with(status)) {
            let words: Vec<&str> = words(&line).collect();
            if let [name @ .., status] = &words[..]
                && !name.is_empty()
            {
                map.insert(name.join(" "), (*status).to_owned());
            }
        }
    }
    map
}

fn seaborn(log: &str) -> Map {
    let mut map = Map::new();
    for line in log.split('\n') {
        let mut words = words(line);
        let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
        if line.starts_with("FAILED") {
            map.insert(second.to_owned(), "FAILED".to_owned());
        } else if line.contains(" PASSED ") {
            if second == "PASSED" {
                map.insert(first.to_owned(), "PASSED".to_owned());
            }
        } else if line.starts_with("PASSED") {
            map.insert(second.to_owned(), "PASSED".to_owned());
        }
    }
    map
}

fn sympy(log: &str) -> Map {
    static BLOCK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"_* (.*)\.py:(.*) _*").expect("a tested pattern"));
    let mut map = Map::new();
    for block in BLOCK.captures_iter(log) {
        map.insert(format!("{}.py:{}", &block[1], &block[2]), "FAILED".to_owned());
    }
    for line in log.split('\n').map(|line| line.trim_matches(is_blank)) {
        let Some(name) = words(line).next().filter(|_| line.starts_with("test_")) else { continue };
        for (end, status) in [(" E", "ERROR"), (" F", "FAILED"), (" ok", "PASSED")] {
            if line.ends_with(end) {
                map.insert(name.to_owned(), status.to_owned());
            }
        }
    }
    map
}

/// In Python's patterns four more characters are blanks.
static CARGO: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^test[\s\x1c-\x1f]+([^\s\x1c-\x1f]+)[\s\x1c-\x1f]+\.\.\.[\s\x1c-\x1f]+(\w+)$")
        .expect("a tested pattern")
});
static GO: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^--- (PASS|FAIL|SKIP): (.+) \(.+\)$").expect("a tested pattern"));
static JEST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(✓|✕|○)[\s\x1c-\x1f](.+?)(?:[\s\x1c-\x1f]\(\d+[\s\x1c-\x1f]*m?s\))?$").expect("a tested pattern")
});
static JEST_JSON: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\[(PASSED|FAILED)\][\s\x1c-\x1f](.+)$").expect("a tested pattern"));
static VITEST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(✓|×|↓)[\s\x1c-\x1f](.+?)(?:[\s\x1c-\x1f](?:\d+[\s\x1c-\x1f]*m?s?|\[skipped\]))?$")
        .expect("a tested pattern")
});

fn by_pattern(pattern: &Regex, log: &str, statuses: &[(&str, &str)], word: usize, name: usize) -> Map {
    let mut map = Map::new();
    for line in log.split('\n').map(|line| line.trim_matches(is_blank)) {
        if let Some(found) = pattern.captures(line)
            && let Some((_, status)) = statuses.iter().find(|(known, _)| *known == &found[word])
        {
            map.insert(found[name].to_owned(), (*status).to_owned());
        }
    }
    map
}
