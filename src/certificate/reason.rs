//! Which check refused a certificate. The names are part of the interface: test vectors and reports carry them.

use serde::Serialize;

/// What a verification decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Everything that was asked for holds.
    Accepted,
    /// Something does not hold.
    Refused,
    /// The bytes are not a certificate.
    Malformed,
    /// What was checked holds, and less than what is required could be checked.
    Below,
}

impl Decision {
    /// Returns the word in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::Below => "below",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $word:literal $decision:ident),+ $(,)?) => {
        /// Why a certificate was not accepted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum Reason { $($(#[$doc])* $name),+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the word in reports and test vectors.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// Returns what a verification decides for this reason.
            pub const fn decision(self) -> Decision {
                match self { $(Self::$name => Decision::$decision),+ }
            }
        }
    };
}

reasons! {
    /// The envelope is not a DSSE envelope within the limits.
    Envelope "envelope" Malformed,
    /// The payload is not a statement of ours in canonical form.
    Statement "statement" Malformed,
    /// The envelope carries no signature.
    Unsigned "unsigned" Refused,
    /// No trusted key signed these bytes.
    Untrusted "untrusted" Refused,
    /// The key that signed is revoked.
    KeyRevoked "key-revoked" Refused,
    /// The key that signed is retired, and the certificate is not pinned.
    KeyRetired "key-retired" Refused,
    /// Fewer different keys signed than the rule asks for.
    Threshold "threshold" Refused,
    /// The certificate itself is revoked.
    CertificateRevoked "certificate-revoked" Refused,
    /// The policy has expired.
    PolicyExpired "policy-expired" Refused,
    /// The policy is older than one seen before.
    PolicyVersion "policy-version" Refused,
    /// The signed bytes are not an in-toto statement.
    PayloadType "payload-type" Refused,
    /// The statement is of another type.
    PredicateType "predicate-type" Refused,
    /// The statement is of a later version of our type.
    PredicateVersion "predicate-version" Refused,
    /// No rule of the policy covers this type, instance, model or profile for the keys that signed.
    Rule "rule" Refused,
    /// A subject has no digest of an algorithm that counts.
    DigestAlgorithm "digest-algorithm" Refused,
    /// The rungs are no ladder.
    Ladder "ladder" Refused,
    /// Nothing was done, so nothing is proved.
    Empty "empty" Refused,
    /// A rung that the policy asks for is not certified as passed.
    RungRequired "rung-required" Refused,
    /// The transcript is not the one certified.
    Manifest "manifest" Refused,
    /// A root or a count is not the one certified.
    Root "root" Refused,
    /// The patch is not the one certified.
    Patch "patch" Refused,
    /// A blob is not what the manifest says.
    Blob "blob" Refused,
    /// The evidence cannot be believed: a link, a foreign schema, a damaged store.
    Evidence "evidence" Refused,
    /// A fact follows otherwise from the evidence.
    Fact "fact" Refused,
    /// A rung comes out otherwise from the evidence.
    Rung "rung" Refused,
    /// The replay came to other bytes.
    Replay "replay" Refused,
    /// The tests, really run again, came to something else.
    Tests "tests" Refused,
    /// A model, asked again, answered something else.
    Live "live" Refused,
    /// Less could be checked than is required.
    Level "level" Below,
}

/// A reason with its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// Which check.
    pub reason: Reason,
    /// What it found.
    pub message: String,
}

impl Problem {
    /// Makes a problem.
    pub fn new(reason: Reason, message: impl ToString) -> Self {
        Self { reason, message: message.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_one_word() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.word());
        }
    }
}
