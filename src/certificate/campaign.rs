//! What a certificate says of a campaign, member by member, and how it follows from the certificates' facts of its runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::predicate::{DigestSet, Hex, ModelFact, RungClaim, Tool};
use super::reason::{Problem, Reason};
use super::statement::{Statement, check_list, malformed};
use crate::canon::{BlobRef, Sha256, json as canonical};
use crate::rung::{Profile, ProfileError};

/// What a certificate says of a campaign. Everything in it follows from the evidence and the profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CampaignPredicate {
    /// The thresholds that it was held against.
    pub profile: ProfileFact,
    /// Which tests drove the loops: `existing-tests`, `oracle-tests`, or both.
    pub tests: Vec<String>,
    /// Every model that a run names.
    pub models: Vec<ModelFact>,
    /// How many instances each arm resolved, with each seed.
    pub arms: Vec<ArmFact>,
    /// The runs.
    pub runs: Vec<MemberFact>,
    /// Manifests of the runs in which calls were executed again.
    pub executions: Vec<DigestSet>,
    /// The rungs, the lowest first.
    pub rungs: Vec<RungClaim>,
    /// What drove the runs.
    pub tools: Vec<Tool>,
    /// Ignored, and listed.
    pub extensions: Map<String, Value>,
}

/// The thresholds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileFact {
    /// Its name.
    pub name: String,
    /// SHA-256 of its canonical bytes.
    pub digest: Hex,
}

/// How an arm did with a seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmFact {
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u64,
    /// Runs with it.
    pub instances: u64,
    /// Those that were resolved.
    pub resolved: u64,
}

/// One run of the campaign. Its canonical bytes are a line of the campaign's manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MemberFact {
    /// The instance's id.
    pub instance: String,
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u64,
    /// Digests of the run's manifest.
    pub manifest: DigestSet,
    /// Root over the manifest's lines.
    pub raw_root: Hex,
    /// `resolved`, `visible-only` or `unresolved`.
    pub result: String,
    /// Attempts that were made.
    pub attempts: u64,
}

/// A line of the campaign's manifest about a re-execution.
#[derive(Serialize)]
struct ExecutionLine {
    execution: DigestSet,
}

impl CampaignPredicate {
    /// Returns the campaign's manifest: a canonical line for each run, then one for each re-execution.
    pub fn manifest(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        let mut push = |line: Result<Vec<u8>, _>| {
            lines.extend(line.expect("strings, digests and integers below 2^53"));
            lines.push(b'\n');
        };
        self.runs.iter().for_each(|run| push(canonical::to_bytes(run)));
        self.executions.iter().for_each(|digest| push(canonical::to_bytes(&ExecutionLine { execution: *digest })));
        lines
    }

    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.runs.is_empty() {
            return Err(Problem::new(Reason::Empty, "the campaign has no run: nothing is proved"));
        }
        check_list("the list of runs", &self.runs)?;
        check_list("the list of re-executions", &self.executions)?;
        check_list("the list of tests", &self.tests)?;
        check_list("the list of models", &self.models)?;
        check_list("the list of tools", &self.tools)?;
        let place = |run: &MemberFact| (run.instance.clone(), run.arm.clone(), run.seed);
        if self.runs.windows(2).any(|pair| place(&pair[0]) == place(&pair[1])) {
            return Err(malformed("an instance is there twice with the same arm and seed"));
        }
        if self.arms != arms(&self.runs) {
            return Err(malformed("its arms do not follow from its runs"));
        }
        Ok(())
    }
}

/// Returns the statement about a campaign, without rungs: `runs` are the statements about its runs, `executions` the
/// manifests of the runs in which calls were executed again.
///
/// # Errors
/// A profile without canonical form.
pub fn of_campaign(runs: &[Statement], executions: &[DigestSet], profile: &Profile) -> Result<Statement, ProfileError> {
    let of_runs = || runs.iter().filter_map(|statement| Some((statement.subject.first()?.digest, statement.run()?)));
    let member = |(manifest, run): (DigestSet, &super::RunPredicate)| MemberFact {
        instance: run.instance.id.clone(),
        arm: run.configuration.arm.clone(),
        seed: run.configuration.seed,
        manifest,
        raw_root: run.transcript.raw_root,
        result: run.outcome.result.clone(),
        attempts: run.outcome.attempts,
    };
    let members: BTreeSet<MemberFact> = of_runs().map(member).collect();
    let members: Vec<MemberFact> = members.into_iter().collect();
    let tests: BTreeSet<String> = of_runs().map(|(_, run)| run.configuration.tests.clone()).collect();
    let models: BTreeSet<ModelFact> = of_runs().flat_map(|(_, run)| run.models.clone()).collect();
    let tools: BTreeSet<Tool> = of_runs().map(|(_, run)| run.tool.clone()).collect();
    let executions: BTreeSet<DigestSet> = executions.iter().copied().collect();
    let bytes = profile.to_bytes()?;
    let predicate = CampaignPredicate {
        profile: ProfileFact { name: profile.name.clone(), digest: Hex::new(Sha256::of(&bytes).as_bytes()) },
        tests: tests.into_iter().collect(),
        models: models.into_iter().collect(),
        arms: arms(&members),
        runs: members,
        executions: executions.into_iter().collect(),
        rungs: Vec::new(),
        tools: tools.into_iter().collect(),
        extensions: Map::new(),
    };
    Ok(Statement::of_campaign(&BlobRef::of(&bytes), predicate))
}

/// Counts the runs of each arm and seed.
fn arms(runs: &[MemberFact]) -> Vec<ArmFact> {
    let mut counts = BTreeMap::<(&str, u64), [u64; 2]>::new();
    for run in runs {
        let [instances, resolved] = counts.entry((&run.arm, run.seed)).or_default();
        *instances += 1;
        *resolved += u64::from(run.result == "resolved");
    }
    let fact = |((arm, seed), [instances, resolved]): ((&str, u64), [u64; 2])| ArmFact {
        arm: arm.to_owned(),
        seed,
        instances,
        resolved,
    };
    counts.into_iter().map(fact).collect()
}
