//! Rung 641, edge sanity: one run holds together. A criterion is a function of the same name.

mod calls;
mod ending;
mod files;
mod replies;
mod trees;
pub(super) mod whole;

use super::course::Course;
use super::finding::Finding;
use super::ladder::{Basis, Number, Rung};
use super::recorded;
use crate::canon::Sha256;
use crate::transcript::{Evidence, ReplayOutcome};

/// What is known of a replay of the run.
#[derive(Debug, Clone, Copy)]
pub enum Replay<'a> {
    /// None was performed, and why.
    None(&'a str),
    /// It could not read the recording, and why.
    Broken(&'a str),
    /// This is what it showed.
    Outcome(&'a ReplayOutcome),
}

/// What a run is judged by.
#[derive(Clone, Copy)]
pub struct RunInput<'a> {
    /// Its manifest and blobs.
    pub evidence: &'a Evidence<'a>,
    /// The raw and the canonical root that somebody wrote down: the store's row, or a certificate.
    pub roots: Option<[Sha256; 2]>,
    /// What a replay showed.
    pub replay: Replay<'a>,
}

/// Assesses rung 641 of a run.
pub fn assess_run(input: &RunInput<'_>) -> Rung {
    if recorded::is_recorded(input.evidence) {
        return recorded::assess(input);
    }
    let course = Course::read(input.evidence);
    let mut criteria = vec![whole::transcript_complete(input, course.as_ref().err().map(String::as_str))];
    let named: [(&str, Basis, Assess); 8] = [
        ("replies-reparse", Basis::Recomputed, replies::replies_reparse),
        ("edits-reapply", Basis::Recomputed, trees::edits_reapply),
        ("files-intact", Basis::Recomputed, files::files_intact),
        ("attempts-pristine", Basis::Observed, trees::attempts_pristine),
        ("calls-greedy", Basis::Recomputed, calls::calls_greedy),
        ("final-patch", Basis::Recomputed, ending::final_patch),
        ("patch-accepted", Basis::Observed, ending::patch_accepted),
        ("outcome-follows", Basis::Recomputed, ending::outcome_follows),
    ];
    for (name, basis, assess) in named {
        criteria.push(match &course {
            Ok(course) => assess(course).criterion(name, basis),
            Err(_) => Finding::unknown("the transcript's events are not in order").criterion(name, basis),
        });
    }
    criteria.push(whole::replay_equal(input.evidence, input.replay));
    Rung::new(Number::Edge, None, criteria)
}

/// Returns the assessment of the same evidence with another replay: no other criterion looks at the replay.
#[must_use]
pub fn with_replay(rung: &Rung, evidence: &Evidence<'_>, replay: Replay<'_>) -> Rung {
    let replayed = if recorded::is_recorded(evidence) { whole::roots_recomputed } else { whole::replay_equal };
    let last = replayed(evidence, replay);
    let others = rung.criteria().iter().filter(|criterion| criterion.name != last.name).cloned();
    let criteria = others.chain([last.clone()]).collect();
    Rung::new(rung.number(), rung.profile(), criteria)
}

type Assess = fn(&Course<'_>) -> Finding;
