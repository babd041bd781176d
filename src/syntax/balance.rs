//! Brackets and quotes of languages without a grammar here: C and its relatives, style sheets, JSON.
//!
//! Prose, shells and languages whose quotes and brackets need not pair up are left alone: a smiley is no error.

use super::errors::{Gate, Problem, SyntaxError};

/// How a language writes comments and texts.
struct Notation {
    line_comments: bool,
    block_comments: bool,
    /// Says whether `'` starts a text, not a single character.
    quotes: bool,
}

fn notation(path: &str) -> Option<Notation> {
    let (line_comments, block_comments, quotes) = match path.rsplit_once('.')?.1 {
        "c" | "h" | "cc" | "cpp" | "cxx" | "hh" | "hpp" | "m" | "java" | "cs" | "kt" | "scala" | "swift" | "proto" => {
            (true, true, false)
        }
        "css" => (false, true, true),
        "scss" | "less" | "dart" => (true, true, true),
        "json" => (false, false, false),
        _ => return None,
    };
    Some(Notation { line_comments, block_comments, quotes })
}

/// Compares the balance of brackets and quotes before and after a change.
///
/// A file that was out of balance before, as macros can make it, is not judged.
pub fn balance(path: &str, before: &[u8], after: &[u8]) -> Gate {
    let Some(notation) = notation(path) else { return Gate::Unchecked };
    if unbalanced(&notation, before).is_some() {
        return Gate::Unchecked;
    }
    unbalanced(&notation, after).map_or(Gate::Clean, |error| Gate::Added(vec![error]))
}

/// Returns the first bracket or quote that has no partner.
fn unbalanced(notation: &Notation, source: &[u8]) -> Option<SyntaxError> {
    let mut open: Vec<(u8, usize, usize)> = Vec::new();
    let (mut at, mut line, mut start) = (0, 1, 0);
    let error = |line, column, problem| Some(SyntaxError { line, column, problem });
    while at < source.len() {
        let rest = &source[at..];
        let byte = rest[0];
        let skipped = match byte {
            b'/' if notation.line_comments && rest.starts_with(b"//") => {
                rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
            }
            b'/' if notation.block_comments && rest.starts_with(b"/*") => {
                rest.windows(2).skip(2).position(|pair| pair == b"*/").map_or(rest.len(), |end| end + 4)
            }
            b'"' if rest.starts_with(b"\"\"\"") => {
                rest.windows(3).skip(3).position(|marks| marks == b"\"\"\"").map_or(rest.len(), |end| end + 6)
            }
            // A character is short, and looking for its end in a long line of quotes would take long.
            b'"' | b'\'' => match closing(if byte == b'"' || notation.quotes { rest } else { short(rest) }, byte) {
                Some(end) => end + 1,
                // An apostrophe of digits or of a lifetime.
                None if byte == b'\'' && !notation.quotes => 1,
                None => return error(line, at - start + 1, Problem::Missing(char::from(byte).to_string())),
            },
            b'(' | b'[' | b'{' => {
                open.push((byte, line, at - start + 1));
                1
            }
            b')' | b']' | b'}' => {
                let partner = match byte {
                    b')' => b'(',
                    b']' => b'[',
                    _ => b'{',
                };
                if open.pop().is_none_or(|(opened, ..)| opened != partner) {
                    return error(line, at - start + 1, Problem::Unexpected(char::from(byte).to_string()));
                }
                1
            }
            _ => 1,
        };
        for (index, _) in rest[..skipped].iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            line += 1;
            start = at + index + 1;
        }
        at += skipped;
    }
    let (bracket, line, column) = open.pop()?;
    let partner = match bracket {
        b'(' => ")",
        b'[' => "]",
        _ => "}",
    };
    error(line, column, Problem::Missing(partner.to_owned()))
}

/// Returns what a character between quotes may take at most.
fn short(rest: &[u8]) -> &[u8] {
    &rest[..rest.len().min(13)]
}

/// Returns where the text that starts here ends, on the same line.
fn closing(rest: &[u8], quote: u8) -> Option<usize> {
    let mut is_escaped = false;
    for (index, byte) in rest.iter().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'\n' => return None,
            byte if *byte == quote => return Some(index),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str, before: &str, after: &str) -> String {
        match balance(path, before.as_bytes(), after.as_bytes()) {
            Gate::Added(errors) => errors[0].to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn brackets_that_lost_their_partner_are_named() {
        for (path, after, expected) in [
            ("a.c", "int f(void) { return 1; }\n", "Clean"),
            ("a.c", "int f(void) {\n  return 1;\n", "line 1: missing `}`"),
            ("a.c", "int f(void) { return (1]; }\n", "line 1: unexpected `]`"),
            ("a.c", "/* ( */ char *a = \"(\"; char b = '(', c = '\\''; // (\n", "Clean"),
            ("a.c", "x = \"a;\n", "line 1: missing `\"`"),
            ("a.cpp", "int a = 1'000; f(a);\n", "Clean"),
            ("a.css", "a { b: url(http://c) }\n", "Clean"),
            ("a.java", "String a = \"\"\"\n  (\n  \"\"\";\n", "Clean"),
            ("a.json", "{\"a\": [1, 2}\n", "line 1: unexpected `}`"),
            ("a.txt", ":-)\n", "Unchecked"),
            ("Makefile", "(\n", "Unchecked"),
        ] {
            assert_eq!(shown(path, "", after), expected, "{after:?}");
        }
        assert_eq!(shown("a.c", "}\n", "}\n(\n"), "Unchecked");
    }
}
