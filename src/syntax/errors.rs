//! Syntax errors of a file, and those that a change adds.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;

use tree_sitter::Node;

use super::Language;
use super::parse::{Walk, parse};

/// More than this many errors of a file are not listed.
const MOST_ERRORS: usize = 200;

/// What is wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// Text that fits nowhere.
    Unexpected(String),
    /// A token that must be there.
    Missing(String),
    /// A `:` without an indented block after it (Python).
    EmptyBlock,
    /// A line that is indented unlike the block it is in (Python).
    Indentation,
    /// A statement that only a function may hold (Python).
    OutsideFunction(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected(text) => write!(f, "unexpected `{text}`"),
            Self::Missing(token) => write!(f, "missing `{token}`"),
            Self::EmptyBlock => f.write_str("expected an indented block"),
            Self::Indentation => f.write_str("indentation that does not fit its block"),
            Self::OutsideFunction(word) => write!(f, "`{word}` outside a function"),
        }
    }
}

/// One error of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SyntaxError {
    /// Line from 1.
    pub line: usize,
    /// Column in bytes from 1.
    pub column: usize,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

/// What the gate says of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// The file was not checked: too large, or too hard to parse.
    Unchecked,
    /// The change adds no error.
    Clean,
    /// The errors that the change adds.
    Added(Vec<SyntaxError>),
}

/// Returns the errors of `source` by place, or `None` if it was not checked.
pub fn errors(language: Language, source: &[u8]) -> Option<Vec<SyntaxError>> {
    let tree = parse(language, source)?;
    let mut found = Vec::new();
    let mut walk = Walk::new(&tree);
    let mut descend = true;
    // Functions and classes around the node, by depth. Asking a node for its parents starts at the root each time.
    let mut around: Vec<(u32, bool)> = Vec::new();
    while let Some((node, depth)) = walk.next(descend) {
        // Below an error node everything is guesswork; its own place says enough.
        descend = !node.is_error();
        while around.last().is_some_and(|(outer, _)| *outer >= depth) {
            around.pop();
        }
        let place = Place { is_outermost: depth == 1, is_in_function: around.last().is_some_and(|(_, is)| *is) };
        if language == Language::Python {
            match node.kind() {
                "function_definition" | "lambda" => around.push((depth, true)),
                "class_definition" => around.push((depth, false)),
                _ => {}
            }
        }
        let mut add = |node: Node<'_>, problem| {
            let at = node.start_position();
            found.push(SyntaxError { line: at.row + 1, column: at.column + 1, problem });
        };
        if let Some(problem) = problem(language, node, place, source) {
            add(node, problem);
        } else if language == Language::Python {
            misplaced(node, source).into_iter().for_each(|statement| add(statement, Problem::Indentation));
        }
        if found.len() >= MOST_ERRORS {
            break;
        }
    }
    found.sort();
    found.dedup();
    Some(found)
}

/// Compares the errors before and after a change; see [`Baseline`].
pub fn new_errors(language: Language, before: &[u8], after: &[u8]) -> Gate {
    Baseline::new(language, before).added(after)
}

/// A file before changes, whose own errors are looked for at most once.
#[derive(Debug)]
pub struct Baseline<'a> {
    language: Language,
    source: &'a [u8],
    errors: OnceCell<Option<Vec<SyntaxError>>>,
}

impl<'a> Baseline<'a> {
    /// Takes the file as it is before the change.
    pub fn new(language: Language, source: &'a [u8]) -> Self {
        Self { language, source, errors: OnceCell::new() }
    }

    /// Returns the errors that a change to `after` adds.
    ///
    /// An error counts as old if the same problem was on a line with the same text: line numbers move with edits.
    pub fn added(&self, after: &[u8]) -> Gate {
        let Some(after_errors) = errors(self.language, after) else { return Gate::Unchecked };
        if after_errors.is_empty() {
            return Gate::Clean;
        }
        let before_errors = self.errors.get_or_init(|| errors(self.language, self.source));
        let Some(before_errors) = before_errors else { return Gate::Unchecked };
        let mut known: BTreeMap<(&Problem, &[u8]), usize> = BTreeMap::new();
        for (error, line) in before_errors.iter().zip(lines_of(self.source, before_errors)) {
            *known.entry((&error.problem, line)).or_default() += 1;
        }
        let lines = lines_of(after, &after_errors);
        let mut added: Vec<SyntaxError> = Vec::new();
        for (error, line) in after_errors.iter().zip(lines) {
            match known.get_mut(&(&error.problem, line)) {
                Some(count) if *count > 0 => *count -= 1,
                _ => added.push(error.clone()),
            }
        }
        if added.is_empty() { Gate::Clean } else { Gate::Added(added) }
    }
}

