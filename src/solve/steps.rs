//! The steps of the loop: each asks the transcript for what it needs and judges what comes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::canon::{Blake3, Tree, json as canonical};
use crate::gate::{self, Expected, Reader, RedVerdict, Status, TestReport};
use crate::instance::{Hidden, Instance};
use crate::model::{Identity, ModelName};
use crate::prompt;
use crate::transcript::{Kind, Normaliser, Transcript, TranscriptError};

use super::asking::{ask_identity, repository_name};
use super::attempt::Attempt;
use super::live::{Changes, Live, observed_digest};
use super::options::Options;
use super::outcome::{Outcome, OutcomeKind};
use super::replay::skill_slot;
use super::spending::reached;
use super::tests_mode::TestsMode;
use super::watch::{Phase, Step};

/// Bytes of failing tests' text that a step hands on; the prompt's budget cuts further.
pub(super) const FAILURE_TEXT: usize = 16 << 10;

/// Why the loop stops before its end.
pub(super) enum Interruption {
    /// The run cannot go on.
    Transcript(TranscriptError),
    /// The instance cannot be judged; that is a result.
    Invalid(String),
}

impl From<TranscriptError> for Interruption {
    fn from(error: TranscriptError) -> Self {
        Self::Transcript(error)
    }
}

/// The state of the tests before any edit.
pub(super) struct Baseline {
    /// What each run said; more than one, so that flaky tests are known.
    pub(super) reports: Vec<TestReport>,
    pub(super) expected: Expected,
    /// Text of the failing tests, for the first prompt.
    pub(super) failing: String,
}

/// A file of the base tree that prompts show.
pub(super) type ShownFile = (String, Vec<u8>);

/// One test execution as the steps see it.
pub(super) struct Tested {
    pub(super) report: TestReport,
    pub(super) execution: Vec<u8>,
}

pub(super) struct Solver<'a, 'l> {
    pub(super) transcript: &'a mut dyn Transcript,
    pub(super) instance: &'a Instance,
    pub(super) options: &'a Options,
    pub(super) live: Option<Live<'l>>,
    pub(super) watch: &'a mut dyn FnMut(Step),
    pub(super) reader: Result<Reader, String>,
    pub(super) hidden_paths: Vec<String>,
    /// Replies seen so far with the attempt that gave them, for refusing to test one twice.
    pub(super) seen: BTreeMap<Blake3, u32>,
    /// Files of the base tree read so far; each is read, and recorded, once.
    pub(super) known: BTreeMap<String, Vec<u8>>,
}

impl<'a, 'l> Solver<'a, 'l> {
    pub(super) fn new(
        transcript: &'a mut dyn Transcript,
        instance: &'a Instance,
        options: &'a Options,
        live: Option<Live<'l>>,
        watch: &'a mut dyn FnMut(Step),
    ) -> Self {
        let repository = repository_name(instance);
        let command = instance.test_command.as_deref().unwrap_or_default();
        let has_lists = !instance.fail_to_pass.is_empty();
        let reader = Reader::choose(instance.log_parser.as_deref(), command, repository, has_lists);
        let hidden_paths = instance.hidden_paths();
        Self {
            transcript,
            instance,
            options,
            live,
            watch,
            reader,
            hidden_paths,
            seen: BTreeMap::new(),
            known: BTreeMap::new(),
        }
    }

    /// Writes the header and the instance.
    pub(super) fn open(&mut self) -> Result<(), TranscriptError> {
        let templates: Vec<(String, &[u8])> =
            prompt::TEMPLATES.iter().map(|(name, text)| (format!("template:{name}"), text.as_bytes())).collect();
        let skills = self.options.skill_texts.iter().map(|skill| (skill_slot(&skill.name), skill.text.as_bytes()));
        let templates: Vec<(String, &[u8])> = templates.into_iter().chain(skills).collect();
        let parts: Vec<(&str, &[u8])> = templates.iter().map(|(slot, bytes)| (slot.as_str(), *bytes)).collect();
        self.transcript.note(Kind::Run, &self.options.header(), &parts)?;
        let data = object(json!({"id": self.instance.id, "hidden": self.hidden_paths}));
        self.transcript.note(Kind::Instance, &data, &[("instance", &self.instance.to_bytes())])
    }

