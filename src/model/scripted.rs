//! A model whose replies are the lines of a file: `{"reply": "…"}`, served in the order of the calls.
//!
//! It ships with the program: demonstrations, acceptance runs and other people's tests need a model that says exactly
//! what it was told to. Its identity is the digest of the file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::reply::{Grade, Reply};
use super::{Answer, Fault, Identity, Model, ModelError, Progress, Provider, Request};
use crate::canon::{self, Sha256};

/// The largest script that is read, in bytes.
const LARGEST: u64 = 64 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    reply: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    reply: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolved {
    replies: u32,
    sha256: Sha256,
}

/// A model that reads its replies from a script.
#[derive(Debug)]
pub struct Scripted {
    replies: Vec<String>,
    served: usize,
    digest: Sha256,
}

impl Scripted {
    /// Reads the script at `path`.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that is not `{"reply": "…"}`.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let unreadable = |reason: String| Fault::Unreadable { path: path.display().to_string(), reason };
        let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
        if size > LARGEST {
            return Err(unreadable(format!("{size} bytes are more than {LARGEST}")).into());
        }
        Self::from_bytes(&std::fs::read(path).map_err(|error| unreadable(error.to_string()))?)
    }

    /// Reads a script from its bytes; empty lines are skipped.
    ///
    /// # Errors
    /// A line that is not `{"reply": "…"}`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let mut replies = Vec::new();
        for (i, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let line: Line = serde_json::from_slice(line).map_err(|error| Fault::Malformed {
                what: "the script",
                reason: format!("line {} is not {{\"reply\": \"…\"}}: {error}", i + 1),
            })?;
            replies.push(line.reply);
        }
        Ok(Self { replies, served: 0, digest: Sha256::of(bytes) })
    }
}

impl Model for Scripted {
    fn resolve(&mut self) -> Result<Answer, ModelError> {
        let replies = u32::try_from(self.replies.len()).unwrap_or(u32::MAX);
        let resolved = Resolved { replies, sha256: self.digest };
        let raw = canon::json::to_bytes(&resolved).expect("a count and a digest have a canonical form");
        Ok(Answer { sent: Vec::new(), raw, observation: Map::new() })
    }

    fn call(&mut self, request: &Request, progress: &mut dyn FnMut(Progress)) -> Result<Answer, ModelError> {
        if request.model.provider != Provider::Scripted {
            let reason = "it is for another provider";
            return Err(Fault::Request { provider: Provider::Scripted, reason }.into());
        }
        let reply = self.replies.get(self.served).ok_or(Fault::ScriptExhausted(self.replies.len()))?;
        self.served += 1;
        progress(Progress { prompt_tokens: None, tokens: 0 });
        let raw = canon::json::to_bytes(&Raw { reply: reply.clone() }).expect("a string has a canonical form");
        Ok(Answer { sent: Vec::new(), raw, observation: Map::new() })
    }

    fn passed(&mut self, request: &Request) {
        if request.model.digest == Some(self.digest.to_string()) {
            self.served += 1;
        }
    }
}

pub(super) fn identity(raw: &[u8]) -> Result<Identity, Fault> {
    let resolved: Resolved = canon::json::from_bytes(raw).map_err(|error| malformed(&error))?;
    Ok(Identity {
        provider: Provider::Scripted,
        name: "script".into(),
        digest: Some(resolved.sha256.to_string()),
        context: None,
        details: BTreeMap::new(),
    })
}

pub(super) fn reply(raw: &[u8]) -> Result<Reply, Fault> {
    let raw: Raw = canon::json::from_bytes(raw).map_err(|error| malformed(&error))?;
    Ok(Reply { text: raw.reply, grade: Grade::BitExact, ..Reply::empty(Provider::Scripted) })
}

fn malformed(error: &canon::CanonError) -> Fault {
    Fault::Malformed { what: "the recorded answer of a script", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::tests::request;
    use crate::model::{Stop, identity as identity_of, normalise};

    #[test]
    fn a_resumed_script_goes_on_where_the_recording_ends() {
        let mut script = Scripted::from_bytes(b"{\"reply\": \"one\"}\n{\"reply\":\"two\"}\n").unwrap();
        let mut request = request(Provider::Scripted);
        script.passed(&request);
        request.model.digest = Some(script.digest.to_string());
        script.passed(&request);
        let answer = script.call(&request, &mut |_| {}).unwrap();
        assert_eq!(answer.raw, br#"{"reply":"two"}"#);
    }

    #[test]
    fn replies_come_in_the_order_of_the_calls_and_end() {
        let mut script = Scripted::from_bytes(b"{\"reply\": \"one\"}\n\n{\"reply\":\"t\\nwo\"}\n").unwrap();
        let request = request(Provider::Scripted);
        for expected in ["one", "t\nwo"] {
            let answer = script.call(&request, &mut |_| ()).unwrap();
            let reply = Reply::from_bytes(&normalise(&request, &answer.sent, &answer.raw).unwrap()).unwrap();
            assert_eq!((reply.text.as_str(), reply.stop, reply.grade), (expected, Stop::End, Grade::BitExact));
        }
        let error = script.call(&request, &mut |_| ()).unwrap_err();
        assert_eq!(error.fault(), &Fault::ScriptExhausted(2));
        assert!(error.hint().is_some() && error.retry().is_none());
    }

    #[test]
    fn the_identity_is_the_digest_of_the_file() {
        let bytes = b"{\"reply\":\"x\"}";
        let raw = Scripted::from_bytes(bytes).unwrap().resolve().unwrap().raw;
        let identity = Identity::from_bytes(&identity_of(Provider::Scripted, &raw).unwrap()).unwrap();
        assert_eq!(identity.digest, Some(Sha256::of(bytes).to_string()));
    }

    #[test]
    fn a_bad_line_is_named() {
        for script in
            ["{\"reply\":\"x\"}\n{\"replies\":\"x\"}", "\n[]", "{}\n{\"reply\":1}", "{\"reply\":\"x\",\"n\":1}"]
        {
            let error = Scripted::from_bytes(script.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("line "), "{error}");
        }
    }
}
