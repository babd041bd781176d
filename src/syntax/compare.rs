//! Sameness of code: equal but for blank lines, spacing between tokens, and comments.

use tree_sitter::{Node, Tree};

use super::Language;
use super::parse::{Walk, parse};

/// Says whether two sources differ at most in comments and in space that has no meaning.
///
/// Sources that cannot be parsed are the same only if their bytes are.
pub fn same_code(language: Language, before: &[u8], after: &[u8]) -> bool {
    if before == after {
        return true;
    }
    let (Some(one), Some(other)) = (parse(language, before), parse(language, after)) else { return false };
    if one.root_node().has_error() || other.root_node().has_error() {
        return false;
    }
    let (mut one, mut other) = (Code::of(&one), Code::of(&other));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some((a, a_depth)), Some((b, b_depth))) => {
                let text = |node: Node<'_>, source: &[u8]| source[node.byte_range()].to_vec();
                if a.kind_id() != b.kind_id()
                    || a_depth != b_depth
                    || (is_whole(a) && text(a, before) != text(b, after))
                {
                    return false;
                }
            }
            _ => return false,
        }
    }
}

/// Says whether a node's own text is compared: tokens, and literals, whose children do not cover all of their text.
fn is_whole(node: Node<'_>) -> bool {
    node.child_count() == 0
        || matches!(
            node.kind(),
            "string"
                | "string_literal"
                | "raw_string_literal"
                | "interpreted_string_literal"
                | "template_string"
                | "regex"
                | "token_tree"
        )
}

/// The nodes of a tree but comments.
struct Code<'tree> {
    walk: Walk<'tree>,
    descend: bool,
}

impl<'tree> Code<'tree> {
    fn of(tree: &'tree Tree) -> Self {
        Self { walk: Walk::new(tree), descend: true }
    }

    fn next(&mut self) -> Option<(Node<'tree>, u32)> {
        loop {
            let (node, depth) = self.walk.next(self.descend)?;
            let is_comment = Language::is_comment(node.kind());
            self.descend = !is_comment && !is_whole(node);
            if !is_comment {
                return Some((node, depth));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_do_not_count() {
        let before = b"def f(a):\n    return a+1  # one\n";
        assert!(same_code(Language::Python, before, b"# head\ndef f(a):\n\n    return a + 1\n"));
        assert!(!same_code(Language::Python, before, b"def f(a):\n    return a+2  # one\n"));
        assert!(!same_code(Language::Python, before, b"def f(a):\n    return a-1\n"));
        assert!(!same_code(Language::Python, b"x = 'a  b'\n", b"x = 'a b'\n"));
        assert!(!same_code(Language::Python, b"x = f'a{b}\\n c'\n", b"x = f'a{b}\\n d'\n"));
        assert!(!same_code(Language::Python, b"if a:\n    b\nc\n", b"if a:\n    b\n    c\n"));
        assert!(same_code(Language::Rust, b"fn f() { 1 }", b"fn f() {\n    // one\n    1\n}\n"));
        assert!(!same_code(Language::Rust, b"fn f() { 1 }", b"fn f() { 2 }"));
        for language in [Language::JavaScript, Language::TypeScript, Language::Tsx] {
            assert!(same_code(language, b"f(a+1)\n", b"// one\nf(a + 1) /* two */\n\n"), "{language:?}");
            assert!(!same_code(language, b"f(`a ${b}`)\n", b"f(`a  ${b}`)\n"), "{language:?}");
        }
        assert!(same_code(Language::Go, b"package a\n\nvar b = 1\n", b"package a\n// c\n\n\nvar b  =  1\n"));
        assert!(!same_code(Language::Go, b"package a\nvar b = \"x y\"\n", b"package a\nvar b = \"x  y\"\n"));
    }
}
