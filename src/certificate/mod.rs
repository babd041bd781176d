//! Certificates: signed statements about runs and campaigns, the policy that says whose signature counts, and verification.
//!
//! A certificate is a DSSE envelope ([`Envelope`]) around an in-toto [`Statement`], signed with Ed25519 ([`key`]).
//! [`Verification`] believes nothing of it: the facts, both roots and every rung are derived again from the evidence.
//! The format is written down in `docs/certificate.md`. Nothing here reads a file, a clock or the environment, and no
//! replay is performed here: what one showed is handed in as data.

pub mod export;
pub mod key;

mod campaign;
mod compare;
mod dsse;
mod facts;
mod level;
mod members;
mod policy;
mod predicate;
mod reason;
mod rule;
mod ssh;
mod statement;
mod strict;
mod verify;

pub use campaign::{ArmFact, CampaignPredicate, MemberFact, ProfileFact, of_campaign};
pub use dsse::{Envelope, MAX_CERTIFICATE, PAYLOAD_TYPE, SignatureEntry, pae};
pub use facts::{FactsError, of_run};
pub use key::{KeyError, PublicKey, SecretKey};
pub use level::{Check, Level, Status};
pub use members::{Member, Members};
pub use policy::{Date, KeyStatus, MAX_POLICY, Policy, PolicyError, Rule, Trust, TrustedKey};
pub use predicate::{DigestSet, Hex, RunPredicate, RungClaim, RungResult};
pub use reason::{Decision, Problem, Reason};
pub use ssh::sshsig;
pub use statement::{CAMPAIGN_CERTIFICATE, LintError, Predicate, RUN_CERTIFICATE, Statement, Subject, lint};
pub use verify::{Report, Signer, Verification};

#[cfg(test)]
mod tests;
