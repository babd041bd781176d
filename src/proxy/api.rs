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
    /// Azure's paths begin with `/openai` too: there it is part of the API, and stays.
    pub fn of<'p>(path: &'p str, query: Option<&str>, is_anthropic: bool) -> (Self, &'p str) {
        for service in Self::ALL {
            let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(service.name()));
            let Some(rest) = rest.filter(|rest| rest.starts_with('/')) else { continue };
            let is_azure = rest.starts_with("/deployments/")
                || query.is_some_and(|query| query.split('&').any(|part| part.starts_with("api-version=")));
            return (service, if service == Self::OpenAi && is_azure { path } else { rest });
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
    /// Another call in which a model writes text: batches, runs of threads, llama.cpp's own, Gemini's. How it samples is
    /// not read.
    Unread,
    /// Anything else: lists of models, probes, files.
    Other,
}

/// Ends of paths of calls in which no model writes text.
const WITHOUT_TEXT: [&str; 20] = [
    "/api/blobs",
    "/api/copy",
    "/api/create",
    "/api/delete",
    "/api/pull",
    "/api/push",
    "/api/show",
    "/apply-template",
    "/cancel",
    "/detokenize",
    "/files",
    "/messages/count_tokens",
    "/moderations",
    "/props",
    "/rerank",
    "/responses/input_tokens",
    "/threads",
    "/tokenize",
    "/uploads",
    "/vector_stores",
];

impl Api {
    /// Returns which call a request is.
    pub fn of(method: &str, path: &str) -> Self {
        const CALLS: [(&str, Api); 6] = [
            ("/chat/completions", Api::Chat),
            ("/completions", Api::Completions),
            ("/responses", Api::Responses),
            ("/embeddings", Api::Embeddings),
            ("/messages", Api::Messages),
            ("/embed", Api::Embeddings),
        ];
        let path = bare(path);
        if method != "POST" {
            return Self::Other;
        }
        match path {
            "/api/chat" => return Self::OllamaChat,
            "/api/generate" => return Self::OllamaGenerate,
            "/api/embed" | "/api/embeddings" => return Self::Embeddings,
            _ => {}
        }
        let found = CALLS.iter().find_map(|(end, api)| Some((path.strip_suffix(end)?, *api)));
        match found {
            // Nothing else ends so.
            Some((_, Self::Chat)) => Self::Chat,
            Some((base, Self::Messages)) if base.ends_with("/v1") => Self::Messages,
            Some((base, api)) if api != Self::Messages && is_base(base) => api,
            _ if is_unread(path) => Self::Unread,
            _ => Self::Other,
        }
    }

    /// Says whether nobody knows if a model wrote text in answer to a request that is none of the calls known here.
    pub(super) fn is_unknown(method: &str, path: &str) -> bool {
        let path = bare(path);
        Self::of(method, path) == Self::Other && method == "POST" && !WITHOUT_TEXT.iter().any(|end| path.ends_with(end))
    }

    /// Says whether a model writes text in answer to it, so that sampling matters.
    pub fn samples(self) -> bool {
        !matches!(self, Self::Embeddings | Self::Other)
    }

    /// Says whether what is asked and answered is read, and not only kept.
    pub fn is_read(self) -> bool {
        !matches!(self, Self::Unread | Self::Other)
    }
}

fn bare(path: &str) -> &str {
    path.split('?').next().unwrap_or_default().trim_end_matches('/')
}

/// Returns the name of Azure's deployment in a path.
pub(super) fn deployment(path: &str) -> Option<&str> {
    bare(path).split_once("/deployments/")?.1.split('/').next()
}

/// Says whether OpenAI's calls may stand behind such a path: a version, what Azure puts there, or nothing.
fn is_base(base: &str) -> bool {
    let mut parts = base.rsplit('/');
    let (last, before) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_version = last.strip_prefix('v').is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()));
    last.is_empty() || last == "openai" || is_version || before == "deployments"
}

