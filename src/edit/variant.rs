//! Ways to read one edit, in order: as written, then with what small models often get wrong put right. The syntax gate
//! decides which.

use std::cell::OnceCell;
use std::ops::Range;

use super::code::Code;
use super::elide::{self, Filled};
use super::excerpt;
use super::indent::{self, Converted, Unit};
use super::notes::{Notes, refuse};
use super::place;
use super::runs::changed;
use super::source::{Source, Splice};
use super::types::{Limits, Refusal};
use crate::syntax::{Baseline, Definition, Gate, Language, balance, definitions};

/// One way to read an edit, and the codes of what that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) splice: Splice,
    pub(super) codes: Vec<Code>,
}

/// An edit of an existing file with all ways to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    /// The lines that the reply itself says are replaced; none where the text had to find its place.
    pub(super) said: Range<usize>,
    /// The first one that passes the gate is taken.
    pub(super) ordered: Vec<Variant>,
    /// If none of those passes: taken if exactly one of these does.
    pub(super) single: Vec<Variant>,
    /// The code of the refusal when several of those pass.
    pub(super) ambiguous: Code,
}

impl Edit {
    /// Makes an edit that can be read one way only.
    pub(super) fn plain(range: Range<usize>, new: Vec<String>) -> Self {
        let said = range.clone();
        let ordered = vec![Variant { splice: Splice { range, new }, codes: Vec::new() }];
        Self { said, ordered, single: Vec::new(), ambiguous: Code::RangeAmbiguous }
    }
}

/// The file that an edit is for.
pub(super) struct File<'a> {
    pub(super) path: &'a str,
    pub(super) source: &'a Source<'a>,
    pub(super) language: Option<Language>,
    limits: Limits,
    definitions: OnceCell<Vec<Definition>>,
    unit: OnceCell<Unit>,
    baseline: Option<Baseline<'a>>,
}

impl<'a> File<'a> {
    pub(super) fn new(path: &'a str, source: &'a Source<'a>, limits: Limits) -> Self {
        let language = Language::of_path(path);
        let baseline = language.map(|language| Baseline::new(language, source.bytes()));
        Self { path, source, language, limits, definitions: OnceCell::new(), unit: OnceCell::new(), baseline }
    }

    /// Returns what the file defines.
    pub(super) fn definitions(&self) -> &[Definition] {
        let of = |language| definitions(language, self.source.bytes());
        self.definitions.get_or_init(|| self.language.map(of).unwrap_or_default())
    }

    /// Asks the language's grammar what `after` breaks, or counts brackets where none is known.
    pub(super) fn gate(&self, after: &[u8]) -> Gate {
        match &self.baseline {
            _ if !self.limits.syntax_gate => Gate::Unchecked,
            Some(baseline) => baseline.added(after),
            None => balance(self.path, self.source.bytes(), after),
        }
    }
}

/// Returns the ways to read "replace these lines by this text".
pub(super) fn edit(
    file: &File<'_>,
    range: Range<usize>,
    said: Range<usize>,
    text: Vec<String>,
    notes: &mut Notes,
) -> Result<Edit, Refusal> {
    // Before anything that costs more: as many bytes again are not new, and tabs may be written as spaces.
    let own: usize = file.source.texts()[range.clone()].iter().map(|line| line.len() + 1).sum();
    if text.iter().map(|line| line.len() + 1).sum::<usize>() > own * 8 + file.limits.new_bytes {
        return Err(too_large(file));
    }
    let text = tabbed(file, &range, text, notes)?;
    known_characters(file, &range, &text)?;
    let text = filled(file, &range, text, notes)?;
    moderate(file, &range, &text)?;
    let mut range = range;
    let redefined = place::redefined(&range, &text, file);
    if let Some(wide) = redefined {
        notes.add(Code::SnapNode);
        range = wide;
    } else if let Some(wide) = snapped(file, &range, &text) {
        notes.add(Code::Snap);
        range = wide;
    }
    let ordered = ordered(file, &range, &text);
    let single = moved(file, &range, &text);
    Ok(Edit { said, ordered, single, ambiguous: Code::RangeAmbiguous })
}

/// Widens the range over neighbours that the text repeats, with its own indentation or that of the lines it replaces.
fn snapped(file: &File<'_>, range: &Range<usize>, text: &[String]) -> Option<Range<usize>> {
    let as_written = place::snapped(range, text, file.source);
    as_written.or_else(|| indents(file, range, text).iter().find_map(|text| place::snapped(range, text, file.source)))
}

/// Refuses a text that changes more lines than an answer may, before it is tried.
pub(super) fn moderate(file: &File<'_>, range: &Range<usize>, text: &[String]) -> Result<(), Refusal> {
    let old: Vec<&str> = file.source.texts()[range.clone()].iter().map(AsRef::as_ref).collect();
    let new: Vec<&str> = text.iter().map(String::as_str).collect();
    changed(&old, &new, file.limits.changed_lines).map(|_| ()).ok_or_else(|| too_large(file))
}

fn too_large(file: &File<'_>) -> Refusal {
    let Limits { changed_lines, new_bytes, .. } = file.limits;
    let message = format!(
        "the change of {} is too large (more than {changed_lines} lines, or {new_bytes} bytes): change only what the repair needs",
        file.path
    );
    refuse(Code::Size, message, "")
}

/// Refuses U+FFFD where it stands for bytes of the file that are no text: they would be lost.
fn known_characters(file: &File<'_>, range: &Range<usize>, text: &[String]) -> Result<(), Refusal> {
    const UNKNOWN: char = char::REPLACEMENT_CHARACTER;
    let Some(at) = text.iter().position(|line| line.contains(UNKNOWN)) else { return Ok(()) };
    if range.clone().all(|index| file.source.is_text(index)) {
        return Ok(());
    }
    let message = format!("{} holds bytes there that are no UTF-8 text: leave those lines as they are", file.path);
    Err(refuse(Code::Binary, message, excerpt::around(text, at..at + 1, 1, 10)))
}