    /// Resolves the models that the run names.
    pub(super) fn resolve_models(&mut self) -> Result<Vec<Identity>, Interruption> {
        let fallback = self.options.fallback.as_ref().map(|fallback| fallback.model.clone());
        let names: Vec<String> = std::iter::once(self.options.model.clone()).chain(fallback).collect();
        let mut identities = Vec::new();
        for (which, name) in names.iter().enumerate() {
            self.began(Phase::Identity, 0);
            let meant = name.parse::<ModelName>().map_err(|error| invalid(&error))?;
            let reply = ask_identity(name, meant.provider, |ask| self.ask(ask, |live, _| live.resolve(which)))?;
            let identity = Identity::from_bytes(&reply).map_err(|error| invalid(&error))?;
            meant.check(&identity).map_err(|fault| invalid(&fault))?;
            self.ended(
                Phase::Identity,
                0,
                format!("{name} is {}", identity.digest.as_deref().unwrap_or("without digest")),
            );
            identities.push(identity);
        }
        Ok(identities)
    }

    /// Lists the tree that every attempt starts from.
    pub(super) fn base_tree(&mut self) -> Result<Tree, Interruption> {
        self.began(Phase::Tree, 0);
        let request = canonical_bytes(&json!({"base": self.instance.base_commit, "tests": self.options.tests}));
        let hidden = self.visible_hidden();
        let reply = self.perform(Kind::Tree, &request, Normaliser::IDENTITY, |live, _| live.tree(&hidden))?;
        let tree = Tree::from_bytes(&reply).map_err(|error| invalid(&error))?;
        self.ended(Phase::Tree, 0, format!("{} files", tree.len()));
        Ok(tree)
    }

    /// Runs the tests before any edit and decides what an attempt must reach.
    pub(super) fn red_gate(&mut self, base: &Tree) -> Result<Baseline, Interruption> {
        self.began(Phase::RedGate, 0);
        let Some(command) = self.instance.test_command.clone() else {
            return Err(Interruption::Invalid("the instance names no test command".into()));
        };
        let (mut reports, mut execution) = (Vec::new(), Vec::new());
        for number in 1..=self.options.red_runs.max(1) {
            // The first has no number, like the only one of a run that asks for one.
            let number = if number == 1 { 0 } else { number };
            let tested = self.test("red", number, &command, base.digest(), &Changes::new(), &Hidden::None)?;
            if reports.is_empty() {
                execution = tested.execution;
            }
            reports.push(tested.report);
        }
        let (expected, valid) = self.expectations(&reports);
        let failing = gate::failure_text(self.reader()?.parser, &execution, &valid.failing, FAILURE_TEXT);
        let lists = [("broken", &valid.broken), ("flaky", &valid.flaky)];
        let lists: Vec<_> = lists.into_iter().filter(|(_, tests)| !tests.is_empty()).collect();
        let told = |(word, tests): &(&str, &Vec<String>)| format!("; {} {word}: {}", tests.len(), tests.join(", "));
        self.ended(Phase::RedGate, 0, summary(&reports[0]) + &lists.iter().map(told).collect::<String>());
        let mut data = verdict_data("red", 0, valid.valid, &valid.codes);
        self.tell_reading(&mut data, &reports[0]);
        data.extend(lists.iter().map(|(name, tests)| ((*name).to_owned(), json!(tests))));
        self.transcript.note(Kind::Verdict, &data, &[("report", &report_bytes(&reports[0]))])?;
        if !valid.valid {
            return Err(Interruption::Invalid(format!("the red gate is not valid: {}", valid.codes.join(" "))));
        }
        Ok(Baseline { reports, expected, failing })
    }

