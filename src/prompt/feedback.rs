//! What a prompt says of the attempts before it: all of the last one, a line of each earlier one.
//!
//! In this order: the verdict; the codes with what to do about each; the numbered lines as they would look; what still
//! fails; what fails newly; the diff that was tested; what earlier attempts changed. All of it is made of canonical
//! logs, so it holds no times, addresses or temporary paths.

use std::fmt::Write as _;

use super::advice::advice;

/// What came of one attempt, as the next prompts tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptNote {
    /// Number, from 1.
    pub number: u32,
    /// One line.
    pub outcome: String,
    /// Codes of what was normalised, refused or found by the gate.
    pub codes: Vec<String>,
    /// Of a refused answer: the lines as they are or would look; may be empty.
    pub excerpt: String,
    /// What the tests say that should pass and do not.
    pub failing: String,
    /// What the tests say that passed before and do not now.
    pub broken: String,
    /// The diff that was tested; empty when the answer was refused.
    pub patch: String,
}

/// The last lines of a part of feedback that is cut are worth more than a heading without lines.
const SHORTEST_PART: usize = 60;
const LAST: &str = "Do not give the same answer again.\n";

/// Returns the text about earlier attempts in at most `cap` bytes; empty when there are none.
pub(super) fn feedback(notes: &[AttemptNote], cap: usize) -> String {
    let Some((last, earlier)) = notes.split_last() else { return String::new() };
    let mut text = format!("Attempt {} did not repair the bug: {}\n", last.number, one_line(&last.outcome));
    for code in &last.codes {
        if let Some(advice) = advice(code) {
            let _ = writeln!(text, "- {code}: {advice}");
        }
    }
    let history: String = earlier.iter().rev().map(line_about).collect();
    // The history is short; it gets a quarter at most, whole lines, the latest first.
    let history = whole_lines(&history, cap / 4);
    let parts = [
        ("", last.excerpt.as_str(), 6),
        ("Still failing:", &last.failing, 4),
        ("Failing now, passed before:", &last.broken, 3),
        ("It changed:", &last.patch, 3),
    ];
    // Each part gets its weight of what the ones before it left.
    let mut weight: usize = parts.iter().filter(|(_, part, _)| !part.trim().is_empty()).map(|(_, _, own)| own).sum();
    for (heading, part, own) in parts {
        if part.trim().is_empty() {
            continue;
        }
        let left = cap.saturating_sub(text.len() + history.len() + LAST.len());
        let around = heading.len() + "\n\n```\n```\n".len();
        let share = (left * own / weight.max(1)).saturating_sub(around);
        weight -= own;
        if share >= SHORTEST_PART {
            let heading = if heading.is_empty() { String::new() } else { format!("{heading}\n") };
            let _ = write!(text, "\n{heading}```\n{}```\n", head_and_tail(part.trim_end(), share));
        }
    }
    text.push_str(&history);
    text.push_str(LAST);
    if text.len() > cap { whole_lines(&text, cap) } else { text }
}

/// Says in a line what an earlier attempt changed and what came of it.
fn line_about(note: &AttemptNote) -> String {
    let mut changed: Vec<String> = Vec::new();
    for line in note.patch.lines() {
        if let Some(path) = line.strip_prefix("+++ b/") {
            changed.push(path.to_owned());
        } else if let (Some(header), Some(file)) = (line.strip_prefix("@@ -"), changed.last_mut()) {
            let start = header.split([',', ' ']).next().unwrap_or_default();
            let _ = write!(file, ":{start}");
        }
    }
    let changed = if changed.is_empty() { String::new() } else { format!(" changed {};", changed.join(" ")) };
    format!("Attempt {}:{changed} {}\n", note.number, one_line(&note.outcome))
}

fn whole_lines(text: &str, cap: usize) -> String {
    let mut kept = String::new();
    for line in text.split_inclusive('\n') {
        if kept.len() + line.len() > cap {
            break;
        }
        kept.push_str(line);
    }
    kept
}

/// Bytes of the line that says what is missing, for any number of lines.
const MISSING: usize = 40;

pub(super) fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}

