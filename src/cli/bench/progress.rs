//! What a person sees of a campaign at work: a line for each run that ended, and on a terminal one line that changes.

use std::collections::{BTreeMap, BTreeSet};

use crate::campaign::Member;
use crate::canon::RunId;
use crate::cli::Failure;
use crate::cli::progress::duration;
use crate::cli::ui::printable_line;

/// The word for a run whose time was over.
pub(super) const OUT_OF_TIME: &str = "out of time";

/// How a run ended.
pub(super) struct Ended {
    /// The word for its outcome.
    pub(super) word: &'static str,
    pub(super) attempts: usize,
}

/// What this process has seen of the campaign so far.
pub(super) struct Counts {
    done: usize,
    /// Runs that this process has to do.
    of: usize,
    began_us: u64,
    pub(super) errors: BTreeSet<RunId>,
    /// What a person can do about them.
    pub(super) hints: BTreeSet<String>,
    arms: BTreeMap<String, Arm>,
}

#[derive(Default)]
struct Arm {
    ended: usize,
    resolved: usize,
    late: usize,
    errors: usize,
}

impl Counts {
    pub(super) fn new(of: usize, began_us: u64) -> Self {
        Self { done: 0, of, began_us, errors: BTreeSet::new(), hints: BTreeSet::new(), arms: BTreeMap::new() }
    }

    /// Counts a run and returns the line about it.
    pub(super) fn add(&mut self, member: &Member, result: &Result<Ended, Failure>) -> String {
        self.done += 1;
        let arm = self.arms.entry(member.arm.clone()).or_default();
        let place = format!(
            "{}/{}  {}  {}  seed {}",
            self.done,
            self.of,
            printable_line(&member.instance),
            member.arm,
            member.seed
        );
        match result {
            Ok(Ended { word, attempts }) => {
                // It can be gone on with, so it has not failed.
                let is_late = *word == OUT_OF_TIME;
                arm.late += usize::from(is_late);
                arm.ended += usize::from(!is_late);
                arm.resolved += usize::from(*word == "resolved");
                format!("{place}  {word}  attempts: {attempts}")
            }
            Err(failure) => {
                arm.errors += 1;
                self.errors.insert(member.run);
                self.hints.extend(failure.hint.clone());
                format!("{place}  environment error: {}", printable_line(&failure.message))
            }
        }
    }

    /// Returns the line that changes on a terminal.
    pub(super) fn text(&self, now_us: u64) -> String {
        let arm = |(name, arm): (&String, &Arm)| {
            let Arm { ended, resolved, late, errors } = arm;
            let late = if *late == 0 { String::new() } else { format!(", {late} {OUT_OF_TIME}") };
            format!("{name}: {ended} done, {resolved} resolved, {} failed, {errors} errors{late}", ended - resolved)
        };
        let arms: Vec<String> = self.arms.iter().map(arm).collect();
        let pace = self.pace(now_us).map_or_else(String::new, |pace| format!("  {pace}"));
        format!("{} of {}{pace}  {}", self.done, self.of, arms.join(" · "))
    }

    /// Says how fast it goes and how long it will take, once a run has ended.
    fn pace(&self, now_us: u64) -> Option<String> {
        let seconds = now_us.saturating_sub(self.began_us) / 1_000_000;
        if self.done == 0 || seconds == 0 {
            return None;
        }
        let (done, left) = (self.done as u64, (self.of - self.done) as u64);
        let an_hour = done * 3600 / seconds;
        Some(format!("{an_hour} runs an hour, {} left", duration(seconds * left / done)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(arm: &str, seed: u32) -> Member {
        Member { run: RunId::from_bytes([seed as u8; 12]), instance: "a".into(), arm: arm.into(), seed }
    }

    #[test]
    fn the_line_counts_by_arm_and_says_what_is_left() {
        let mut counts = Counts::new(10, 0);
        assert_eq!(counts.text(5_000_000), "0 of 10  ");
        counts.add(&member("patch", 1), &Ok(Ended { word: "unresolved", attempts: 1 }));
        counts.add(&member("direct-1", 1), &Ok(Ended { word: "resolved", attempts: 1 }));
        let failure = Failure::new(crate::cli::FailureKind::Environment, "no\nserver");
        let line = counts.add(&member("direct-1", 2), &Err(failure));
        assert_eq!(line, "3/10  a  direct-1  seed 2  environment error: no\\nserver");
        assert_eq!(
            counts.text(90_000_000),
            "3 of 10  120 runs an hour, 3 min left  direct-1: 1 done, 1 resolved, 0 failed, 1 errors · patch: 1 done, 0 resolved, 1 failed, 0 errors"
        );
        assert_eq!(counts.errors.len(), 1);
        counts.add(&member("patch", 2), &Ok(Ended { word: OUT_OF_TIME, attempts: 0 }));
        assert!(counts.text(90_000_000).ends_with("patch: 1 done, 0 resolved, 1 failed, 0 errors, 1 out of time"));
    }
}