    /// Decides what an attempt must reach: the instance's lists where their tests are visible, else the baseline.
    fn expectations(&self, reports: &[TestReport]) -> (Expected, RedVerdict) {
        let (fail_to_pass, pass_to_pass) = (self.instance.fail_to_pass.clone(), self.instance.pass_to_pass.clone());
        let visible = self.options.tests == TestsMode::Oracle || matches!(self.instance.hidden, Hidden::None);
        let expected = match (fail_to_pass.is_empty(), visible) {
            (true, _) => Expected::Baseline,
            (false, true) => Expected::Lists { fail_to_pass, pass_to_pass },
            // The lists speak of hidden tests: the visible ones only guard against regressions.
            (false, false) => Expected::Lists { fail_to_pass: Vec::new(), pass_to_pass: passing(&reports[0]) },
        };
        let verdict = gate::red(&expected, reports);
        (expected, verdict)
    }

    /// Says whether there is nothing left to attempt.
    pub(super) fn is_over(&self, attempts: &[Attempt]) -> bool {
        attempts.last().is_some_and(|attempt| attempt.green) || attempts.len() >= self.options.attempts as usize
    }

    /// Makes sure that the worktree is the base tree.
    pub(super) fn check_pristine(&mut self, base: &Tree, stage: &str) -> Result<(), Interruption> {
        let request = canonical_bytes(&json!({"stage": stage, "expected": base.digest()}));
        let hidden = self.visible_hidden();
        let reply =
            self.perform(Kind::TreeCheck, &request, Normaliser::IDENTITY, |live, _| live.tree_digest(&hidden))?;
        if observed_digest(&reply) == Some(base.digest()) {
            return Ok(());
        }
        let found = String::from_utf8_lossy(&reply).into_owned();
        Err(Interruption::Invalid(format!("the worktree at {stage} is {found}, not the base tree")))
    }

    /// Judges the last attempt by the hidden tests, where the loop did not see them.
    ///
    /// Returns the judging tests that passed and failed, and whether they resolve the instance.
    pub(super) fn grade(&mut self, base: &Tree, attempts: &[Attempt]) -> Result<Judged, Interruption> {
        let Some(last) = attempts.last().filter(|attempt| attempt.green) else { return Ok(Judged::default()) };
        if self.options.tests == TestsMode::Oracle || matches!(self.instance.hidden, Hidden::None) {
            return Ok(self.judged(true, &last.report));
        }
        self.began(Phase::Grade, last.number);
        let command = self.instance.grading_command().unwrap_or_default().to_owned();
        let hidden = self.instance.hidden.clone();
        let tree = super::attempt::tree_after(base, &last.changes).digest();
        let changes = last.changes.clone();
        let tested = self.test("grade", last.number, &command, tree, &changes, &hidden)?;
        let (fail_to_pass, pass_to_pass) = (self.instance.fail_to_pass.clone(), self.instance.pass_to_pass.clone());
        // Against an empty baseline every failing test is a new one, so all must pass.
        let expected = match fail_to_pass.is_empty() {
            true => Expected::Baseline,
            false => Expected::Lists { fail_to_pass, pass_to_pass },
        };
        let verdict = gate::green(&expected, &[], &tested.report);
        self.ended(Phase::Grade, last.number, summary(&tested.report));
        let mut data = verdict_data("grade", last.number, verdict.passed, &verdict.codes);
        self.tell_reading(&mut data, &tested.report);
        self.transcript.note(Kind::Verdict, &data, &[("report", &report_bytes(&tested.report))])?;
        Ok(self.judged(verdict.passed, &tested.report))
    }

    /// Names the judging tests as the instance's lists do, or as the log does where there are no lists.
    fn judged(&self, resolved: bool, report: &TestReport) -> Judged {
        let listed: Vec<&String> = self.instance.fail_to_pass.iter().chain(&self.instance.pass_to_pass).collect();
        if listed.is_empty() {
            let failed = report.failing().into_iter().map(str::to_owned).collect();
            return Judged { resolved, passed: passing(report), failed };
        }
        let kept = |name: &String| report.listed(name).is_some_and(|status| !status.is_failure());
        let (passed, failed) = listed.into_iter().cloned().partition(kept);
        Judged { resolved, passed, failed }
    }

