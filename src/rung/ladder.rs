//! The ladder as plain data, and the canonical bytes that a certificate names as evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::canon::{CanonError, Sha256, json as canonical};

/// Version of a rung's canonical form and of what its criteria mean.
const FORMAT: u32 = 1;

/// Which rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Number {
    /// 641, edge sanity: one run holds together.
    Edge,
    /// 274177, stress: several instances, compared over the arms.
    Stress,
    /// 65537, full: the whole data set, and the same again.
    Full,
}

impl Number {
    /// All rungs, the lowest first.
    pub const ALL: [Self; 3] = [Self::Edge, Self::Stress, Self::Full];

    /// Returns the label.
    pub const fn label(self) -> u32 {
        match self {
            Self::Edge => 641,
            Self::Stress => 274_177,
            Self::Full => 65_537,
        }
    }

    /// Returns the rung of that label.
    pub fn from_label(label: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|number| number.label() == label)
    }

    /// Returns the name of the file that holds the rung beside a certificate.
    pub fn file_name(self) -> String {
        format!("rung-{}.json", self.label())
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.label())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.label())
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let label = u32::deserialize(deserializer)?;
        Self::from_label(label).ok_or_else(|| serde::de::Error::custom(format!("{label} is not a rung")))
    }
}

/// What came of a criterion or a rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It does not hold.
    Failed,
    /// Nothing shows whether it holds. Never counts as passed.
    NotAssessed,
}

impl Verdict {
    /// Returns the word in files and on the terminal.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotAssessed => "not-assessed",
        }
    }
}

/// What a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Anybody derives it again from the manifest and the blobs.
    Recomputed,
    /// It takes a replay, which anybody can perform offline.
    Replayed,
    /// It happened where the run was recorded, and cannot be derived again offline.
    Observed,
}

impl Basis {
    /// Returns the word in files and on the terminal.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Recomputed => "recomputed",
            Self::Replayed => "replayed",
            Self::Observed => "observed",
        }
    }
}

/// One named criterion with what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// Its name, such as `edits-reapply`; stable, for machines.
    pub name: String,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What the verdict rests on.
    pub basis: Basis,
    /// Why, in plain words.
    pub reason: String,
    /// What was counted or measured; decimals as integers per million.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, u64>,
    /// Digests of the bodies and manifests that the verdict rests on, sorted, each once.
    pub evidence: Vec<Sha256>,
}

impl Criterion {
    /// Makes a criterion; the evidence is sorted here.
    pub fn new(name: &str, verdict: Verdict, basis: Basis, reason: impl Into<String>, evidence: &[Sha256]) -> Self {
        let mut evidence = evidence.to_vec();
        evidence.sort();
        evidence.dedup();
        Self { name: name.into(), verdict, basis, reason: reason.into(), figures: BTreeMap::new(), evidence }
    }

    /// Adds a figure.
    #[must_use]
    pub fn figure(mut self, name: impl Into<String>, value: u64) -> Self {
        self.figures.insert(name.into(), value);
        self
    }
}

/// One rung with its criteria. Its canonical bytes are the file `rung-NUMBER.json` beside a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    format: u32,
    /// Which rung.
    rung: Number,
    /// Passed only if every criterion is, and there is one.
    result: Verdict,
    /// Digest of the profile that holds the thresholds, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile: Option<Sha256>,
    criteria: Vec<Criterion>,
}

/// Says why bytes are not a rung, or rungs no ladder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LadderError {
    /// Not canonical JSON of the right shape.
    #[error("the rung is malformed: {0}")]
    Malformed(#[from] CanonError),
    /// Another version's rung.
    #[error("the rung has format {0}; this version reads {FORMAT}")]
    Format(u32),
    /// A result that does not follow from the criteria, a name given twice, or evidence out of order.
    #[error("rung {rung} is malformed: {reason}")]
    Inconsistent {
        /// The rung.
        rung: Number,
        /// What contradicts what.
        reason: String,
    },
    /// Rungs out of order, or one left out or given twice.
    #[error("the rungs are not a ladder: {0}")]
    Order(String),
}

impl Rung {
    /// Makes a rung; the result follows from the criteria.
    pub fn new(rung: Number, profile: Option<Sha256>, criteria: Vec<Criterion>) -> Self {
        Self { format: FORMAT, rung, result: result_of(&criteria), profile, criteria }
    }

    /// Returns which rung it is.
    pub fn number(&self) -> Number {
        self.rung
    }

    /// Returns what came of it.
    pub fn result(&self) -> Verdict {
        self.result
    }

    /// Returns the digest of the profile with the thresholds, where there are any.
    pub fn profile(&self) -> Option<Sha256> {
        self.profile
    }

