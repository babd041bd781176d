//! Who may certify what: the verifying side's file, reviewed like code. The only source of trust.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::key::{KeyError, PublicKey};
use super::level::Level;
use super::predicate::{ModelFact, RECORDED};
use super::statement::{CAMPAIGN_CERTIFICATE, Predicate, RUN_CERTIFICATE, Statement};
use super::strict;
use crate::canon::Sha256;
use crate::rung::Number;

/// Version of the file's schema.
const SCHEMA: u32 = 1;
/// The end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;
/// Bytes of a policy that are read.
pub const MAX_POLICY: u64 = 1 << 20;

/// A day, `YYYY-MM-DD` in UTC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(String);

impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('-').collect();
        let number = |text: &str, length| {
            (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit()))
                .then(|| text.parse::<u32>().ok())?
        };
        let valid = match parts.as_slice() {
            [year, month, day] => {
                let days = match number(month, 2) {
                    Some(2) => 29,
                    Some(4 | 6 | 9 | 11) => 30,
                    Some(1..=12) => 31,
                    _ => 0,
                };
                number(year, 4).is_some() && number(day, 2).is_some_and(|day| (1..=days).contains(&day))
            }
            _ => false,
        };
        if valid { Ok(Self(text.to_owned())) } else { Err("a date is written YYYY-MM-DD".into()) }
    }
}

impl Date {
    /// Returns the day that `seconds` after 1970-01-01 UTC fall on.
    pub fn from_unix(seconds: u64) -> Self {
        // Dates are compared as texts: a clock beyond the last of four digits stays there, and so fails closed.
        let seconds = seconds.min(LAST_SECOND);
        // Days to civil date, by Howard Hinnant's algorithm over 400-year eras that begin in March.
        let days = seconds / 86_400 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
        let year = era * 400 + year + u64::from(month <= 2);
        Self(format!("{year:04}-{month:02}-{day:02}"))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether a key's signatures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyStatus {
    /// They do.
    Active,
    /// Only those on certificates that the policy pins.
    Retired,
    /// None does.
    Revoked,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRow {
    keyid: String,
    pem: String,
    name: String,
    status: KeyStatus,
    #[serde(default)]
    reason: String,
}

/// A key that the policy knows.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// Whose it is.
    pub name: String,
    /// Whether it counts.
    pub status: KeyStatus,
    /// Why it is not active.
    pub reason: String,
}

/// Who may certify what, and what a certificate must show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// The type of certificate that it is about.
    pub predicate_type: String,
    /// Ids of the keys that may sign.
    pub keys: Vec<String>,
    /// How many different ones must have signed.
    pub threshold: u32,
    /// How far a verification must come.
    pub require_level: Level,
    /// Rungs that must be certified as passed.
    #[serde(default)]
    pub require_rungs: Vec<Number>,
    /// Instances, by id; `*` at the end of one stands for anything.
    #[serde(default = "anything")]
    pub instances: Vec<String>,
    /// Models, by name or by digest; `*` as above.
    #[serde(default = "anything")]
    pub models: Vec<String>,
    /// Profiles of a campaign, by digest, since a name is the signer's own; `*` for any. A certificate of a run has none,
    /// but of a recorded agent, whose rungs ask for less, the word `recorded-agent` must stand here where rungs are
    /// required; `*` does not say that.
    #[serde(default = "anything")]
    pub profiles: Vec<String>,
}

fn anything() -> Vec<String> {
    vec!["*".into()]
}

impl Rule {
    /// Says what of the certificate the rule does not cover.
    pub(super) fn uncovered(&self, statement: &Statement) -> Option<String> {
        let any = |patterns: &[String], text: &str| patterns.iter().any(|pattern| matches(pattern, text));
        let (instances, models): (Vec<&str>, &[ModelFact]) = match &statement.predicate {
            Predicate::Run(run) => (vec![&run.instance.id], &run.models),
            Predicate::Campaign(campaign) => {
                (campaign.runs.iter().map(|run| run.instance.as_str()).collect(), &campaign.models)
            }
        };
        if let Some(instance) = instances.iter().find(|instance| !any(&self.instances, instance)) {
            return Some(format!("the instance {instance:?}"));
        }
        let covered =
            |name: &str, digest: Option<&str>| any(&self.models, name) || digest.is_some_and(|d| any(&self.models, d));
        if let Some(model) = models.iter().find(|model| !covered(&model.name, model.digest.as_deref())) {
            return Some(format!("the model {:?}", model.name));
        }
        let profile = &statement.campaign()?.profile;
        let digest = profile.digest.as_sha256();
        let is_named = any(&self.profiles, &digest.to_hex()) || any(&self.profiles, &digest.to_string());
        // By name nothing is shown: whoever signs chooses it. Only `*` and digests count.
        (!is_named).then(|| format!("the profile {:?} ({digest})", profile.name))
    }
}

