//! Adding up and printing.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use crate::METHODS;

/// The depths at which it is asked whether the fix's files are there.
const DEPTHS: [usize; 4] = [1, 3, 5, 10];

/// One instance, measured.
pub(crate) struct Measured {
    /// The place of each file of the known fix, from 1, by method; nothing where the method leaves it out.
    pub(crate) places: [Vec<Option<usize>>; METHODS.len()],
    /// The first paths of each order.
    pub(crate) first: [Vec<String>; METHODS.len()],
    /// Files ranked.
    pub(crate) files: usize,
    /// Processor time for ranking files that are in memory.
    pub(crate) alone: Duration,
    /// Time that passed for listing the commit, reading its files and ranking them.
    pub(crate) with_reading: Duration,
}

/// All instances, by group: halves, repositories, and everything.
#[derive(Default)]
pub(crate) struct Table {
    groups: BTreeMap<(u8, String), Vec<usize>>,
    all: Vec<Measured>,
}

impl Table {
    /// Adds an instance.
    pub(crate) fn add(&mut self, repo: &str, half: &str, measured: Measured) {
        for group in [(0, repo), (1, half), (2, "all")] {
            self.groups.entry((group.0, group.1.to_owned())).or_default().push(self.all.len());
        }
        self.all.push(measured);
    }
}

impl Display for Table {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        for ((_, name), members) in &self.groups {
            let group: Vec<&Measured> = members.iter().map(|number| &self.all[*number]).collect();
            writeln!(out, "\n{name}: {} instances, {} files ranked in the median", group.len(), median(&group))?;
            for (method, title) in METHODS.iter().enumerate() {
                let shares: Vec<String> = DEPTHS.iter().map(|depth| share(&group, method, *depth)).collect();
                writeln!(out, "  {title:32} {}", shares.join("  "))?;
            }
            writeln!(out, "  ranking alone, processor time: {}", times(group.iter().map(|one| one.alone)))?;
            writeln!(out, "  with reading, time passed: {}", times(group.iter().map(|one| one.with_reading)))?;
        }
        Ok(())
    }
}

fn median(group: &[&Measured]) -> usize {
    let mut files: Vec<usize> = group.iter().map(|one| one.files).collect();
    files.sort_unstable();
    files[files.len() / 2]
}

/// Instances with all files of the fix among the first `depth`, and beside it the files found where a fix has several.
fn share(group: &[&Measured], method: usize, depth: usize) -> String {
    let is_found = |place: &&Option<usize>| place.is_some_and(|place| place <= depth);
    let (mut all, mut found, mut files) = (0, 0, 0);
    for places in group.iter().map(|one| &one.places[method]) {
        let here = places.iter().filter(is_found).count();
        all += usize::from(here == places.len());
        found += here;
        files += places.len();
    }
    let several = if files == group.len() { String::new() } else { format!(" (files {found}/{files})") };
    format!("@{depth} {all:3} {:5.1} %{several}", all as f64 * 100.0 / group.len() as f64)
}

fn times(times: impl Iterator<Item = Duration>) -> String {
    let mut sorted: Vec<Duration> = times.collect();
    sorted.sort_unstable();
    let at = |tenths: usize| sorted[(sorted.len() * tenths / 10).min(sorted.len() - 1)].as_millis();
    format!("median {} ms, p90 {} ms, longest {} ms", at(5), at(9), at(10))
}