fn is_unread(path: &str) -> bool {
    const ENDS: [&str; 4] = ["/completion", "/infill", "/batches", "/threads/runs"];
    let call = path.rsplit('/').next().unwrap_or_default().rsplit_once(':').map_or("", |(_, call)| call);
    let is_run = path.contains("/threads/") && (path.ends_with("/runs") || path.ends_with("/submit_tool_outputs"));
    is_run
        || ENDS.iter().any(|end| path.ends_with(end))
        || ["generateContent", "streamGenerateContent", "batchGenerateContent", "predict", "rawPredict"].contains(&call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_request_is_for() {
        let of = |path, is_anthropic| Service::of(path, None, is_anthropic);
        assert_eq!(of("/v1/chat/completions", false), (Service::OpenAi, "/v1/chat/completions"));
        assert_eq!(of("/v1/messages/count_tokens", false).0, Service::Anthropic);
        assert_eq!(of("/v1/models", true).0, Service::Anthropic);
        assert_eq!(of("/api/tags", false).0, Service::Ollama);
        assert_eq!(of("/", false).0, Service::Ollama);
        assert_eq!(of("/anthropic/v1/models", false), (Service::Anthropic, "/v1/models"));
        assert_eq!(of("/openai/v1/models", false), (Service::OpenAi, "/v1/models"));
        assert_eq!(of("/openainot/v1", false), (Service::OpenAi, "/openainot/v1"));
    }

    #[test]
    fn what_azure_puts_before_its_calls_stays() {
        let chat = "/openai/deployments/x/chat/completions";
        assert_eq!(Service::of(chat, None, false), (Service::OpenAi, chat));
        let dated = Some("a=1&api-version=2025-04-01-preview");
        assert_eq!(Service::of("/openai/responses", dated, false), (Service::OpenAi, "/openai/responses"));
        assert_eq!(Service::of("/ollama/api/tags", dated, false), (Service::Ollama, "/api/tags"));
        assert_eq!(deployment(chat), Some("x"));
        assert_eq!(Api::of("POST", chat), Api::Chat);
        assert_eq!(Api::of("POST", "/openai/responses?api-version=1"), Api::Responses);
        assert_eq!(Api::of("POST", "/openai/deployments/x/completions"), Api::Completions);
    }

    #[test]
    fn calls_are_known_where_their_api_puts_them() {
        assert_eq!(Api::of("POST", "/v1/chat/completions?x=1"), Api::Chat);
        assert_eq!(Api::of("POST", "/deployments/x/chat/completions/"), Api::Chat);
        for path in ["/v1/completions", "/completions", "/v1beta/openai/completions", "/api/v1/completions"] {
            assert_eq!(Api::of("POST", path), Api::Completions, "{path}");
        }
        assert_eq!(Api::of("POST", "/v1/messages"), Api::Messages);
        assert_eq!(Api::of("POST", "/api/embed"), Api::Embeddings);
        for path in [
            "/v1/messages/count_tokens",
            "/v1/forms/3/responses",
            "/surveys/completions",
            "/v1/threads/t/messages",
            "/rooms/api/chat",
        ] {
            assert_eq!(Api::of("POST", path), Api::Other, "{path}");
        }
        assert_eq!(Api::of("GET", "/v1/responses"), Api::Other);
    }

    #[test]
    fn calls_whose_sampling_is_not_read_are_told_from_those_without_text() {
        for path in [
            "/v1/batches",
            "/v1/messages/batches",
            "/completion",
            "/v1/threads/t1/runs",
            "/v1/threads/runs",
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        ] {
            assert_eq!(Api::of("POST", path), Api::Unread, "{path}");
            assert!(!Api::is_unknown("POST", path), "{path}");
        }
        assert!(Api::is_unknown("POST", "/v2/whatever"));
        for (method, path) in [("POST", "/v1/messages/count_tokens"), ("POST", "/api/show"), ("GET", "/v2/whatever")] {
            assert!(!Api::is_unknown(method, path), "{path}");
        }
    }
}
