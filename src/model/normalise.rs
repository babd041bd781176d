//! From raw bytes to canonical bytes, purely: a replay does it again and compares.
//!
//! What a server makes up anew each time (ids, dates, durations, cache counts, chunk borders) vanishes; the words, the
//! reason to stop and the token counts stay. [`normalise`] also takes the body that was sent: the grade, and the
//! fields that the server refused, follow from the difference between what the request asks and what was sent.

use super::reply::Reply;
use super::{Fault, Identity, ModelError, Provider, Request, anthropic, embedded, ollama, openai, scripted};

/// Returns name and version of the normalisation of a provider's replies; it is part of every canonical reply.
pub const fn normaliser(provider: Provider) -> &'static str {
    match provider {
        Provider::Ollama => "ollama-chat/1",
        Provider::OpenAi => "openai-chat/1",
        Provider::Anthropic => "anthropic-messages/1",
        Provider::Embedded => "embedded/1",
        Provider::Scripted => "scripted/1",
    }
}

/// Returns the canonical [`Identity`] in the raw bytes of [`super::Model::resolve`].
///
/// # Errors
/// Bytes that are not such an answer, or that name no usable model.
pub fn identity(provider: Provider, raw: &[u8]) -> Result<Vec<u8>, ModelError> {
    let identity: Result<Identity, Fault> = match provider {
        Provider::Ollama => ollama::identity(raw),
        Provider::OpenAi => openai::identity(raw),
        Provider::Anthropic => anthropic::identity(raw),
        Provider::Embedded => embedded::identity(raw),
        Provider::Scripted => scripted::identity(raw),
    };
    identity.map(|identity| identity.to_bytes()).map_err(|fault| ModelError::new(fault, Vec::new(), raw.to_vec()))
}

/// Returns the canonical [`Reply`] in the bytes of an answer to `request`.
///
/// # Errors
/// A reply that is no reply of that provider, is cut, reports an error, or was made from less than the whole prompt;
/// a body that does not ask what the request asks.
pub fn normalise(request: &Request, sent: &[u8], raw: &[u8]) -> Result<Vec<u8>, ModelError> {
    let reply: Result<Reply, Fault> = match request.model.provider {
        Provider::Ollama => ollama::normalise(request, sent, raw),
        Provider::OpenAi => openai::normalise(request, sent, raw),
        Provider::Anthropic => anthropic::normalise(request, sent, raw),
        Provider::Embedded => embedded::normalise(request, raw),
        Provider::Scripted => scripted::reply(raw),
    };
    reply.map(|reply| reply.to_bytes()).map_err(|fault| ModelError::new(fault, sent.to_vec(), raw.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::tests::request;
    use proptest::prelude::*;

    proptest! {
        /// Whatever a store or a server holds, reading it ends in a reply or an error.
        #[test]
        fn no_bytes_can_do_harm(
            which in 0..Provider::ALL.len(),
            noise in prop::collection::vec(any::<u8>(), 0..200),
            text in "(data: |\\{|\\}|\"(message|delta|choices|error|done|type|content)\":|\\[|\\]|1|\"x\"|,|\n){0,60}",
        ) {
            let provider = Provider::ALL[which];
            let request = request(provider);
            let sent = match provider {
                Provider::Ollama => ollama::plan(&request).body(&[], &[]),
                Provider::OpenAi => openai::plan(&request).body(&[], &[]),
                Provider::Anthropic => anthropic::plan(&request).body(&[], &[]),
                Provider::Embedded | Provider::Scripted => Vec::new(),
            };
            for raw in [&noise[..], text.as_bytes()] {
                prop_assert!(identity(provider, raw).is_err());
                if let Ok(bytes) = normalise(&request, &sent, raw) {
                    prop_assert!(Reply::from_bytes(&bytes).is_ok());
                }
                prop_assert!(provider == Provider::Embedded || provider == Provider::Scripted || normalise(&request, raw, raw).is_err());
            }
        }
    }
}
