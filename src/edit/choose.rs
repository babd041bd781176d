//! Putting the edits of one file together: order, repetition, overlap, and the syntax gate that picks the variants.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::code::Code;
use super::excerpt;
use super::nesting::misplaced;
use super::notes::{Notes, refuse};
use super::source::Splice;
use super::types::Refusal;
use super::variant::{Edit, File, Variant};
use crate::syntax::{Definition, Gate, Kind, SyntaxError, definitions, errors, lacks_code};

/// Lines that may differ where a text is compared with those that it replaces.
const MOST_DIFFERENT: usize = 2000;

/// Bytes of results that are tried for one file.
const MOST_TRIED: usize = 4 << 20;

/// What a syntax error weighs beside something in a wrong place.
const BROKEN: usize = 1 << 20;

/// The edits of one file, combined: its new bytes and what was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Combined {
    pub(super) bytes: Vec<u8>,
    pub(super) splices: Vec<Splice>,
}

/// Combines the edits of one file.
pub(super) fn combine(file: &File<'_>, edits: Vec<Edit>, notes: &mut Notes) -> Result<Combined, Refusal> {
    let edits = without_repetition(edits, notes);
    let edits = without_overlap(file, edits, notes)?;
    let trials = Trials { file, left: Cell::new((MOST_TRIED / file.source.bytes().len().max(1)).clamp(3, 2000)) };
    let mut chosen: Vec<&Variant> = Vec::new();
    for edit in &edits {
        match edit.ordered.first().or(edit.single.first()) {
            Some(first) => chosen.push(first),
            None => return Err(several_texts(edit.ambiguous, 0)),
        }
    }
    for (index, edit) in edits.iter().enumerate() {
        if !edit.ordered.is_empty() {
            continue;
        }
        // Of several texts that parse nobody can say which is meant, even where one would stand in a wrong place.
        let passing = passing(&trials, &chosen, index, &edit.single, BROKEN - 1);
        let [only] = passing.as_slice() else { return Err(several_texts(edit.ambiguous, passing.len())) };
        chosen[index] = only;
    }
    let mut added = trials.count(&chosen);
    for (index, edit) in edits.iter().enumerate() {
        // The first variant that leaves the fewest errors is taken, so one good reading of each edit is enough.
        for variant in &edit.ordered {
            if added == 0 {
                break;
            }
            let before = std::mem::replace(&mut chosen[index], variant);
            let now = trials.count(&chosen);
            if now < added {
                added = now;
            } else {
                chosen[index] = before;
            }
        }
    }
    let mut several = None;
    for (index, edit) in edits.iter().enumerate() {
        // Elsewhere is looked only for what does not parse, not for what would stand in a wrong place.
        if added < BROKEN || edit.single.is_empty() || edit.ordered.is_empty() {
            continue;
        }
        let passing = passing(&trials, &chosen, index, &edit.single, 0);
        match tightest(file, &passing) {
            Some(only) if is_near(edit, only) => {
                chosen[index] = only;
                added = 0;
            }
            _ if passing.is_empty() => {}
            _ => several = Some(edit.ambiguous),
        }
    }
    let splices = sorted(&chosen);
    let bytes = file.source.with(&splices).ok_or_else(|| overlap(file, &splices, notes))?;
    if added > 0 {
        return Err(broken(file, &splices, &bytes, several));
    }
    left_out(file, &edits, &chosen, &bytes)?;
    let splices: Vec<Splice> = splices.iter().flat_map(|splice| file.source.minimal(splice, MOST_DIFFERENT)).collect();
    let bytes = file.source.with(&splices).unwrap_or(bytes);
    chosen.iter().for_each(|variant| notes.add_all(&variant.codes));
    match file.language.map(|language| errors(language, &bytes)) {
        Some(Some(found)) if found.is_empty() => {}
        // An unknown language, a file too large to parse, or one that was broken before.
        _ => notes.add(Code::NoGate),
    }
    Ok(Combined { bytes, splices })
}

/// Tries combinations of one file's edits, so many and no more: each costs a parse.
struct Trials<'f> {
    file: &'f File<'f>,
    left: Cell<usize>,
}