/// Returns the line of each error, which are sorted by line, in one pass.
fn lines_of<'s>(source: &'s [u8], errors: &[SyntaxError]) -> Vec<&'s [u8]> {
    let mut lines = source.split(|byte| *byte == b'\n');
    let (mut number, mut line) = (0, &source[..0]);
    let of = |error: &SyntaxError| {
        while number < error.line {
            (number, line) = (number + 1, lines.next().unwrap_or_default());
        }
        line.trim_ascii()
    };
    errors.iter().map(of).collect()
}

/// What is around a node.
#[derive(Clone, Copy)]
struct Place {
    is_outermost: bool,
    is_in_function: bool,
}

fn problem(language: Language, node: Node<'_>, place: Place, source: &[u8]) -> Option<Problem> {
    if node.is_missing() {
        return Some(Problem::Missing(node.kind().to_owned()));
    }
    if node.is_error() {
        return Some(Problem::Unexpected(shorten(&source[node.byte_range()])));
    }
    match language {
        Language::Python => python(node, place),
        Language::Go => go(node, place, source),
        Language::Rust | Language::JavaScript | Language::TypeScript | Language::Tsx => None,
    }
}

/// Finds what Go's grammar lets through, since it also reads parts of files: statements between declarations.
fn go(node: Node<'_>, place: Place, source: &[u8]) -> Option<Problem> {
    let is_declaration = node.kind() == "package_clause"
        || (node.kind().ends_with("_declaration") && node.kind() != "short_var_declaration");
    if node.kind() == "source_file" {
        let mut cursor = node.walk();
        let mut named = node.named_children(&mut cursor).filter(|child| !Language::is_comment(child.kind()));
        let first = named.next()?;
        return (!first.is_error() && first.kind() != "package_clause").then(|| Problem::Missing("package".to_owned()));
    }
    let is_statement = place.is_outermost && node.is_named() && !is_declaration && !Language::is_comment(node.kind());
    is_statement.then(|| Problem::OutsideFunction(shorten(&source[node.byte_range()])))
}

/// Finds what the grammar lets through and Python does not.
fn python(node: Node<'_>, place: Place) -> Option<Problem> {
    match node.kind() {
        "block" if statements(node).is_empty() => Some(Problem::EmptyBlock),
        "try_statement" => {
            let mut cursor = node.walk();
            let handled = node
                .named_children(&mut cursor)
                .any(|child| matches!(child.kind(), "except_clause" | "except_group_clause" | "finally_clause"));
            (!handled).then(|| Problem::Missing("except".to_owned()))
        }
        kind @ ("return_statement" | "yield" | "await") if !place.is_in_function => {
            Some(Problem::OutsideFunction(kind.trim_end_matches("_statement").to_owned()))
        }
        _ => None,
    }
}

/// Returns the statements of a Python block that are indented unlike its first one.
fn misplaced<'tree>(node: Node<'tree>, source: &[u8]) -> Vec<Node<'tree>> {
    let is_module = node.kind() == "module";
    if !is_module && node.kind() != "block" {
        return Vec::new();
    }
    let statements = statements(node);
    let first = statements.first().and_then(|first| indentation(source, *first));
    let expected = if is_module { Some((0, 0)) } else { first };
    let Some(block) = expected else { return Vec::new() };
    let is_misplaced = |other: &Node<'tree>| indentation(source, *other).is_some_and(|own| own != block);
    statements.into_iter().filter(is_misplaced).take(MOST_ERRORS).collect()
}

fn statements(block: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = block.walk();
    block.named_children(&mut cursor).filter(|child| !Language::is_comment(child.kind())).collect()
}

/// Returns the indentation of a node that is the first of its line, counted with tabs to eight columns and to one: the
/// two readings that Python wants to agree.
fn indentation(source: &[u8], node: Node<'_>) -> Option<(usize, usize)> {
    let start = node.start_byte();
    let line = start - node.start_position().column;
    let before = source[line..start].strip_prefix(b"\xef\xbb\xbf").unwrap_or(&source[line..start]);
    if !before.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\x0c')) {
        return None;
    }
    let wide = before.iter().fold(0, |column, byte| match byte {
        b'\t' => column / 8 * 8 + 8,
        b'\x0c' => 0,
        _ => column + 1,
    });
    Some((wide, before.len()))
}

