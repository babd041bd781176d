//! Replies of the proxy's own: errors in the shape that the agent's client shows to its user.

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::outlet::Outlet;
use crate::proxy::api;
use crate::proxy::body::BodyError;
use crate::proxy::{Api, Head, Header, Sampling, Scan, Secrets, Service, decoded, sampling};

/// An error on its way to an agent.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// A word for programs.
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// Refuses what the rules of a recording refuse. A replay refuses it in the same words, so they depend on nothing but
    /// the request.
    pub(super) fn by_rules(header: &Header, secrets: &Secrets, head: &Head, body: &[u8]) -> Option<Self> {
        let of_sampling = (header.sampling == Sampling::Require).then(|| Self::of_sampling(head, body)).flatten();
        of_sampling.or_else(|| Self::of_body(header.secrets, secrets, head, body))
    }

    /// Refuses a body that is too large once decoded and, where that was asked for, a request with a credential in it.
    fn of_body(scan: Scan, secrets: &Secrets, head: &Head, body: &[u8]) -> Option<Self> {
        // As it came it is not too large: that was looked at when it was taken in.
        if scan == Scan::Warn && head.encoding().is_empty() {
            return None;
        }
        let decoded = match decoded(body, head.encoding()) {
            Err(error @ BodyError::TooLarge) => {
                return Some(Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", error.to_string()));
            }
            decoded => decoded,
        };
        if scan == Scan::Warn {
            return None;
        }
        let refuse = |code, message: String| Some(Self::new(StatusCode::BAD_REQUEST, code, message));
        if head.has_secret_path() {
            return refuse("secret_in_path", format!("the path of {} holds something like a credential", head.target));
        }
        match decoded {
            Ok(decoded) => refuse("secret_in_body", secret_in(head, &secrets.scan(&decoded)?)),
            Err(error) => {
                refuse("unreadable_body", format!("the request to {} cannot be looked through: {error}", head.target))
            }
        }
    }

    /// Refuses a call that is not as greedy and seeded as its API allows.
    fn of_sampling(head: &Head, body: &[u8]) -> Option<Self> {
        let api = Api::of(&head.method, &head.target);
        let refuse = |words: &str| {
            let message = format!("the call is not greedy and seeded: {words}");
            Some(Self::new(StatusCode::BAD_REQUEST, "sampling", message))
        };
        let decoded = match decoded(body, head.encoding()) {
            Ok(decoded) => decoded,
            Err(error) if api.samples() => return refuse(&error.to_string()),
            Err(_) => return None,
        };
        let mut lacks = sampling::lacks(api, api::deployment(&head.target), &decoded, 0);
        if lacks.nothing() {
            return None;
        }
        let count = lacks.settable.len();
        // Any seed would do.
        lacks.settable.retain(|(path, _)| !path.ends_with("seed"));
        let words = Some(lacks.words()).filter(|words| !words.is_empty());
        let unseeded = (lacks.settable.len() < count).then(|| "it has no seed".to_owned());
        let words: Vec<String> = words.into_iter().chain(unseeded).collect();
        refuse(&words.join(", "))
    }

    /// Returns the body that clients of the service show.
    pub(super) fn body(&self, service: Service) -> Vec<u8> {
        let message = format!("runproof: {}", self.message);
        let value = match service {
            Service::OpenAi => {
                json!({"error": {"message": message, "type": "runproof", "param": null, "code": self.code}})
            }
            Service::Anthropic => json!({"type": "error", "error": {"type": self.code, "message": message}}),
            Service::Ollama => json!({"error": message}),
        };
        value.to_string().into_bytes()
    }

    /// Returns the whole reply.
    pub(super) fn response(&self, service: Service) -> Response<Outlet> {
        let mut response = own(self.status, self.body(service));
        if self.status == StatusCode::UPGRADE_REQUIRED {
            response.headers_mut().insert("upgrade", HeaderValue::from_static("HTTP/1.1"));
        }
        response
    }
}

/// Returns a reply of the proxy's own. It tells clients not to try again where the same request would meet the same
/// answer; what a server fails in may go well the next time.
pub(super) fn own(status: StatusCode, body: Vec<u8>) -> Response<Outlet> {
    let mut response = Response::new(Outlet::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if !matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) {
        response.headers_mut().insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

/// Says where something like a credential is.
pub(super) fn secret_in(head: &Head, found: &str) -> String {
    format!("the request to {} holds {found}", head.target)
}
