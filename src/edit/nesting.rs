//! Whether an edit leaves the definitions that it does not name where they were.
//!
//! A text that lost its indentation often parses all the same: a class then ends too early, and the methods below become
//! functions of something else. And a small model may name lines of one function and write another one that stands
//! elsewhere. The grammar accepts both; a person would not.

use std::collections::BTreeMap;
use std::ops::Range;

use super::source::Splice;
use super::variant::File;
use crate::syntax::{Definition, Kind, Language, definitions};

/// What is wrong with a result that parses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Misplaced {
    /// The definition on this line, from 1, would be part of something else.
    Moved { name: String, line: usize },
    /// The new text would not be part of the function on this line, whose lines it replaces.
    Escaped { name: String, line: usize },
    /// The definition on these lines would be there twice.
    Doubled { name: String, lines: (usize, usize) },
}

impl Misplaced {
    /// Returns what to tell the model, and the lines of the original, by index, that show it.
    pub(super) fn told(&self, path: &str) -> (String, Range<usize>) {
        match self {
            Self::Moved { name, line } => {
                let message = format!("`{name}` of {path} would be part of something else: check the indentation");
                (message, line - 1..*line)
            }
            Self::Escaped { name, line } => {
                let message = format!("the new lines would end `{name}` of {path}: check LINES and the indentation");
                (message, line - 1..*line)
            }
            Self::Doubled { name, lines: (first, last) } => {
                let message = format!(
                    "`{name}` of {path} stands at lines {first}-{last}, elsewhere than you say: to replace it, give LINES: {first}-{last}"
                );
                (message, first - 1..*last)
            }
        }
    }
}

/// Returns what the splices, in order, put into the wrong place; nothing where nobody can say what a file defines.
pub(super) fn misplaced(file: &File<'_>, splices: &[Splice], after: &[u8]) -> Vec<Misplaced> {
    let Some(language) = file.language else { return Vec::new() };
    let after_definitions = definitions(language, after);
    let text = String::from_utf8_lossy(after);
    let check = Check {
        language,
        before: Nest::new(file.definitions()),
        after: Nest::new(&after_definitions),
        places: places(splices),
        old: file.source.texts().iter().map(AsRef::as_ref).collect(),
        new: text.lines().collect(),
    };
    let mut found = check.moved();
    found.extend(check.places.iter().flat_map(|place| check.escaped(place)));
    found.extend(check.places.iter().flat_map(|place| check.doubled(place)));
    found
}

/// Definitions with what each is in.
struct Nest<'d> {
    all: &'d [Definition],
    parents: Vec<Option<usize>>,
    by_header: BTreeMap<(usize, &'d str), usize>,
}

impl<'d> Nest<'d> {
    fn new(all: &'d [Definition]) -> Self {
        let mut parents = Vec::with_capacity(all.len());
        let mut open: Vec<usize> = Vec::new();
        let mut by_header = BTreeMap::new();
        for (index, definition) in all.iter().enumerate() {
            open.truncate(definition.depth);
            parents.push(open.last().copied());
            open.push(index);
            by_header.entry((definition.header, definition.name.as_str())).or_insert(index);
        }
        Self { all, parents, by_header }
    }
}

/// Lines of the original, and the lines of the result that stand there now, both by index.
struct Place {
    old: Range<usize>,
    new: Range<usize>,
}

fn places(splices: &[Splice]) -> Vec<Place> {
    let (mut removed, mut added) = (0, 0);
    let place = |splice: &Splice| {
        let start = splice.range.start + added - removed;
        added += splice.new.len();
        removed += splice.range.len();
        Place { old: splice.range.clone(), new: start..start + splice.new.len() }
    };
    splices.iter().map(place).collect()
}

struct Check<'a> {
    language: Language,
    before: Nest<'a>,
    after: Nest<'a>,
    places: Vec<Place>,
    old: Vec<&'a str>,
    new: Vec<&'a str>,
}

