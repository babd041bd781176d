//! Runs of equal lines, found in linear time: replies and files may be long and made of one line over and over.

use std::hash::Hash;

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// Returns for each prefix of `lines` the length of the longest other prefix that it ends with.
fn borders<T: PartialEq>(lines: &[T]) -> Vec<usize> {
    let mut borders = vec![0; lines.len()];
    let mut length = 0;
    for index in 1..lines.len() {
        length = longer(lines, &borders, length, &lines[index]);
        borders[index] = length;
    }
    borders
}

/// Returns the length of the prefix that is read when one of this length is followed by `next`.
fn longer<T: PartialEq>(lines: &[T], borders: &[usize], mut length: usize, next: &T) -> usize {
    while length > 0 && lines.get(length) != Some(next) {
        length = borders[length - 1];
    }
    if lines.get(length) == Some(next) { length + 1 } else { 0 }
}

/// Returns the indices at which `wanted` stands in `lines`, at most `most` of them.
pub(super) fn places<T: PartialEq>(lines: &[T], wanted: &[T], most: usize) -> Vec<usize> {
    let borders = borders(wanted);
    let mut found = Vec::new();
    let mut length = 0;
    for (index, line) in lines.iter().enumerate() {
        length = longer(wanted, &borders, length, line);
        if length == wanted.len() && length > 0 {
            found.push(index + 1 - length);
            if found.len() == most {
                break;
            }
        }
    }
    found
}

/// Returns how many lines at the end of `one` can be the start of `other`, the longest run first.
pub(super) fn overlaps<T: PartialEq>(one: &[T], other: &[T]) -> Vec<usize> {
    let borders = borders(other);
    let mut length = 0;
    for line in &one[one.len().saturating_sub(other.len())..] {
        length = longer(other, &borders, length, line);
    }
    let shorter = |length: &usize| Some(borders[*length - 1]).filter(|border| *border > 0);
    std::iter::successors(Some(length).filter(|length| *length > 0), shorter).collect()
}

/// Says whether one text comes from the other by removing and adding at most `most` lines.
pub(super) fn is_within<T: PartialEq>(one: &[T], other: &[T], most: usize) -> bool {
    if one.len().abs_diff(other.len()) > most {
        return false;
    }
    // The furthest index of `one` on each diagonal, as in Myers' greedy algorithm.
    let mut furthest = vec![0_usize; 2 * most + 3];
    for distance in 0..=most {
        for step in 0..=distance {
            // The diagonal, `one` minus `other`, moved so that it is an index.
            let at = most + 1 + 2 * step - distance;
            let is_added = step == 0 || (step < distance && furthest[at - 1] < furthest[at + 1]);
            let mut x = if is_added { furthest[at + 1] } else { furthest[at - 1] + 1 };
            let Some(mut y) = (x + most + 1).checked_sub(at) else { continue };
            while x < one.len() && y < other.len() && one[x] == other[y] {
                (x, y) = (x + 1, y + 1);
            }
            if x >= one.len() && y >= other.len() {
                return true;
            }
            furthest[at] = x;
        }
    }
    false
}

/// Counts the lines that differ between two texts; `None` if they are more than `most`, which is seen early.
pub(super) fn changed<T: Eq + Hash + Ord>(old: &[T], new: &[T], most: usize) -> Option<usize> {
    let head = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    // Each changed line is removed, added or both.
    if old.len().abs_diff(new.len()) > most || !is_within(old, new, 2 * most) {
        return None;
    }
    let lines = |op: &DiffOp| match op {
        DiffOp::Equal { .. } => 0,
        op => op.old_range().len().max(op.new_range().len()),
    };
    Some(capture_diff_slices(Algorithm::Myers, old, new).iter().map(lines).sum()).filter(|lines| *lines <= most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_runs_of_one_line_take_no_time() {
        let file = vec!["a"; 400_000];
        let mut wanted = vec!["a"; 200_000];
        assert_eq!(places(&file, &wanted, 2), [0, 1]);
        assert_eq!(overlaps(&file, &wanted).len(), wanted.len());
        wanted.push("b");
        assert!(places(&file, &wanted, 2).is_empty());
        assert_eq!(overlaps(&file, &wanted).len(), 200_000);
        assert!(!is_within(&file[..200_200], &wanted, 100));
        assert!(is_within(&file[..200_200], &wanted, 201));
    }

    proptest! {
        #[test]
        fn as_by_looking_everywhere(
            one in prop::collection::vec(0..3_u8, 0..12),
            other in prop::collection::vec(0..3_u8, 0..6),
            most in 0..8_usize,
        ) {
            let everywhere: Vec<usize> =
                (0..one.len()).filter(|start| !other.is_empty() && one[*start..].starts_with(&other)).collect();
            prop_assert_eq!(places(&one, &other, usize::MAX), everywhere);
            let ends: Vec<usize> =
                (1..=other.len()).rev().filter(|length| one.ends_with(&other[..*length])).collect();
            prop_assert_eq!(overlaps(&one, &other), ends);
            // The length of the longest common subsequence, row by row.
            let mut row = vec![0; other.len() + 1];
            for a in &one {
                let before = row.clone();
                for (at, b) in other.iter().enumerate() {
                    row[at + 1] = if a == b { before[at] + 1 } else { row[at].max(before[at + 1]) };
                }
            }
            let distance = one.len() + other.len() - 2 * row[other.len()];
            prop_assert_eq!(is_within(&one, &other, most), distance <= most);
        }
    }
}
