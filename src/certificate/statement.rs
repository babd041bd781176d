//! The signed statement: its members, and everything that makes one malformed or void by itself.
//!
//! The schema is closed: a statement that reads is written back to the same bytes, so a duplicate, unknown, reordered
//! or differently spelled member is an error. Only members of `extensions` are ignored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::predicate::{DigestSet, Predicate, RungClaim, RungResult};
use super::reason::{Problem, Reason};
use super::strict;
use crate::canon::{BlobRef, json as canonical};
use crate::rung::Number;

/// Type of a certificate about one run.
pub const RUN_CERTIFICATE: &str = "urn:runproof:run-certificate:v1";
/// Type of a certificate about a campaign.
pub const CAMPAIGN_CERTIFICATE: &str = "urn:runproof:campaign-certificate:v1";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// Name of the first subject.
pub(super) const MANIFEST: &str = "transcript.manifest";
/// Name of the second subject.
pub(super) const PATCH: &str = "patch.diff";
/// How the roots are computed.
pub(super) const TREE: &str = "rfc6962-sha256";
/// Items of a list.
const MAX_LIST: usize = 1 << 20;

/// What the statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// `transcript.manifest` or `patch.diff`.
    pub name: String,
    /// Its digests.
    pub digest: DigestSet,
}

/// An in-toto statement of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    /// The manifest, then the patch.
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    /// What is said of them.
    pub predicate: Predicate,
}

impl Statement {
    /// Makes the statement about a run.
    pub fn new(manifest: &BlobRef, patch: &BlobRef, predicate: Predicate) -> Self {
        let subject = |name: &str, blob| Subject { name: name.into(), digest: DigestSet::of(blob) };
        let subject = vec![subject(MANIFEST, manifest), subject(PATCH, patch)];
        Self { kind: STATEMENT.into(), subject, predicate_type: RUN_CERTIFICATE.into(), predicate }
    }

    /// Returns the bytes to sign.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self).expect("strings, digests and integers below 2^53")
    }

    /// Returns the type of the predicate.
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// Reads signed bytes.
    ///
    /// # Errors
    /// Bytes that are no statement of ours, or one that is void by itself.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Problem> {
        let value = strict::parse(bytes).map_err(malformed)?;
        check_types(&value)?;
        check_algorithms(&value)?;
        let statement: Self = canonical::from_bytes(bytes).map_err(malformed)?;
        statement.check()?;
        Ok(statement)
    }

    fn check(&self) -> Result<(), Problem> {
        if self.subject.iter().map(|subject| subject.name.as_str()).ne([MANIFEST, PATCH]) {
            return Err(malformed(format!("its subjects are not {MANIFEST} and {PATCH}")));
        }
        check_strings(&serde_json::to_value(self).map_err(malformed)?)?;
        let predicate = &self.predicate;
        if predicate.transcript.tree != TREE {
            return Err(malformed(format!("its tree is not {TREE}")));
        }
        let sets = [&predicate.tests.before, &predicate.tests.after];
        for set in sets {
            for names in [&set.passed, &set.failed] {
                if names.len() > MAX_LIST || !names.is_sorted_by(|a, b| a < b) {
                    return Err(malformed("a list of tests is not sorted, or names one twice"));
                }
            }
            if let Some(name) = set.failed.iter().find(|name| set.passed.binary_search(name).is_ok()) {
                return Err(malformed(format!("the test {name:?} passed and failed")));
            }
        }
        for claim in &predicate.rungs {
            let name = claim.rung.file_name();
            if claim.evidence.iter().map(|file| &file.name).ne([&name]) {
                return Err(malformed(format!("rung {} does not name {name} as its evidence", claim.rung)));
            }
        }
        check_ladder(&predicate.rungs)?;
        let nothing = sets.iter().all(|set| set.passed.is_empty() && set.failed.is_empty());
        if predicate.transcript.calls == 0 || predicate.transcript.events == 0 || nothing {
            return Err(Problem::new(Reason::Empty, "no model was called, or no test ran: nothing is proved"));
        }
        Ok(())
    }
}

fn malformed(what: impl ToString) -> Problem {
    Problem::new(Reason::Statement, format!("not a statement of ours: {}", what.to_string()))
}

/// The types decide which schema the rest has.
fn check_types(value: &Value) -> Result<(), Problem> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    if !value.is_object() {
        return Err(malformed("it is not a JSON object"));
    }
    let (kind, predicate) = (text("_type").unwrap_or_default(), text("predicateType").unwrap_or_default());
    if kind != STATEMENT {
        let shown: String = kind.chars().take(100).collect();
        return Err(Problem::new(Reason::PredicateType, format!("its _type is {shown:?}, not {STATEMENT}")));
    }
    let ours = [RUN_CERTIFICATE, CAMPAIGN_CERTIFICATE].map(|name| name.trim_end_matches('1'));
    if predicate != RUN_CERTIFICATE && ours.iter().any(|stem| predicate.starts_with(stem)) {
        let message = format!("its type {predicate:.100} needs another version of runproof");
        return Err(Problem::new(Reason::PredicateVersion, message));
    }
    if predicate != RUN_CERTIFICATE {
        let message =
            format!("its type is {:?}, not {RUN_CERTIFICATE}", predicate.chars().take(100).collect::<String>());
        return Err(Problem::new(Reason::PredicateType, message));
    }
    Ok(())
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
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
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
    value["predicate"]["tests"] = Value::Null;
    each_string(&value, &mut |text| {
        let drive = text.as_bytes().get(1..3).is_some_and(|mark| mark == b":\\");
        if found.is_ok() && (text.starts_with('/') || drive) {
            found = Err(LintError::Path(text.chars().take(60).collect()));
        }
    });
    found
}
