//! The events of a solve run put in their places: what it started from, each attempt, how it ended.
//!
//! Only the order is judged here, and only what every criterion needs is read: the base tree and the files of it that
//! the run read. What the other bodies hold is the criteria's business.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize as _;
use serde_json::Value;

use crate::canon::{Blake3, Sha256, Tree};
use crate::edit::Format;
use crate::model::Request;
use crate::transcript::{Entry, Evidence, Kind};

/// The events of one attempt.
pub(super) struct Attempt<'e> {
    pub(super) number: u64,
    /// The check that the worktree is the base tree.
    pub(super) pristine: &'e Entry,
    /// What the prompt showed and told.
    pub(super) prompt: &'e Entry,
    /// The model call.
    pub(super) call: &'e Entry,
    /// Prompt and call of the second step, where the answer is asked for in two and the first reply named a place.
    pub(super) second: Option<(&'e Entry, &'e Entry)>,
    /// What the reply was read as.
    pub(super) edit: &'e Entry,
    /// The test execution and the judgement over it, of an accepted answer.
    pub(super) tested: Option<(&'e Entry, &'e Entry)>,
}

impl<'e> Attempt<'e> {
    /// Returns the model calls, in order.
    pub(super) fn calls(&self) -> impl Iterator<Item = &'e Entry> {
        [Some(self.call), self.second.map(|(_, call)| call)].into_iter().flatten()
    }

    /// Says whether the reply was read as edits.
    pub(super) fn is_accepted(&self) -> bool {
        self.edit.data.get("accepted") == Some(&Value::Bool(true))
    }

    /// Says whether the tests were green.
    pub(super) fn is_green(&self) -> bool {
        self.tested.is_some_and(|(_, verdict)| verdict.data.get("passed") == Some(&Value::Bool(true)))
    }
}

/// A solve run in order.
pub(super) struct Course<'e> {
    pub(super) evidence: &'e Evidence<'e>,
    /// The header.
    pub(super) run: &'e Entry,
    pub(super) instance: &'e Entry,
    pub(super) models: Vec<&'e Entry>,
    pub(super) base: Tree,
    pub(super) base_entry: &'e Entry,
    /// Bytes of the base tree's files that the run read, by path.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// The ranking of the files and those of them that were selected, where the run came so far.
    pub(super) selection: Option<(&'e Entry, Vec<String>)>,
    pub(super) attempts: Vec<Attempt<'e>>,
    /// The check that the worktree is the base tree after the last attempt.
    pub(super) end: Option<&'e Entry>,
    /// The verdict of the hidden tests.
    pub(super) grade: Option<&'e Entry>,
    /// What git said of the patch.
    pub(super) patch_check: Option<&'e Entry>,
    pub(super) result: &'e Entry,
    asked: RefCell<Asked>,
}

/// Bytes of requests that are kept once they were read.
const KEPT_REQUESTS: u64 = 16 << 20;

/// Requests that were read, by the positions of their calls, so that not every criterion parses them anew.
#[derive(Default)]
struct Asked {
    requests: BTreeMap<u32, Rc<Request>>,
    size: u64,
}

/// Why a request cannot be read.
pub(super) enum NoRequest {
    /// Its bytes are not there, or other ones.
    Body(String),
    /// Its bytes are no request.
    Form(String),
}

impl NoRequest {
    /// Says why, in words.
    pub(super) fn into_reason(self) -> String {
        match self {
            Self::Body(reason) | Self::Form(reason) => reason,
        }
    }
}

impl<'e> Course<'e> {
    /// Returns what the model was asked for: direct edits, unless the header says a one-shot diff.
    ///
    /// # Errors
    /// A form of answer that this version does not know.
    pub(super) fn format(&self) -> Result<Format, String> {
        match self.run.data.get("options").and_then(|options| options.get("format")) {
            None => Ok(Format::default()),
            Some(value) => Format::deserialize(value).map_err(|error| format!("the form of the answers: {error}")),
        }
    }

