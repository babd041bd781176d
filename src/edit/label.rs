//! Header lines of an edit: `FILE: …`, `LINES: …` and their variants.

/// What a header line announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    File,
    Lines,
    Action,
    Reason,
    /// The new text follows.
    New,
    /// The old text follows.
    Old,
}

/// Reads a header line: label in any case, perhaps behind list bullets, `#` or emphasis, then `:` or `=`, then the rest.
pub(super) fn parse(line: &str) -> Option<(Label, &str)> {
    let trimmed = without_bullet(line.trim());
    let end = trimmed.find([':', '='])?;
    let word = trimmed[..end].trim_matches(['*', '_', '`', ' ', '#']);
    if word.len() > 24 {
        return None;
    }
    let label = match word.to_ascii_lowercase().as_str() {
        "file" | "path" | "filename" | "filepath" | "file path" | "file name" | "file_path" => Label::File,
        "lines" | "line" | "range" | "line range" | "line numbers" | "line number" => Label::Lines,
        "action" | "operation" => Label::Action,
        "reasoning" | "reason" | "why" | "explanation" => Label::Reason,
        "code" | "new" | "new code" | "new text" | "after" | "fixed" | "fixed code" | "replacement" | "updated"
        | "updated code" | "corrected code" | "replace with" | "new lines" => Label::New,
        "old" | "old code" | "old text" | "before" | "original" | "original code" | "current code" | "search"
        | "old lines" => Label::Old,
        _ => return None,
    };
    // `path = 1` is code more often than a header.
    if trimmed[end..].starts_with('=') && word.chars().any(|c| c.is_ascii_lowercase()) {
        return None;
    }
    let rest = trimmed[end + 1..].trim_start();
    let rest = rest.strip_prefix("**").unwrap_or(rest);
    let rest = rest.strip_prefix("__ ").unwrap_or(rest).trim();
    Some((label, rest))
}

/// Says whether a header line can end text that is in no fence: one that is not indented, and not an annotation such
/// as `lines: int`.
pub(super) fn ends_loose_text(line: &str) -> bool {
    let starts_header = line.starts_with(|c: char| !c.is_whitespace() && !c.is_lowercase());
    starts_header && matches!(parse(line), Some((Label::File | Label::Lines | Label::Action, _)))
}

fn without_bullet(line: &str) -> &str {
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered =
        digits.strip_prefix(". ").or_else(|| digits.strip_prefix(") ")).filter(|_| digits.len() < line.len());
    numbered.unwrap_or(line).trim_start_matches(['#', '>', '*', '-', '+', '`', '_', ' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_of_a_header() {
        for line in [
            "FILE: a.py",
            "file: a.py",
            "**FILE:** a.py",
            "**File**: a.py",
            "### FILE: a.py",
            "- `FILE`: a.py",
            "1. Path: a.py",
            "> FILENAME = a.py",
            "FILE=a.py",
            "  FILE:a.py  ",
        ] {
            let line = line.replace("FILENAME =", "FILENAME=");
            assert_eq!(parse(&line), Some((Label::File, "a.py")), "{line}");
        }
        assert_eq!(parse("FILE: __init__.py"), Some((Label::File, "__init__.py")));
        for line in ["path = 3", "profile: x", "the file: x", "", "no header", "lines", "x: FILE: a"] {
            assert_eq!(parse(line), None, "{line}");
        }
        assert!(!ends_loose_text("lines: int = 3"));
        assert!(!ends_loose_text("    FILE: x"));
        assert!(ends_loose_text("**FILE:** x"));
    }
}
