//! The steps of a verification that need the evidence: subjects, facts and rungs, and what a replay showed.

use super::facts::{self, FactsError};
use super::level::{Level, Status};
use super::predicate::{DigestSet, RungClaim, RungResult};
use super::reason::{Problem, Reason};
use super::verify::Verification;
use crate::rung::{Replay, RunInput, Rung, assess_run};
use crate::transcript::{Evidence, EvidenceError, ReplayOutcome};

impl Verification {
    /// Compares the certificate with the evidence; `rung_file` reads a file that lies beside the manifest.
    pub fn evidence(
        &mut self,
        evidence: Result<&Evidence<'_>, &EvidenceError>,
        rung_file: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) {
        if self.statement().is_none() {
            return;
        }
        let result = match evidence {
            Ok(evidence) => self.compare(evidence, rung_file),
            Err(error) => Err(evidence_problem("evidence", error)),
        };
        match result {
            Ok(()) => self.level = Level::Evidence,
            Err(Stop::Failed(problem)) => self.fail(problem),
            Err(Stop::Unavailable(name, reason)) => self.add(name, Status::Unavailable, reason),
        }
    }

    fn compare(&mut self, evidence: &Evidence<'_>, rung_file: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<(), Stop> {
        let statement = self.statement.clone().expect("the caller has looked");
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
        let rest = if spare == 0 { String::new() } else { format!("; {spare} files that it does not name, ignored") };
        self.pass("evidence", format!("{blobs} blobs, every digest computed{rest}"));
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
        let (ours, theirs) = (&derived.predicate, &statement.predicate);
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
        if let Some((name, _)) = pairs.iter().find(|(_, equal)| !equal) {
            return Err(Problem::new(Reason::Fact, format!("{name} follows otherwise from the evidence")).into());
        }
        self.pass("facts", "instance, configuration, models, outcome, tests and both roots follow from the evidence");
        self.rungs(evidence, &theirs.rungs, rung_file)
    }

    /// Assesses every claimed rung as if a replay had come out equal: what else it rests on is then recomputed, and
    /// the replay itself is a step of its own.
    fn rungs(
        &mut self,
        evidence: &Evidence<'_>,
        claims: &[RungClaim],
        rung_file: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<(), Stop> {
        if claims.is_empty() {
            return Err(Stop::Unavailable("rungs", "no rung is certified".into()));
        }
        for claim in claims {
            let supposed = supposed(evidence);
            let ours = assess(evidence, Replay::Outcome(&supposed));
            if Some(claim) == RungClaim::of(&ours).as_ref() {
                continue;
            }
            // A claim that the replay came out otherwise can be read from its file only.
            let name = claim.rung.file_name();
            let Some(bytes) = rung_file(&name) else {
                let differs = ours.number() != claim.rung
                    || ours.result() == crate::rung::Verdict::Failed
                    || claim.result == RungResult::Passed;
                if differs {
                    let message = format!("rung {} comes out otherwise from the evidence", claim.rung);
                    return Err(Problem::new(Reason::Rung, message).into());
                }
                return Err(Stop::Unavailable("rungs", format!("{name} is not beside the manifest")));
            };
            let refuse = |message: String| Stop::from(Problem::new(Reason::Rung, message));
            let file = Rung::from_bytes(&bytes).map_err(|error| refuse(error.to_string()))?;
            if RungClaim::of(&file).as_ref() != Some(claim) {
                return Err(refuse(format!("{name} is not what the certificate says of it")));
            }
            let without = assess(evidence, Replay::None("not performed"));
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
        if self.level != Level::Evidence {
            return;
        }
        match replay {
            Replay::None(reason) => self.add("replay", Status::Unavailable, reason.to_owned()),
            Replay::Broken(_) | Replay::Outcome(_) => {
                let ours = assess(evidence, replay);
                let claim = statement.predicate.rungs.first();
                let word = ours.criterion("replay-equal").map_or("", |criterion| criterion.reason.as_str()).to_owned();
                let equal = matches!(replay, Replay::Outcome(outcome) if outcome.is_equal());
                if !equal {
                    self.fail(Problem::new(Reason::Replay, word));
                } else if claim != RungClaim::of(&ours).as_ref() {
                    self.fail(Problem::new(Reason::Rung, "the rung comes out otherwise with the replay"));
                } else {
                    self.pass("replay", word);
                    self.level = Level::Replay;
                }
            }
        }
    }
}

/// Why the comparison with the evidence ended.
enum Stop {
    Failed(Problem),
    Unavailable(&'static str, String),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

fn evidence_problem(check: &'static str, error: &EvidenceError) -> Stop {
    match error {
        error if error.is_missing() => Stop::Unavailable(check, error.to_string()),
        EvidenceError::Differs(_) | EvidenceError::Size { .. } => Problem::new(Reason::Blob, error).into(),
        _ => Problem::new(Reason::Evidence, error).into(),
    }
}

fn assess(evidence: &Evidence<'_>, replay: Replay<'_>) -> Rung {
    let roots = evidence.roots();
    assess_run(&RunInput { evidence, roots: Some([roots.raw(), roots.canonical()]), replay })
}

fn supposed(evidence: &Evidence<'_>) -> ReplayOutcome {
    let roots = evidence.roots();
    ReplayOutcome {
        events: u32::try_from(evidence.entries().len()).unwrap_or(u32::MAX),
        raw_root: roots.raw(),
        canonical_root: roots.canonical(),
        divergence: None,
        performed_again: 0,
    }
}
