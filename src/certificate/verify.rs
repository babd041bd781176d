//! Verification, step by step: signature, statement and policy first, then the evidence, then what a replay showed.
//!
//! The steps that need evidence are in `compare` and `members`. Each step is a function that the caller calls when it
//! has what the step needs, so nothing is opened or replayed for a certificate that nobody trusted signed. Every check
//! is reported; none is folded into another.

use std::collections::BTreeSet;

use serde::Serialize;

use super::dsse::{Envelope, PAYLOAD_TYPE};
use super::key::PublicKey;
use super::level::{Check, Level, Status};
use super::policy::{Date, KeyStatus, Trust};
use super::reason::{Decision, Problem, Reason};
use super::rule::{check_policy, find_rule};
use super::statement::Statement;
use crate::canon::Sha256;
use crate::rung::{Rung, counted};
use crate::transcript::ReplayOutcome;

/// Every check in the order in which it is made.
const CHECKS: [&str; 10] =
    ["envelope", "policy", "signature", "statement", "rule", "evidence", "subjects", "facts", "rungs", "replay"];

/// A key that signed, by itself and not by what the envelope says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signer {
    /// Id, computed from the key.
    pub keyid: String,
    /// Name in the policy.
    pub name: String,
    /// Status in the policy.
    pub status: KeyStatus,
}

/// What a verification came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was decided.
    pub decision: Decision,
    /// The check that decided, where the certificate was not accepted.
    pub reason: Option<Reason>,
    /// The same in words.
    pub message: String,
    /// How far it came.
    pub level: Level,
    /// How far it had to come.
    pub required: Level,
    /// What the level does not show.
    pub does_not_show: &'static str,
    /// Identity of the certificate.
    pub payload: Option<Sha256>,
    /// Trusted keys that signed.
    pub signers: Vec<Signer>,
    /// What else the envelope holds: hints of signatures that no trusted key made, unverified.
    pub unverified_hints: Vec<String>,
    /// Members that mean nothing to us.
    pub ignored: Vec<String>,
    /// Every check.
    pub checks: Vec<Check>,
    /// What is certified, once somebody trusted signed it.
    pub statement: Option<Statement>,
}

/// A verification under way.
pub struct Verification {
    checks: Vec<Check>,
    problem: Option<Problem>,
    pub(super) level: Level,
    payload: Option<Sha256>,
    signers: Vec<Signer>,
    unverified_hints: Vec<String>,
    ignored: Vec<String>,
    pub(super) statement: Option<Statement>,
    rule_level: Option<Level>,
    evidence_given: bool,
    /// Rung 641 of the run as it comes out of the evidence, a replay supposed to be equal.
    pub(super) edge: Option<Rung>,
}

impl Verification {
    /// Checks everything that needs nothing but the certificate and the policy.
    ///
    /// `today` decides whether the policy has expired; `minimum` is the lowest version of it that is taken.
    pub fn begin(bytes: &[u8], trust: &Trust, today: &Date, minimum: u64) -> Self {
        let mut this = Self {
            checks: Vec::new(),
            problem: None,
            level: Level::None,
            payload: None,
            signers: Vec::new(),
            unverified_hints: Vec::new(),
            ignored: Vec::new(),
            statement: None,
            rule_level: None,
            evidence_given: false,
            edge: None,
        };
        if let Err(problem) = this.authenticate(bytes, trust, today, minimum) {
            this.fail(problem);
        }
        this
    }

    fn authenticate(&mut self, bytes: &[u8], trust: &Trust, today: &Date, minimum: u64) -> Result<(), Problem> {
        let envelope = Envelope::from_bytes(bytes)?;
        self.ignored.clone_from(&envelope.ignored);
        self.pass(
            "envelope",
            format!("{} over {} bytes", counted(envelope.signatures.len(), "signature"), envelope.payload.len()),
        );
        if let Trust::Policy(policy) = trust {
            check_policy(policy, today, minimum)?;
            self.pass("policy", format!("version {}, until {}", policy.version, policy.expires));
        } else {
            self.skip("policy", "one key is given instead");
        }
        let identity = envelope.identity();
        self.payload = Some(identity);
        let counted = self.signatures(&envelope, trust, identity)?;
        if envelope.payload_type != PAYLOAD_TYPE {
            let shown: String = envelope.payload_type.chars().take(100).collect();
            return Err(Problem::new(
                Reason::PayloadType,
                format!("the signed bytes are {shown:?}, not {PAYLOAD_TYPE}"),
            ));
        }
        let statement = Statement::from_bytes(&envelope.payload)?;
        self.pass("statement", format!("{}, canonical", statement.predicate_type()));
        self.ignored.extend(statement.extensions().keys().map(|name| format!("extensions.{name}")));
        if let Trust::Policy(policy) = trust {
            self.rule_level = Some(find_rule(policy, &statement, &counted)?.require_level);
            self.pass("rule", "a rule of the policy covers it");
        } else {
            self.skip("rule", "one key is given instead");
        }
        self.statement = Some(statement);
        self.level = Level::Signature;
        Ok(())
    }