fn tabbed(file: &File<'_>, range: &Range<usize>, text: Vec<String>, notes: &mut Notes) -> Result<Vec<String>, Refusal> {
    let lines = file.source.texts();
    let unit = file.unit.get_or_init(|| indent::unit(lines));
    match indent::converted(&text, *unit, &lines[range.clone()]) {
        Converted::Same => Ok(text),
        Converted::Changed(text) => {
            notes.add(Code::Tabs);
            Ok(text)
        }
        Converted::Impossible => {
            let message = format!("the new text mixes tabs and spaces: indent it as {} does", file.path);
            Err(refuse(Code::MixedTabs, message, excerpt::numbered(&text, 1)))
        }
    }
}

/// Fills in what `text` leaves out of the lines that it replaces; what cannot be told is refused.
pub(super) fn filled(
    file: &File<'_>,
    range: &Range<usize>,
    text: Vec<String>,
    notes: &mut Notes,
) -> Result<Vec<String>, Refusal> {
    let original = &file.source.texts()[range.clone()];
    match elide::fill(&text, original, file.path.ends_with(".pyi")) {
        Filled::Whole => Ok(text),
        Filled::Lines(lines) => {
            notes.add(Code::Elide);
            Ok(lines)
        }
        Filled::Unclear(at) => {
            let message = format!("line {} of the new text leaves code out: write every line in full", at + 1);
            Err(refuse(Code::Elision, message, excerpt::around(&text, at..at + 1, 3, 10)))
        }
    }
}

fn ordered(file: &File<'_>, range: &Range<usize>, text: &[String]) -> Vec<Variant> {
    let mut variants: Vec<Variant> = Vec::new();
    let mut add = |new: Vec<String>, codes: Vec<Code>| {
        let splice = Splice { range: range.clone(), new };
        if variants.iter().all(|known| known.splice != splice) {
            variants.push(Variant { splice, codes });
        }
    };
    add(text.to_vec(), Vec::new());
    let mut indents = indents(file, range, text);
    // A definition that stands elsewhere, indented as there, is no lost indentation.
    if place::stands_elsewhere(range, text, file) {
        indents.clear();
    }
    indents.iter().for_each(|new| add(new.clone(), vec![Code::Indent]));
    for (map, code) in [(plain_characters as fn(&str) -> String, Code::Unicode), (without_entities, Code::Entity)] {
        let mapped = |text: &[String]| text.iter().map(|line| map(line)).collect::<Vec<_>>();
        add(mapped(text), vec![code]);
        indents.iter().for_each(|new| add(mapped(new), vec![Code::Indent, code]));
    }
    variants
}

/// Returns the text moved to the indentation of the lines that it replaces: all of it, then its first line only.
fn indents(file: &File<'_>, range: &Range<usize>, text: &[String]) -> Vec<Vec<String>> {
    let old = &file.source.texts()[range.clone()];
    let above = (0..range.start).rev().map(|index| file.source.line(index)).find(|line| !line.trim().is_empty());
    let wanted = match indent::of_first(old) {
        Some(indent) => indent.to_owned(),
        // A definition stands beside the one above it, any other insertion follows the line above.
        None => match file.definitions().iter().rev().find(|definition| definition.header <= range.start) {
            Some(beside) if place::begins_definition(text, file) => indent::of(file.source.line(beside.header - 1)),
            _ => above.map(indent::of).unwrap_or_default(),
        }
        .to_owned(),
    };
    let Some(given) = indent::of_first(text).filter(|given| *given != wanted) else { return Vec::new() };
    let mut found: Vec<Vec<String>> = indent::shifted(text, given, &wanted).into_iter().collect();
    let mut filled = text.iter().filter(|line| !line.trim().is_empty());
    // Where a later line is right as it stands, only the first one lost its indentation.
    let is_right = |line: &String| old.iter().any(|old| old == line);
    let at = if filled.by_ref().skip(1).any(is_right) { 0 } else { found.len() };
    found.insert(at, indent::first_moved(text, &wanted));
    found
}

/// Returns the text at ranges whose ends are up to two lines elsewhere.
fn moved(file: &File<'_>, range: &Range<usize>, text: &[String]) -> Vec<Variant> {
    let mut variants = Vec::new();
    if range.is_empty() {
        return variants;
    }
    for start in range.start.saturating_sub(2)..=range.start + 2 {
        for end in range.end.saturating_sub(2)..=range.end + 2 {
            // A header that nobody named is not replaced by chance.
            let takes_header = |at: usize| (start..end).contains(&at) && !range.contains(&at);
            if file.definitions().iter().any(|definition| takes_header(definition.header - 1)) {
                continue;
            }
            if start < end && end <= file.source.len() && (start, end) != (range.start, range.end) {
                let splice = Splice { range: start..end, new: text.to_vec() };
                variants.push(Variant { splice, codes: vec![Code::Snap] });
            }
        }
    }
    variants
}

fn plain_characters(line: &str) -> String {
    line.chars()
        .filter(|c| !matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}'))
        .map(|c| match c {
            '‘' | '’' | '‚' | '′' => '\'',
            '“' | '”' | '„' | '″' => '"',
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => ' ',
            '–' | '—' | '−' => '-',
            '×' => '*',
            c => c,
        })
        .collect()
}

fn without_entities(line: &str) -> String {
    let line = line.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    line.replace("&#x27;", "'").replace("&nbsp;", " ").replace("&amp;", "&")
}
