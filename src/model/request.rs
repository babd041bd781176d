//! What a model is asked, in the form whose digest keys the call.
//!
//! Decimal settings are strings: no float is hashed. Everything that a provider needs beyond this (addresses, thread
//! counts, keep-alive times) is in the wire body only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Provider;
use crate::canon::{self, CanonError};

/// Which model it is, as exactly as its provider lets anybody say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Who answers.
    pub provider: Provider,
    /// The provider's name of the model; never a path or an address.
    pub name: String,
    /// `sha256:<hex>` of the weights, of the provider's manifest or of the script; absent where none is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The largest context that the model or its server allows, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    /// What else tells this model from another one: server and version, quantisation, template digest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

impl Identity {
    /// Returns the canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        canon::json::to_bytes(self).expect("strings and 32-bit integers have a canonical form")
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// Anything but the canonical bytes of an identity.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CanonError> {
        canon::json::from_bytes(bytes)
    }
}

/// Sampling settings, as decimal texts and integers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Temperature; "0" is greedy.
    pub temperature: String,
    /// Candidates kept; 1 is greedy.
    pub top_k: u32,
    /// Nucleus; "1" switches it off.
    pub top_p: String,
    /// Floor relative to the best candidate; "0" switches it off.
    pub min_p: String,
    /// Locally typical sampling; "1" switches it off.
    pub typical_p: String,
    /// Repetition penalty; "1" switches it off.
    pub repeat_penalty: String,
    /// Tokens that the repetition penalty looks back on; 0 switches it off.
    pub repeat_last_n: u32,
    /// Presence penalty; "0" switches it off.
    pub presence_penalty: String,
    /// Frequency penalty; "0" switches it off.
    pub frequency_penalty: String,
    /// The seed. `u32::MAX` asks llama.cpp for a random one, and is refused.
    pub seed: u32,
}

impl Sampling {
    /// Returns the settings of a greedy, seeded call: no setting that could change a token is left to a default.
    pub fn greedy(seed: u32) -> Self {
        Self {
            temperature: "0".into(),
            top_k: 1,
            top_p: "1".into(),
            min_p: "0".into(),
            typical_p: "1".into(),
            repeat_penalty: "1".into(),
            repeat_last_n: 0,
            presence_penalty: "0".into(),
            frequency_penalty: "0".into(),
            seed,
        }
    }

    /// Says whether these are the settings of [`Sampling::greedy`] with some seed.
    pub fn is_greedy(&self) -> bool {
        self.seed != u32::MAX && *self == Self::greedy(self.seed)
    }
}

/// How much a call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Prompt and reply together, in tokens.
    pub context_tokens: u32,
    /// The reply, in tokens.
    pub max_tokens: u32,
}

/// Says who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// The asker.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// Returns the word that every chat API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Limits the decoding to edits of the files shown; only `embedded` can honour it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constraint {
    /// The files that an edit may name.
    pub files: Vec<ConstraintFile>,
}

/// A file that a constrained reply may edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConstraintFile {
    /// Path as the prompt shows it.
    pub path: String,
    /// Number of its lines.
    pub lines: u32,
}

/// A model call, canonically: equal requests have equal bytes, and the digest of the bytes keys the replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Which model.
    pub model: Identity,
    /// The conversation, oldest message first.
    pub messages: Vec<Message>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// How much it may use.
    pub limits: Limits,
    /// What the reply may look like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraint: Option<Constraint>,
}

impl Request {
    /// Returns the canonical bytes (RFC 8785).
    pub fn to_bytes(&self) -> Vec<u8> {
        canon::json::to_bytes(self).expect("strings and 32-bit integers have a canonical form")
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// Anything but the canonical bytes of a request.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CanonError> {
        canon::json::from_bytes(bytes)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A request to `provider` with one system and one user message.
    pub(crate) fn request(provider: Provider) -> Request {
        Request {
            model: Identity { provider, name: "m".into(), digest: None, context: Some(8192), details: BTreeMap::new() },
            messages: vec![
                Message { role: Role::System, content: "You repair bugs.".into() },
                Message { role: Role::User, content: "Why is the sky blue?".into() },
            ],
            sampling: Sampling::greedy(42),
            limits: Limits { context_tokens: 4096, max_tokens: 256 },
            constraint: None,
        }
    }

    #[test]
    fn the_canonical_bytes_are_these() {
        let mut request = request(Provider::Ollama);
        request.constraint = Some(Constraint { files: vec![ConstraintFile { path: "a.py".into(), lines: 3 }] });
        assert_eq!(
            String::from_utf8(request.to_bytes()).unwrap(),
            "{\"constraint\":{\"files\":[{\"lines\":3,\"path\":\"a.py\"}]},\
             \"limits\":{\"context_tokens\":4096,\"max_tokens\":256},\
             \"messages\":[{\"content\":\"You repair bugs.\",\"role\":\"system\"},\
             {\"content\":\"Why is the sky blue?\",\"role\":\"user\"}],\
             \"model\":{\"context\":8192,\"name\":\"m\",\"provider\":\"ollama\"},\
             \"sampling\":{\"frequency_penalty\":\"0\",\"min_p\":\"0\",\"presence_penalty\":\"0\",\
             \"repeat_last_n\":0,\"repeat_penalty\":\"1\",\"seed\":42,\"temperature\":\"0\",\"top_k\":1,\
             \"top_p\":\"1\",\"typical_p\":\"1\"}}"
        );
    }

    #[test]
    fn a_setting_that_samples_is_not_greedy() {
        assert!(Sampling::greedy(42).is_greedy());
        assert!(!Sampling::greedy(u32::MAX).is_greedy());
        assert!(!Sampling { top_k: 40, ..Sampling::greedy(42) }.is_greedy());
    }

    proptest! {
        #[test]
        fn a_request_reads_back(contents in prop::collection::vec(any::<String>(), 0..4), seed: u32, digest: Option<String>) {
            let mut request = request(Provider::OpenAi);
            request.messages =
                contents.into_iter().map(|content| Message { role: Role::Assistant, content }).collect();
            request.sampling = Sampling::greedy(seed);
            request.model.digest = digest;
            prop_assert_eq!(Request::from_bytes(&request.to_bytes()).unwrap(), request);
        }
    }
}
