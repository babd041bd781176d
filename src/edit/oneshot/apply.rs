//! Hunks onto bytes, by the rules of the program that is to apply them.

use std::cell::Cell;

use super::super::code::Code;
use super::super::source::Splice;
use super::parse::{Hunk, Mark, Program};

/// Lines of context at each end that `patch --fuzz=5` gives up at most.
const FUZZ: usize = 5;

/// Lines that are compared at most while the hunks of a file are looked for; beyond that they have no place.
const PATIENCE: usize = 50_000_000;

/// A file after its hunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) bytes: Vec<u8>,
    /// The lines of the file before that were replaced.
    pub(super) splices: Vec<Splice>,
    /// How far from the letter of the diff it went.
    pub(super) codes: Vec<Code>,
}

/// Lines of the old text and what comes in their place, found at an index.
struct Place {
    start: usize,
    old: usize,
    new: Vec<Vec<u8>>,
}

/// Applies hunks in order, all or none.
///
/// # Errors
/// The first hunk that has no place.
pub(super) fn apply(bytes: &[u8], hunks: &[Hunk], program: Program) -> Result<Applied, String> {
    let is_reversed = program == Program::Patch && hunks.first().is_some_and(|hunk| fits_backwards(bytes, hunk));
    if !is_reversed {
        return in_order(bytes, hunks, program);
    }
    let backwards: Vec<Hunk> = hunks.iter().map(reversed).collect();
    let mut applied = in_order(bytes, &backwards, program)?;
    applied.codes.push(Code::Reversed);
    Ok(applied)
}

/// Says whether `patch --batch` takes the diff for a reversed one: its first hunk fits backwards, and forwards not or
/// only with more of its context given up.
fn fits_backwards(bytes: &[u8], hunk: &Hunk) -> bool {
    let before: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let fuzz = |hunk: &Hunk| patch(&before, hunk, 0, &mut 0, &Cell::new(PATIENCE)).map(|(_, _, fuzz)| fuzz);
    match (fuzz(hunk), fuzz(&reversed(hunk))) {
        (forwards, Some(backwards)) => forwards.is_none_or(|forwards| backwards < forwards),
        (_, None) => false,
    }
}

