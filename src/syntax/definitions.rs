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
    let mut levels: Vec<Level<'_>> = Vec::new();
    let mut walk = Walk::new(&tree);
    while let Some((node, depth)) = walk.next(true) {
        visit(language, &mut levels, node, depth);
        while open.last().is_some_and(|outer| *outer >= depth) {
            open.pop();
        }
        let Some((kind, name)) = defined(language, node) else { continue };
        let Ok(text) = name.utf8_text(source) else { continue };
        let whole = whole(language, &levels);
        found.push(Definition {
            name: text.to_owned(),
            kind,
            first: first_line(language, whole, source),
            header: name.start_position().row + 1,
            last: last_line(whole.node),
            depth: open.len(),
        });
        open.push(depth);
    }
    found
}

/// Returns the definitions of a part of a file: methods of a JavaScript class mean nothing outside one, so a text
/// without any other definition is read as the inside of a class too.
pub fn definitions_of_part(language: Language, text: &str) -> Vec<Definition> {
    let found = definitions(language, text.as_bytes());
    let has_classes = matches!(language, Language::JavaScript | Language::TypeScript | Language::Tsx);
    if !found.is_empty() || !has_classes {
        return found;
    }
    let inside = definitions(language, format!("class C {{\n{text}\n}}\n").as_bytes());
    let moved = |d: Definition| Definition {
        first: d.first - 1,
        header: d.header - 1,
        last: d.last - 1,
        depth: d.depth - 1,
        ..d
    };
    inside.into_iter().filter(|d| d.depth > 0 && d.first > 1).map(moved).collect()
}

/// Says whether a text has functions, and of all of them only heads and words about them.
pub fn lacks_code(language: Language, text: &str) -> bool {
    let Some(tree) = parse(language, text.as_bytes()) else { return false };
    let is_code = |node: Node<'_>| {
        let inner = node.named_child(0).filter(|_| node.kind() == "expression_statement");
        let is_words = inner.is_some_and(|inner| matches!(inner.kind(), "string" | "ellipsis"));
        !Language::is_comment(node.kind()) && node.kind() != "pass_statement" && !is_words
    };
    let mut has_functions = false;
    let mut walk = Walk::new(&tree);
    while let Some((node, _)) = walk.next(true) {
        let Some((Kind::Function, _)) = defined(language, node) else { continue };
        let Some(body) = node.child_by_field_name("body") else { continue };
        let mut cursor = body.walk();
        if body.named_children(&mut cursor).any(is_code) {
            return false;
        }
        has_functions = true;
    }
    has_functions
}

fn defined(language: Language, node: Node<'_>) -> Option<(Kind, Node<'_>)> {
    let kind = match language {
        Language::Python => match node.kind() {
            "function_definition" => Kind::Function,
            "class_definition" => Kind::Type,
            _ => return None,
        },
        Language::Rust => match node.kind() {
            "function_item" | "function_signature_item" => Kind::Function,
            "struct_item" | "enum_item" | "union_item" | "trait_item" | "type_item" => Kind::Type,
            "impl_item" => return Some((Kind::Implementation, node.child_by_field_name("type")?)),
            "mod_item" | "macro_definition" => Kind::Module,
            _ => return None,
        },
        Language::Go => match node.kind() {
            "function_declaration" | "method_declaration" => Kind::Function,
            "type_spec" | "type_alias" => Kind::Type,
            _ => return None,
        },
        Language::JavaScript | Language::TypeScript | Language::Tsx => match node.kind() {
            "function_declaration"
            | "generator_function_declaration"
            | "method_definition"
            | "function_signature"
            | "method_signature"
            | "abstract_method_signature" => Kind::Function,
            "class_declaration"
            | "abstract_class_declaration"
            | "interface_declaration"
            | "enum_declaration"
            | "type_alias_declaration" => Kind::Type,
            "internal_module" | "module" => Kind::Module,
            // `const f = () => …` and fields that hold a function.
            "variable_declarator" | "field_definition" | "public_field_definition" => {
                let value = node.child_by_field_name("value")?;
                let kind = match value.kind() {
                    "arrow_function" | "function_expression" | "generator_function" => Kind::Function,
                    "class" => Kind::Type,
                    _ => return None,
                };
                let name = node.child_by_field_name("name").or_else(|| node.child_by_field_name("property"))?;
                return Some((kind, name));
            }
            _ => return None,
        },
    };
    Some((kind, node.child_by_field_name("name")?))
}

/// A node on the way from the root, and the siblings right before it that may belong to it.
///
/// Asking a node for its parent or sibling starts at the root each time, which a long file would feel.
struct Level<'tree> {
    node: Node<'tree>,
    before: Vec<Node<'tree>>,
}

/// Goes on to `node` at `depth`.
fn visit<'tree>(language: Language, levels: &mut Vec<Level<'tree>>, node: Node<'tree>, depth: u32) {
    let depth = depth as usize;
    levels.truncate(depth + 1);
    match levels.get_mut(depth) {
        None => levels.push(Level { node, before: Vec::new() }),
        Some(level) => {
            let last = std::mem::replace(&mut level.node, node);
            if may_belong(language, last.kind()) { level.before.push(last) } else { level.before.clear() }
        }
    }
}