fn shorten(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let first = text.trim().lines().next().unwrap_or_default().trim();
    if first.chars().count() > 40 { first.chars().take(40).chain(['…']).collect() } else { first.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> String {
        let found = errors(Language::Python, source.as_bytes()).unwrap();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn what_python_refuses_is_found_even_where_the_grammar_is_lenient() {
        for (source, expected) in [
            ("x = 1\n    y = 2\n", "line 2: indentation that does not fit its block"),
            ("def f():\nreturn 1\n", "line 1: expected an indented block; line 2: `return` outside a function"),
            ("def f():\n    if x:\n    return 1\n", "line 2: expected an indented block"),
            ("def f():\n    a = 1\n      b = 1\n", "line 3: indentation that does not fit its block"),
            ("class A:\n    x = 1\n  y = 2\n", "line 3: indentation that does not fit its block"),
            ("if a:\n\tx\n        y\n", "line 3: indentation that does not fit its block"),
            ("try:\n    x\n", "line 1: missing `except`"),
            ("def f(:\n  pass\n", "line 1: missing `)`"),
            ("f(a b)\n", "line 1: unexpected `b`"),
            ("a = “b”\n", "line 1: unexpected `a = “b”`"),
            ("class A:\n    return 1\n", "line 2: `return` outside a function"),
        ] {
            assert_eq!(shown(source), expected, "{source:?}");
        }
    }

    #[test]
    fn what_python_accepts_has_no_error() {
        for source in [
            "if x: pass\nelse: y\n",
            "def f(): return 1\n",
            "def f():\n    pass\n\n  # c\n    x = 1; y = 2\n",
            "async def f():\n    await x\n    return [await y for y in z]\n",
            "try:\n    x\nfinally:\n    y\n",
            "if a:\n\tx\n\ty\n",
            "\u{feff}x = 1\ny = 2\n",
            "def f(a, /, *, b: int = 1) -> None:\n    match a:\n        case [1, *_]:\n            ...\n    yield (x := 2)\n",
            "x = [\n  1,\n      2,\n]\n",
            "",
        ] {
            assert_eq!(shown(source), "", "{source:?}");
        }
    }

    #[test]
    fn only_added_errors_count() {
        let gate = |before: &str, after: &str| new_errors(Language::Python, before.as_bytes(), after.as_bytes());
        let broken = "x = 1\n\nf(a b)\n";
        assert_eq!(gate(broken, "x = 1\ny = 2\nz = 3\nf(a b)\n"), Gate::Clean);
        assert!(matches!(gate(broken, "x = 1\nf(a b)\ng(a b)\n"), Gate::Added(errors) if errors.len() == 1));
        assert!(matches!(gate(broken, "f(a b)\nf(a b)\n"), Gate::Added(errors) if errors[0].line == 2));
        assert_eq!(gate(broken, "x = 1\n"), Gate::Clean);
    }

    #[test]
    fn rust_errors_are_found() {
        let found = errors(Language::Rust, b"fn f() { let x = ; }\nfn g( {}\n").unwrap();
        assert!(!found.is_empty());
        assert_eq!(errors(Language::Rust, b"fn f() -> u8 { 1 }\n").unwrap(), []);
    }

    #[test]
    fn errors_of_the_other_languages_are_found() {
        for (language, source, expected) in [
            (Language::JavaScript, "function f() {\n  return 1;\n", "line 2: missing `}`"),
            (Language::TypeScript, "const a: number = ;\n", "line 1: unexpected `=`"),
            (Language::JavaScript, "const a = <b>c</b>;\n", ""),
            (Language::Tsx, "const a: string = <b>c</b>;\n", ""),
            (Language::TypeScript, "const a = <string>b;\nclass A<T> { private x?: T; }\n", ""),
            (Language::Go, "package a\n\nx := 1\n", "line 3: `x := 1` outside a function"),
            (Language::Go, "func f() {}\n", "line 1: missing `package`"),
            (Language::Go, "// a\npackage a\n\nimport \"b\"\n\nvar c = 1\n\nfunc f[T any](a T) { b.C(a) }\n", ""),
        ] {
            let found = errors(language, source.as_bytes()).unwrap();
            let found = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            assert_eq!(found, expected, "{language:?} {source:?}");
        }
    }

    #[test]
    fn deep_nesting_neither_overflows_nor_hangs() {
        let deep = "(".repeat(100_000);
        assert!(errors(Language::Python, deep.as_bytes()).is_none_or(|found| !found.is_empty()));
    }
}