    /// Finds the trusted keys that signed and returns the ids of those that count.
    fn signatures(
        &mut self,
        envelope: &Envelope,
        trust: &Trust,
        identity: Sha256,
    ) -> Result<BTreeSet<String>, Problem> {
        let message = envelope.to_be_signed();
        let keys: Vec<(PublicKey, Signer, String)> = match trust {
            Trust::Key(key) => {
                let signer = Signer { keyid: key.keyid(), name: "the given key".into(), status: KeyStatus::Active };
                vec![(*key, signer, String::new())]
            }
            Trust::Policy(policy) => policy
                .keys
                .iter()
                .map(|(keyid, trusted)| {
                    let signer = Signer { keyid: keyid.clone(), name: trusted.name.clone(), status: trusted.status };
                    (trusted.key, signer, trusted.reason.clone())
                })
                .collect(),
        };
        let (mut used, mut counted, mut refused) = (vec![false; envelope.signatures.len()], BTreeSet::new(), None);
        for (key, signer, why) in keys {
            let mut signed = false;
            for (entry, used) in envelope.signatures.iter().zip(&mut used) {
                if entry.signature.as_slice().try_into().is_ok_and(|signature| key.verifies(&message, signature)) {
                    (signed, *used) = (true, true);
                }
            }
            if !signed {
                continue;
            }
            let pinned = matches!(trust, Trust::Policy(policy) if policy.pinned.contains(&identity));
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            match signer.status {
                KeyStatus::Revoked => {
                    let message = format!("the key {} ({}) is revoked{why}", signer.keyid, signer.name);
                    refused = Some(Problem::new(Reason::KeyRevoked, message));
                }
                KeyStatus::Retired if !pinned => {
                    let message = format!(
                        "the key {} ({}) is retired{why}, and the certificate is not pinned",
                        signer.keyid, signer.name
                    );
                    refused.get_or_insert(Problem::new(Reason::KeyRetired, message));
                }
                _ => {
                    counted.insert(signer.keyid.clone());
                }
            }
            self.signers.push(signer);
        }
        let others = envelope.signatures.iter().zip(&used).filter(|(_, used)| !**used);
        self.unverified_hints =
            others.map(|(entry, _)| entry.hint.as_deref().unwrap_or("no hint").chars().take(80).collect()).collect();
        if matches!(trust, Trust::Policy(policy) if policy.revoked.contains(&identity)) {
            return Err(Problem::new(Reason::CertificateRevoked, format!("the certificate {identity} is revoked")));
        }
        if counted.is_empty() {
            return Err(refused.unwrap_or_else(|| self.untrusted(envelope)));
        }
        let names: Vec<&str> = self.signers.iter().map(|signer| signer.name.as_str()).collect();
        let rest = match self.unverified_hints.len() {
            0 => String::new(),
            number => format!("; {number} that no trusted key made, passed over"),
        };
        self.pass("signature", format!("by {}{rest}", names.join(", ")));
        Ok(counted)
    }

    fn untrusted(&self, envelope: &Envelope) -> Problem {
        if envelope.signatures.is_empty() {
            return Problem::new(Reason::Unsigned, "it carries no signature");
        }
        let hints = self.unverified_hints.join(", ");
        Problem::new(Reason::Untrusted, format!("no trusted key made a signature over it (unverified hints: {hints})"))
    }

    /// Returns the level that has to be reached; the policy's word is the least.
    pub fn required(&self, asked: Option<Level>) -> Level {
        let is_recorded = self.statement.as_ref().is_some_and(Statement::is_of_recorded_agent);
        let usual = match self.evidence_given {
            // It is replayed by its command, which is not run here.
            true if is_recorded => Level::Evidence,
            true => Level::Replay,
            false => Level::Signature,
        };
        match (asked, self.rule_level) {
            (None, rule) => rule.map_or(usual, |rule| rule.max(usual)),
            (asked, rule) => asked.max(rule).unwrap_or(usual),
        }
    }

    /// Returns what is certified, if everything so far holds.
    pub fn statement(&self) -> Option<&Statement> {
        self.statement.as_ref().filter(|_| self.problem.is_none())
    }

    /// Returns the level reached so far.
    pub fn reached(&self) -> Level {
        self.level
    }

    /// Says that evidence was given, whatever comes of it.
    pub fn evidence_given(&mut self) {
        self.evidence_given = true;
    }

