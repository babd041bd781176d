//! The harness's reading of Django's runner: line by line, then three patterns over the whole log.

use std::sync::LazyLock;

use regex::Regex;

use super::compat::{Map, is_blank, words};

static INTERRUPTED: LazyLock<[Regex; 3]> = LazyLock::new(|| {
    [
        r"(?m)^(.*?)[\s\x1c-\x1f]\.\.\.[\s\x1c-\x1f]Testing against Django installed in (?s:.*?) silenced\)\.\nok$",
        r"(?m)^(.*?)[\s\x1c-\x1f]\.\.\.[\s\x1c-\x1f]Internal Server Error: /.*/\nok$",
        r"(?m)^(.*?)[\s\x1c-\x1f]\.\.\.[\s\x1c-\x1f]System check identified no issues \(0 silenced\)\nok$",
    ]
    .map(|pattern| Regex::new(pattern).expect("a tested pattern"))
});

pub(super) fn parse(log: &str) -> Map {
    let mut map = Map::new();
    let mut before: Option<String> = None;
    for line in log.split('\n') {
        let mut line = line.trim_matches(is_blank);
        let mut set = |name: &str, status: &str| map.insert(name.to_owned(), status.to_owned());
        let front = |line: &str, end: &str| line.split(end).next().unwrap_or_default().to_owned();
        if line.contains("--version is equivalent to version") {
            set("--version is equivalent to version", "PASSED");
        }
        if line.contains(" ... ") {
            before = Some(front(line, " ... "));
        }
        for suffix in [" ... ok", " ... OK", " ...  OK"] {
            if line.ends_with(suffix) {
                // A migration's message runs into the line of the test that it belongs to.
                if line.starts_with("Applying sites.0002_alter_domain_unique...test_no_migrations") {
                    line = line.split_once("...").map_or(line, |(_, rest)| rest).trim_matches(is_blank);
                }
                set(line.strip_suffix(suffix).unwrap_or(line), "PASSED");
                break;
            }
        }
        if line.contains(" ... skipped") {
            set(&front(line, " ... skipped"), "SKIPPED");
        }
        for (end, head, status) in [(" ... FAIL", "FAIL:", "FAILED"), (" ... ERROR", "ERROR:", "ERROR")] {
            if line.ends_with(end) {
                set(&front(line, end), status);
            }
            // The harness dies on a head without a name; here it names nothing.
            if let Some(name) = words(line).nth(1).filter(|_| line.starts_with(head)) {
                set(name, status);
            }
        }
        if let Some(before) = before.as_ref().filter(|_| line.starts_with("ok")) {
            set(before, "PASSED");
        }
    }
    for pattern in INTERRUPTED.iter() {
        for found in pattern.captures_iter(log) {
            map.insert(found[1].to_owned(), "PASSED".to_owned());
        }
    }
    map
}