/// Says whether siblings of this kind before a definition may be a part of it.
fn may_belong(language: Language, kind: &str) -> bool {
    match language {
        Language::Python => false,
        Language::Rust => matches!(kind, "attribute_item" | "line_comment"),
        Language::Go => matches!(kind, "comment" | "\n"),
        Language::JavaScript | Language::TypeScript | Language::Tsx => matches!(kind, "decorator" | "comment"),
    }
}

/// Returns the innermost node with what is written around it and belongs to it alone: decorators, `export`, `const`,
/// `type`.
fn whole<'l, 'tree>(language: Language, levels: &'l [Level<'tree>]) -> &'l Level<'tree> {
    let belongs = |outer: &Node<'_>| match (language, outer.kind()) {
        (Language::Python, "decorated_definition") => true,
        (Language::Go, "type_declaration") => outer.named_child_count() == 1,
        (Language::JavaScript | Language::TypeScript | Language::Tsx, kind) => match kind {
            "export_statement" | "ambient_declaration" => true,
            "lexical_declaration" | "variable_declaration" => outer.named_child_count() == 1,
            _ => false,
        },
        _ => false,
    };
    let mut whole = levels.len() - 1;
    while whole > 0 && belongs(&levels[whole - 1].node) {
        whole -= 1;
    }
    &levels[whole]
}

/// Returns the first line, with the attributes, decorators and documentation that are siblings before it.
fn first_line(language: Language, whole: &Level<'_>, source: &[u8]) -> usize {
    let mut first = whole.node;
    let mut rest = whole.before.as_slice();
    while let Some((&before, others)) = rest.split_last() {
        let is_adjacent = before.end_position().row + 1 >= first.start_position().row;
        let belongs = match (language, before.kind()) {
            (Language::Rust, "attribute_item") => true,
            (Language::Rust, "line_comment") => before.child_by_field_name("outer").is_some(),
            (Language::Go, "comment") => is_adjacent && starts_line(before, source),
            (Language::JavaScript | Language::TypeScript | Language::Tsx, "decorator") => true,
            (Language::JavaScript | Language::TypeScript | Language::Tsx, "comment") => {
                is_adjacent && source[before.start_byte()..].starts_with(b"/**")
            }
            _ => false,
        };
        // Go's line ends are tokens of their own.
        let is_line_end = language == Language::Go && before.kind() == "\n";
        if !belongs && !is_line_end {
            break;
        }
        if is_line_end && others.last().is_none_or(|other| other.kind() != "comment") {
            break;
        }
        (first, rest) = (before, others);
    }
    first.start_position().row + 1
}

fn starts_line(node: Node<'_>, source: &[u8]) -> bool {
    let before = &source[node.start_byte() - node.start_position().column..node.start_byte()];
    before.iter().all(u8::is_ascii_whitespace)
}

fn last_line(node: Node<'_>) -> usize {
    let end = node.end_position();
    // A node that ends at the start of a line ends on the line before.
    if end.column == 0 && end.row > node.start_position().row { end.row } else { end.row + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_with_words_is_no_function() {
        for (language, text, expected) in [
            (Language::Python, "def f(a):\n    \"\"\"Says a.\"\"\"\n", true),
            (Language::Python, "@b\ndef f(a):\n    # later\n    pass\n", true),
            (Language::Python, "def f(a):\n    \"\"\"Says a.\"\"\"\n    return a\n", false),
            (Language::Python, "class A:\n    def f(self): ...\n    def g(self): return 1\n", false),
            (Language::Python, "a = 1\n", false),
            (Language::JavaScript, "export function f(a) {\n  // later\n}\n", true),
            (Language::Go, "func f() int {\n\treturn 1\n}\n", false),
            (Language::Rust, "fn f() {\n}\n", true),
        ] {
            assert_eq!(lacks_code(language, text), expected, "{text:?}");
        }
    }

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

    #[test]
    fn javascript_and_typescript_definitions() {
        let source = "import x from 'x';\n\n/** Docs. */\nexport function f(a) {\n  return a;\n}\n\nconst g = (a) => {\n  return a;\n};\n\nexport default class A extends B {\n  total() {\n    return 1;\n  }\n}\n";
        for language in [Language::JavaScript, Language::TypeScript, Language::Tsx] {
            assert_eq!(
                shown(language, source),
                ["f Function 3(4)-6 0", "g Function 8(8)-10 0", "A Type 12(12)-16 0", "total Function 13(13)-15 1"]
            );
        }
        let source = "interface I {\n  f(): void;\n}\n\ntype T = string;\n\nexport enum E {\n  A,\n}\n";
        assert_eq!(
            shown(Language::TypeScript, source),
            ["I Type 1(1)-3 0", "f Function 2(2)-2 1", "T Type 5(5)-5 0", "E Type 7(7)-9 0"]
        );
        let part = definitions_of_part(Language::JavaScript, "  total() {\n    return 1;\n  }");
        assert_eq!(part.len(), 1);
        assert_eq!((part[0].name.as_str(), part[0].first, part[0].last, part[0].depth), ("total", 1, 3, 0));
        assert!(definitions_of_part(Language::JavaScript, "x = 1").is_empty());
    }

    #[test]
    fn go_definitions_with_their_comments() {
        let source = "package a\n\n// F does.\n// Much.\nfunc F(a int) int {\n\treturn a\n}\n\ntype T struct {\n\tx int\n}\n\nfunc (t *T) Get() int { return t.x }\n";
        assert_eq!(
            shown(Language::Go, source),
            ["F Function 3(5)-7 0", "T Type 9(9)-11 0", "Get Function 13(13)-13 0"]
        );
    }
}