    /// Reads the events of a run.
    ///
    /// # Errors
    /// The first event that is not where it belongs or cannot be read, in words.
    pub(super) fn read(evidence: &'e Evidence<'e>) -> Result<Self, String> {
        let mut events = Events::new(evidence);
        let run = events.must(Kind::Run)?;
        if !run.data.get("options").is_some_and(Value::is_object) {
            return Err("it is not a run on an instance".into());
        }
        let instance = events.must(Kind::Instance)?;
        let mut models = vec![events.must(Kind::Model)?];
        while let Some(model) = events.may(Kind::Model) {
            models.push(model);
        }
        let base_entry = events.must(Kind::Tree)?;
        let bytes = evidence.body(base_entry, "canonical").map_err(|error| error.to_string())?;
        let base = Tree::from_bytes(&bytes).map_err(|error| error.to_string())?;
        events.must(Kind::Test)?;
        // The red gate may run the tests several times, to know the flaky ones.
        while events.may(Kind::Test).is_some() {}
        events.must(Kind::Verdict)?;
        let ranking = events.may(Kind::Selection);
        // The files that were read then are the selected ones.
        events.peek();
        let selection = ranking.map(|entry| (entry, events.files.keys().cloned().collect()));
        let mut attempts = Vec::new();
        let mut end = None;
        while let Some(pristine) = events.may(Kind::TreeCheck) {
            let number = attempts.len() as u64 + 1;
            let Some(prompt) = events.may(Kind::Prompt) else {
                end = Some(pristine);
                break;
            };
            let call = events.must(Kind::ModelCall)?;
            let second = match events.may(Kind::Prompt) {
                Some(prompt) => Some((prompt, events.must(Kind::ModelCall)?)),
                None => None,
            };
            let edit = events.must(Kind::Edit)?;
            let named = [prompt, edit].into_iter().chain(second.map(|(prompt, _)| prompt));
            if named.into_iter().any(|entry| entry.data.get("attempt").and_then(Value::as_u64) != Some(number)) {
                return Err(format!("event {} is not of attempt {number}", edit.position));
            }
            let is_accepted = edit.data.get("accepted") == Some(&Value::Bool(true));
            let tested = match is_accepted {
                true => Some((events.must(Kind::Test)?, events.must(Kind::Verdict)?)),
                false => None,
            };
            attempts.push(Attempt { number, pristine, prompt, call, second, edit, tested });
        }
        let grade = match events.may(Kind::Test) {
            Some(_) => Some(events.must(Kind::Verdict)?),
            None => None,
        };
        let patch_check = events.may(Kind::PatchCheck);
        let result = events.must(Kind::Result)?;
        // Files and failed tries are passed over wherever they come, but nothing comes after the result.
        if let Some(last) = evidence.entries().last().filter(|last| last.position != result.position) {
            return Err(format!("event {} comes after the result", last.position));
        }
        let (files, asked) = (events.files, RefCell::default());
        Ok(Self {
            evidence,
            run,
            instance,
            models,
            base,
            base_entry,
            files,
            selection,
            attempts,
            end,
            grade,
            patch_check,
            result,
            asked,
        })
    }

    /// Returns what the model was asked in a call.
    pub(super) fn request(&self, call: &Entry) -> Result<Rc<Request>, NoRequest> {
        if let Some(request) = self.asked.borrow().requests.get(&call.position) {
            return Ok(Rc::clone(request));
        }
        let bytes = self.body(call, "request").map_err(NoRequest::Body)?;
        let request = Request::from_bytes(&bytes).map_err(|error| {
            NoRequest::Form(match serde_json::from_slice::<Value>(&bytes) {
                Err(_) => "the request is no JSON".into(),
                Ok(value) if value.pointer("/sampling/seed").is_none_or(|seed| !seed.is_u64()) => {
                    "the call has no seed".into()
                }
                Ok(_) => error.to_string(),
            })
        })?;
        let (request, size) = (Rc::new(request), bytes.len() as u64);
        let mut asked = self.asked.borrow_mut();
        if asked.size + size <= KEPT_REQUESTS {
            asked.size += size;
            asked.requests.insert(call.position, Rc::clone(&request));
        }
        Ok(request)
    }