/// Keeps whole lines from the beginning and the end of `text`, at most `cap` bytes in all, and says what is missing.
pub(super) fn head_and_tail(text: &str, cap: usize) -> String {
    let text = text.trim_end_matches('\n');
    if text.len() < cap {
        return format!("{text}\n");
    }
    let Some(cap) = cap.checked_sub(MISSING) else { return String::new() };
    let lines: Vec<&str> = text.lines().collect();
    let (mut head, mut tail, mut used) = (0, 0, 0);
    while head + tail < lines.len() {
        let from_head = head <= tail;
        let line = if from_head { lines[head] } else { lines[lines.len() - 1 - tail] };
        used += line.len() + 1;
        if used > cap {
            break;
        }
        if from_head { head += 1 } else { tail += 1 }
    }
    let mut kept = String::new();
    for line in &lines[..head] {
        kept.push_str(line);
        kept.push('\n');
    }
    let _ = writeln!(kept, "({} lines are not shown)", lines.len() - head - tail);
    for line in &lines[lines.len() - tail..] {
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn note(number: u32, outcome: &str) -> AttemptNote {
        let failing = "assert 1 == 2".into();
        AttemptNote { number, outcome: outcome.into(), failing, ..AttemptNote::default() }
    }

    #[test]
    fn each_further_attempt_changes_the_text() {
        let notes = [note(1, "one"), note(2, "two"), note(3, "two")];
        let texts: Vec<String> = (0..=3).map(|n| feedback(&notes[..n], 4000)).collect();
        assert_eq!(texts[0], "");
        assert!(texts[3].contains("Attempt 3") && texts[3].contains("Attempt 1: one"));
        assert!(texts.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn the_parts_come_in_the_order_of_the_plan() {
        let patch = "--- a/a.py\n+++ b/a.py\n@@ -3 +3 @@\n-x\n+y\n";
        let first = AttemptNote { patch: patch.into(), ..note(1, "one") };
        let last = AttemptNote {
            codes: vec!["N-FENCE".into(), "G-REGRESSION".into()],
            excerpt: "   3| y".into(),
            broken: "assert 3 == 4".into(),
            patch: patch.replace("+y", "+z"),
            ..note(2, "two")
        };
        let text = feedback(&[first, last], 4000);
        let wanted = [
            "Attempt 2 did not repair the bug: two",
            "- G-REGRESSION: tests that passed",
            "   3| y",
            "Still failing:",
            "assert 1 == 2",
            "Failing now, passed before:",
            "assert 3 == 4",
            "It changed:",
            "+z",
            "Attempt 1: changed a.py:3; one",
            "Do not give the same answer again.",
        ];
        let found: Vec<Option<usize>> = wanted.iter().map(|part| text.find(part)).collect();
        assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{text}");
        assert!(!text.contains("N-FENCE"));
    }

    proptest! {
        #[test]
        fn the_cap_holds_and_no_line_is_cut(
            texts in prop::collection::vec(prop::collection::vec("[a-z]{0,90}", 0..60), 4),
            earlier in 0..6_u32,
            cap in 0..5000_usize,
        ) {
            let joined: Vec<String> = texts.iter().map(|lines| lines.join("\n")).collect();
            let [excerpt, failing, broken, patch] = [0, 1, 2, 3].map(|index| joined[index].clone());
            let codes = vec!["G-NOT-FIXED".to_owned(), "G-TIMEOUT".to_owned()];
            let last = AttemptNote { number: 9, outcome: "red".into(), codes, excerpt, failing, broken, patch };
            let mut notes: Vec<AttemptNote> = (1..=earlier).map(|number| note(number, "earlier")).collect();
            notes.push(last);
            let text = feedback(&notes, cap);
            prop_assert!(text.len() <= cap);
            let known: std::collections::BTreeSet<&str> = texts.iter().flatten().map(String::as_str).collect();
            let is_ours = |line: &str| {
                line.starts_with(['A', '-', '(', 'S', 'F', 'I', 'D']) || line.starts_with("```") || line.is_empty()
            };
            prop_assert!(text.lines().all(|line| is_ours(line) || known.contains(line)), "{}", text);
        }
    }

    #[test]
    fn long_text_keeps_whole_lines_of_both_ends() {
        let text: String = (0..100).map(|i| format!("line {i}\n")).collect();
        let kept = head_and_tail(&text, 140);
        assert!(kept.starts_with("line 0\n") && kept.ends_with("line 99\n"), "{kept}");
        assert!(kept.contains("lines are not shown") && kept.len() <= 140, "{kept}");
    }
}
