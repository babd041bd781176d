//! The steps of a verification that need the evidence: subjects, facts and rungs, and what a replay showed.

use super::facts::{self, FactsError};
use super::level::{Level, Status};
use super::predicate::{DigestSet, RunPredicate, RungClaim, RungResult};
use super::reason::{Problem, Reason};
use super::statement::Statement;
use super::verify::Verification;
use crate::rung::{Replay, RunInput, Rung, assess_run, counted, with_replay};
use crate::transcript::{Evidence, EvidenceError, ReplayOutcome};

impl Verification {
    /// Compares the certificate with the evidence; `rung_file` reads a file that lies beside the manifest.
    pub fn evidence(
        &mut self,
        evidence: Result<&Evidence<'_>, &EvidenceError>,
        rung_file: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) {
        let Some(statement) = self.statement().cloned() else { return };
        let Some(run) = statement.run() else { return };
        let result = match evidence {
            Ok(evidence) => self.compare(&statement, run, evidence, rung_file),
            Err(error) => Err(evidence_problem("evidence", error)),
        };
        self.reach_evidence(result);
    }

    /// Says that the evidence could not be read at all.
    pub fn evidence_refused(&mut self, error: &EvidenceError) {
        if self.statement().is_some() {
            self.reach_evidence(Err(evidence_problem("evidence", error)));
        }
    }

    /// Ends the comparison with the evidence, whatever it is about.
    pub(super) fn reach_evidence(&mut self, result: Result<(), Stop>) {
        match result {
            Ok(()) => self.level = Level::Evidence,
            Err(Stop::Failed(problem)) => self.fail(problem),
            Err(Stop::Unavailable(name, reason)) => self.add(name, Status::Unavailable, reason),
        }
    }

