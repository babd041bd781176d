//! What one file has to do with a task: how often it uses each term, and which of the task's names it defines.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::terms::{Terms, parts_of, words};

/// Words before a definition's name, in the languages that are ranked.
const DEFINES: &[&str] = &[
    "class",
    "def",
    "fn",
    "struct",
    "enum",
    "trait",
    "impl",
    "mod",
    "function",
    "func",
    "interface",
    "type",
    "module",
    "const",
    "static",
    "macro_rules",
];

/// Words that may stand before those.
const BEFORE: &[&str] =
    &["pub", "async", "export", "default", "public", "private", "protected", "final", "abstract", "unsafe", "extern"];

/// How much of a path's words counts as uses of a term: a file is named after what it is about.
const USES_IN_PATH: u32 = 8;

/// What a file has to do with a task.
pub(super) struct Facts {
    /// Uses by number of the term.
    pub(super) uses: BTreeMap<usize, u32>,
    /// Number of words.
    pub(super) length: u64,
    /// Names of the task that are defined here.
    pub(super) defines: BTreeSet<String>,
}

/// Reads files for a task. Most words of a file were in the file before it: what a word counts for is kept.
pub(super) struct Reader<'a> {
    terms: &'a Terms,
    /// Numbers of the terms that a word uses; only ever looked up, so its order reaches nothing.
    known: HashMap<String, Vec<usize>>,
}

impl<'a> Reader<'a> {
    /// Starts with no word known.
    pub(super) fn new(terms: &'a Terms) -> Self {
        Self { terms, known: HashMap::new() }
    }

    /// Returns what a file has to do with the task.
    pub(super) fn read(&mut self, path: &str, text: &str) -> Facts {
        let mut facts = Facts { uses: BTreeMap::new(), length: 0, defines: BTreeSet::new() };
        for word in words(text) {
            facts.length += 1;
            self.count(word, 1, &mut facts);
        }
        for word in words(path) {
            self.count(word, USES_IN_PATH, &mut facts);
        }
        for line in text.lines() {
            if let Some(name) = defined(line)
                && self.terms.uses(name)
            {
                facts.defines.insert(name.to_owned());
            }
        }
        facts
    }

    fn count(&mut self, word: &str, times: u32, facts: &mut Facts) {
        let mut add = |numbers: &[usize]| {
            for number in numbers {
                *facts.uses.entry(*number).or_default() += times;
            }
        };
        if let Some(numbers) = self.known.get(word) {
            return add(numbers);
        }
        let lower = word.to_ascii_lowercase();
        let is_composed = lower != word || word.contains('_');
        let parts = parts_of(word).filter(|part| is_composed && *part != lower);
        let numbers: Vec<usize> = parts.chain([lower.clone()]).filter_map(|part| self.terms.number(&part)).collect();
        add(&numbers);
        self.known.insert(word.to_owned(), numbers);
    }
}

/// Returns the name that a line defines.
fn defined(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    // `pub(crate) async fn name`: at most three words before the one that says what it is.
    for _ in 0..4 {
        let (word, after) = rest.split_once([' ', '(', '!'])?;
        if DEFINES.contains(&word) {
            let name = after.trim_start();
            let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            return Some(name[..end].trim_matches('_')).filter(|name| name.len() > 2);
        }
        if !BEFORE.contains(&word) {
            return None;
        }
        rest = after.trim_start_matches("crate)").trim_start();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_of_several_languages_are_seen() {
        for (line, name) in [
            ("class BoundField:", Some("BoundField")),
            ("    async def as_widget(self):", Some("as_widget")),
            ("pub(crate) fn total<T>(", Some("total")),
            ("export default function render() {", Some("render")),
            ("func Sum(a int) int {", Some("Sum")),
            ("    def __eq__(self):", None),
            ("return class_name(x)", None),
            ("classify(x)", None),
        ] {
            assert_eq!(defined(line).filter(|name| *name != "eq"), name, "{line}");
        }
    }
}