fn in_order(bytes: &[u8], hunks: &[Hunk], program: Program) -> Result<Applied, String> {
    let before: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let mut codes = Vec::new();
    let mut places: Vec<Place> = Vec::new();
    let patience = Cell::new(PATIENCE);
    // Lines before this one belong to earlier hunks; how far the last one was from where it said.
    let (mut frozen, mut shift) = (0, 0_isize);
    for (index, hunk) in hunks.iter().enumerate() {
        let found = match program {
            Program::Git => git(&before, hunk, &places, &patience),
            Program::Patch => {
                patch(&before, hunk, frozen, &mut shift, &patience).map(|(place, codes, _)| (place, codes))
            }
        };
        let Some((place, deviations)) = found else {
            return Err(format!("hunk {} has no place near line {}", index + 1, hunk.old_start));
        };
        for code in deviations {
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        frozen = place.start + place.old;
        // Git may find a later hunk above an earlier one.
        let at = places.partition_point(|other| other.start <= place.start);
        places.insert(at, place);
    }
    let mut out = Vec::new();
    let mut next = 0;
    for place in &places {
        out.extend(before[next..place.start].concat());
        out.extend(place.new.concat());
        next = place.start + place.old;
    }
    out.extend(before[next..].concat());
    let splices = places.iter().map(|place| splice(place, &before)).collect();
    Ok(Applied { bytes: out, splices, codes })
}

/// Returns what a place really changes: without the lines at both ends that stay.
fn splice(place: &Place, before: &[&[u8]]) -> Splice {
    let old = &before[place.start..place.start + place.old];
    let same = |(old, new): &(&&[u8], &Vec<u8>)| **old == new.as_slice();
    let head = old.iter().zip(&place.new).take_while(same).count();
    let tail = old[head..].iter().rev().zip(place.new[head..].iter().rev()).take_while(same).count();
    let text = |line: &Vec<u8>| String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
    Splice {
        range: place.start + head..place.start + place.old - tail,
        new: place.new[head..place.new.len() - tail].iter().map(text).collect(),
    }
}

fn side(hunk: &Hunk, other: Mark) -> Vec<Vec<u8>> {
    hunk.lines.iter().filter(|(mark, _)| *mark != other).map(|(_, text)| text.clone()).collect()
}

/// Counts the lines of context at the beginning and at the end.
fn context(hunk: &Hunk) -> [usize; 2] {
    let is_context = |line: &&(Mark, Vec<u8>)| line.0 == Mark::Context;
    [hunk.lines.iter().take_while(is_context).count(), hunk.lines.iter().rev().take_while(is_context).count()]
}

fn reversed(hunk: &Hunk) -> Hunk {
    let turned = |mark: Mark| match mark {
        Mark::Old => Mark::New,
        Mark::New => Mark::Old,
        Mark::Context => Mark::Context,
    };
    let lines = hunk.lines.iter().map(|(mark, text)| (turned(*mark), text.clone())).collect();
    Hunk { old_start: hunk.new_start, new_start: hunk.old_start, lines }
}

/// Finds a hunk as `git apply` does: all of its old lines, anywhere outside earlier hunks, the nearest place first; at
/// the beginning of the file if it says line 1, at the end if it has no context there.
fn git(before: &[&[u8]], hunk: &Hunk, earlier: &[Place], patience: &Cell<usize>) -> Option<(Place, Vec<Code>)> {
    let old = side(hunk, Mark::New);
    // Git counts lines in the file as the earlier hunks leave it.
    let grown: isize = earlier.iter().map(|place| place.new.len() as isize - place.old as isize).sum();
    let total = before.len() as isize + grown;
    let at_beginning = hunk.old_start <= 1;
    let at_end = context(hunk)[1] == 0;
    let wanted = match (at_beginning, at_end) {
        (true, _) => 0,
        (false, true) => total - old.len() as isize,
        _ => hunk.new_start as isize - 1,
    };
    let wanted = wanted.clamp(0, total);
    let fits = |line: isize| -> Option<usize> {
        if line < 0 || (at_beginning && line != 0) || (at_end && line + old.len() as isize != total) {
            return None;
        }
        let start = in_file(line, old.len(), earlier, patience)?;
        let found = before.get(start..start + old.len())?;
        equal(found, &old, patience).then_some(start)
    };
    let reach = wanted.max(total - wanted);
    let around = (0..=reach).flat_map(|offset| [wanted + offset, wanted - offset]);
    let around = around.take_while(|_| patience.get() > 0);
    let (line, start) = around.filter_map(|line| fits(line).map(|start| (line, start))).next()?;
    let codes = if line == hunk.new_start.saturating_sub(1) as isize { vec![] } else { vec![Code::Offset] };
    Some((Place { start, old: old.len(), new: side(hunk, Mark::Old) }, codes))
}

/// Compares lines while there is patience; each comparison costs some.
fn equal(found: &[&[u8]], wanted: &[Vec<u8>], patience: &Cell<usize>) -> bool {
    let same = found.iter().zip(wanted).take_while(|(found, wanted)| **found == wanted.as_slice()).count();
    let left = patience.get().checked_sub(same + 1);
    patience.set(left.unwrap_or(0));
    left.is_some() && same == wanted.len()
}

/// Turns a line of the file as it is now into one of the file before; nothing inside an earlier hunk.
fn in_file(line: isize, length: usize, earlier: &[Place], patience: &Cell<usize>) -> Option<usize> {
    let mut shift = 0_isize;
    patience.set(patience.get().checked_sub(earlier.len())?);
    for place in earlier {
        let start = place.start as isize + shift;
        let end = start + place.new.len() as isize;
        if line + length as isize <= start && line < end {
            break;
        }
        if line < end {
            return None;
        }
        shift += place.new.len() as isize - place.old as isize;
    }
    usize::try_from(line - shift).ok()
}

/// Finds a hunk as `patch` does: near where it says, moved as far as the hunk before was, giving up a line of context
/// at each longer end after the other.
fn patch(
    before: &[&[u8]],
    hunk: &Hunk,
    frozen: usize,
    shift: &mut isize,
    patience: &Cell<usize>,
) -> Option<(Place, Vec<Code>, usize)> {
    let (old, new) = (side(hunk, Mark::New), side(hunk, Mark::Old));
    let [prefix, suffix] = context(hunk);
    let longest = prefix.max(suffix);
    // An empty old side says the line that it follows.
    let said = hunk.old_start as isize + isize::from(old.is_empty());
    for fuzz in 0..=FUZZ.min(longest) {
        let [head, tail] = [prefix, suffix].map(|own| (fuzz + own) as isize - longest as isize);
        let Some(start) = locate(before, &old, said + *shift, [head, tail], frozen, hunk.old_start, patience) else {
            continue;
        };
        let deviation = start as isize + 1 - said;
        let mut codes = Vec::new();
        if deviation != 0 {
            codes.push(Code::Offset);
        }
        let [head, tail] = [head, tail].map(|cut| usize::try_from(cut).unwrap_or(0));
        if head + tail > 0 {
            codes.push(Code::Fuzz);
        }
        *shift = deviation;
        let place =
            Place { start: start + head, old: old.len() - head - tail, new: new[head..new.len() - tail].to_vec() };
        return Some((place, codes, fuzz));
    }
    None
}

/// Returns the index where the lines are, the nearest to `guess` (from 1) first. A negative number at an end says that
/// the context there is shorter than at the other, which holds only at that end of the file.
fn locate(
    before: &[&[u8]],
    old: &[Vec<u8>],
    guess: isize,
    [head, tail]: [isize; 2],
    frozen: usize,
    said: usize,
    patience: &Cell<usize>,
) -> Option<usize> {
    if old.is_empty() {
        // Nothing to compare fits everywhere, behind the end too.
        return usize::try_from(guess - 1).ok().map(|start| start.min(before.len())).filter(|start| *start >= frozen);
    }
    let cut = [head, tail].map(|cut| usize::try_from(cut).unwrap_or(0));
    let fits = |line: isize| -> Option<usize> {
        // Each place that is tried costs, also one that is none: a diff of many hunks could ask for all of them again.
        patience.set(patience.get().checked_sub(1)?);
        let start = usize::try_from(line - 1).ok()?;
        let (first, last) = (start + cut[0], (start + old.len()).checked_sub(cut[1])?);
        if first < frozen || last > before.len() || first > last {
            return None;
        }
        let wanted = &old[cut[0]..old.len() - cut[1]];
        equal(&before[first..last], wanted, patience).then_some(start)
    };
    if head < 0 && said <= 1 {
        return fits(1).filter(|_| tail >= 0 || before.len() == old.len());
    }
    if tail < 0 {
        return fits(before.len() as isize - old.len() as isize + 1);
    }
    let reach = guess.unsigned_abs() + before.len() + 1;
    // Whatever the hunk says, places outside the file need not be tried.
    let first = (guess - before.len() as isize - 1).max(1 - guess).max(0);
    let around = (first..=reach as isize).flat_map(|offset| [guess + offset, guess - offset]);
    around.filter(|line| *line >= 1).take_while(|_| patience.get() > 0).find_map(fits)
}
