//! What a certificate says of a run, member by member.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::canon::{Blake3, BlobRef, Sha256};
use crate::rung::{Number, Rung, Verdict};

/// A digest as in-toto writes it: 64 lower-case hexadecimal digits, the algorithm being the member's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hex(Sha256);

impl Hex {
    /// Wraps 32 bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(Sha256::from_bytes(*bytes))
    }

    /// Returns it as the digest that most are; the algorithm is the member's name and not known here.
    pub fn as_sha256(&self) -> Sha256 {
        self.0
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_hex())
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digest = format!("sha256:{text}").parse();
        digest.map(Self).map_err(|_| serde::de::Error::custom("a digest is not 64 lower-case hexadecimal digits"))
    }
}

/// The digests of some bytes. All that are there must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestSet {
    /// Address in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<Hex>,
    /// The digest that counts.
    pub sha256: Hex,
}

impl DigestSet {
    /// Returns both digests of what `blob` names.
    pub fn of(blob: &BlobRef) -> Self {
        Self { blake3: Some(Hex::new(blob.blake3.as_bytes())), sha256: Hex::new(blob.sha256.as_bytes()) }
    }

    /// Returns the BLAKE3 digest, where there is one.
    pub fn blake3(&self) -> Option<Blake3> {
        self.blake3.map(|digest| Blake3::from_bytes(*digest.0.as_bytes()))
    }

    /// Returns the SHA-256.
    pub fn sha256(&self) -> Sha256 {
        self.sha256.as_sha256()
    }
}

/// What a certificate says of a run. Everything in it follows from the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RunPredicate {
    /// The task.
    pub instance: Instance,
    /// The configuration that was run.
    pub configuration: Configuration,
    /// The models, in the order of their first use.
    pub models: Vec<ModelFact>,
    /// The recorded events.
    pub transcript: Transcript,
    /// How it ended.
    pub outcome: Outcome,
    /// What the tests said before and after.
    pub tests: Tests,
    /// The rungs, the lowest first.
    pub rungs: Vec<RungClaim>,
    /// What drove the run.
    pub tool: Tool,
    /// Ignored, and listed.
    pub extensions: Map<String, Value>,
}

/// What stands for the instance of a recorded agent, which worked on none of ours.
pub(super) const RECORDED: &str = "recorded-agent";

impl RunPredicate {
    /// Says whether it is about a recorded agent.
    pub fn is_recorded(&self) -> bool {
        self.instance.id == RECORDED && self.configuration.arm == "recorded" && self.outcome.result == "recorded"
    }
}

/// The task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Digest of its canonical form.
    pub digest: DigestSet,
    /// Digest of the listing of the tree that it starts from.
    pub base: DigestSet,
}

/// What the run was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The arm.
    pub arm: String,
    /// Which tests drove the loop: `existing-tests` or `oracle-tests`.
    pub tests: String,
    /// Attempts at most.
    pub attempts: u64,
    /// Seed of every call.
    pub seed: u64,
}

/// A model as it identified itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFact {
    /// `provider:name`.
    pub name: String,
    /// Digest of weights, manifest or script, where the provider offers one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Digest of the recorded identity.
    pub identity: DigestSet,
}

/// The recorded events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Transcript {
    /// Number of events, the manifest's lines.
    pub events: u64,
    /// Number of model calls among them.
    pub calls: u64,
    /// How the roots are computed.
    pub tree: String,
    /// Root over the manifest's lines.
    pub raw_root: Hex,
    /// Root over the canonical leaves.
    pub canonical_root: Hex,
}

/// How the run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// `resolved`, `visible-only` or `unresolved`.
    pub result: String,
    /// Attempts that were made.
    pub attempts: u64,
}

/// Test names before any edit and after the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tests {
    /// Before any edit.
    pub before: TestSets,
    /// After the last edit that was tested.
    pub after: TestSets,
}

/// Names of tests, sorted by bytes, none twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestSets {
    /// Those that did what they should.
    pub passed: Vec<String>,
    /// Those that failed.
    pub failed: Vec<String>,
}

/// What is claimed of a rung.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RungClaim {
    /// Which one.
    pub rung: Number,
    /// What came of it.
    pub result: RungResult,
    /// What was counted and measured for a rung of a campaign, as `CRITERION/FIGURE`; decimals per million.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, u64>,
    /// The file with its criteria.
    pub evidence: Vec<RungFile>,
}

/// What came of a rung. One that was not assessed is not certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum RungResult {
    /// Every criterion holds.
    Passed,
    /// One does not.
    Failed,
}

impl RungResult {
    /// Returns the word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "PASSED",
            Self::Failed => "FAILED",
        }
    }
}

/// A rung's criteria in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RungFile {
    /// `rung-NUMBER.json`.
    pub name: String,
    /// Its digest.
    pub digest: DigestSet,
}

impl RungClaim {
    /// Returns what is claimed of an assessed rung; nothing for one that was not assessed.
    pub fn of(rung: &Rung) -> Option<Self> {
        let result = match rung.result() {
            Verdict::Passed => RungResult::Passed,
            Verdict::Failed => RungResult::Failed,
            Verdict::NotAssessed => return None,
        };
        let digest = DigestSet { blake3: None, sha256: Hex::new(Sha256::of(&rung.to_bytes()).as_bytes()) };
        let evidence = vec![RungFile { name: rung.number().file_name(), digest }];
        Some(Self { rung: rung.number(), result, figures: figures(rung), evidence })
    }
}

/// The figures of a run are in the file alone: a certificate of one run has no table.
fn figures(rung: &Rung) -> BTreeMap<String, u64> {
    let criteria = rung.criteria().iter().filter(|_| rung.number() > Number::Edge);
    criteria
        .flat_map(|criterion| {
            criterion.figures.iter().map(|(name, value)| (format!("{}/{name}", criterion.name), *value))
        })
        .collect()
}

/// What drove the run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// `runproof`.
    pub name: String,
    /// Version that recorded the run.
    pub version: String,
    /// Digest of its rules, which a replay needs.
    pub orchestration: String,
}
