//! What a campaign wants to know of one run, read from its evidence.

use serde_json::{Map, Value};

use crate::canon::Sha256;
use crate::edit::Format;
use crate::model::{Grade, Reply};
use crate::transcript::Evidence;

use super::course::{Attempt, Course, NoRequest, digest_of};
use super::feedback;
use super::ladder::{Rung, Verdict};
use super::published::identity;

/// One recorded call.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) request: Sha256,
    /// The reply in canonical form.
    pub(super) reply: Sha256,
    pub(super) grade: Grade,
}

/// What a campaign wants to know of one run.
#[derive(Clone)]
pub(super) struct Facts {
    pub(super) instance: String,
    /// Digest of the instance's recorded bytes.
    pub(super) instance_bytes: Sha256,
    /// Digest that says which instance it is, however its tests are run.
    pub(super) identity: Sha256,
    pub(super) arm: String,
    pub(super) tests: String,
    /// Its options but for the seed.
    pub(super) options: Map<String, Value>,
    /// Digest of the base tree's listing.
    pub(super) base: Sha256,
    /// The ranking of the files and those that were selected, where the run came so far.
    pub(super) selection: Option<(Sha256, Vec<String>)>,
    /// Name and digest of each model.
    pub(super) models: Vec<Sha256>,
    pub(super) seed: u32,
    pub(super) manifest: Sha256,
    pub(super) raw_root: Sha256,
    pub(super) edge: Verdict,
    pub(super) replayed: Verdict,
    /// Whether rung 641 found that the instance was resolved.
    pub(super) resolved: bool,
    pub(super) attempts: usize,
    pub(super) calls: Vec<Call>,
    /// Retries whose prompt told of the failure before, or why one did not.
    pub(super) feedback: Result<usize, String>,
}

impl Facts {
    /// Reads a run.
    ///
    /// # Errors
    /// A run that is no run on an instance, or cannot be read.
    pub(super) fn read(evidence: &Evidence<'_>, edge: &Rung) -> Result<Self, String> {
        let course = Course::read(evidence)?;
        let options = course.run.data.get("options").and_then(Value::as_object);
        let mut options = options.cloned().unwrap_or_default();
        let seed = options.remove("seed").and_then(|seed| u32::try_from(seed.as_u64()?).ok());
        let seed = seed.ok_or("its header names no seed")?;
        named_as_it_is(course.option("arm"), course.format()?, options.get("attempts"))?;
        let instance = course.instance.data.get("id").and_then(|id| id.as_str()).ok_or("its instance has no id")?;
        let mut calls = Vec::new();
        for call in course.attempts.iter().flat_map(Attempt::calls) {
            let request = course.request(call).map_err(NoRequest::into_reason)?;
            if request.sampling.seed != seed {
                return Err(format!("event {} has another seed than the run's header", call.position));
            }
            let reply = Reply::from_bytes(&course.body(call, "canonical")?).map_err(|error| error.to_string())?;
            let digest = |slot| digest_of(call, slot).ok_or("a call without bodies");
            calls.push(Call { request: digest("request")?, reply: digest("canonical")?, grade: reply.grade });
        }
        let (resolved, replayed) = of_edge(edge);
        let identity = identity(&course.body(course.instance, "instance")?);
        let selection = course.selection.as_ref();
        let selection = selection.and_then(|(entry, files)| Some((digest_of(entry, "canonical")?, files.clone())));
        Ok(Self {
            instance: instance.to_owned(),
            instance_bytes: digest_of(course.instance, "instance").ok_or("its instance is not recorded")?,
            identity,
            arm: course.option("arm").to_owned(),
            tests: course.option("tests").to_owned(),
            options,
            base: digest_of(course.base_entry, "canonical").ok_or("its base tree is not recorded")?,
            selection,
            models: course.models.iter().filter_map(|entry| digest_of(entry, "canonical")).collect(),
            seed,
            manifest: Sha256::of(evidence.manifest()),
            raw_root: evidence.roots().raw(),
            edge: edge.result(),
            replayed,
            resolved,
            attempts: course.attempts.len(),
            calls,
            feedback: feedback::verified(&course),
        })
    }

    /// The same facts with another assessment of rung 641.
    pub(super) fn with_edge(mut self, edge: &Rung) -> Self {
        (self.resolved, self.replayed) = of_edge(edge);
        self.edge = edge.result();
        self
    }

    /// Names the run for a person.
    pub(super) fn name(&self) -> String {
        format!("{} ({}, seed {})", self.instance, self.arm, self.seed)
    }
}

/// Makes sure that an arm is what its name says, which is all that a comparison goes by: the form of the answers, and how
/// often the model may try.
fn named_as_it_is(arm: &str, format: Format, attempts: Option<&Value>) -> Result<(), String> {
    let (form, attempts) = (if format == Format::Patch { "patch" } else { "direct" }, attempts.and_then(Value::as_u64));
    let name = match attempts {
        Some(1) if form == "patch" => form.to_owned(),
        attempts => format!("{form}-{}", attempts.unwrap_or_default()),
    };
    match arm.split('+').next() == Some(name.as_str()) {
        true => Ok(()),
        false => Err(format!("its arm is called {arm:?} and is {name}")),
    }
}

/// Returns what rung 641 found: whether the instance was resolved, and what a replay came to.
fn of_edge(edge: &Rung) -> (bool, Verdict) {
    let follows = edge.criterion("outcome-follows");
    let resolved = follows
        .is_some_and(|criterion| criterion.verdict == Verdict::Passed && criterion.figures.get("resolved") == Some(&1));
    (resolved, edge.criterion("replay-equal").map_or(Verdict::NotAssessed, |criterion| criterion.verdict))
}

/// Returns the digest of a run's manifest.
pub(super) fn manifest(evidence: &Evidence<'_>) -> Sha256 {
    Sha256::of(evidence.manifest())
}
