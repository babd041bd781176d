//! What a failing test said, cut to a size that fits a prompt.
//!
//! Whole lines only; of a long block its head and its tail, since the assertion stands at the end and the call at the
//! start. The order is that of `names`, so equal inputs give equal text.

use std::sync::LazyLock;

use regex::Regex;

use super::Parser;
use super::execution::split;
use super::parse::{go, json, plain};
use super::report::fold;

/// Lines of one failing test.
struct Block<'a> {
    title: String,
    lines: Vec<&'a str>,
}

static PYTEST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^_{3,} (.+?) _{3,}$").expect("a tested pattern"));
static CARGO: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^---- (.+?) (?:stdout|stderr) ----$|^((?:error|panicked)(?:\[E\d+\])?: .+)$")
        .expect("a tested pattern")
});
static NEXTEST: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:FAIL|TIMEOUT|ABORT|SIG[A-Z]+) \[[^\]]*\] (?:\(\s*\d+/\d+\) )?(\S+ \S+)$")
        .expect("a tested pattern")
});
static GO: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:=== RUN\s+|--- FAIL: )(\S+)(?: \(.*\))?$|^# (\S.*)$|^(panic: .+)$").expect("a tested pattern")
});
static JEST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^  ● (.+)$").expect("a tested pattern"));
static VITEST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^ FAIL  (.+)$").expect("a tested pattern"));
static UNITTEST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(?:FAIL|ERROR): (.+)$").expect("a tested pattern"));

/// Returns what the canonical log says about the failing tests `names`, at most `cap` bytes.
///
/// Tests without a block of their own (a failed import, a crash) are shown by the end of the log.
pub fn failure_text(parser: Parser, canonical_execution: &[u8], names: &[String], cap: usize) -> String {
    let Ok((head, log)) = split(canonical_execution) else { return String::new() };
    let log = String::from_utf8_lossy(log);
    let log = plain(&log);
    let parser = parser.recognise(&log);
    let (parser, log) = readable(parser, &log);
    let blocks = blocks(parser, &log);
    let mut chosen: Vec<&Block<'_>> = Vec::new();
    for name in names {
        let found = blocks.iter().filter(|block| belongs(parser, &block.title, name));
        for block in found {
            if !chosen.iter().any(|other| std::ptr::eq(*other, block)) {
                chosen.push(block);
            }
        }
    }
    if chosen.is_empty() {
        // Import errors and the like: any failing block explains more than none.
        chosen.extend(blocks.iter().take(3));
    }
    let mut text = String::new();
    if head.timed_out {
        text.push_str("The tests did not end within the time limit.\n");
    }
    if head.truncated {
        text.push_str("The tests printed more than the log may hold and were stopped.\n");
    }
    if chosen.is_empty() {
        let lines: Vec<&str> = log.lines().collect();
        return text + &cut(&lines[lines.len().saturating_sub(60)..], cap);
    }
    // Each block gets an equal share of what the ones before it left.
    for (number, block) in chosen.iter().enumerate() {
        let share = cap.saturating_sub(text.len()) / (chosen.len() - number);
        let block = format!("{}\n{}", block.title, cut(&block.lines, share.saturating_sub(block.title.len() + 2)));
        if text.len() + block.len() > cap {
            break;
        }
        text.push_str(&block);
        text.push('\n');
    }
    text
}

/// Turns structured output into the text that a person would see.
fn readable(parser: Parser, log: &str) -> (Parser, String) {
    match parser {
        Parser::Go => (parser, go::text(log)),
        Parser::Jest | Parser::Vitest => {
            let failures = json::failures(log);
            if failures.is_empty() {
                return (parser, log.to_owned());
            }
            let text: String = failures.iter().map(|(name, message)| format!("  ● {name}\n{message}\n")).collect();
            (Parser::Jest, plain(&text).into_owned())
        }
        _ => (parser, log.to_owned()),
    }
}