    /// Returns the last attempt, where its tests were green.
    pub(super) fn green(&self) -> Option<&Attempt<'e>> {
        self.attempts.last().filter(|attempt| attempt.is_green())
    }

    /// Returns an option of the run's header, as text.
    pub(super) fn option(&self, name: &str) -> &str {
        self.run.data.get("options").and_then(|options| options.get(name)).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the outcome in the result.
    pub(super) fn outcome(&self) -> &str {
        self.result.data.get("outcome").and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the paths that the hidden tests touch.
    pub(super) fn hidden(&self) -> Vec<String> {
        let hidden = self.instance.data.get("hidden").and_then(Value::as_array);
        hidden.into_iter().flatten().filter_map(|path| path.as_str().map(str::to_owned)).collect()
    }

    /// Returns the paths that the prompt of an attempt showed, with their bytes.
    pub(super) fn shown(&self, attempt: &Attempt<'_>) -> BTreeMap<String, Vec<u8>> {
        let shown = attempt.prompt.data.get("shown").and_then(Value::as_array);
        let paths = shown.into_iter().flatten().filter_map(Value::as_str);
        paths.filter_map(|path| Some((path.to_owned(), self.files.get(path)?.clone()))).collect()
    }

    /// Reads a body, with the failure in words.
    pub(super) fn body(&self, entry: &Entry, slot: &str) -> Result<Vec<u8>, String> {
        self.evidence.body(entry, slot).map_err(|error| error.to_string())
    }
}

/// Returns the SHA-256 of a body, where the event has it.
pub(super) fn digest_of(entry: &Entry, slot: &str) -> Option<Sha256> {
    entry.bodies.get(slot).map(|blob| blob.sha256)
}

/// Walks over the events; files are taken along wherever they come, failed tries are passed over.
struct Events<'e> {
    evidence: &'e Evidence<'e>,
    at: usize,
    files: BTreeMap<String, Vec<u8>>,
    failure: Option<String>,
}

impl<'e> Events<'e> {
    fn new(evidence: &'e Evidence<'e>) -> Self {
        Self { evidence, at: 0, files: BTreeMap::new(), failure: None }
    }

    fn peek(&mut self) -> Option<&'e Entry> {
        loop {
            let entry = self.evidence.entries().get(self.at)?;
            match entry.kind {
                Kind::FailedTry => {}
                Kind::File => {
                    if let Err(error) = self.file(entry) {
                        self.failure.get_or_insert(error);
                    }
                }
                _ => return Some(entry),
            }
            self.at += 1;
        }
    }

    fn next(&mut self) -> Option<&'e Entry> {
        let entry = self.peek()?;
        self.at += 1;
        Some(entry)
    }

    fn may(&mut self, kind: Kind) -> Option<&'e Entry> {
        self.peek().filter(|entry| entry.kind == kind)?;
        self.next()
    }

    fn must(&mut self, kind: Kind) -> Result<&'e Entry, String> {
        let found = self.peek();
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        match found {
            Some(entry) if entry.kind == kind => {
                self.at += 1;
                Ok(entry)
            }
            Some(entry) => {
                Err(format!("event {} is a {} where a {} belongs", entry.position, entry.kind.name(), kind.name()))
            }
            None => Err(format!("it is cut off after {} events, before a {}", self.at, kind.name())),
        }
    }

    /// Takes a file along. What the base tree says of it is checked where the tree is known.
    fn file(&mut self, entry: &Entry) -> Result<(), String> {
        let body = |slot| self.evidence.body(entry, slot).map_err(|error| error.to_string());
        let request: Value = serde_json::from_slice(&body("request")?).unwrap_or_default();
        let path = request.get("path").and_then(Value::as_str);
        let path = path.ok_or_else(|| format!("event {} names no path", entry.position))?;
        self.files.insert(path.to_owned(), body("canonical")?);
        Ok(())
    }
}

/// Returns what is wrong with the files that were read: one that the base tree does not hold, or other bytes.
pub(super) fn foreign_file(course: &Course<'_>) -> Option<String> {
    let wrong = |(path, bytes): (&String, &Vec<u8>)| match course.base.get(path) {
        Some(entry) if entry.digest == Blake3::of(bytes) => None,
        Some(_) => Some(format!("{path} was read with other bytes than the base tree has")),
        None => Some(format!("{path} was read and is not in the base tree")),
    };
    course.files.iter().find_map(wrong)
}
