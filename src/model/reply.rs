//! What a model answered, in canonical form: the same words give the same bytes, whatever the server adds.

use serde::{Deserialize, Serialize};

use super::request::Sampling;
use super::{Provider, normaliser};
use crate::canon::{self, Blake3, CanonError, Sha256};

/// Says why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// The model ended its reply.
    End,
    /// The token limit or the context was reached.
    Length,
    /// Another reason, in the server's word.
    Other(String),
}

/// Says how far a call can be made again with the same result; ordered from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// The provider samples, or takes no temperature: recorded, never to be asserted again.
    NotReexecutable,
    /// Greedy, but the server refused the seed or another field that was asked.
    Greedy,
    /// Greedy and seeded as asked, on an engine that promises no equal bits.
    Seeded,
    /// The same bits on every machine, by construction.
    BitExact,
}

impl Grade {
    /// Returns the grade of a call on a server, from what was asked and what of it the server refused.
    pub(crate) fn of(sampling: &Sampling, dropped: &[String]) -> Self {
        let refused = |name: &str| dropped.iter().any(|path| path.rsplit('/').next() == Some(name));
        match () {
            () if !sampling.is_greedy() || refused("temperature") => Self::NotReexecutable,
            () if dropped.is_empty() => Self::Seeded,
            () => Self::Greedy,
        }
    }
}

/// A tool call that the model made; its random id is replaced by the order of first appearance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// `call#0`, `call#1`, …
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments as the model wrote them.
    pub arguments: String,
}

/// What the embedded engine says of how it chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Digest of the bits of all logits of all steps.
    pub logits: Blake3,
    /// The distance of the chosen token's logit to the next one's for each token, as the 8 hexadecimal digits of
    /// the bits of an IEEE single, without separators.
    pub margins: String,
    /// Digest of the prompt's token ids, each as four bytes, the lowest first.
    pub prompt: Sha256,
}

/// A reply in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// Name and version of the normalisation, as [`super::normaliser`] returns it.
    pub normaliser: String,
    /// The text.
    pub text: String,
    /// The model's reasoning where the server keeps it apart.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reasoning: String,
    /// Tool calls, which no request of ours asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Why it ended.
    pub stop: Stop,
    /// Tokens of the prompt, as the server counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u32>,
    /// Tokens of the reply, as the server counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u32>,
    /// The exact model that the server says answered, where a name can move (`gpt-x` → `gpt-x-2025-01-01`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<String>,
    /// How far the call can be made again.
    pub grade: Grade,
    /// Fields of the wire request that the server refused and that were left out, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
    /// Evidence of the embedded engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

impl Reply {
    /// Returns a reply without words, for a normaliser to fill.
    pub(crate) fn empty(provider: Provider) -> Self {
        Self {
            normaliser: normaliser(provider).into(),
            text: String::new(),
            reasoning: String::new(),
            tool_calls: Vec::new(),
            stop: Stop::End,
            prompt_tokens: None,
            completion_tokens: None,
            served: None,
            grade: Grade::NotReexecutable,
            dropped: Vec::new(),
            evidence: None,
        }
    }

    /// Returns the canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        canon::json::to_bytes(self).expect("strings and 32-bit integers have a canonical form")
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// Anything but the canonical bytes of a reply.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CanonError> {
        canon::json::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_bytes_are_these_and_read_back() {
        let reply = Reply {
            normaliser: "x/1".into(),
            text: "a".into(),
            reasoning: String::new(),
            tool_calls: Vec::new(),
            stop: Stop::Other("filter".into()),
            prompt_tokens: Some(3),
            completion_tokens: None,
            served: None,
            grade: Grade::NotReexecutable,
            dropped: vec!["temperature".into()],
            evidence: None,
        };
        let bytes = reply.to_bytes();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            "{\"dropped\":[\"temperature\"],\"grade\":\"not-reexecutable\",\"normaliser\":\"x/1\",\
             \"prompt_tokens\":3,\"stop\":{\"other\":\"filter\"},\"text\":\"a\"}"
        );
        assert_eq!(Reply::from_bytes(&bytes).unwrap(), reply);
        assert!(Grade::NotReexecutable < Grade::Greedy && Grade::Seeded < Grade::BitExact);
    }
}