/// Says whether a line ends the block before it.
fn is_end(parser: Parser, line: &str) -> bool {
    let starts = |words: &[&str]| words.iter().any(|word| line.starts_with(word));
    match parser {
        Parser::Cargo => starts(&["failures:", "test result:", "warning:"]),
        Parser::Nextest => {
            let line = line.trim_start();
            ["PASS [", "SKIP [", "Summary [", "Cancelling", "TRY "].iter().any(|word| line.starts_with(word))
        }
        Parser::Go => starts(&["FAIL\t", "ok  \t", "PASS", "=== ", "--- PASS", "--- SKIP", "?   \t"]),
        Parser::Jest => starts(&["PASS ", "FAIL ", "Test Suites:"]),
        Parser::Vitest => starts(&["⎯"]),
        Parser::Sympy => is_rule(line, '=') || is_rule(line, '_'),
        Parser::Pytest | Parser::Auto | Parser::Unittest | Parser::Django => {
            is_rule(line, '=') || line.starts_with("Ran ")
        }
    }
}

fn blocks<'a>(parser: Parser, log: &'a str) -> Vec<Block<'a>> {
    let mut blocks: Vec<Block<'a>> = Vec::new();
    let mut open = false;
    for line in log.lines() {
        let title = match parser {
            Parser::Pytest | Parser::Sympy | Parser::Auto => PYTEST.captures(line),
            Parser::Unittest | Parser::Django => UNITTEST.captures(line),
            Parser::Cargo => CARGO.captures(line),
            Parser::Nextest => NEXTEST.captures(line),
            Parser::Go => GO.captures(line),
            Parser::Jest => JEST.captures(line),
            Parser::Vitest => VITEST.captures(line),
        };
        if let Some(title) = title {
            let title = title.iter().skip(1).flatten().next().map_or("", |title| title.as_str());
            blocks.push(Block { title: title.to_owned(), lines: Vec::new() });
            open = true;
        } else if is_end(parser, line) {
            open = false;
        } else if open
            && !is_rule(line, '-')
            && let Some(block) = blocks.last_mut()
        {
            block.lines.push(line);
        }
    }
    for block in &mut blocks {
        while block.lines.last().is_some_and(|line| line.trim().is_empty()) {
            block.lines.pop();
        }
    }
    // In pytest's own words a passing test's output has a block too, without a traceback.
    blocks.retain(|block| !block.lines.is_empty());
    blocks
}

/// Says whether a line is a rule of `character`, with or without words in it.
fn is_rule(line: &str, character: char) -> bool {
    line.len() >= 20 && line.starts_with([character]) && line.ends_with([character]) && {
        line.trim_matches(character).is_empty() || line.trim_matches(character).starts_with(' ')
    }
}

fn belongs(parser: Parser, title: &str, name: &str) -> bool {
    let test = name.split_once(" > ").map_or(name, |(_, test)| test);
    match parser {
        // A doctest's line is no part of its key.
        Parser::Cargo => {
            title == test || title.starts_with(&format!("{} (line ", test.split(" #").next().unwrap_or(test)))
        }
        Parser::Nextest => title == name.replace(" > ", " ") || title.rsplit(' ').next() == Some(name),
        Parser::Go => title == test || title.split(' ').next() == Some(name),
        Parser::Jest => {
            let title = title.replace(" › ", " > ");
            title == test || title == name || title.ends_with(&format!(" > {name}"))
        }
        Parser::Vitest => {
            title == name || title.ends_with(&format!(" > {name}")) || title.starts_with(&format!("{name} [ "))
        }
        Parser::Pytest | Parser::Auto => {
            // `path::Class::test[x]` is headed `Class.test[x]`; a failed import `ERROR collecting path`.
            let (path, test) = name.split_once("::").unwrap_or((name, ""));
            let title = title.trim_start_matches("ERROR at setup of ").trim_start_matches("ERROR at teardown of ");
            (!test.is_empty() && title == test.replace("::", ".")) || title == format!("ERROR collecting {path}")
        }
        Parser::Sympy => title == name || title.rsplit(':').next() == Some(name),
        Parser::Unittest | Parser::Django => {
            let short = |text: &str| fold(text).unwrap_or_else(|| text.to_owned());
            let test = title.find(')').map_or(title, |end| &title[..=end]);
            short(test) == short(name)
        }
    }
}

