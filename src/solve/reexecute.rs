//! Re-execution: the models of a recorded run are asked every call again, live, and should say the same.
//!
//! A re-execution is a run of its own. Its events are the models' identities and the calls, round after round, each
//! round on freshly opened models; so what they said is evidence that anybody can compare with the original, and it
//! replays like any other run. Calls of a grade that promises nothing are left out and named.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::canon::{RunId, Sha256, json as canonical};
use crate::model::{self, Grade, Identity, Model, Reply, Request};
use crate::store::Store;
use crate::transcript::{ActFailure, Divergence, Kind, Transcript, TranscriptError, check_manifest};

use super::asking::{ask_identity, ask_model};
use super::live::{done, failure};
use super::orchestration::orchestration_digest;
use super::replay::HeaderError;
use super::steps::object;
use super::watch::{Phase, Step};

/// Version of the events that a re-execution writes and of their order.
const FORMAT: u32 = 1;

/// What is executed again: the calls of one recorded run.
#[derive(Debug, Clone)]
pub struct Original {
    raw_root: Sha256,
    canonical_root: Sha256,
    /// What the run was told its models are: the name, and the identity that was resolved.
    models: Vec<(String, Identity)>,
    calls: Vec<RecordedCall>,
}

/// A call as it was recorded.
#[derive(Debug, Clone)]
struct RecordedCall {
    event: u32,
    /// Position of the model among those of the run.
    model: usize,
    request: Request,
    reply: Vec<u8>,
    grade: Grade,
}

/// The request of a model's identity.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    model: String,
}

/// What came of asking one call again.
#[derive(Debug, Clone)]
pub struct CallAgain {
    /// Position of the call in the original run.
    pub event: u32,
    /// How far the call can be made again.
    pub grade: Grade,
    /// Times that it was made again; none where its grade promises nothing.
    pub tries: u32,
    /// How many of them gave the recorded reply in canonical form.
    pub identical: u32,
    /// The first difference.
    pub divergence: Option<Divergence>,
}

/// What came of asking every call of a run again.
#[derive(Debug, Clone)]
pub struct Reexecution {
    /// The calls of the original run, in its order.
    pub calls: Vec<CallAgain>,
}

impl Reexecution {
    /// Returns how many calls were made, and how many of them gave the recorded reply.
    pub fn counts(&self) -> (u32, u32) {
        self.calls.iter().fold((0, 0), |(tries, same), call| (tries + call.tries, same + call.identical))
    }

    /// Returns the outcome in one word.
    pub fn outcome(&self) -> &'static str {
        match self.counts() {
            (0, _) => "not-reexecutable",
            (tries, identical) if tries == identical => "identical",
            _ => "different",
        }
    }
}

/// The header of a re-execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReexecutionHeader {
    format: u32,
    version: String,
    orchestration: String,
    /// Raw root of the run that is executed again.
    pub raw_root: Sha256,
    /// Canonical root of that run.
    pub canonical_root: Sha256,
    /// How often each call is made.
    pub times: u32,
}

impl ReexecutionHeader {
    /// Reads the data of a re-execution's first event.
    ///
    /// # Errors
    /// Data of another shape.
    pub fn from_bytes(data: &[u8]) -> Result<Self, String> {
        let header: Self = canonical::from_bytes(data).map_err(|error| error.to_string())?;
        if header.format != FORMAT {
            return Err(format!("its format is {}, this version reads {FORMAT}", header.format));
        }
        Ok(header)
    }
}

impl Original {
    /// Reads the calls of a recorded run; every body of the run is checked on the way.
    ///
    /// # Errors
    /// A store that fails, or an event that cannot be read.
    pub fn read(store: &Store, run: RunId) -> Result<Self, HeaderError> {
        let shape = |error: &dyn std::fmt::Display| HeaderError::Shape(error.to_string());
        let roots = check_manifest(store, run, &mut |_| {}).map_err(|error| shape(&error))?;
        let (mut models, mut calls) = (Vec::new(), Vec::new());
        for event in store.events(run)? {
            let body = |slot| store.body(run, event.seq, slot);
            match Kind::from_name(&event.kind) {
                Some(Kind::Model) => {
                    let named: Named = canonical::from_bytes(&body("request")?).map_err(|error| shape(&error))?;
                    let identity = Identity::from_bytes(&body("canonical")?).map_err(|error| shape(&error))?;
                    models.push((named.model, identity));
                }
                Some(Kind::ModelCall) => {
                    let request = Request::from_bytes(&body("request")?).map_err(|error| shape(&error))?;
                    let reply = body("canonical")?;
                    let grade = Reply::from_bytes(&reply).map_err(|error| shape(&error))?.grade;
                    let model = models.iter().position(|(_, identity)| *identity == request.model);
                    let model = model.ok_or_else(|| shape(&"a call names a model that was not resolved"))?;
                    calls.push(RecordedCall { event: event.seq, model, request, reply, grade });
                }
                _ => {}
            }
        }
        Ok(Self { raw_root: roots.raw(), canonical_root: roots.canonical(), models, calls })
    }