impl Rule {
    /// Says whether the weaker rungs of a recorded agent are enough where rungs are required.
    pub(super) fn takes_recorded_agents(&self) -> bool {
        self.profiles.iter().any(|profile| profile == RECORDED)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    schema: u32,
    version: u64,
    expires: Date,
    keys: Vec<KeyRow>,
    rules: Vec<Rule>,
    #[serde(default)]
    revoked_certificates: Vec<String>,
    #[serde(default)]
    pinned_certificates: Vec<String>,
}

/// Says why a policy cannot be used. There is no verification without one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Not JSON of the right shape.
    #[error("the policy is malformed: {0}")]
    Malformed(String),
    /// A key in it.
    #[error("the policy's key {name:?}: {error}")]
    Key {
        /// Its name.
        name: String,
        /// What is wrong with it.
        error: KeyError,
    },
}

/// A policy that was loaded: every key usable, every rule satisfiable.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Grows with every change, so that an old one is recognised.
    pub version: u64,
    /// The last day on which it counts.
    pub expires: Date,
    /// The keys by id.
    pub keys: BTreeMap<String, TrustedKey>,
    /// The rules in order.
    pub rules: Vec<Rule>,
    /// Certificates that do not count any more, by identity.
    pub revoked: BTreeSet<Sha256>,
    /// Certificates that count though their keys are retired, by identity.
    pub pinned: BTreeSet<Sha256>,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// Anything that is not a policy, a key that no honest party has, or a rule that could never be met.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PolicyError> {
        let malformed = |what: String| PolicyError::Malformed(what);
        let value = strict::parse(bytes).map_err(|error| malformed(error.to_string()))?;
        let file: File = serde_json::from_value(value.clone()).map_err(|error| malformed(error.to_string()))?;
        let ours = serde_json::to_value(&file).map_err(|error| malformed(error.to_string()))?;
        if !strict::same_shape(&value, &ours) {
            return Err(malformed("a list stands where an object belongs".into()));
        }
        if file.schema != SCHEMA {
            return Err(malformed(format!("its schema is {}; this version reads {SCHEMA}", file.schema)));
        }
        let (mut keys, mut seen) = (BTreeMap::new(), BTreeSet::new());
        for row in file.keys {
            let key =
                PublicKey::from_pem(&row.pem).map_err(|error| PolicyError::Key { name: row.name.clone(), error })?;
            if key.keyid() != row.keyid {
                return Err(malformed(format!("the key {:?} has the id {}, not {}", row.name, key.keyid(), row.keyid)));
            }
            if !seen.insert(*key.as_bytes()) {
                return Err(malformed(format!("the key {:?} is there twice", row.name)));
            }
            keys.insert(row.keyid, TrustedKey { key, name: row.name, status: row.status, reason: row.reason });
        }
        if file.rules.is_empty() {
            return Err(malformed("it has no rule".into()));
        }
        for rule in &file.rules {
            check_rule(rule, &keys)?;
        }
        let identities = |list: &[String]| {
            let identity =
                |text: &String| format!("sha256:{}", text.strip_prefix("sha256:").unwrap_or(text)).parse::<Sha256>();
            list.iter().map(identity).collect::<Result<BTreeSet<_>, _>>().map_err(|error| malformed(error.to_string()))
        };
        Ok(Self {
            version: file.version,
            expires: file.expires,
            revoked: identities(&file.revoked_certificates)?,
            pinned: identities(&file.pinned_certificates)?,
            keys,
            rules: file.rules,
        })
    }
}

fn check_rule(rule: &Rule, keys: &BTreeMap<String, TrustedKey>) -> Result<(), PolicyError> {
    let malformed = |what: String| Err(PolicyError::Malformed(what));
    if ![RUN_CERTIFICATE, CAMPAIGN_CERTIFICATE].contains(&rule.predicate_type.as_str()) {
        return malformed(format!("a rule is about the unknown type {:?}", rule.predicate_type));
    }
    if let Some(keyid) = rule.keys.iter().find(|keyid| !keys.contains_key(*keyid)) {
        return malformed(format!("a rule names the key {keyid:?}, which is not among its keys"));
    }
    let different: BTreeSet<&String> = rule.keys.iter().collect();
    if rule.threshold == 0 || rule.threshold as usize > different.len() || different.len() != rule.keys.len() {
        return malformed(format!("a rule asks for {} of {} different keys", rule.threshold, different.len()));
    }
    Ok(())
}

/// Whose signature counts.
#[derive(Debug, Clone)]
pub enum Trust {
    /// What a policy says.
    Policy(Box<Policy>),
    /// One key, for every certificate.
    Key(PublicKey),
}
