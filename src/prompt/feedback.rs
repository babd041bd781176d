//! What a prompt says of the attempts before it: all of the last one, a line of each earlier one.

use std::fmt::Write as _;

/// What came of one attempt, as the next prompts tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptNote {
    /// Number, from 1.
    pub number: u32,
    /// One line.
    pub outcome: String,
    /// Codes of what was normalised, refused or found by the gate.
    pub codes: Vec<String>,
    /// In full: the failing tests, or what is wrong with the answer.
    pub detail: String,
    /// The diff that was tested; empty when the answer was refused.
    pub patch: String,
}

/// Returns the text about earlier attempts in at most about `cap` bytes; empty when there are none.
pub(super) fn feedback(notes: &[AttemptNote], cap: usize) -> String {
    let Some((last, earlier)) = notes.split_last() else { return String::new() };
    let mut text = format!("Attempt {} did not repair the bug: {}\n", last.number, one_line(&last.outcome));
    if !last.detail.trim().is_empty() {
        let _ = write!(text, "\n{}\n", head_and_tail(last.detail.trim_end(), cap / 2));
    }
    if !last.patch.is_empty() {
        let _ = write!(text, "\nIt changed:\n```\n{}```\n", head_and_tail(&last.patch, cap / 3));
    }
    for note in earlier.iter().rev() {
        let line = format!("Attempt {}: {}\n", note.number, one_line(&note.outcome));
        if text.len() + line.len() > cap {
            break;
        }
        text.push_str(&line);
    }
    text.push_str("Do not give the same answer again.\n");
    text
}

pub(super) fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(300).collect()
}

/// Keeps whole lines from the beginning and the end of `text`, about `cap` bytes in all, and says what is missing.
pub(super) fn head_and_tail(text: &str, cap: usize) -> String {
    if text.len() <= cap {
        return format!("{}\n", text.trim_end_matches('\n'));
    }
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
    use super::*;

    fn note(number: u32, outcome: &str) -> AttemptNote {
        AttemptNote {
            number,
            outcome: outcome.into(),
            codes: vec![],
            detail: "assert 1 == 2".into(),
            patch: String::new(),
        }
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
    fn long_text_keeps_whole_lines_of_both_ends() {
        let text: String = (0..100).map(|i| format!("line {i}\n")).collect();
        let kept = head_and_tail(&text, 100);
        assert!(kept.starts_with("line 0\n") && kept.ends_with("line 99\n"), "{kept}");
        assert!(kept.contains("lines are not shown") && kept.len() < 160, "{kept}");
    }
}