    /// Puts the outcome together; the patch of a green attempt is tried in a fresh checkout.
    pub(super) fn outcome(
        &mut self,
        base: &Tree,
        attempts: Vec<Attempt>,
        judged: Judged,
    ) -> Result<Outcome, Interruption> {
        let green = attempts.last().filter(|attempt| attempt.green);
        let limit = reached(self.options, &attempts).filter(|_| !self.is_over(&attempts));
        let kind = match (green, judged.resolved) {
            (Some(_), true) => OutcomeKind::Resolved,
            (Some(_), false) => OutcomeKind::VisibleOnly,
            (None, _) if limit.is_some() => OutcomeKind::Limit,
            (None, _) => OutcomeKind::Unresolved,
        };
        let patch = green.map(|attempt| attempt.patch.clone()).unwrap_or_default();
        let patch_accepted = match green {
            Some(attempt) => Some(self.check_patch(base, attempt)?),
            None => None,
        };
        let judged = [judged.passed, judged.failed];
        let tests = self.options.tests;
        Ok(Outcome { kind, reason: limit.unwrap_or_default(), tests, attempts, patch, patch_accepted, judged })
    }

    fn check_patch(&mut self, base: &Tree, attempt: &Attempt) -> Result<bool, Interruption> {
        self.began(Phase::Patch, attempt.number);
        let tree = super::attempt::tree_after(base, &attempt.changes).digest();
        let request = canonical_bytes(&json!({
            "patch": Blake3::of(&attempt.patch),
            "tree": tree,
            "tests": self.options.tests,
        }));
        let (patch, hidden) = (attempt.patch.clone(), self.visible_hidden());
        let reply = self
            .perform(Kind::PatchCheck, &request, Normaliser::IDENTITY, |live, _| live.check_patch(&patch, &hidden))?;
        let found: Value = serde_json::from_slice(&reply).unwrap_or_default();
        let accepted = found["accepted"] == json!(true) && found["tree"] == json!(tree);
        self.ended(Phase::Patch, attempt.number, if accepted { "accepted".into() } else { "refused".into() });
        Ok(accepted)
    }

    /// Writes the run's last event.
    pub(super) fn close(&mut self, outcome: Outcome) -> Result<Outcome, TranscriptError> {
        let data = object(outcome.data(self.options));
        self.transcript.note(Kind::Result, &data, &[("patch", &outcome.patch)])?;
        Ok(outcome)
    }

    pub(super) fn close_invalid(&mut self, reason: String) -> Result<Outcome, TranscriptError> {
        let tests = self.options.tests;
        let kind = OutcomeKind::Invalid;
        let (attempts, patch) = (Vec::new(), Vec::new());
        self.close(Outcome { kind, reason, tests, attempts, patch, patch_accepted: None, judged: Default::default() })
    }
}

/// What the hidden tests said.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) resolved: bool,
    pub(super) passed: Vec<String>,
    pub(super) failed: Vec<String>,
}

/// Names the tests that passed.
fn passing(report: &TestReport) -> Vec<String> {
    report.tests.iter().filter(|(_, status)| status.is_pass()).map(|(name, _)| name.clone()).collect()
}

/// Returns one line about a test run.
pub(super) fn summary(report: &TestReport) -> String {
    let count = |wanted: fn(Status) -> bool| report.tests.values().filter(|status| wanted(**status)).count();
    let exit = report.exit.map_or_else(|| "no exit code".into(), |exit| format!("exit {exit}"));
    format!("{} passed, {} failed, {exit}", count(Status::is_pass), count(Status::is_failure))
}

pub(super) fn report_bytes(report: &TestReport) -> Vec<u8> {
    canonical::to_bytes(report).expect("names, statuses and counts below 2^53")
}

pub(super) fn verdict_data(gate: &str, attempt: u32, passed: bool, codes: &[String]) -> Map<String, Value> {
    object(json!({"gate": gate, "attempt": attempt, "passed": passed, "codes": codes}))
}

pub(super) fn invalid(error: &dyn std::fmt::Display) -> Interruption {
    Interruption::Invalid(error.to_string())
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => unreachable!("called with an object literal"),
    }
}

pub(super) fn canonical_bytes(value: &Value) -> Vec<u8> {
    canonical::to_bytes(value).expect("strings, digests and small integers")
}