impl Trials<'_> {
    /// Counts what is wrong with the choice: syntax errors that it adds weigh more than all that it puts into a wrong
    /// place; an impossible combination, or one trial too many, counts as many.
    fn count(&self, chosen: &[&Variant]) -> usize {
        let Some(left) = self.left.get().checked_sub(1) else { return usize::MAX };
        let splices = sorted(chosen);
        let Some(bytes) = self.file.source.with(&splices) else { return usize::MAX };
        self.left.set(left);
        match self.file.gate(&bytes) {
            Gate::Added(errors) => errors.len().saturating_mul(BROKEN),
            Gate::Clean => misplaced(self.file, &splices, &bytes).len().min(BROKEN - 1),
            Gate::Unchecked => 0,
        }
    }
}

/// Returns the variants of which no more than `most` is wrong; none when not all could be tried, since then nobody knows
/// whether one is the only one.
fn passing<'v>(
    trials: &Trials<'_>,
    chosen: &[&'v Variant],
    index: usize,
    variants: &'v [Variant],
    most: usize,
) -> Vec<&'v Variant> {
    let mut trial = chosen.to_vec();
    let mut found = Vec::new();
    for variant in variants {
        if trials.left.get() == 0 {
            return Vec::new();
        }
        trial[index] = variant;
        if trials.count(&trial) <= most {
            found.push(variant);
        }
    }
    found
}

/// Refuses an answer that loses definitions on lines of which it does not say that they are replaced: a whole file, or a
/// class, of which only a part was given.
fn left_out(file: &File<'_>, edits: &[Edit], chosen: &[&Variant], bytes: &[u8]) -> Result<(), Refusal> {
    let Some(language) = file.language else { return Ok(()) };
    if edits.iter().zip(chosen).all(|(edit, variant)| edit.said == variant.splice.range) {
        return Ok(());
    }
    let texts = file.source.texts();
    for (_, Variant { splice, .. }) in edits.iter().zip(chosen).filter(|(edit, v)| edit.said != v.splice.range) {
        let old = texts[splice.range.clone()].join("\n");
        if lacks_code(language, &splice.new.join("\n")) && !lacks_code(language, &old) {
            let message = format!("a function of {} is given without its code: write every line in full", file.path);
            return Err(refuse(Code::Elision, message, excerpt::around(&splice.new, 0..splice.new.len(), 0, 10)));
        }
    }
    let after = definitions(language, bytes);
    let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
    after.iter().for_each(|definition| *kept.entry(&definition.name).or_default() += 1);
    let mut lost: Vec<&Definition> = Vec::new();
    let mut function_ends = 0;
    for definition in file.definitions() {
        // What a function defines for itself is its own affair.
        let is_inner = definition.first <= function_ends;
        if definition.kind == Kind::Function {
            function_ends = function_ends.max(definition.last);
        }
        if is_inner || edits.iter().any(|edit| edit.said.contains(&(definition.header - 1))) {
            continue;
        }
        match kept.get_mut(definition.name.as_str()) {
            Some(count) if *count > 0 => *count -= 1,
            _ => lost.push(definition),
        }
    }
    if lost.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = lost.iter().take(5).map(|definition| format!("`{}`", definition.name)).collect();
    let more = if lost.len() > names.len() { " and others" } else { "" };
    let message = format!(
        "the new text leaves out {}{more} of {}: give only the lines that change with their LINES, or all of it",
        names.join(", "),
        file.path
    );
    let shown =
        lost.iter().take(5).map(|definition| excerpt::around(texts, definition.header - 1..definition.header, 0, 1));
    Err(refuse(Code::Elision, message, format!("left out:\n{}", shown.collect::<String>())))
}