    /// Returns the criteria in their order.
    pub fn criteria(&self) -> &[Criterion] {
        &self.criteria
    }

    /// Returns the criterion of that name.
    pub fn criterion(&self, name: &str) -> Option<&Criterion> {
        self.criteria.iter().find(|criterion| criterion.name == name)
    }

    /// Returns the canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self).expect("words, digests and integers below 2^53")
    }

    /// Reads canonical bytes; a result that does not follow from its criteria is refused.
    ///
    /// # Errors
    /// Bytes that no version of ours would have written, or only another one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LadderError> {
        let rung: Self = canonical::from_bytes(bytes)?;
        if rung.format != FORMAT {
            return Err(LadderError::Format(rung.format));
        }
        let wrong = |reason: String| LadderError::Inconsistent { rung: rung.rung, reason };
        if rung.result != result_of(&rung.criteria) {
            return Err(wrong(format!("{} does not follow from its criteria", rung.result.word())));
        }
        let mut names = BTreeSet::new();
        for criterion in &rung.criteria {
            if !names.insert(criterion.name.as_str()) {
                return Err(wrong(format!("criterion {:?} is there twice", criterion.name)));
            }
            if !criterion.evidence.is_sorted_by(|a, b| a < b) {
                return Err(wrong(format!("the evidence of {:?} is not in order", criterion.name)));
            }
        }
        Ok(rung)
    }

    /// Returns what `claimed` says otherwise than this rung, which was computed from the evidence.
    ///
    /// What takes a replay is left out where none was performed here: it is then unchecked, neither right nor wrong.
    pub fn contradictions(&self, claimed: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.rung != claimed.rung {
            found.push(format!("it is rung {}, not {}", claimed.rung, self.rung));
        }
        if self.profile != claimed.profile {
            found.push("it was assessed by another profile".into());
        }
        let names = |rung: &Self| rung.criteria.iter().map(|criterion| criterion.name.clone()).collect::<Vec<_>>();
        if names(self) != names(claimed) {
            found.push(format!("its criteria are {:?}, not {:?}", names(claimed), names(self)));
            return found;
        }
        for (ours, theirs) in self.criteria.iter().zip(&claimed.criteria) {
            let unchecked = ours.basis == Basis::Replayed && ours.verdict == Verdict::NotAssessed;
            if ours != theirs && !(unchecked && theirs.basis == Basis::Replayed) {
                let (name, ours, theirs) = (&ours.name, said(ours), said(theirs));
                found.push(format!("{name}: it says {theirs}, the evidence says {ours}"));
            }
        }
        found
    }

    /// Returns the names of the criteria that only a replay can assess and none did.
    pub fn awaiting_replay(&self) -> Vec<&str> {
        let waits = |c: &&Criterion| c.basis == Basis::Replayed && c.verdict == Verdict::NotAssessed;
        self.criteria.iter().filter(waits).map(|criterion| criterion.name.as_str()).collect()
    }
}

fn said(criterion: &Criterion) -> String {
    format!("{} ({}; {})", criterion.verdict.word(), criterion.basis.word(), criterion.reason)
}

/// Fails with one failed criterion; passes only if there are criteria and all passed.
fn result_of(criteria: &[Criterion]) -> Verdict {
    let any = |verdict| criteria.iter().any(|criterion| criterion.verdict == verdict);
    match () {
        () if any(Verdict::Failed) => Verdict::Failed,
        () if criteria.is_empty() || any(Verdict::NotAssessed) => Verdict::NotAssessed,
        () => Verdict::Passed,
    }
}

/// Rungs from 641 upwards, none left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    rungs: Vec<Rung>,
}

impl Ladder {
    /// Makes a ladder of rungs.
    ///
    /// # Errors
    /// Rungs that are not 641, then 274177, then 65537, or a rung that passed above one that did not.
    pub fn new(rungs: Vec<Rung>) -> Result<Self, LadderError> {
        let mut below = Verdict::Passed;
        for (index, rung) in rungs.iter().enumerate() {
            if Number::ALL.get(index) != Some(&rung.rung) {
                return Err(LadderError::Order(format!("{} stands in place {}", rung.rung, index + 1)));
            }
            if rung.result == Verdict::Passed && below != Verdict::Passed {
                return Err(LadderError::Order(format!("{} passed above a rung that did not", rung.rung)));
            }
            below = rung.result;
        }
        Ok(Self { rungs })
    }

    /// Returns the rungs, the lowest first.
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// Returns the rung of that number, where it was assessed.
    pub fn rung(&self, number: Number) -> Option<&Rung> {
        self.rungs.iter().find(|rung| rung.rung == number)
    }

