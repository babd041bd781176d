//! The transcript as a whole: nothing missing, nothing changed, and the same again in a replay.

use super::{Replay, RunInput};
use crate::canon::Sha256;
use crate::rung::finding::{Finding, counted};
use crate::rung::ladder::{Basis, Criterion};
use crate::transcript::Evidence;

/// Name of the criterion about the replay, the last one.
pub(in crate::rung) const REPLAY_EQUAL: &str = "replay-equal";
/// Name of the last one of a recorded agent: its command is not run, what it left is computed again.
pub(in crate::rung) const ROOTS_RECOMPUTED: &str = "roots-recomputed";

/// Every body is there with its digests, the roots are the ones written down, and the events are in order to the end.
pub(in crate::rung) fn transcript_complete(input: &RunInput<'_>, disorder: Option<&str>) -> Criterion {
    let evidence = input.evidence;
    let found = [evidence.roots().raw(), evidence.roots().canonical()];
    let finding = match (evidence.check_bodies(), input.roots, disorder) {
        (Err(error), ..) => Finding::failed(error.to_string()),
        (Ok(_), Some(roots), _) if roots != found => {
            Finding::failed(format!("the roots are {} and {}, not the ones that were written down", found[0], found[1]))
        }
        (Ok(_), _, Some(disorder)) => Finding::failed(disorder),
        (Ok(bodies), ..) => {
            let events = evidence.entries().len();
            let reason = format!(
                "{} and {}, every digest and both roots computed",
                counted(events, "event"),
                counted(bodies, "blob")
            );
            Finding::passed(reason).figure("events", events)
        }
    };
    finding.on([Sha256::of(evidence.manifest())]).criterion("transcript-complete", Basis::Recomputed)
}

/// A replay without network and model came to the same bytes.
pub(in crate::rung) fn replay_equal(evidence: &Evidence<'_>, replay: Replay<'_>) -> Criterion {
    replayed(REPLAY_EQUAL, "equal to the byte", evidence, replay)
}

/// Every canonical form and both roots of a recorded agent came out of the stored bytes again. Its command did not run.
pub(in crate::rung) fn roots_recomputed(evidence: &Evidence<'_>, replay: Replay<'_>) -> Criterion {
    replayed(ROOTS_RECOMPUTED, "computed again from the stored bytes; the command was not run", evidence, replay)
}

fn replayed(name: &str, equal: &str, evidence: &Evidence<'_>, replay: Replay<'_>) -> Criterion {
    let roots = evidence.roots();
    let finding = match replay {
        Replay::None(reason) => Finding::unknown(reason),
        Replay::Broken(reason) => Finding::failed(format!("the replay cannot read the recording: {reason}")),
        Replay::Outcome(outcome) => match &outcome.divergence {
            Some(found) => {
                Finding::failed(format!("the replay differs at event {} ({}), {}", found.event, found.kind, found.what))
            }
            None if [outcome.raw_root, outcome.canonical_root] != [roots.raw(), roots.canonical()] => {
                Finding::failed("the replay was of another transcript")
            }
            None => Finding::passed(format!("{}, {equal}", counted(outcome.events as usize, "event"))),
        },
    };
    finding.on([Sha256::of(evidence.manifest())]).criterion(name, Basis::Replayed)
}