/// Returns the one with the smallest range if they differ only in blank lines that they take along.
fn tightest<'v>(file: &File<'_>, variants: &[&'v Variant]) -> Option<&'v Variant> {
    let filled = |variant: &Variant| -> Vec<usize> {
        variant.splice.range.clone().filter(|index| !file.source.line(*index).trim().is_empty()).collect()
    };
    let first = variants.iter().copied().min_by_key(|variant| variant.splice.range.len())?;
    variants.iter().all(|variant| filled(variant) == filled(first)).then_some(first)
}

/// Says whether a moved range is the one that was said, some lines off or with one end off by one: not one that swallows
/// whatever would not parse.
fn is_near(edit: &Edit, moved: &Variant) -> bool {
    edit.said.is_empty() || edit.said.len().abs_diff(moved.splice.range.len()) <= 1
}

fn sorted(chosen: &[&Variant]) -> Vec<Splice> {
    let mut splices: Vec<Splice> = chosen.iter().map(|variant| variant.splice.clone()).collect();
    splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
    splices
}

fn several_texts(code: Code, passing: usize) -> Refusal {
    let message = match code {
        Code::NoBody => "the reasoning cannot be told from the code: put the code in a fence of three backticks".into(),
        _ => format!("the edit has several fences and {passing} of them would fit: give one fence with the new lines"),
    };
    refuse(code, message, "")
}

fn without_repetition(edits: Vec<Edit>, notes: &mut Notes) -> Vec<Edit> {
    let mut kept: Vec<Edit> = Vec::new();
    for edit in edits {
        if kept.contains(&edit) {
            notes.add(Code::Duplicate);
        } else {
            kept.push(edit);
        }
    }
    kept
}

/// Drops edits inside a larger one that holds their text already, and refuses all other overlap.
fn without_overlap(file: &File<'_>, mut edits: Vec<Edit>, notes: &mut Notes) -> Result<Vec<Edit>, Refusal> {
    let first = |edit: &Edit| edit.ordered.first().map(|variant| variant.splice.clone());
    let mut at = 0;
    'next: while at < edits.len() {
        for other in 0..edits.len() {
            let (Some(small), Some(large)) = (first(&edits[at]), first(&edits[other])) else { continue };
            let overlaps = small.range.start < large.range.end && large.range.start < small.range.end;
            if at == other || !overlaps {
                continue;
            }
            let is_inside = large.range.start <= small.range.start && small.range.end <= large.range.end;
            // A removal is in the larger text if that no longer has the lines.
            let known: BTreeSet<&str> = large.new.iter().map(String::as_str).collect();
            let is_removed = |index: usize| {
                let line = file.source.line(index);
                line.trim().is_empty() || !known.contains(line)
            };
            let has_text = match small.new.is_empty() {
                true => small.range.clone().all(is_removed),
                false => small.new.iter().all(|line| known.contains(line.as_str())),
            };
            if is_inside && has_text {
                notes.add(Code::Subsume);
                edits.remove(at);
                continue 'next;
            }
            if !(small.range.start <= large.range.start && large.range.end <= small.range.end && at < other) {
                return Err(overlap(file, &[small, large], notes));
            }
        }
        at += 1;
    }
    Ok(edits)
}

fn overlap(file: &File<'_>, splices: &[Splice], _notes: &Notes) -> Refusal {
    let ranges: Vec<String> =
        splices.iter().map(|splice| format!("{}-{}", splice.range.start + 1, splice.range.end)).collect();
    let message = format!("edits of {} overlap (lines {}): join them into one", file.path, ranges.join(" and "));
    refuse(Code::Overlap, message, "")
}

/// Refuses a result with new syntax errors, and shows them, the result and the original.
fn broken(file: &File<'_>, splices: &[Splice], bytes: &[u8], several: Option<Code>) -> Refusal {
    const SHOWN: usize = 3;
    let added: Vec<SyntaxError> = match file.gate(bytes) {
        Gate::Added(errors) => errors,
        _ => Vec::new(),
    };
    if let (true, Some(misplaced)) = (added.is_empty(), misplaced(file, splices, bytes).first()) {
        let (message, lines) = misplaced.told(file.path);
        return refuse(Code::RangeAmbiguous, message, excerpt::around(file.source.texts(), lines, 1, 15));
    }
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::from("errors:\n");
    added.iter().take(SHOWN).for_each(|error| out.push_str(&format!("  {error}\n")));
    if added.len() > SHOWN {
        out.push_str(&format!("  and {} more\n", added.len() - SHOWN));
    }
    let first = added.first().map_or(1, |error| error.line).saturating_sub(1);
    let splice = splices.iter().min_by_key(|splice| splice.range.start.abs_diff(first));
    // An open bracket is often noticed far from where it was opened; the edit is what must be seen.
    let edited = splice.map_or(first, |splice| splice.range.start);
    let at = if edited.abs_diff(first) > 8 { edited } else { first };
    out.push_str("as it would look:\n");
    out.push_str(&excerpt::around(&lines, at..at + 1, 5, 15));
    if let Some(splice) = splice {
        out.push_str("the original:\n");
        out.push_str(&excerpt::around(file.source.texts(), splice.range.clone(), 2, 15));
    }
    let first = added.first().map(|error| error.problem.to_string()).unwrap_or_default();
    let (code, advice) = match several {
        Some(code) => (code, "several ranges near it would fit: give the exact LINES"),
        None => (Code::Syntax, "check LINES and the indentation of the new lines"),
    };
    refuse(code, format!("{} would not parse any more ({first}): {advice}", file.path), out)
}