    /// Returns the roots of the run, the raw one first.
    pub fn roots(&self) -> [Sha256; 2] {
        [self.raw_root, self.canonical_root]
    }

    /// Returns how many calls the run made.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Says whether the run made no call.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Returns the calls that can be made again.
    fn repeatable(&self) -> impl Iterator<Item = (usize, &RecordedCall)> {
        self.calls.iter().enumerate().filter(|(_, call)| call.grade > Grade::NotReexecutable)
    }
}

/// Opens the model of that number: 0 the run's first, 1 its fallback. A replay has none.
pub type OpenModel<'a> = dyn FnMut(usize) -> Result<Box<dyn Model>, ActFailure> + 'a;

/// Makes every call of `original` again, `times` times, and compares each reply in canonical form.
///
/// # Errors
/// A model that cannot be opened, is another one or fails beyond the retries; a store that fails; in replay, a
/// divergence. A reply that differs is no error: it is what is looked for.
pub fn reexecute(
    transcript: &mut dyn Transcript,
    original: &Original,
    times: u32,
    open: &mut OpenModel<'_>,
    watch: &mut dyn FnMut(Step),
) -> Result<Reexecution, TranscriptError> {
    let header = ReexecutionHeader {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        orchestration: orchestration_digest().to_string(),
        raw_root: original.raw_root,
        canonical_root: original.canonical_root,
        times,
    };
    transcript.note(Kind::Run, &object(json!(header)), &[])?;
    let fresh = |call: &RecordedCall| {
        let (event, grade) = (call.event, call.grade);
        CallAgain { event, grade, tries: 0, identical: 0, divergence: None }
    };
    let mut again = Reexecution { calls: original.calls.iter().map(fresh).collect() };
    for round in 1..=times {
        if original.repeatable().next().is_some() {
            ask_round(transcript, original, round, open, watch, &mut again.calls)?;
        }
    }
    let line = |call: &CallAgain| json!({"event": call.event, "grade": call.grade, "tries": call.tries, "identical": call.identical});
    let calls: Vec<Value> = again.calls.iter().map(line).collect();
    transcript.note(Kind::Result, &object(json!({"outcome": again.outcome(), "calls": calls})), &[])?;
    Ok(again)
}

/// Makes every repeatable call once.
fn ask_round(
    transcript: &mut dyn Transcript,
    original: &Original,
    round: u32,
    open: &mut OpenModel<'_>,
    watch: &mut dyn FnMut(Step),
    outcomes: &mut [CallAgain],
) -> Result<(), TranscriptError> {
    let mut models: Vec<Option<Box<dyn Model>>> = Vec::new();
    for (which, (name, identity)) in original.models.iter().enumerate() {
        models.push(None);
        // The fallback of a run that did not need it is not asked for.
        if original.repeatable().all(|(_, call)| call.model != which) {
            continue;
        }
        watch(Step::Began(Phase::Identity, round));
        let slot = &mut models[which];
        ask_identity(name, identity.provider, |ask| {
            transcript.perform(ask, &mut || {
                let model = slot.insert(open(which)?);
                let answer = model.resolve().map_err(|error| failure(&error))?;
                let found = model::identity(identity.provider, &answer.raw).map_err(|error| failure(&error))?;
                if found != identity.to_bytes() {
                    let message = format!("{name} is another model than the one that answered in the run");
                    let recorded = identity.digest.as_deref().unwrap_or("a model without digest");
                    return Err(ActFailure::fatal(message).hint(format!("it was {recorded}: get that one")));
                }
                Ok(done(answer))
            })
        })?;
        watch(Step::Ended(Phase::Identity, round, format!("{name}, as recorded")));
    }
    for (number, call) in original.repeatable() {
        watch(Step::Began(Phase::Reply, round));
        let model = &mut models[call.model];
        let reply = ask_model(&call.request, |ask| {
            transcript.perform(ask, &mut || {
                let model = model.as_mut().ok_or_else(|| ActFailure::fatal("a replay asks no model"))?;
                let mut progress = |progress: model::Progress| {
                    watch(Step::Tokens { prompt: progress.prompt_tokens, reply: progress.tokens });
                };
                model.call(&call.request, &mut progress).map(done).map_err(|error| failure(&error))
            })
        })?;
        let outcome = &mut outcomes[number];
        outcome.tries += 1;
        let said = if reply == call.reply {
            outcome.identical += 1;
            "identical"
        } else {
            let divergence = || Divergence::of_bytes(call.event, Kind::ModelCall.name(), "reply", &call.reply, &reply);
            outcome.divergence.get_or_insert_with(divergence);
            "different"
        };
        watch(Step::Ended(Phase::Reply, round, format!("event {}: {said}", call.event)));
    }
    Ok(())
}
