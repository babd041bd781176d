//! One attempt: prompt → reply → edits → tests, and what it leaves for the next one.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::canon::{Blake3, Tree, TreeEntry};
use crate::edit::{self, Change, Code, Format, Proposal, Refusal};
use crate::gate::{self, TestReport};
use crate::instance::Hidden;
use crate::model::{Constraint, ConstraintFile, Identity, Limits, Provider, Reply, Request, Sampling, Stop};
use crate::prompt::{self, AttemptNote, Prompt};
use crate::transcript::Kind;

use super::asking::ask_model;
use super::live::Changes;
use super::steps::{
    Baseline, FAILURE_TEXT, Interruption, ShownFile, Solver, invalid, object, report_bytes, summary, verdict_data,
};
use super::watch::{Phase, Step};

/// Where an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// The reply was refused; the tree is as it was.
    Refused,
    /// The reply equals an earlier one; it was not tested again.
    Repeated,
    /// The edits were applied and the tests judged them.
    Tested,
}

/// What came of one attempt.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Number, from 1.
    pub number: u32,
    /// Whether the fallback model was asked.
    pub fallback: bool,
    /// Where it ended.
    pub end: AttemptEnd,
    /// Whether the green gate passed.
    pub green: bool,
    /// Codes of the normalisations, refusals and gate findings, in order.
    pub codes: Vec<String>,
    /// One line about what came of it.
    pub summary: String,
    /// Of a refused answer: the lines as they are or would look.
    pub excerpt: String,
    /// What the tests say that should pass and do not.
    pub failing: String,
    /// What the tests say that passed before and do not now.
    pub broken: String,
    /// The diff against the base tree, empty when refused.
    pub patch: Vec<u8>,
    /// Tokens of all prompts and of all replies, as the provider counts them.
    pub tokens: [Option<u32>; 2],
    /// The files changed.
    pub(super) changes: Changes,
    /// Digest of what says why the attempt failed: the refusal, or the test report.
    failure: Blake3,
    /// What the tests said; empty when nothing was tested.
    pub(super) report: TestReport,
}

impl Attempt {
    fn note(&self) -> AttemptNote {
        AttemptNote {
            number: self.number,
            outcome: self.summary.clone(),
            codes: self.codes.clone(),
            excerpt: self.excerpt.clone(),
            failing: self.failing.clone(),
            broken: self.broken.clone(),
            patch: String::from_utf8_lossy(&self.patch).into_owned(),
        }
    }
}

/// What an attempt asks, and of whom.
pub(super) struct Asked<'q> {
    pub(super) number: u32,
    /// Which of the models.
    pub(super) which: usize,
    pub(super) model: &'q Identity,
    pub(super) base: &'q Tree,
    pub(super) files: &'q [ShownFile],
    /// The prompt that shows the files.
    pub(super) prompt: &'q Prompt,
}

/// Returns the tree that `changes` make of `base`.
pub(super) fn tree_after(base: &Tree, changes: &Changes) -> Tree {
    let mut tree = base.clone();
    for (path, change) in changes {
        match change {
            Change::Remove => tree.remove(path),
            Change::Write { bytes, mode } => {
                let entry = TreeEntry { mode: *mode, digest: Blake3::of(bytes), size: bytes.len() as u64 };
                tree.insert(path.clone(), entry)
            }
        };
    }
    tree
}

