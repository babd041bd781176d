//! Which server a request is for, and which call of its API it is.

use std::fmt;

/// A server that agents ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// OpenAI, and whatever speaks its API.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Ollama's own API.
    Ollama,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Ollama];

    /// Returns its name, which is also the first part of a path that can be for nobody else.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Ollama => "ollama",
        }
    }

    /// Returns whom a request is for, and its path without a prefix that says so.
    ///
    /// `/anthropic/v1/models` says it; otherwise the call does, or the header that every client of Anthropic sends.
    pub fn of(path: &str, is_anthropic: bool) -> (Self, &str) {
        for service in Self::ALL {
            let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(service.name()));
            if let Some(rest) = rest.filter(|rest| rest.starts_with('/')) {
                return (service, rest);
            }
        }
        let service = match path {
            _ if is_anthropic || path.starts_with("/v1/messages") => Self::Anthropic,
            "/" => Self::Ollama,
            _ if path.starts_with("/api/") => Self::Ollama,
            _ => Self::OpenAi,
        };
        (service, path)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A call that we can read. Everything else is recorded as opaque bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/completions`.
    Completions,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1/embeddings`, `/api/embed` and `/api/embeddings`.
    Embeddings,
    /// `POST /v1/messages`.
    Messages,
    /// `POST /api/chat`.
    OllamaChat,
    /// `POST /api/generate`.
    OllamaGenerate,
    /// Anything else: lists of models, probes, files.
    Other,
}

impl Api {
    /// Returns which call a request is.
    pub fn of(method: &str, path: &str) -> Self {
        const CALLS: [(&str, Api); 9] = [
            ("/chat/completions", Api::Chat),
            ("/completions", Api::Completions),
            ("/responses", Api::Responses),
            ("/embeddings", Api::Embeddings),
            ("/v1/messages", Api::Messages),
            ("/api/chat", Api::OllamaChat),
            ("/api/generate", Api::OllamaGenerate),
            ("/api/embed", Api::Embeddings),
            ("/api/embeddings", Api::Embeddings),
        ];
        let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
        let found = CALLS.iter().find(|(end, _)| method == "POST" && path.ends_with(end));
        found.map_or(Self::Other, |(_, api)| *api)
    }

    /// Says whether a model writes text in answer to it, so that sampling matters.
    pub fn samples(self) -> bool {
        !matches!(self, Self::Embeddings | Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_request_is_for() {
        assert_eq!(Service::of("/v1/chat/completions", false), (Service::OpenAi, "/v1/chat/completions"));
        assert_eq!(Service::of("/v1/messages/count_tokens", false).0, Service::Anthropic);
        assert_eq!(Service::of("/v1/models", true).0, Service::Anthropic);
        assert_eq!(Service::of("/api/tags", false).0, Service::Ollama);
        assert_eq!(Service::of("/", false).0, Service::Ollama);
        assert_eq!(Service::of("/anthropic/v1/models", false), (Service::Anthropic, "/v1/models"));
        assert_eq!(Service::of("/openainot/v1", false), (Service::OpenAi, "/openainot/v1"));
    }

    #[test]
    fn calls_are_known_by_their_end() {
        assert_eq!(Api::of("POST", "/v1/chat/completions?x=1"), Api::Chat);
        assert_eq!(Api::of("POST", "/deployments/x/chat/completions/"), Api::Chat);
        assert_eq!(Api::of("POST", "/v1/completions"), Api::Completions);
        assert_eq!(Api::of("POST", "/v1/messages/count_tokens"), Api::Other);
        assert_eq!(Api::of("GET", "/v1/responses"), Api::Other);
    }
}
