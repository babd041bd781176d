//! Whose signature counts: the options, and what they name.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::canon::Sha256;
use crate::certificate::{Date, MAX_POLICY, Policy, PolicyError, Trust};

use super::keyfile::{key_failure, read_public};
use super::verify::read_regular;
use super::{Failure, FailureKind, Host};

/// Options of every verb that believes signatures.
#[derive(Debug, Clone, Args)]
pub(crate) struct TrustArgs {
    /// Who may certify what.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The one public key that counts, in place of a policy.
    #[arg(long, value_name = "PUB", conflicts_with = "policy")]
    key: Option<PathBuf>,
}

/// What the options name.
pub(crate) struct Loaded {
    pub(crate) trust: Trust,
    /// SHA-256 of the policy file.
    pub(crate) policy: Option<Sha256>,
}

impl TrustArgs {
    /// Reads the policy or the key; nothing where neither is named.
    pub(crate) fn load(&self) -> Result<Option<Loaded>, Failure> {
        match (&self.policy, &self.key) {
            (Some(path), _) => read_policy(path).map(Some),
            (None, Some(path)) => Ok(Some(Loaded { trust: Trust::Key(read_public(path)?), policy: None })),
            (None, None) => Ok(None),
        }
    }
}

fn read_policy(path: &Path) -> Result<Loaded, Failure> {
    let bytes = read_regular(path, MAX_POLICY, "policy")?;
    let policy = Policy::from_bytes(&bytes).map_err(|error| match error {
        PolicyError::Key { name, error } => {
            let mut failure = key_failure(Path::new(&name), &error);
            failure.message = format!("in the policy {}: {}", path.display(), failure.message);
            failure
        }
        error => Failure::new(FailureKind::Malformed, error).hint("docs/certificate.md says what a policy holds"),
    })?;
    Ok(Loaded { trust: Trust::Policy(Box::new(policy)), policy: Some(Sha256::of(&bytes)) })
}

/// Returns the day that a policy's end is compared with.
pub(crate) fn today() -> Date {
    Date::from_unix(Host::now_us() / 1_000_000)
}