    /// Says what came of really running the tests again, over recorded model calls.
    pub fn tested(&mut self, outcome: &ReplayOutcome) {
        if self.problem.is_some() || self.level != Level::Replay {
            return;
        }
        match &outcome.divergence {
            Some(divergence) => {
                let message = format!("event {} ({}): {}", divergence.event, divergence.kind, divergence.what);
                self.fail(Problem::new(Reason::Tests, message));
            }
            None => {
                self.pass("tests", format!("{} test executions came out as recorded", outcome.performed_again));
                self.level = Level::Tests;
            }
        }
    }

    /// Says what came of asking the models again: how many calls were, and the first that was answered otherwise.
    pub fn asked(&mut self, calls: usize, different: Option<u32>) {
        if self.problem.is_some() || self.level != Level::Tests {
            return;
        }
        match different {
            Some(event) => {
                self.fail(Problem::new(Reason::Live, format!("the call of event {event} was answered otherwise")));
            }
            None => {
                self.pass("live", format!("{} answered as recorded", counted(calls, "call")));
                self.level = Level::Live;
            }
        }
    }

    /// Says that a check was asked for and could not be made.
    pub fn unavailable(&mut self, name: &'static str, reason: impl Into<String>) {
        if self.problem.is_none() {
            self.add(name, Status::Unavailable, reason.into());
        }
    }

    /// Ends the verification: `asked` is the level that the caller requires.
    pub fn finish(mut self, asked: Option<Level>) -> Report {
        let required = self.required(asked);
        for name in CHECKS {
            if !self.checks.iter().any(|check| check.name == name) {
                let reason = match self.problem {
                    Some(_) => "a check before it failed",
                    None if !self.evidence_given => "no evidence was given",
                    None => "less was available than it needs",
                };
                self.skip(name, reason);
            }
        }
        for (name, level) in [("tests", Level::Tests), ("live", Level::Live)] {
            if !self.checks.iter().any(|check| check.name == name) {
                let reason = if required >= level { "a check before it was not passed" } else { "not asked for" };
                self.skip(name, reason);
            }
        }
        let order = |name: &str| CHECKS.iter().position(|check| *check == name).unwrap_or(CHECKS.len());
        self.checks.sort_by_key(|check| order(check.name));
        let problem = self.problem.take().or_else(|| {
            (self.level < required).then(|| {
                let unavailable = self.checks.iter().find(|check| check.status == Status::Unavailable);
                let why = unavailable.map_or_else(|| "no evidence was given".into(), |check| check.reason.clone());
                Problem::new(Reason::Level, format!("level {} is reached, {required} is required: {why}", self.level))
            })
        });
        Report {
            decision: problem.as_ref().map_or(Decision::Accepted, |problem| problem.reason.decision()),
            reason: problem.as_ref().map(|problem| problem.reason),
            message: problem.map_or_else(|| "everything that was asked for holds".into(), |problem| problem.message),
            level: self.level,
            required,
            does_not_show: self.level.does_not_show(),
            payload: self.payload,
            signers: self.signers,
            unverified_hints: self.unverified_hints,
            ignored: self.ignored,
            checks: self.checks,
            statement: self.statement,
        }
    }

    pub(super) fn add(&mut self, name: &'static str, status: Status, reason: String) {
        self.checks.push(Check { name, status, reason });
    }

    pub(super) fn pass(&mut self, name: &'static str, reason: impl Into<String>) {
        self.add(name, Status::Passed, reason.into());
    }

    fn skip(&mut self, name: &'static str, reason: impl Into<String>) {
        self.add(name, Status::Skipped, reason.into());
    }

    /// The check that was under way is the first one without an entry that the reason belongs to.
    pub(super) fn fail(&mut self, problem: Problem) {
        let name = check_of(problem.reason);
        self.add(name, Status::Failed, problem.message.clone());
        // What a refused certificate reached is worth nothing.
        self.level = Level::None;
        self.problem = Some(problem);
    }
}

/// Returns the check that a reason belongs to.
fn check_of(reason: Reason) -> &'static str {
    match reason {
        Reason::Envelope => "envelope",
        Reason::PolicyExpired | Reason::PolicyVersion => "policy",
        Reason::Unsigned | Reason::Untrusted | Reason::KeyRevoked | Reason::KeyRetired | Reason::CertificateRevoked => {
            "signature"
        }
        Reason::Threshold | Reason::Rule | Reason::RungRequired => "rule",
        Reason::Manifest | Reason::Patch => "subjects",
        Reason::Blob | Reason::Evidence => "evidence",
        Reason::Root | Reason::Fact => "facts",
        Reason::Rung => "rungs",
        Reason::Replay => "replay",
        Reason::Tests => "tests",
        Reason::Live => "live",
        _ => "statement",
    }
}
