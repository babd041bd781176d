//! The signed statement: its members, and everything that makes one malformed or void by itself.
//!
//! The schema is closed: a statement that reads is written back to the same bytes, so a duplicate, unknown, reordered
//! or differently spelled member is an error. Only members of `extensions` are ignored.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::campaign::CampaignPredicate;
use super::predicate::{DigestSet, RunPredicate, RungClaim, RungResult};
use super::reason::{Problem, Reason};
use super::strict;
use crate::canon::{BlobRef, json as canonical};
use crate::rung::{Number, Rung, counted};

/// Type of a certificate about one run.
pub const RUN_CERTIFICATE: &str = "urn:runproof:run-certificate:v1";
/// Type of a certificate about a campaign.
pub const CAMPAIGN_CERTIFICATE: &str = "urn:runproof:campaign-certificate:v1";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// Name of the first subject of a run.
const MANIFEST: &str = "transcript.manifest";
/// Name of the second subject of a run.
const PATCH: &str = "patch.diff";
/// How the roots are computed.
pub(super) const TREE: &str = "rfc6962-sha256";
/// Name of the first subject of a campaign.
const CAMPAIGN: &str = "campaign.manifest";
/// Name of the second subject of a campaign.
const PROFILE: &str = "profile.json";
/// Items of a list.
const MAX_LIST: usize = 1 << 20;

/// What the statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Name of the file in an evidence folder, or nearly so.
    pub name: String,
    /// Its digests.
    pub digest: DigestSet,
}

impl Subject {
    fn new(name: &str, blob: &BlobRef) -> Self {
        Self { name: name.into(), digest: DigestSet::of(blob) }
    }
}

/// What is said of the subjects; the statement's type decides which it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Predicate {
    /// Of one run.
    Run(Box<RunPredicate>),
    /// Of several.
    Campaign(Box<CampaignPredicate>),
}

/// An in-toto statement of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    /// The manifest and the patch of a run; the manifest and the profile of a campaign.
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    /// What is said of them.
    pub predicate: Predicate,
}

/// A statement with the schema that its type names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<P> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: P,
}

impl<P: Serialize + DeserializeOwned> Document<P> {
    fn read(bytes: &[u8], wrap: impl FnOnce(Box<P>) -> Predicate) -> Result<Statement, Problem> {
        let Self { kind, subject, predicate_type, predicate } = canonical::from_bytes(bytes).map_err(malformed)?;
        Ok(Statement { kind, subject, predicate_type, predicate: wrap(Box::new(predicate)) })
    }
}

impl Statement {
    /// Makes the statement about a run.
    pub fn of_run(manifest: &BlobRef, patch: &BlobRef, predicate: RunPredicate) -> Self {
        let subject = vec![Subject::new(MANIFEST, manifest), Subject::new(PATCH, patch)];
        let predicate = Predicate::Run(Box::new(predicate));
        Self { kind: STATEMENT.into(), subject, predicate_type: RUN_CERTIFICATE.into(), predicate }
    }

    /// Makes the statement about a campaign; `profile` names the canonical bytes of its thresholds.
    pub fn of_campaign(profile: &BlobRef, predicate: CampaignPredicate) -> Self {
        let manifest = BlobRef::of(&predicate.manifest());
        let subject = vec![Subject::new(CAMPAIGN, &manifest), Subject::new(PROFILE, profile)];
        let predicate = Predicate::Campaign(Box::new(predicate));
        Self { kind: STATEMENT.into(), subject, predicate_type: CAMPAIGN_CERTIFICATE.into(), predicate }
    }

