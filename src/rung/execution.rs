//! A re-execution: the calls of a run asked again, live, and what came back.

use serde_json::Value;

use super::facts::{Call, manifest};
use crate::canon::Sha256;
use crate::transcript::{Evidence, Kind};

/// What a campaign wants to know of a re-execution, read once.
pub struct Execution {
    manifest: Sha256,
    /// Raw root of the run whose calls were asked again.
    original: Option<Sha256>,
    answers: Result<Vec<Answer>, String>,
}

struct Answer {
    position: u32,
    request: Option<Sha256>,
    reply: Option<Sha256>,
}

impl Execution {
    /// Reads a run of that kind, every body of it.
    pub fn of(evidence: &Evidence<'_>) -> Self {
        Self { manifest: manifest(evidence), original: original(evidence), answers: answers(evidence) }
    }

    /// Returns the digest of its manifest.
    pub fn manifest(&self) -> Sha256 {
        self.manifest
    }

    /// Says whether the calls are those of the run with that raw root.
    pub fn is_of(&self, raw_root: Sha256) -> bool {
        self.original == Some(raw_root)
    }

    /// Counts the rounds: in each, every call in order, asked as before and answered as before.
    pub(super) fn rounds(&self, calls: &[&Call]) -> Result<usize, String> {
        let answers = self.answers.as_ref().map_err(Clone::clone)?;
        for (answer, call) in answers.iter().zip(calls.iter().cycle()) {
            if answer.request != Some(call.request) {
                return Err(format!("event {} of the re-execution asks something else", answer.position));
            }
            if answer.reply != Some(call.reply) {
                return Err(format!("event {} of the re-execution has another reply", answer.position));
            }
        }
        Ok(answers.len() / calls.len().max(1))
    }
}

fn original(evidence: &Evidence<'_>) -> Option<Sha256> {
    let first = evidence.entries().first().filter(|entry| entry.kind == Kind::Run)?;
    first.data.get("times")?.as_u64()?;
    first.data.get("raw_root").and_then(Value::as_str)?.parse().ok()
}

fn answers(evidence: &Evidence<'_>) -> Result<Vec<Answer>, String> {
    evidence.check_bodies().map_err(|error| error.to_string())?;
    if evidence.entries().last().is_none_or(|entry| entry.kind != Kind::Result) {
        return Err("the re-execution is cut off".into());
    }
    let calls = evidence.entries().iter().filter(|entry| entry.kind == Kind::ModelCall);
    let answer = |entry: &crate::transcript::Entry| {
        let digest = |slot| entry.bodies.get(slot).map(|blob| blob.sha256);
        Answer { position: entry.position, request: digest("request"), reply: digest("canonical") }
    };
    Ok(calls.map(answer).collect())
}