    /// Returns the highest rung that passed.
    pub fn reached(&self) -> Option<Number> {
        self.rungs.iter().rfind(|rung| rung.result == Verdict::Passed).map(|rung| rung.rung)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn criterion(name: &str, verdict: Verdict, basis: Basis) -> Criterion {
        Criterion::new(name, verdict, basis, "because", &[Sha256::of(b"b"), Sha256::of(b"a"), Sha256::of(b"b")])
    }

    fn rung(number: Number, verdicts: &[Verdict]) -> Rung {
        let criteria = verdicts.iter().enumerate().map(|(i, v)| criterion(&format!("c{i}"), *v, Basis::Recomputed));
        Rung::new(number, None, criteria.collect())
    }

    #[test]
    fn a_rung_passes_only_if_all_its_criteria_do() {
        use Verdict::{Failed, NotAssessed, Passed};
        for (verdicts, result) in [
            (&[][..], NotAssessed),
            (&[Passed], Passed),
            (&[Passed, NotAssessed], NotAssessed),
            (&[NotAssessed, Failed], Failed),
        ] {
            assert_eq!(rung(Number::Edge, verdicts).result(), result, "{verdicts:?}");
        }
    }

    #[test]
    fn a_rung_reads_back_and_no_other_bytes_do() {
        let good = Rung::new(
            Number::Stress,
            Some(Sha256::of(b"profile")),
            vec![criterion("a", Verdict::Passed, Basis::Observed).figure("of", 5)],
        );
        assert_eq!(Rung::from_bytes(&good.to_bytes()).unwrap(), good);
        let text = String::from_utf8(good.to_bytes()).unwrap();
        for (from, to) in [
            ("\"result\":\"passed\"", "\"result\":\"failed\""),
            ("274177", "274178"),
            ("\"format\":1", "\"format\":2"),
            ("\"of\":5", "\"of\":5.0"),
            ("{", " {"),
            ("\"reason\"", "\"waived\":true,\"reason\""),
        ] {
            assert!(Rung::from_bytes(text.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
        }
        let mut twice = good.clone();
        twice.criteria.push(twice.criteria[0].clone());
        assert!(Rung::from_bytes(&twice.to_bytes()).is_err());
        let mut unsorted = good;
        unsorted.criteria[0].evidence.reverse();
        assert!(Rung::from_bytes(&unsorted.to_bytes()).is_err());
    }

    #[test]
    fn a_ladder_has_no_gap_and_no_rung_above_a_failed_one() {
        use Verdict::{Failed, Passed};
        let rung = |number, verdict| rung(number, &[verdict]);
        let (edge, stress, full) = (Number::Edge, Number::Stress, Number::Full);
        assert!(Ladder::new(vec![rung(stress, Passed)]).is_err());
        assert!(Ladder::new(vec![rung(edge, Passed), rung(full, Passed)]).is_err());
        assert!(Ladder::new(vec![rung(edge, Passed), rung(edge, Passed)]).is_err());
        assert!(Ladder::new(vec![rung(edge, Failed), rung(stress, Passed)]).is_err());
        let ladder = Ladder::new(vec![rung(edge, Passed), rung(stress, Failed)]).unwrap();
        assert_eq!(ladder.reached(), Some(edge));
        assert_eq!(Ladder::new(Vec::new()).unwrap().reached(), None);
    }

    #[test]
    fn a_claim_is_contradicted_by_the_evidence_but_not_by_a_missing_replay() {
        let replay = |verdict| criterion("replay", verdict, Basis::Replayed);
        let first = |verdict| criterion("edits", verdict, Basis::Recomputed);
        let claimed = Rung::new(Number::Edge, None, vec![first(Verdict::Passed), replay(Verdict::Passed)]);
        let ours = Rung::new(Number::Edge, None, vec![first(Verdict::Passed), replay(Verdict::NotAssessed)]);
        assert_eq!(ours.contradictions(&claimed), Vec::<String>::new());
        assert_eq!(ours.awaiting_replay(), ["replay"]);
        let failed = Rung::new(Number::Edge, None, vec![first(Verdict::Failed), replay(Verdict::NotAssessed)]);
        assert_eq!(failed.contradictions(&claimed).len(), 1);
        let diverged = Rung::new(Number::Edge, None, vec![first(Verdict::Passed), replay(Verdict::Failed)]);
        assert_eq!(diverged.contradictions(&claimed).len(), 1);
        let shorter = Rung::new(Number::Edge, None, vec![first(Verdict::Passed)]);
        assert_eq!(ours.contradictions(&shorter).len(), 1);
    }

    #[test]
    fn the_labels_are_those_of_the_source_document() {
        assert_eq!(Number::ALL.map(Number::label), [641, 274_177, 65_537]);
        assert_eq!(Number::Full.file_name(), "rung-65537.json");
    }
}
