//! What the engine answered, as canonical JSON of our own; read here also by builds without the engine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::canon::{self, Blake3, CanonError, Sha256};
use crate::model::reply::{Evidence, Grade, Reply, Stop};
use crate::model::{Fault, Identity, Provider, Request};

/// What the engine says of its weights.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resolved {
    pub(super) architecture: String,
    pub(super) context: u32,
    /// Version of the arithmetic: with the weights' digest it fixes every bit of every reply.
    pub(super) kernel: u32,
    pub(super) name: String,
    pub(super) parameters: u64,
    pub(super) quantisation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) template: Option<Sha256>,
    pub(super) tokenizer: Sha256,
    pub(super) weights: Sha256,
}

/// A generation with its evidence.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) logits: Blake3,
    /// Eight hexadecimal digits a token.
    pub(super) margins: String,
    /// Digest of the prompt's token ids, each as four bytes, the lowest first.
    pub(super) prompt: Sha256,
    pub(super) prompt_tokens: u32,
    pub(super) stop: Stop,
    pub(super) text: String,
    /// Every token of the reply, the ending one included.
    pub(super) tokens: Vec<u32>,
}

pub(in crate::model) fn identity(raw: &[u8]) -> Result<Identity, Fault> {
    let resolved: Resolved = canon::json::from_bytes(raw).map_err(|error| malformed(&error))?;
    let mut details = BTreeMap::from([
        ("architecture".to_owned(), resolved.architecture),
        ("kernel".to_owned(), resolved.kernel.to_string()),
        ("parameters".to_owned(), resolved.parameters.to_string()),
        ("quantisation".to_owned(), resolved.quantisation),
        ("tokenizer".to_owned(), resolved.tokenizer.to_string()),
    ]);
    details.extend(resolved.template.map(|digest| ("template".to_owned(), digest.to_string())));
    Ok(Identity {
        provider: Provider::Embedded,
        name: resolved.name,
        digest: Some(resolved.weights.to_string()),
        context: Some(resolved.context),
        details,
    })
}

pub(in crate::model) fn normalise(request: &Request, raw: &[u8]) -> Result<Reply, Fault> {
    let raw: Raw = canon::json::from_bytes(raw).map_err(|error| malformed(&error))?;
    let hexadecimal = raw.margins.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if !hexadecimal || raw.margins.len() != raw.tokens.len() * 8 {
        let reason = format!("{} tokens have no {} digits of margins", raw.tokens.len(), raw.margins.len());
        return Err(Fault::Malformed { what: "the recorded generation", reason });
    }
    let grade = if request.sampling.is_greedy() { Grade::BitExact } else { Grade::NotReexecutable };
    Ok(Reply {
        text: raw.text,
        stop: raw.stop,
        prompt_tokens: Some(raw.prompt_tokens),
        completion_tokens: u32::try_from(raw.tokens.len()).ok(),
        grade,
        evidence: Some(Evidence { logits: raw.logits, margins: raw.margins, prompt: raw.prompt }),
        ..Reply::empty(Provider::Embedded)
    })
}

fn malformed(error: &CanonError) -> Fault {
    Fault::Malformed { what: "the recorded generation", reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::tests::request;

    fn raw() -> Raw {
        Raw {
            logits: Blake3::of(b"logits"),
            margins: "3f8000007f800000".into(),
            prompt: Sha256::of(b"ids"),
            prompt_tokens: 9,
            stop: Stop::End,
            text: "Hi".into(),
            tokens: vec![19_556, 2],
        }
    }

    #[test]
    fn a_generation_becomes_a_reply_with_its_evidence() {
        let request = request(Provider::Embedded);
        let reply = normalise(&request, &canon::json::to_bytes(&raw()).unwrap()).unwrap();
        assert_eq!((reply.text.as_str(), reply.grade, reply.completion_tokens), ("Hi", Grade::BitExact, Some(2)));
        assert_eq!(reply.evidence.as_ref().unwrap().prompt, Sha256::of(b"ids"));
        assert_eq!(Reply::from_bytes(&reply.to_bytes()).unwrap(), reply);
    }

    #[test]
    fn margins_that_do_not_fit_the_tokens_are_refused() {
        let request = request(Provider::Embedded);
        for margins in ["", "3f800000", "3F8000007F800000", "3f8000007f80000g"] {
            let raw = Raw { margins: margins.into(), ..raw() };
            assert!(normalise(&request, &canon::json::to_bytes(&raw).unwrap()).is_err(), "{margins}");
        }
        assert!(normalise(&request, b"{}").is_err());
    }

    #[test]
    fn the_identity_is_weights_and_arithmetic() {
        let resolved = Resolved {
            architecture: "llama".into(),
            context: 8192,
            kernel: 1,
            name: "smollm2-135m".into(),
            parameters: 134_515_008,
            quantisation: "Q4_1".into(),
            template: Some(Sha256::of(b"template")),
            tokenizer: Sha256::of(b"tokenizer"),
            weights: Sha256::of(b"weights"),
        };
        let identity = identity(&canon::json::to_bytes(&resolved).unwrap()).unwrap();
        assert_eq!(identity.digest, Some(Sha256::of(b"weights").to_string()));
        assert_eq!((identity.context, identity.details["kernel"].as_str()), (Some(8192), "1"));
    }
}
