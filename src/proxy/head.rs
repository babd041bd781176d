//! What stands around the bodies of an exchange: method, target, status, and the headers that are no secret.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::secret;
use crate::canon::{CanonError, json as canonical};

/// Headers of a request that are kept. Every other one may be a credential.
const REQUEST: [&str; 8] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-encoding",
    "content-type",
    "openai-beta",
    "user-agent",
    "x-stainless-retry-count",
];
/// Headers of a reply that are kept, and given again in a replay.
const REPLY: [&str; 8] = [
    "cache-control",
    "content-encoding",
    "content-type",
    "openai-model",
    "openai-version",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
];
/// Stands for a secret.
const MASK: &str = "<secret>";
/// The longest value that is kept.
const LONGEST: usize = 1024;

/// Everything of an exchange but its bodies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// How the exchange ended before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aborted: Option<Aborted>,
    /// What the proxy itself answered, where the server gave no reply that could be handed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Answered>,
    /// Place of the request among all of its run by their arrival, from 0; only where that is not its place by the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival: Option<u32>,
    /// Headers of the reply.
    pub headers: BTreeMap<String, String>,
    /// Method of the request.
    pub method: String,
    /// Headers of the request.
    pub request_headers: BTreeMap<String, String>,
    /// Whom it was for: `openai`, `anthropic` or `ollama`.
    pub service: String,
    /// Status of the reply; 0 where none came.
    pub status: u16,
    /// Path and query of the request, without what looks like a secret in it.
    pub target: String,
}

/// Says that not everything came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aborted {
    /// Bytes of the reply that came before.
    pub at: u64,
    /// Who left.
    pub by: By,
}

/// A reply of the proxy's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// Its body, JSON in the shape of the service's errors.
    pub body: String,
    /// Its status.
    pub status: u16,
}

/// The side that ended an exchange early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The agent closed its connection.
    Client,
    /// The server failed or stopped in the middle.
    Server,
    /// The recording was cut off.
    Recorder,
}

impl By {
    /// Returns the word of the format.
    pub fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Recorder => "recorder",
        }
    }
}

impl Head {
    /// Returns the canonical bytes.
    ///
    /// # Errors
    /// Never: it holds texts and small numbers.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonError> {
        canonical::to_bytes(self)
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// Anything but a head.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CanonError> {
        canonical::from_bytes(bytes)
    }

    /// Keeps a header of the request if it is one that is kept.
    pub fn keep_request(&mut self, name: &str, value: &[u8]) {
        keep(&REQUEST, &mut self.request_headers, name, value);
    }

    /// Keeps a header of the reply if it is one that is kept.
    pub fn keep_reply(&mut self, name: &str, value: &[u8]) {
        keep(&REPLY, &mut self.headers, name, value);
    }

    /// Sets the target. A part of its path that holds something like a key is not kept; of a parameter that looks like a
    /// secret only the name is.
    pub fn set_target(&mut self, path: &str, query: Option<&str>) {
        let part = |part: &str| if secret::shaped(part) { MASK.to_owned() } else { part.to_owned() };
        self.target = path.split('/').map(part).collect::<Vec<_>>().join("/");
        let name = |part: &str| part.split('=').next().unwrap_or_default().to_owned();
        let part =
            |part: &str| if secret::parameter(part) { format!("{}={MASK}", name(part)) } else { part.to_owned() };
        let parts = query.unwrap_or_default().split('&').filter(|part| !part.is_empty());
        let kept: Vec<String> = parts.map(part).collect();
        if !kept.is_empty() {
            self.target.push('?');
            self.target.push_str(&kept.join("&"));
        }
    }

    /// Drops headers of the request that hold the value of a secret variable, and masks it in the target.
    #[cfg(any(feature = "live", test))]
    pub(super) fn forget(&mut self, secrets: &secret::Secrets) {
        self.request_headers.retain(|_, value| !secrets.holds(value));
        self.target = secrets.masked(&self.target, MASK);
    }

    /// Says whether something like a credential stood in the path.
    #[cfg(any(feature = "live", test))]
    pub(super) fn has_secret_path(&self) -> bool {
        // No request line holds these letters as they are.
        self.target.split('?').next().is_some_and(|path| path.contains(MASK))
    }

    /// Returns the content encoding of the request's body; empty if it has none.
    pub fn encoding(&self) -> &str {
        self.request_headers.get("content-encoding").map_or("", String::as_str)
    }

    /// Returns a header of the reply.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Says whether the reply is a stream of events or lines.
    pub fn streams(&self) -> bool {
        let kind = self.header("content-type");
        kind.starts_with("text/event-stream") || kind.starts_with("application/x-ndjson")
    }
}

fn keep(list: &[&str], headers: &mut BTreeMap<String, String>, name: &str, value: &[u8]) {
    let Ok(value) = std::str::from_utf8(value) else { return };
    // A header that may be kept is no place for a credential, but nobody keeps a client from putting one there.
    if list.contains(&name) && value.len() <= LONGEST && !secret::shaped(value) {
        let entry = headers.entry(name.to_owned()).or_default();
        if !entry.is_empty() {
            entry.push_str(", ");
        }
        entry.push_str(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_headers_and_harmless_parameters_are_kept() {
        let mut head = Head::default();
        for name in ["authorization", "x-api-key", "cookie", "x-goog-api-key", "openai-organization", "content-type"] {
            head.keep_request(name, b"application/json");
        }
        head.keep_reply("set-cookie", b"a=b");
        head.keep_request("user-agent", format!("agent sk-{}", "a1b2".repeat(6)).as_bytes());
        head.set_target("/v1/models", Some("limit=2&key=abc&api_key=x&X-Amz-Signature=1&after=m"));
        assert_eq!(head.request_headers.len(), 1);
        assert!(head.headers.is_empty());
        assert_eq!(head.target, "/v1/models?limit=2&key=<secret>&api_key=<secret>&X-Amz-Signature=<secret>&after=m");
        assert_eq!(Head::from_bytes(&head.to_bytes().unwrap()).unwrap(), head);
    }

    #[test]
    fn what_looks_like_a_key_in_a_path_is_masked() {
        let mut head = Head::default();
        head.set_target("/v1/models", None);
        assert!(!head.has_secret_path());
        head.set_target(&format!("/v1/sk-{}/x", "a1b2".repeat(6)), Some("a=1"));
        assert_eq!(head.target, "/v1/<secret>/x?a=1");
        assert!(head.has_secret_path());
        head.set_target("/bot-correct-horse-1/send", Some("k=correct-horse-1&limit=2"));
        assert!(!head.has_secret_path());
        head.forget(&secret::Secrets::new(vec!["correct-horse-1".into()]));
        assert_eq!(head.target, "/bot-<secret>/send?k=<secret>&limit=2");
        assert!(head.has_secret_path());
    }
}