    /// Returns the bytes to sign.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self).expect("strings, digests and integers below 2^53")
    }

    /// Returns the type of the predicate.
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// Says whether it is about a recorded agent.
    pub fn is_of_recorded_agent(&self) -> bool {
        self.run().is_some_and(RunPredicate::is_recorded)
    }

    /// Returns what is said of a run, if it is about one.
    pub fn run(&self) -> Option<&RunPredicate> {
        match &self.predicate {
            Predicate::Run(run) => Some(run),
            Predicate::Campaign(_) => None,
        }
    }

    /// Returns what is said of a campaign, if it is about one.
    pub fn campaign(&self) -> Option<&CampaignPredicate> {
        match &self.predicate {
            Predicate::Run(_) => None,
            Predicate::Campaign(campaign) => Some(campaign),
        }
    }

    /// Returns the claimed rungs, the lowest first.
    pub fn rungs(&self) -> &[RungClaim] {
        match &self.predicate {
            Predicate::Run(run) => &run.rungs,
            Predicate::Campaign(campaign) => &campaign.rungs,
        }
    }

    /// The same statement with the rungs that were assessed, from 641 upwards until one was not.
    #[must_use]
    pub fn claiming(mut self, rungs: &[Rung]) -> Self {
        let claims = rungs.iter().map_while(RungClaim::of).collect();
        match &mut self.predicate {
            Predicate::Run(run) => run.rungs = claims,
            Predicate::Campaign(campaign) => campaign.rungs = claims,
        }
        self
    }

    /// Returns the members that are ignored.
    pub fn extensions(&self) -> &Map<String, Value> {
        match &self.predicate {
            Predicate::Run(run) => &run.extensions,
            Predicate::Campaign(campaign) => &campaign.extensions,
        }
    }

    /// Says what it is about, for a person.
    pub fn about(&self) -> String {
        match &self.predicate {
            Predicate::Run(run) => format!("{}, {}", run.instance.id, run.outcome.result),
            Predicate::Campaign(campaign) => {
                format!("a campaign of {}, profile {}", counted(campaign.runs.len(), "run"), campaign.profile.name)
            }
        }
    }

    /// Reads signed bytes.
    ///
    /// # Errors
    /// Bytes that are no statement of ours, or one that is void by itself.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Problem> {
        let value = strict::parse(bytes).map_err(malformed)?;
        let is_campaign = check_types(&value)? == CAMPAIGN_CERTIFICATE;
        check_algorithms(&value)?;
        let statement = match is_campaign {
            true => Document::read(bytes, Predicate::Campaign)?,
            false => Document::read(bytes, Predicate::Run)?,
        };
        statement.check()?;
        Ok(statement)
    }

    fn check(&self) -> Result<(), Problem> {
        let wanted = if self.run().is_some() { [MANIFEST, PATCH] } else { [CAMPAIGN, PROFILE] };
        if self.subject.iter().map(|subject| subject.name.as_str()).ne(wanted) {
            return Err(malformed(format!("its subjects are not {} and {}", wanted[0], wanted[1])));
        }
        check_strings(&serde_json::to_value(self).map_err(malformed)?)?;
        for claim in self.rungs() {
            let name = claim.rung.file_name();
            if claim.evidence.iter().map(|file| &file.name).ne([&name]) {
                return Err(malformed(format!("rung {} does not name {name} as its evidence", claim.rung)));
            }
        }
        check_ladder(self.rungs())?;
        match &self.predicate {
            Predicate::Run(run) => check_run(run),
            Predicate::Campaign(campaign) => {
                campaign.check()?;
                let manifest = DigestSet::of(&BlobRef::of(&campaign.manifest()));
                match self.subject.first().is_some_and(|subject| subject.digest == manifest) {
                    true => Ok(()),
                    false => {
                        Err(Problem::new(Reason::Manifest, "its subject campaign.manifest is not made of its runs"))
                    }
                }
            }
        }
    }
}

fn check_run(run: &RunPredicate) -> Result<(), Problem> {
    if run.transcript.tree != TREE {
        return Err(malformed(format!("its tree is not {TREE}")));
    }
    let sets = [&run.tests.before, &run.tests.after];
    for set in sets {
        for names in [&set.passed, &set.failed] {
            check_list("a list of tests", names)?;
        }
        if let Some(name) = set.failed.iter().find(|name| set.passed.binary_search(name).is_ok()) {
            return Err(malformed(format!("the test {name:?} passed and failed")));
        }
    }
    let nothing = sets.iter().all(|set| set.passed.is_empty() && set.failed.is_empty());
    // A recorded agent ran no test of ours; its rung's profile says that none was asked for.
    let nothing = nothing && !run.is_recorded();
    if run.transcript.calls == 0 || run.transcript.events == 0 || nothing {
        return Err(Problem::new(Reason::Empty, "no model was called, or no test ran: nothing is proved"));
    }
    Ok(())
}

/// Refuses a list that is too long, out of order, or holds an item twice.
pub(super) fn check_list<T: Ord>(what: &str, list: &[T]) -> Result<(), Problem> {
    match list.len() <= MAX_LIST && list.is_sorted_by(|a, b| a < b) {
        true => Ok(()),
        false => Err(malformed(format!("{what} is not sorted, or names one twice"))),
    }
}

pub(super) fn malformed(what: impl ToString) -> Problem {
    Problem::new(Reason::Statement, format!("not a statement of ours: {}", what.to_string()))
}

