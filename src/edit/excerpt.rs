//! Numbered lines, as prompts show files and as refusals show what would come out.

use std::ops::Range;

/// Returns lines as the prompt shows them: number, bar, blank, text.
pub fn numbered<S: AsRef<str>>(lines: &[S], first: usize) -> String {
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        let line = line.as_ref();
        let end = if line.is_empty() { "" } else { " " };
        out.push_str(&format!("{:>4}|{end}{line}\n", first + index));
    }
    out
}

/// Returns the numbered lines around a range of line indices, at most `most` of them.
pub(super) fn around<S: AsRef<str>>(lines: &[S], range: Range<usize>, margin: usize, most: usize) -> String {
    let start = range.start.saturating_sub(margin).min(lines.len());
    let end = (range.end + margin).min(lines.len()).max(start);
    let shown: Vec<String> = lines[start..end.min(start + most)].iter().map(|line| cut(line.as_ref())).collect();
    let more = if shown.len() < end - start { "    …\n" } else { "" };
    format!("{}{more}", numbered(&shown, start + 1))
}

/// Cuts a line that nobody would read to its end.
fn cut(line: &str) -> String {
    const LONGEST: usize = 400;
    if line.len() <= LONGEST { line.to_owned() } else { format!("{}…", &line[..line.floor_char_boundary(LONGEST)]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_from_one() {
        assert_eq!(numbered(&["a", "", "  b"], 9), "   9| a\n  10|\n  11|   b\n");
        let lines: Vec<String> = (1..30).map(|n| n.to_string()).collect();
        assert_eq!(around(&lines, 4..5, 1, 9), "   4| 4\n   5| 5\n   6| 6\n");
        assert_eq!(around(&lines, 0..20, 1, 2), "   1| 1\n   2| 2\n    …\n");
        assert_eq!(around(&lines, 90..95, 1, 2), "");
        assert_eq!(around(&["ü".repeat(300)], 0..1, 0, 2), format!("   1| {}…\n", "ü".repeat(200)));
    }
}
