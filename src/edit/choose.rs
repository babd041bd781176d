//! Putting the edits of one file together: order, repetition, overlap, and the syntax gate that picks the variants.

use super::code::Code;
use super::excerpt;
use super::notes::{Notes, refuse};
use super::source::Splice;
use super::types::Refusal;
use super::variant::{Edit, File, Variant};
use crate::syntax::{Gate, SyntaxError, balance, errors, new_errors};

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
    let mut chosen: Vec<&Variant> = Vec::new();
    for edit in &edits {
        match edit.ordered.first().or(edit.single.first()) {
            Some(first) => chosen.push(first),
            None => return Err(refuse(edit.ambiguous, "the edit has no text: give the new lines in a fence", "")),
        }
    }
    for (index, edit) in edits.iter().enumerate() {
        if !edit.ordered.is_empty() {
            continue;
        }
        let passing = passing(file, &chosen, index, &edit.single);
        let [only] = passing.as_slice() else { return Err(several_texts(edit.ambiguous, passing.len())) };
        chosen[index] = only;
    }
    let mut added = count(file, &chosen);
    for (index, edit) in edits.iter().enumerate() {
        // The first variant that leaves the fewest errors is taken, so one good reading of each edit is enough.
        for variant in &edit.ordered {
            if added == 0 {
                break;
            }
            let before = std::mem::replace(&mut chosen[index], variant);
            let now = count(file, &chosen);
            if now < added {
                added = now;
            } else {
                chosen[index] = before;
            }
        }
    }
    let mut several = None;
    for (index, edit) in edits.iter().enumerate() {
        if added == 0 || edit.single.is_empty() || edit.ordered.is_empty() {
            continue;
        }
        let passing = passing(file, &chosen, index, &edit.single);
        match tightest(file, &passing) {
            Some(only) => {
                chosen[index] = only;
                added = 0;
            }
            None if passing.is_empty() => {}
            None => several = Some(edit.ambiguous),
        }
    }
    let splices = sorted(&chosen);
    let bytes = file.source.with(&splices).ok_or_else(|| overlap(file, &splices, notes))?;
    if added > 0 {
        return Err(broken(file, &splices, &bytes, several));
    }
    chosen.iter().for_each(|variant| notes.add_all(&variant.codes));
    match file.language.map(|language| errors(language, &bytes)) {
        Some(Some(found)) if found.is_empty() => {}
        // An unknown language, a file too large to parse, or one that was broken before.
        _ => notes.add(Code::NoGate),
    }
    Ok(Combined { bytes, splices })
}

/// Counts the syntax errors that the choice adds; an impossible combination counts as many.
fn count(file: &File<'_>, chosen: &[&Variant]) -> usize {
    let Some(bytes) = file.source.with(&sorted(chosen)) else { return usize::MAX };
    match gate(file, &bytes) {
        Gate::Added(errors) => errors.len(),
        _ => 0,
    }
}

/// Asks the language's grammar, or counts brackets where none is known.
fn gate(file: &File<'_>, bytes: &[u8]) -> Gate {
    match file.language {
        Some(language) => new_errors(language, file.source.bytes(), bytes),
        None => balance(file.path, file.source.bytes(), bytes),
    }
}

fn passing<'v>(file: &File<'_>, chosen: &[&'v Variant], index: usize, variants: &'v [Variant]) -> Vec<&'v Variant> {
    let mut trial = chosen.to_vec();
    let mut found = Vec::new();
    for variant in variants {
        trial[index] = variant;
        if count(file, &trial) == 0 {
            found.push(variant);
        }
    }
    found
}

/// Returns the one with the smallest range if they differ only in blank lines that they take along.
fn tightest<'v>(file: &File<'_>, variants: &[&'v Variant]) -> Option<&'v Variant> {
    let filled = |variant: &Variant| -> Vec<usize> {
        variant.splice.range.clone().filter(|index| !file.source.line(*index).trim().is_empty()).collect()
    };
    let first = variants.iter().copied().min_by_key(|variant| variant.splice.range.len())?;
    variants.iter().all(|variant| filled(variant) == filled(first)).then_some(first)
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
            let is_removed = |index: usize| {
                let line = file.source.line(index);
                line.trim().is_empty() || !large.new.iter().any(|new| *new == line)
            };
            let has_text = match small.new.is_empty() {
                true => small.range.clone().all(is_removed),
                false => small.new.iter().all(|line| large.new.contains(line)),
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
    let added: Vec<SyntaxError> = match gate(file, bytes) {
        Gate::Added(errors) => errors,
        _ => Vec::new(),
    };
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
        out.push_str(&excerpt::around(&file.source.texts(), splice.range.clone(), 2, 15));
    }
    let first = added.first().map(|error| error.problem.to_string()).unwrap_or_default();
    let (code, advice) = match several {
        Some(code) => (code, "several ranges near it would fit: give the exact LINES"),
        None => (Code::Syntax, "check LINES and the indentation of the new lines"),
    };
    refuse(code, format!("{} would not parse any more ({first}): {advice}", file.path), out)
}