impl<'a> Solver<'a, '_> {
    /// Makes one attempt from the verified base tree.
    pub(super) fn attempt(
        &mut self,
        models: &[Identity],
        base: &Tree,
        baseline: &Baseline,
        files: &[ShownFile],
        earlier: &[Attempt],
    ) -> Result<Attempt, Interruption> {
        let number = u32::try_from(earlier.len()).unwrap_or(u32::MAX) + 1;
        self.check_pristine(base, &format!("attempt {number}"))?;
        let which = self.model_for(number, models);
        let notes: Vec<AttemptNote> = earlier.iter().map(Attempt::note).collect();
        let hidden = self.hidden_paths.clone();
        let protected = |path: &str| edit::is_protected(&hidden, path);
        let input = self.input(baseline, files, &notes, &protected);
        let prompt = prompt::build(&input).map_err(|error| invalid(&error))?;
        self.note_prompt(number, &prompt, earlier.last())?;
        let asked = Asked { number, which, model: &models[which], base, files, prompt: &prompt };
        let reply = self.reply(&asked, &prompt)?;
        let (tokens, read) = match self.options.format {
            Format::TwoStep => self.read_place(&asked, &input, reply)?,
            _ => ([reply.prompt_tokens, reply.completion_tokens], self.read_edits(&asked, &reply)?),
        };
        let mut attempt = Attempt {
            number,
            fallback: which > 0,
            end: AttemptEnd::Refused,
            green: false,
            codes: Vec::new(),
            summary: String::new(),
            excerpt: String::new(),
            failing: String::new(),
            broken: String::new(),
            patch: Vec::new(),
            tokens,
            changes: Changes::new(),
            failure: Blake3::of(b""),
            report: TestReport::default(),
        };
        match read {
            Ok(proposal) => self.judge(&mut attempt, base, baseline, proposal)?,
            Err(refusal) => self.refuse(&mut attempt, refusal)?,
        }
        Ok(attempt)
    }

    /// Returns which model attempt `number` asks.
    fn model_for(&self, number: u32, models: &[Identity]) -> usize {
        let fallback = self.options.fallback.as_ref().is_some_and(|fallback| number > fallback.after);
        usize::from(fallback).min(models.len() - 1)
    }

    fn input<'i>(
        &self,
        baseline: &'i Baseline,
        files: &'i [ShownFile],
        feedback: &'i [AttemptNote],
        protected: &'i dyn Fn(&str) -> bool,
    ) -> prompt::Input<'i>
    where
        'a: 'i,
    {
        prompt::Input {
            instance: self.instance,
            files,
            feedback,
            failing: &baseline.failing,
            protected,
            skills: &self.options.skill_texts,
            format: self.options.format,
            listing: self.options.listing,
            budget: self.budget(),
        }
    }

    /// Writes down what the prompt shows and tells, and which failure it answers to.
    fn note_prompt(&mut self, number: u32, prompt: &Prompt, earlier: Option<&Attempt>) -> Result<(), Interruption> {
        let mut data = object(json!({"attempt": number, "shown": prompt.shown}));
        if !self.options.skills.is_empty() {
            data.insert("skills".into(), json!(prompt.skills));
        }
        let mut parts: Vec<(&str, &[u8])> = Vec::new();
        if let Some(earlier) = earlier {
            data.insert("answers".into(), json!({"failure": earlier.failure, "summary": earlier.summary}));
            parts.push(("told", prompt.told.as_bytes()));
        }
        Ok(self.transcript.note(Kind::Prompt, &data, &parts)?)
    }

    pub(super) fn reply(&mut self, asked: &Asked<'_>, prompt: &Prompt) -> Result<Reply, Interruption> {
        let Asked { number, which, model, .. } = *asked;
        self.began(Phase::Reply, number);
        let constrained = self.options.constrained && model.provider == Provider::Embedded;
        // The engine can hold a reply to the form of direct edits, not to that of a diff or of a part of an edit.
        let constrained = constrained && self.options.format.is_direct() && self.options.format.calls() == 1;
        let files = prompt.constraint.iter().map(|(path, lines)| ConstraintFile { path: path.clone(), lines: *lines });
        let request = Request {
            model: model.clone(),
            messages: prompt.messages.clone(),
            sampling: Sampling::greedy(self.options.seed),
            limits: Limits {
                context_tokens: self.options.context_tokens.min(model.context.unwrap_or(u32::MAX)),
                max_tokens: self.options.reply_tokens,
            },
            constraint: constrained.then(|| Constraint { files: files.collect() }),
        };
        let bytes = ask_model(&request, |ask| {
            self.ask(ask, |live, watch| {
                live.call(which, &request, &mut |progress| {
                    watch(Step::Tokens { prompt: progress.prompt_tokens, reply: progress.tokens });
                })
            })
        })?;
        let reply = Reply::from_bytes(&bytes).map_err(|error| invalid(&error))?;
        let tokens = reply.completion_tokens.map_or_else(String::new, |tokens| format!("{tokens} tokens"));
        self.ended(Phase::Reply, number, tokens);
        Ok(reply)
    }

    /// Reads the reply as edits of the base tree; a reply seen before is refused without a look.
    pub(super) fn read_edits(
        &mut self,
        asked: &Asked<'_>,
        reply: &Reply,
    ) -> Result<Result<Proposal, Refusal>, Interruption> {
        if let Some(refusal) = self.repeated(asked.number, &reply.text) {
            return Ok(Err(refusal));
        }
        let format = self.options.format;
        self.read_reply(asked, reply, |context, read| format.propose(reply.text.as_bytes(), context, read))
    }

    /// Refuses an answer that was given before, and keeps in mind one that was not.
    pub(super) fn repeated(&mut self, number: u32, answer: &str) -> Option<Refusal> {
        let digest = Blake3::of(answer.as_bytes());
        let earlier = self.seen.get(&digest).copied();
        self.seen.entry(digest).or_insert(number);
        earlier.map(Refusal::repeated)
    }

    /// Lets `read` make something of a reply in the context of what was asked.
    pub(super) fn read_reply<T>(
        &mut self,
        asked: &Asked<'_>,
        reply: &Reply,
        read: impl FnOnce(&edit::Context<'_>, &mut dyn FnMut(&str) -> Option<Vec<u8>>) -> Result<T, Refusal>,
    ) -> Result<Result<T, Refusal>, Interruption> {
        let shown = asked.files.iter().filter(|(path, _)| asked.prompt.shown.contains(path)).cloned().collect();
        let hidden = self.hidden_paths.clone();
        let context = edit::Context {
            tree: asked.base,
            shown: &shown,
            cut_off: reply.stop == Stop::Length,
            protected: &|path| edit::is_protected(&hidden, path),
            limits: self.options.format.limits(),
        };
        // The parser may want a file that was not shown. Reading is an event, so a failure is kept and raised after.
        let mut failed = None;
        let found = read(&context, &mut |path| {
            asked.base.get(path)?;
            self.read(path).map_err(|error| failed = Some(error)).ok()
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(found),
        }
    }

    fn refuse(&mut self, attempt: &mut Attempt, refusal: Refusal) -> Result<(), Interruption> {
        attempt.end = if refusal.code == Code::Repeat { AttemptEnd::Repeated } else { AttemptEnd::Refused };
        attempt.codes = refusal.codes.iter().chain([&refusal.code]).map(|code| code.as_str().to_owned()).collect();
        attempt.summary = format!("the answer was refused ({}): {}", refusal.code.as_str(), refusal.message);
        attempt.excerpt = refusal.excerpt.clone();
        let data = object(json!({"attempt": attempt.number, "accepted": false, "codes": attempt.codes}));
        let bytes = refusal.to_bytes();
        attempt.failure = Blake3::of(&bytes);
        self.transcript.note(Kind::Edit, &data, &[("refusal", &bytes)])?;
        self.ended(Phase::Edits, attempt.number, format!("{} {}", refusal.code.as_str(), refusal.message));
        Ok(())
    }

    /// Tests a proposal at once and judges what came.
    fn judge(
        &mut self,
        attempt: &mut Attempt,
        base: &Tree,
        baseline: &Baseline,
        proposal: Proposal,
    ) -> Result<(), Interruption> {
        let before = |path: &str| Some((self.known.get(path)?.clone(), base.get(path)?.mode));
        attempt.patch = edit::patch(&before, &proposal);
        attempt.codes = proposal.codes.iter().map(|code| code.as_str().to_owned()).collect();
        attempt.end = AttemptEnd::Tested;
        let data = object(json!({"attempt": attempt.number, "accepted": true, "codes": attempt.codes}));
        let edits = proposal.to_bytes();
        self.transcript.note(Kind::Edit, &data, &[("edits", &edits), ("patch", &attempt.patch)])?;
        let paths: Vec<&str> = proposal.changes.keys().map(String::as_str).collect();
        self.ended(Phase::Edits, attempt.number, format!("{} {}", attempt.codes.join(" "), paths.join(" ")));

        self.began(Phase::Tests, attempt.number);
        let command = self.instance.test_command.clone().unwrap_or_default();
        let tree = proposal.result.digest();
        let tested = self.test("attempt", attempt.number, &command, tree, &proposal.changes, &Hidden::None)?;
        let verdict = gate::green(&baseline.expected, &baseline.reports, &tested.report);
        attempt.green = verdict.passed;
        attempt.summary = format!(
            "{}; {} fixed, {} still failing, {} newly failing",
            summary(&tested.report),
            verdict.fixed.len(),
            verdict.still_failing.len(),
            verdict.newly_failing.len()
        );
        let parser = self.reader()?.parser;
        let text = |names: &[String]| gate::failure_text(parser, &tested.execution, names, FAILURE_TEXT);
        // A run that says nothing of any test by name, such as a failed import, is shown by its end, once.
        let is_named = !verdict.newly_failing.is_empty() && verdict.still_failing.is_empty();
        attempt.failing = if is_named || verdict.passed { String::new() } else { text(&verdict.still_failing) };
        attempt.broken = if verdict.newly_failing.is_empty() { String::new() } else { text(&verdict.newly_failing) };
        if attempt.broken == attempt.failing {
            attempt.broken.clear();
        }
        attempt.codes.extend(verdict.codes.iter().cloned());
        attempt.changes = proposal.changes;
        let mut data = verdict_data("green", attempt.number, verdict.passed, &verdict.codes);
        data.insert("still_failing".into(), json!(verdict.still_failing));
        data.insert("newly_failing".into(), json!(verdict.newly_failing));
        if !verdict.flaky.is_empty() {
            data.insert("flaky".into(), json!(verdict.flaky));
        }
        self.tell_reading(&mut data, &tested.report);
        data.insert("summary".into(), json!(attempt.summary));
        let report = report_bytes(&tested.report);
        attempt.failure = Blake3::of(&report);
        self.transcript.note(Kind::Verdict, &data, &[("report", &report)])?;
        attempt.report = tested.report;
        self.ended(Phase::Tests, attempt.number, attempt.summary.clone());
        Ok(())
    }
}