impl Check<'_> {
    /// Returns the definition of the result that is this one of the original, if no edit holds its header.
    fn image(&self, index: usize) -> Option<usize> {
        let definition = &self.before.all[index];
        let line = definition.header - 1;
        let before = self.places.partition_point(|place| place.old.end <= line);
        if self.places.get(before).is_some_and(|place| place.old.contains(&line)) {
            return None;
        }
        let moved = match before.checked_sub(1).map(|last| &self.places[last]) {
            Some(place) => line - place.old.end + place.new.end,
            None => line,
        };
        self.after.by_header.get(&(moved + 1, definition.name.as_str())).copied()
    }

    fn is_new(&self, index: usize) -> bool {
        let line = self.after.all[index].header - 1;
        self.places.iter().any(|place| place.new.contains(&line))
    }

    fn moved(&self) -> Vec<Misplaced> {
        let is_moved = |index: usize, now: Option<usize>, may_be_new: &dyn Fn(usize) -> bool| {
            // Where the outer one is edited itself, its parts go with it.
            let expected = match self.before.parents[index] {
                None => None,
                Some(parent) => match self.image(parent) {
                    None => return false,
                    image => image,
                },
            };
            now != expected && !now.is_some_and(may_be_new)
        };
        let is_new_type = |index: usize| self.is_new(index) && self.after.all[index].kind != Kind::Function;
        let mut found = Vec::new();
        for (index, definition) in self.before.all.iter().enumerate() {
            let is_wrong = match self.image(index) {
                Some(image) => is_moved(index, self.after.parents[image], &is_new_type),
                None => match self.anew(index) {
                    Some(anew) => is_moved(index, self.after.parents[anew], &|outer| self.is_new(outer)),
                    None => false,
                },
            };
            if is_wrong {
                found.push(Misplaced::Moved { name: definition.name.clone(), line: definition.header });
            }
        }
        found
    }

    /// Returns the one definition of the same name in the text that replaces this one's header.
    fn anew(&self, index: usize) -> Option<usize> {
        let definition = &self.before.all[index];
        let place = self.places.iter().find(|place| place.old.contains(&(definition.header - 1)))?;
        let only = |nest: &Nest<'_>, lines: &Range<usize>| {
            let is_there = |at: &usize| {
                let other = &nest.all[*at];
                other.name == definition.name && lines.contains(&(other.header - 1))
            };
            let mut found = (0..nest.all.len()).filter(is_there);
            found.next().filter(|_| found.next().is_none())
        };
        only(&self.before, &place.old)?;
        only(&self.after, &place.new)
    }

    fn escaped(&self, place: &Place) -> Option<Misplaced> {
        let filled = |lines: &[&str], range: &Range<usize>| range.clone().find(|at| !lines[*at].trim().is_empty());
        let (old, first) = (filled(&self.old, &place.old)?, filled(&self.new, &place.new)?);
        // The lines may reach beyond the function: small models take the blank line behind it along.
        let encloses = |index: &usize| {
            let definition = &self.before.all[*index];
            definition.kind == Kind::Function && (definition.header..definition.last).contains(&old)
        };
        let inner = (0..self.before.all.len()).rev().find(encloses)?;
        let image = &self.after.all[self.image(inner)?];
        // Whoever writes a definition there says where it belongs.
        let is_definition =
            self.after.all.iter().any(|definition| (definition.first..=definition.header).contains(&(first + 1)));
        let definition = &self.before.all[inner];
        let escaped = || Misplaced::Escaped { name: definition.name.clone(), line: definition.header };
        (!image.contains(first + 1) && !is_definition).then(escaped)
    }

    fn doubled(&self, place: &Place) -> Option<Misplaced> {
        if place.old.is_empty() {
            return None;
        }
        let is_own = |name: &str| {
            let lines = place.old.start + 1..=place.old.end;
            self.before.all.iter().any(|definition| definition.name == name && lines.contains(&definition.header))
        };
        for (index, new) in self.after.all.iter().enumerate() {
            let may_repeat = new.name == "_" || self.language == Language::Go && new.name == "init";
            if !place.new.contains(&(new.header - 1)) || !is_whole(new) || may_repeat || is_own(&new.name) {
                continue;
            }
            let parent = self.after.parents[index];
            // All of the text inside a function that it did not write can only be meant for where it stands.
            let is_all = place.new.clone().all(|at| new.contains(at + 1) || self.new[at].trim().is_empty());
            let is_function = |outer: usize| self.after.all[outer].kind == Kind::Function && !self.is_new(outer);
            let is_inner = is_all && parent.is_some_and(is_function);
            let is_same = |other: &usize| {
                let old = &self.before.all[*other];
                (&old.name, old.kind) == (&new.name, new.kind)
                    && is_whole(old)
                    && head(&self.old, old) == head(&self.new, new)
                    && self.image(*other).is_some_and(|image| is_inner || self.after.parents[image] == parent)
            };
            if let Some(other) = (0..self.before.all.len()).find(is_same) {
                let old = &self.before.all[other];
                return Some(Misplaced::Doubled { name: old.name.clone(), lines: (old.first, old.last) });
            }
        }
        None
    }
}

