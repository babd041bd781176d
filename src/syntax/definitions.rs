//! Definitions of a file: functions, classes, types, with their lines.

use tree_sitter::Node;

use super::Language;
use super::parse::{Walk, parse};

/// What a definition defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A function or method.
    Function,
    /// A class, struct, enum, union, trait or type alias.
    Type,
    /// An `impl` block, named by the type.
    Implementation,
    /// An inline module or a macro.
    Module,
}

/// One definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its own name, without those of what it is in.
    pub name: String,
    /// What it defines.
    pub kind: Kind,
    /// First line from 1, decorators and attributes included.
    pub first: usize,
    /// The line that holds the name.
    pub header: usize,
    /// Last line, inclusive.
    pub last: usize,
    /// Number of definitions around it.
    pub depth: usize,
}

impl Definition {
    /// Says whether `line` is one of its lines.
    pub fn contains(&self, line: usize) -> bool {
        (self.first..=self.last).contains(&line)
    }
}

/// Returns the definitions of `source` in order of their first line, outer ones first; none if it cannot be parsed.
pub fn definitions(language: Language, source: &[u8]) -> Vec<Definition> {
    let Some(tree) = parse(language, source) else { return Vec::new() };
    let mut found = Vec::new();
    let mut open: Vec<u32> = Vec::new();
    let mut walk = Walk::new(&tree);
    while let Some((node, depth)) = walk.next(true) {
        while open.last().is_some_and(|outer| *outer >= depth) {
            open.pop();
        }
        let Some((kind, name)) = defined(language, node) else { continue };
        let Ok(text) = name.utf8_text(source) else { continue };
        found.push(Definition {
            name: text.to_owned(),
            kind,
            first: first_line(language, node),
            header: name.start_position().row + 1,
            last: last_line(node),
            depth: open.len(),
        });
        open.push(depth);
    }
    found
}

fn defined(language: Language, node: Node<'_>) -> Option<(Kind, Node<'_>)> {
    let kind = match (language, node.kind()) {
        (Language::Python, "function_definition") => Kind::Function,
        (Language::Python, "class_definition") => Kind::Type,
        (Language::Rust, "function_item" | "function_signature_item") => Kind::Function,
        (Language::Rust, "struct_item" | "enum_item" | "union_item" | "trait_item" | "type_item") => Kind::Type,
        (Language::Rust, "impl_item") => return Some((Kind::Implementation, node.child_by_field_name("type")?)),
        (Language::Rust, "mod_item" | "macro_definition") => Kind::Module,
        _ => return None,
    };
    Some((kind, node.child_by_field_name("name")?))
}

fn first_line(language: Language, node: Node<'_>) -> usize {
    let mut first = node;
    match language {
        Language::Python => {
            if let Some(parent) = node.parent().filter(|parent| parent.kind() == "decorated_definition") {
                first = parent;
            }
        }
        // Attributes and doc comments are siblings that come before.
        Language::Rust => {
            while let Some(before) = first.prev_sibling() {
                let belongs = before.kind() == "attribute_item"
                    || (before.kind() == "line_comment" && before.child_by_field_name("outer").is_some());
                if !belongs {
                    break;
                }
                first = before;
            }
        }
    }
    first.start_position().row + 1
}

fn last_line(node: Node<'_>) -> usize {
    let end = node.end_position();
    // A node that ends at the start of a line ends on the line before.
    if end.column == 0 && end.row > node.start_position().row { end.row } else { end.row + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(language: Language, source: &str) -> Vec<String> {
        definitions(language, source.as_bytes())
            .iter()
            .map(|d| format!("{} {:?} {}({})-{} {}", d.name, d.kind, d.first, d.header, d.last, d.depth))
            .collect()
    }

    #[test]
    fn python_definitions_with_decorators() {
        let source = "import x\n\n@wraps(\n    x\n)\ndef f(a):\n    def g():\n        pass\n    return g\n\n\nclass A:\n    @property\n    async def b(self):\n        return 1\n";
        assert_eq!(
            shown(Language::Python, source),
            ["f Function 3(6)-9 0", "g Function 7(7)-8 1", "A Type 12(12)-15 0", "b Function 13(14)-15 1"]
        );
    }

    #[test]
    fn rust_definitions_with_attributes() {
        let source = "use x;\n\n/// Docs.\n#[derive(Debug)]\nstruct S;\n\nimpl S {\n    fn f() {\n    }\n}\n\nmod m {\n    trait T {}\n}\n";
        assert_eq!(
            shown(Language::Rust, source),
            [
                "S Type 3(5)-5 0",
                "S Implementation 7(7)-10 0",
                "f Function 8(8)-9 1",
                "m Module 12(12)-14 0",
                "T Type 13(13)-13 1"
            ]
        );
    }
}