    fn compare(
        &mut self,
        statement: &Statement,
        theirs: &RunPredicate,
        evidence: &Evidence<'_>,
        rung_file: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<(), Stop> {
        // The manifest first: of another run, nothing else means anything.
        let ours = crate::canon::BlobRef::of(evidence.manifest());
        let said = statement.subject.first().map(|subject| subject.digest);
        if said != Some(DigestSet::of(&ours)) {
            let message =
                "the subject transcript.manifest is not the manifest of this evidence: another run, or a changed one";
            return Err(Problem::new(Reason::Manifest, message).into());
        }
        let blobs = evidence.check_bodies().map_err(|error| evidence_problem("evidence", &error))?;
        let spare = evidence.superfluous().unwrap_or_default();
        let rest = if spare == 0 {
            String::new()
        } else {
            format!("; {} that it does not name, ignored", counted(spare, "file"))
        };
        self.pass("evidence", format!("{}, every digest computed{rest}", counted(blobs, "blob")));
        let derived = facts::of_run(evidence).map_err(|error| match error {
            FactsError::Evidence(error) => evidence_problem("facts", &error),
            error => Problem::new(Reason::Fact, error).into(),
        })?;
        if derived.subject != statement.subject {
            return Err(
                Problem::new(Reason::Patch, "the subject patch.diff is not the patch that the run ends with").into()
            );
        }
        self.pass("subjects", "manifest and patch are the ones of the evidence");
        let Some(ours) = derived.run() else { return Err(Problem::new(Reason::Fact, "it is about no run").into()) };
        if ours.transcript != theirs.transcript {
            return Err(Problem::new(Reason::Root, "a root or count of the transcript comes out otherwise").into());
        }
        let pairs = [
            ("instance", ours.instance == theirs.instance),
            ("configuration", ours.configuration == theirs.configuration),
            ("models", ours.models == theirs.models),
            ("outcome", ours.outcome == theirs.outcome),
            ("tests", ours.tests == theirs.tests),
            ("tool", ours.tool == theirs.tool),
        ];
        follow(&pairs)?;
        self.pass("facts", "instance, configuration, models, outcome, tests and both roots follow from the evidence");
        let supposed = supposed(evidence);
        let ours = assess(evidence, Replay::Outcome(&supposed));
        let without = with_replay(&ours, evidence, Replay::None("not performed"));
        self.edge = Some(ours.clone());
        self.rungs(&theirs.rungs, &[ours], &[without], rung_file)
    }

    /// Compares every claimed rung with what comes out if a replay is supposed to be equal: what else it rests on is
    /// then recomputed, and the replay itself is a step of its own. `without` are the rungs without any replay.
    pub(super) fn rungs(
        &mut self,
        claims: &[RungClaim],
        supposed: &[Rung],
        without: &[Rung],
        rung_file: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<(), Stop> {
        if claims.is_empty() {
            return Err(Stop::Unavailable("rungs", "no rung is certified".into()));
        }
        let refuse = |message: String| Stop::from(Problem::new(Reason::Rung, message));
        let ours: Vec<RungClaim> = supposed.iter().map_while(RungClaim::of).collect();
        if let (true, Some(left_out)) = (ours.starts_with(claims), ours.get(claims.len())) {
            return Err(refuse(format!("rung {} comes out of the evidence and is left out", left_out.rung)));
        }
        for (index, claim) in claims.iter().enumerate() {
            if Some(claim) == ours.get(index) {
                continue;
            }
            // A claim that the replay came out otherwise can be read from its file only.
            let name = claim.rung.file_name();
            let Some(bytes) = rung_file(&name) else {
                let fails_anyway = ours.get(index).is_none_or(|ours| ours.result == RungResult::Failed);
                if fails_anyway || claim.result == RungResult::Passed {
                    return Err(refuse(format!("rung {} comes out otherwise from the evidence", claim.rung)));
                }
                return Err(Stop::Unavailable("rungs", format!("{name} is not beside the manifest")));
            };
            let differs = || refuse(format!("{name} is not what the certificate says of it"));
            // Only the file that was signed is worth reading.
            let digest = DigestSet::of(&crate::canon::BlobRef::of(&bytes));
            if claim.evidence.iter().any(|named| named.digest != digest) {
                return Err(differs());
            }
            let file = Rung::from_bytes(&bytes).map_err(|error| refuse(error.to_string()))?;
            if RungClaim::of(&file).as_ref() != Some(claim) {
                return Err(differs());
            }
            let without =
                without.get(index).ok_or_else(|| refuse(format!("rung {} is not of this kind", claim.rung)))?;
            if let Some(first) = without.contradictions(&file).first() {
                return Err(refuse(format!("rung {}: {first}", claim.rung)));
            }
        }
        self.pass("rungs", "every criterion that needs no replay comes out as certified");
        Ok(())
    }

    /// Compares the claimed rungs with what a replay showed.
    pub fn replay(&mut self, evidence: &Evidence<'_>, replay: Replay<'_>) {
        let Some(statement) = self.statement().cloned() else { return };
        let Some(edge) = self.edge.take().filter(|_| self.level == Level::Evidence) else { return };
        match replay {
            Replay::None(reason) => self.add("replay", Status::Unavailable, reason.to_owned()),
            Replay::Broken(_) | Replay::Outcome(_) => {
                let ours = with_replay(&edge, evidence, replay);
                let claim = statement.rungs().first();
                // The last criterion of either kind of run is about this.
                let word = ours.criteria().last().map_or("", |criterion| criterion.reason.as_str()).to_owned();
                let equal = matches!(replay, Replay::Outcome(outcome) if outcome.is_equal());
                if !equal {
                    self.fail(Problem::new(Reason::Replay, word));
                } else if claim != RungClaim::of(&ours).as_ref() {
                    self.fail(Problem::new(Reason::Rung, "the rung comes out otherwise with the replay"));
                } else if statement.is_of_recorded_agent() {
                    // No command ran: that everything comes out of its bytes again is evidence, and no replay.
                    let how = "`runproof replay RUN -- CMD` replays it";
                    self.add("replay", Status::Unavailable, format!("{word}; {how}"));
                } else {
                    self.pass("replay", word);
                    self.level = Level::Replay;
                }
            }
        }
    }
}

/// Why the comparison with the evidence ended.
pub(super) enum Stop {
    Failed(Problem),
    Unavailable(&'static str, String),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

/// Refuses the first member of a statement that is not what comes out of the evidence.
pub(super) fn follow(pairs: &[(&str, bool)]) -> Result<(), Problem> {
    match pairs.iter().find(|(_, equal)| !equal) {
        Some((name, _)) => Err(Problem::new(Reason::Fact, format!("{name}: the evidence says otherwise"))),
        None => Ok(()),
    }
}

pub(super) fn evidence_problem(check: &'static str, error: &EvidenceError) -> Stop {
    match error {
        error if error.is_missing() => Stop::Unavailable(check, error.to_string()),
        EvidenceError::Differs(_) | EvidenceError::Size { .. } => Problem::new(Reason::Blob, error).into(),
        _ => Problem::new(Reason::Evidence, error).into(),
    }
}

pub(super) fn assess(evidence: &Evidence<'_>, replay: Replay<'_>) -> Rung {
    let roots = evidence.roots();
    assess_run(&RunInput { evidence, roots: Some([roots.raw(), roots.canonical()]), replay })
}

pub(super) fn supposed(evidence: &Evidence<'_>) -> ReplayOutcome {
    let roots = evidence.roots();
    ReplayOutcome {
        events: u32::try_from(evidence.entries().len()).unwrap_or(u32::MAX),
        raw_root: roots.raw(),
        canonical_root: roots.canonical(),
        divergence: None,
        performed_again: 0,
    }
}
