//! The steps of a verification that need the evidence of a campaign: every run, the thresholds, and the replays.

use super::campaign::of_campaign;
use super::compare::{Stop, assess, evidence_problem, follow, supposed};
use super::facts::{self, FactsError};
use super::level::{Level, Status};
use super::predicate::{DigestSet, RungClaim};
use super::reason::{Problem, Reason};
use super::statement::Statement;
use super::verify::Verification;
use crate::rung::{
    CampaignInput, CampaignRun, Certified, Execution, Profile, Replay, Rung, assess_campaign, counted, with_replay,
};
use crate::transcript::Evidence;

/// One run of a campaign, read from its evidence once; nothing of the evidence is kept.
pub struct Member {
    statement: Statement,
    /// Rung 641, a replay supposed to be equal.
    edge: Rung,
    supposed: CampaignRun,
    unreplayed: CampaignRun,
    replayed: Option<CampaignRun>,
    unequal: Option<String>,
}

impl Member {
    /// Reads a run, every body of it.
    ///
    /// # Errors
    /// Evidence that is incomplete or wrong, or a run that is not one on an instance.
    pub fn of(evidence: &Evidence<'_>) -> Result<Self, FactsError> {
        evidence.check_bodies()?;
        let outcome = supposed(evidence);
        let edge = assess(evidence, Replay::Outcome(&outcome));
        let supposed = CampaignRun::of(evidence, &edge);
        let unreplayed = supposed.with_edge(&with_replay(&edge, evidence, Replay::None("not performed")));
        Ok(Self { statement: facts::of_run(evidence)?, edge, supposed, unreplayed, replayed: None, unequal: None })
    }

    /// Says what a replay of the run came to.
    pub fn replayed(&mut self, evidence: &Evidence<'_>, replay: Replay<'_>) {
        let edge = with_replay(&self.edge, evidence, replay);
        if !matches!(replay, Replay::Outcome(outcome) if outcome.is_equal()) {
            let reason = edge.criterion("replay-equal").map_or("", |criterion| criterion.reason.as_str());
            let id = self.statement.run().map_or("", |run| run.instance.id.as_str());
            self.unequal = Some(format!("{id}: {reason}"));
        }
        self.replayed = Some(self.supposed.with_edge(&edge));
    }
}

/// A campaign as the evidence has it.
pub struct Members {
    /// Its runs.
    pub runs: Vec<Member>,
    /// Runs in which calls were executed again, with the digests of their manifests.
    pub executions: Vec<(DigestSet, Execution)>,
    /// The certificates of the runs, where somebody looked at them.
    pub certified: Option<Vec<Certified>>,
    /// The thresholds.
    pub profile: Profile,
}

impl Members {
    /// Returns the statement about the campaign, without rungs.
    ///
    /// # Errors
    /// A profile without canonical form.
    pub fn statement(&self) -> Result<Statement, Problem> {
        let runs: Vec<Statement> = self.runs.iter().map(|member| member.statement.clone()).collect();
        let executions: Vec<DigestSet> = self.executions.iter().map(|(digest, _)| *digest).collect();
        of_campaign(&runs, &executions, &self.profile).map_err(|error| Problem::new(Reason::Fact, error))
    }

    /// Returns the rungs by what replays came to; a run that was not replayed is not assessed.
    ///
    /// # Errors
    /// A profile without canonical form.
    pub fn rungs(&self) -> Result<Vec<Rung>, Problem> {
        self.assess(&|member| member.replayed.as_ref().unwrap_or(&member.unreplayed))
    }

    fn assess(&self, choose: &dyn Fn(&Member) -> &CampaignRun) -> Result<Vec<Rung>, Problem> {
        let runs: Vec<&CampaignRun> = self.runs.iter().map(choose).collect();
        let executions: Vec<&Execution> = self.executions.iter().map(|(_, execution)| execution).collect();
        let certified = self.certified.as_deref();
        let input = CampaignInput { runs: &runs, executions: &executions, certified, profile: &self.profile };
        let ladder = assess_campaign(&input).map_err(|error| Problem::new(Reason::Rung, error))?;
        Ok(ladder.rungs().to_vec())
    }
}

impl Verification {
    /// Compares a certificate of a campaign with its runs; `rung_file` reads a file that lies beside the manifest.
    pub fn members(&mut self, members: Result<&Members, &FactsError>, rung_file: &dyn Fn(&str) -> Option<Vec<u8>>) {
        let Some(statement) = self.statement().cloned() else { return };
        let result = match members {
            Ok(members) => self.compare_members(&statement, members, rung_file),
            Err(FactsError::Evidence(error)) => Err(evidence_problem("evidence", error)),
            Err(error) => Err(Problem::new(Reason::Fact, error).into()),
        };
        self.reach_evidence(result);
    }

    fn compare_members(
        &mut self,
        statement: &Statement,
        members: &Members,
        rung_file: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<(), Stop> {
        let derived = members.statement()?;
        let (Some(ours), Some(theirs)) = (derived.campaign(), statement.campaign()) else {
            return Err(Problem::new(Reason::Fact, "it is about no campaign").into());
        };
        let (runs, again) = (ours.runs.len(), ours.executions.len());
        self.pass("evidence", format!("runs: {runs}, re-executions: {again}, every digest computed"));
        if derived.subject != statement.subject {
            return Err(
                Problem::new(Reason::Manifest, "the runs or the profile are not those that are certified").into()
            );
        }
        self.pass("subjects", "runs and profile are the ones of the evidence");
        let pairs = [
            ("runs", ours.runs == theirs.runs),
            ("executions", ours.executions == theirs.executions),
            ("profile", ours.profile == theirs.profile),
            ("models", ours.models == theirs.models),
            ("tests", ours.tests == theirs.tests),
            ("arms", ours.arms == theirs.arms),
            ("tools", ours.tools == theirs.tools),
        ];
        follow(&pairs)?;
        self.pass("facts", "runs, profile, models, tests, arms and tools follow from the evidence");
        let supposed = members.assess(&|member| &member.supposed)?;
        let without = members.assess(&|member| &member.unreplayed)?;
        self.rungs(&theirs.rungs, &supposed, &without, rung_file)
    }

    /// Compares the claimed rungs of a campaign with what the replays of its runs showed.
    pub fn members_replayed(&mut self, members: &Members) {
        let Some(statement) = self.statement().cloned() else { return };
        if self.level != Level::Evidence {
            return;
        }
        if let Some(unequal) = members.runs.iter().find_map(|member| member.unequal.clone()) {
            return self.fail(Problem::new(Reason::Replay, unequal));
        }
        let open = members.runs.iter().filter(|member| member.replayed.is_none()).count();
        if open > 0 {
            return self.add("replay", Status::Unavailable, format!("{} could not be replayed", counted(open, "run")));
        }
        match members.rungs() {
            Err(problem) => self.fail(problem),
            Ok(rungs) if rungs.iter().map_while(RungClaim::of).ne(statement.rungs().iter().cloned()) => {
                self.fail(Problem::new(Reason::Rung, "the rungs come out otherwise with the replays"));
            }
            Ok(_) => {
                self.pass("replay", format!("{}, each equal to the byte", counted(members.runs.len(), "run")));
                self.level = Level::Replay;
            }
        }
    }
}