/// Says whether a definition has a body and nothing before its header: setters and overloads repeat a name.
fn is_whole(definition: &Definition) -> bool {
    definition.first == definition.header && definition.last > definition.header
}

/// Returns the words before the name.
fn head<'l>(lines: &[&'l str], definition: &Definition) -> &'l str {
    let line = lines.get(definition.header - 1).copied().unwrap_or_default();
    line.split(definition.name.as_str()).next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::Limits;
    use crate::edit::source::Source;

    const FILE: &str = "class A:\n    def f(self):\n        a = 1\n        return a\n\n    def g(self):\n        return 2\n\n\ndef h():\n    return 3\n";

    fn found(old: Range<usize>, new: &str) -> Vec<Misplaced> {
        let source = Source::new(FILE.as_bytes()).unwrap();
        let file = File::new("a.py", &source, Limits::default());
        let splice = Splice { range: old, new: new.lines().map(str::to_owned).collect() };
        let after = source.with(std::slice::from_ref(&splice)).unwrap();
        misplaced(&file, &[splice], &after)
    }

    #[test]
    fn what_stays_in_its_place_is_no_matter() {
        for (old, new) in [
            (1..4, "    def f(self):\n        return 1"),
            (0..1, "class B:"),
            (2..3, "        a = 2\n        b = 3"),
            (3..4, "        return a\n\n    def k(self):\n        return 1"),
            (4..4, "\n    def k(self):\n        return 1"),
            (1..4, ""),
            (9..11, "def h():\n    def f():\n        return 1\n    return f"),
            (4..5, "\n\nclass B:"),
            (2..3, "        def h():\n            return 1\n        a = h()"),
        ] {
            assert_eq!(found(old, new), [], "{new}");
        }
    }

    #[test]
    fn what_is_elsewhere_afterwards_is_named() {
        let moved = |name: &str, line| Misplaced::Moved { name: name.to_owned(), line };
        // The class ends at the first line; what is below it becomes a part of the new function.
        let lost = found(1..4, "def f(self):\n    return 1");
        assert_eq!(lost, [moved("f", 2), moved("g", 6)]);
        assert_eq!(found(5..7, "def g(self):\n    return 1"), [moved("g", 6)]);
        let escaped = |name: &str, line| Misplaced::Escaped { name: name.to_owned(), line };
        assert_eq!(found(6..7, "    a = 1"), [escaped("g", 6)]);
        assert_eq!(found(3..5, "    a = 1"), [escaped("f", 2)]);
        let doubled = Misplaced::Doubled { name: "g".to_owned(), lines: (6, 7) };
        assert_eq!(found(1..2, "    def g(self):\n        return 1"), std::slice::from_ref(&doubled));
        let doubled = Misplaced::Doubled { name: "h".to_owned(), lines: (10, 11) };
        assert_eq!(found(3..4, "        def h():\n            return 1"), [doubled]);
    }
}