/// Returns whole lines of at most `cap` bytes: the head and, twice as much, the tail.
fn cut(lines: &[&str], cap: usize) -> String {
    const GAP: &str = "[...]\n";
    let length = |lines: &[&str]| lines.iter().map(|line| line.len() + 1).sum::<usize>();
    if length(lines) <= cap {
        return lines.iter().flat_map(|line| [*line, "\n"]).collect();
    }
    let room = cap.saturating_sub(GAP.len());
    let fitting = |lines: &mut dyn Iterator<Item = &&str>, room: usize| {
        let mut used = 0;
        lines
            .take_while(|line| {
                used += line.len() + 1;
                used <= room
            })
            .count()
    };
    let tail = fitting(&mut lines.iter().rev(), room * 2 / 3);
    let left = room.saturating_sub(length(&lines[lines.len() - tail..]));
    let head = fitting(&mut lines[..lines.len() - tail].iter(), left);
    if head + tail == 0 {
        return String::new();
    }
    let parts = [lines[..head].to_vec(), vec![GAP.trim_end()], lines[lines.len() - tail..].to_vec()].concat();
    parts.iter().flat_map(|line| [*line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Execution, Level, normalise};
    use proptest::prelude::*;

    fn text(parser: Parser, log: &str, names: &[&str], cap: usize) -> String {
        let log = log.as_bytes().to_vec();
        let execution = Execution {
            exit: Some(1),
            signal: None,
            timed_out: false,
            truncated: false,
            exceeded: None,
            sandbox: Level::None,
            log,
        };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        failure_text(parser, &normalise(&execution.to_bytes()).unwrap(), &names, cap)
    }

    #[test]
    fn every_runner_shows_the_assertion_and_its_place() {
        let cargo = "running 2 tests\n\nfailures:\n\n---- tests::a stdout ----\n\nthread 'tests::a' panicked at src/lib.rs:9:9:\nassertion `left == right` failed\n  left: 1\n right: 2\n\n---- tests::b stdout ----\nother\n\nfailures:\n    tests::a\n";
        let nextest = "        FAIL [   0.005s] (2/4) c::it a\n  stdout ---\n    thread 'a' panicked at tests/it.rs:3:5:\n        PASS [   0.004s] (1/4) c other\n";
        let go = "=== RUN   TestO\nother\n--- PASS: TestO (0.00s)\n=== RUN   TestA\n    a_test.go:9: got 1, want 2\n--- FAIL: TestA (0.00s)\nFAIL\nFAIL\tp\t0.004s\n";
        let events = r#"{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:9: got 1, want 2\n"}
"#;
        let jest = "FAIL a.test.js\n  ● sums › a\n\n    Expected: 2\n      at Object.toBe (a.test.js:3:4)\n\n  ● sums › other\n\n    no\n\nTest Suites: 1 failed\n";
        let results = r#"{"testResults":[{"name":"/testbed/a.test.js","status":"failed","assertionResults":[{"ancestorTitles":["sums"],"title":"a","status":"failed","failureMessages":["Expected: 2\n    at a.test.js:3:4"]}]}]}"#;
        let vitest = " FAIL  a.test.js > sums > a\nAssertionError: expected 1 to be 2\n ❯ a.test.js:3:4\n⎯⎯⎯⎯[1/2]⎯\n\n FAIL  a.test.js > other\nno\n⎯⎯⎯⎯[2/2]⎯\n";
        for (parser, log, name, shown) in [
            (Parser::Cargo, cargo, "c (src/lib.rs) > tests::a", ["src/lib.rs:9:9", "left: 1"]),
            (Parser::Nextest, nextest, "c::it > a", ["tests/it.rs:3:5", "thread 'a'"]),
            (Parser::Go, go, "p > TestA", ["a_test.go:9:", "want 2"]),
            (Parser::Go, events, "p > TestA", ["a_test.go:9:", "want 2"]),
            (Parser::Jest, jest, "a.test.js > sums > a", ["a.test.js:3:4", "Expected: 2"]),
            (Parser::Jest, results, "a.test.js > sums > a", ["a.test.js:3:4", "Expected: 2"]),
            (Parser::Vitest, results, "a.test.js > sums > a", ["a.test.js:3:4", "Expected: 2"]),
            (Parser::Vitest, vitest, "a.test.js > sums > a", ["a.test.js:3:4", "expected 1 to be 2"]),
        ] {
            let got = text(parser, log, &[name], 4000);
            assert!(shown.iter().all(|part| got.contains(part)) && !got.contains("other"), "{parser:?}: {got}");
        }
        let broken =
            "error[E0308]: mismatched types\n --> src/lib.rs:2:5\n  |\n2 |     1\n\nerror: could not compile `c`\n";
        assert!(text(Parser::Cargo, broken, &["c (src/lib.rs) > tests::a"], 4000).contains("src/lib.rs:2:5"));
    }

    const PYTEST_LOG: &str = "\
=================================== FAILURES ===================================
________________________________ TestA.test_one ________________________________

    def test_one(self):
>       assert f(1) == 2
E       assert 1 == 2

t.py:5: AssertionError
_________________________________ test_two[x] __________________________________
E   ValueError: no
=========================== short test summary info ============================
FAILED t.py::TestA::test_one - assert 1 == 2
";

    #[test]
    fn a_test_is_shown_with_its_assertion() {
        let got = text(Parser::Pytest, PYTEST_LOG, &["t.py::TestA::test_one"], 4000);
        assert!(got.starts_with("TestA.test_one\n") && got.contains("E       assert 1 == 2"), "{got}");
        assert!(!got.contains("ValueError"), "{got}");
        assert_eq!(
            text(Parser::Pytest, PYTEST_LOG, &["t.py::test_two[x]"], 4000),
            "test_two[x]\nE   ValueError: no\n\n"
        );
    }

    #[test]
    fn unittest_blocks_are_found_under_either_name() {
        let log = "\
======================================================================
FAIL: test_a (m.C.test_a)
Says what.
----------------------------------------------------------------------
Traceback (most recent call last):
AssertionError: 1 != 2

----------------------------------------------------------------------
Ran 1 test in 0.001s
";
        let expected =
            "test_a (m.C.test_a)\nSays what.\nTraceback (most recent call last):\nAssertionError: 1 != 2\n\n";
        for name in ["test_a (m.C)", "test_a (m.C.test_a)"] {
            assert_eq!(text(Parser::Django, log, &[name], 4000), expected);
        }
    }

    #[test]
    fn a_crash_shows_the_end_of_the_log() {
        assert_eq!(
            text(Parser::Pytest, "a\nImportError: no module x\n", &["t.py::t"], 100),
            "a\nImportError: no module x\n"
        );
    }

    #[test]
    fn a_long_block_keeps_its_head_and_its_tail() {
        let lines: Vec<String> = (0..100).map(|i| format!("line {i}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let got = cut(&lines, 100);
        assert!(got.len() <= 100 && got.starts_with("line 0\n") && got.ends_with("line 99\n"), "{got}");
        assert!(got.contains("\n[...]\n"));
    }

    proptest! {
        #[test]
        fn the_cap_holds_and_lines_stay_whole(log in "([a-z=_ ]{0,30}\n){0,40}", cap in 0_usize..400) {
            let got = text(Parser::Pytest, &log, &["t.py::t"], cap);
            prop_assert!(got.len() <= cap.max(1), "{} > {cap}", got.len());
        }
    }
}