/// The types decide which schema the rest has; returns ours.
fn check_types(value: &Value) -> Result<&'static str, Problem> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    if !value.is_object() {
        return Err(malformed("it is not a JSON object"));
    }
    let (kind, predicate) = (text("_type").unwrap_or_default(), text("predicateType").unwrap_or_default());
    if kind != STATEMENT {
        let shown: String = kind.chars().take(100).collect();
        return Err(Problem::new(Reason::PredicateType, format!("its _type is {shown:?}, not {STATEMENT}")));
    }
    let ours = [RUN_CERTIFICATE, CAMPAIGN_CERTIFICATE];
    if let Some(ours) = ours.into_iter().find(|ours| *ours == predicate) {
        return Ok(ours);
    }
    let shown: String = predicate.chars().take(100).collect();
    if ours.iter().any(|ours| predicate.starts_with(ours.trim_end_matches('1'))) {
        let message = format!("its type {shown} needs another version of runproof");
        return Err(Problem::new(Reason::PredicateVersion, message));
    }
    Err(Problem::new(Reason::PredicateType, format!("its type is {shown:?}, not {}", ours.join(" or "))))
}

/// A subject whose digests are all of algorithms that do not count is refused, never taken as "nothing to check".
fn check_algorithms(value: &Value) -> Result<(), Problem> {
    let subjects = value.get("subject").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for digest in subjects.iter().filter_map(|subject| subject.get("digest").and_then(Value::as_object)) {
        if !digest.is_empty() && !digest.contains_key("sha256") {
            let names: Vec<String> = digest.keys().map(|name| name.chars().take(20).collect()).collect();
            let message = format!("a subject has no sha256 digest, only {}", names.join(", "));
            return Err(Problem::new(Reason::DigestAlgorithm, message));
        }
    }
    Ok(())
}

fn check_ladder(rungs: &[RungClaim]) -> Result<(), Problem> {
    let mut below = RungResult::Passed;
    for (index, claim) in rungs.iter().enumerate() {
        if Number::ALL.get(index) != Some(&claim.rung) {
            return Err(Problem::new(Reason::Ladder, format!("rung {} is not in its place", claim.rung)));
        }
        if claim.result == RungResult::Passed && below == RungResult::Failed {
            return Err(Problem::new(Reason::Ladder, format!("rung {} passed above one that failed", claim.rung)));
        }
        below = claim.result;
    }
    Ok(())
}

/// Refuses characters that drive terminals, hide text or turn its direction.
fn check_strings(value: &Value) -> Result<(), Problem> {
    let hides = |c: char| {
        c.is_control()
            || matches!(c,
                '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let mut problem = None;
    each_string(value, &mut |text| {
        if text.contains(hides) {
            problem.get_or_insert_with(|| malformed(format!("the text {text:?} hides something")));
        }
    });
    problem.map_or(Ok(()), Err)
}

fn each_string(value: &Value, see: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| each_string(item, see)),
        Value::Object(members) => members.iter().for_each(|(name, item)| {
            see(name);
            each_string(item, see);
        }),
        _ => {}
    }
}

/// Says why a statement is not issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LintError {
    /// Something of the issuing machine or user.
    #[error("the certificate would hold {0}")]
    Private(&'static str),
    /// A path of some machine.
    #[error("the certificate would hold the absolute path {0:?}")]
    Path(String),
    /// It would be refused by every verifier.
    #[error(transparent)]
    Void(#[from] Problem),
}

/// Checks a statement before it is signed: `private` lists texts with what they are, such as the home folder.
///
/// # Errors
/// A text of the machine or its user, an absolute path outside test names, or a statement that no verifier takes.
pub fn lint(statement: &Statement, private: &[(&'static str, String)]) -> Result<(), LintError> {
    Statement::from_bytes(&statement.to_bytes())?;
    let mut value = serde_json::to_value(statement).map_err(malformed)?;
    let mut found = Ok(());
    each_string(&value, &mut |text| {
        if let Some((what, _)) = private.iter().find(|(_, secret)| secret.len() > 3 && text.contains(secret.as_str())) {
            found = Err(LintError::Private(what));
        }
    });
    // A parametrised test may well be named by a path; it is the same path on every machine.
    if statement.run().is_some() {
        value["predicate"]["tests"] = Value::Null;
    }
    each_string(&value, &mut |text| {
        let drive = text.as_bytes().get(1..3).is_some_and(|mark| mark == b":\\");
        if found.is_ok() && (text.starts_with('/') || drive) {
            found = Err(LintError::Path(text.chars().take(60).collect()));
        }
    });
    found
}
