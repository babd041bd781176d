//! What a failing test said, cut to a size that fits a prompt.
//!
//! Whole lines only; of a long block its head and its tail, since the assertion stands at the end and the call at the
//! start. The order is that of `names`, so equal inputs give equal text.

use std::sync::LazyLock;

use regex::Regex;

use super::Parser;
use super::execution::split;
use super::report::fold;

/// Lines of one failing test.
struct Block<'a> {
    title: String,
    lines: Vec<&'a str>,
}

static PYTEST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^_{3,} (.+?) _{3,}$").expect("a tested pattern"));
static UNITTEST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(?:FAIL|ERROR): (.+)$").expect("a tested pattern"));

/// Returns what the canonical log says about the failing tests `names`, at most `cap` bytes.
///
/// Tests without a block of their own (a failed import, a crash) are shown by the end of the log.
pub fn failure_text(parser: Parser, canonical_execution: &[u8], names: &[String], cap: usize) -> String {
    let Ok((head, log)) = split(canonical_execution) else { return String::new() };
    let log = String::from_utf8_lossy(log);
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

fn blocks<'a>(parser: Parser, log: &'a str) -> Vec<Block<'a>> {
    let mut blocks: Vec<Block<'a>> = Vec::new();
    let mut open = false;
    for line in log.lines() {
        let title = match parser {
            Parser::Pytest | Parser::Sympy => PYTEST.captures(line),
            Parser::Unittest | Parser::Django => UNITTEST.captures(line),
        };
        if let Some(title) = title {
            blocks.push(Block { title: title[1].to_owned(), lines: Vec::new() });
            open = true;
        } else if is_rule(line, '=') || (parser == Parser::Sympy && is_rule(line, '_')) || line.starts_with("Ran ") {
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
    match parser {
        Parser::Pytest => {
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
