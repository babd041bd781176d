//! The `LINES` header: which lines an edit replaces.

use super::code::Code;

/// A place as the reply names it, lines counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// Both ends are replaced; an end one below the start replaces nothing and inserts before the start.
    Lines(usize, usize),
    /// From a line to the end of the file.
    From(usize),
    /// A new file.
    New,
    /// Behind the last line.
    End,
    /// Behind a line.
    After(usize),
    /// In front of a line.
    Before(usize),
    /// The whole file.
    All,
}

/// Reads a range, with the codes of what was unusual about it.
pub(super) fn parse(text: &str) -> Option<(Span, Vec<Code>)> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.split(" (").next().unwrap_or_default();
    let lower = lower.trim_matches(|c: char| c.is_whitespace() || "*`\"'.;()".contains(c));
    let lower = lower.strip_prefix("lines").or_else(|| lower.strip_prefix("line")).unwrap_or(lower).trim_start();
    match lower {
        "new" | "new file" | "create" | "none" => return Some((Span::New, Vec::new())),
        "eof" | "end" | "append" | "end of file" => return Some((Span::End, vec![Code::Insert])),
        "all" | "whole file" | "entire file" | "full file" => return Some((Span::All, Vec::new())),
        _ => {}
    }
    for (word, span) in [("after", Span::After as fn(usize) -> Span), ("before", Span::Before as fn(usize) -> Span)] {
        if let Some(rest) = lower.strip_prefix(word) {
            let rest = rest.trim_start();
            let rest = rest.strip_prefix("line").unwrap_or(rest);
            let (number, rest) = number(rest)?;
            return rest.is_empty().then(|| (span(number), vec![Code::Insert]));
        }
    }
    let (first, rest) = number(lower)?;
    if rest.is_empty() {
        return Some(ordered(first, first, vec![Code::Single]));
    }
    const BETWEEN: [&str; 12] = ["...", "..=", "..", "->", "–", "—", "-", ":", ",", "to", "through", "~"];
    let rest = BETWEEN.iter().find_map(|between| rest.strip_prefix(between))?.trim_start();
    if matches!(rest, "end" | "eof" | "") {
        return (!rest.is_empty()).then(|| (Span::From(first.max(1)), Vec::new()));
    }
    let (last, rest) = number(rest)?;
    rest.is_empty().then(|| ordered(first, last, Vec::new()))
}

fn ordered(first: usize, last: usize, mut codes: Vec<Code>) -> (Span, Vec<Code>) {
    if first == 0 && last == 0 {
        return (Span::New, codes);
    }
    let (mut first, mut last) = (first, last);
    if last + 1 == first && last > 0 {
        codes.push(Code::Insert);
        return (Span::Lines(first, last), codes);
    }
    if last < first {
        codes.push(Code::Swap);
        (first, last) = (last, first);
    }
    if first == 0 {
        codes.push(Code::Zero);
        first = 1;
    }
    (Span::Lines(first, last), codes)
}

/// Reads a number with an optional `L` and brackets, and returns what follows.
fn number(text: &str) -> Option<(usize, &str)> {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '[');
    let text = text.strip_prefix('l').unwrap_or(text);
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: usize = text[..text.len() - rest.len()].parse().ok()?;
    (number < 1_000_000_000).then(|| (number, rest.trim_start_matches(|c: char| c.is_whitespace() || c == ']')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_range() {
        for text in
            ["3-5", "3–5", "3..5", "3:5", "3,5", "3 to 5", "L3-L5", "[3]-[5]", "lines 3-5", "3 - 5", "`3-5`", "3-5 (f)"]
        {
            assert_eq!(parse(text), Some((Span::Lines(3, 5), Vec::new())), "{text}");
        }
        for (text, span, codes) in [
            ("5", Span::Lines(5, 5), vec![Code::Single]),
            ("48-42", Span::Lines(42, 48), vec![Code::Swap]),
            ("0-4", Span::Lines(1, 4), vec![Code::Zero]),
            ("10-9", Span::Lines(10, 9), vec![Code::Insert]),
            ("after 9", Span::After(9), vec![Code::Insert]),
            ("before line 10", Span::Before(10), vec![Code::Insert]),
            ("EOF", Span::End, vec![Code::Insert]),
            ("NEW", Span::New, vec![]),
            ("0-0", Span::New, vec![]),
            ("3-end", Span::From(3), vec![]),
        ] {
            assert_eq!(parse(text), Some((span, codes)), "{text}");
        }
        for text in ["", "x", "3-5, 8-9", "-3", "3-", "99999999999999999999", "3 5", "[start]-[end]"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
