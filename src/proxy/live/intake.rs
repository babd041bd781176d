//! Taking a request in: whole, bounded in size and time, from nobody but who may ask.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, HOST, ORIGIN, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};

use super::answer::Refusal;
use super::listen::{Allowed, Peer};
use crate::proxy::body::LARGEST;
use crate::proxy::{Head, Secrets, Service};

/// The longest silence of an agent in the middle of its request.
const SILENCE: Duration = Duration::from_secs(30);

/// A request, taken in.
pub(super) struct Taken {
    pub(super) service: Service,
    /// The path without a prefix that names the service.
    pub(super) path: String,
    pub(super) parts: Parts,
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
}

/// Refuses what is no request for a reverse proxy on this machine.
pub(super) fn check(parts: &Parts, allowed: &Allowed) -> Result<(), Refusal> {
    if parts.method == Method::CONNECT || parts.uri.authority().is_some() {
        let message = "this is a reverse proxy: set the base URL of the client, not its HTTP proxy";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "not_a_forward_proxy", message));
    }
    // A page in a browser can send requests here, but not choose this header (DNS rebinding).
    let host = parts.headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // HTTP/1.0 needs none (RFC 9112 §3.2), and no browser speaks it.
    let is_local = || parts.extensions.get::<Peer>().is_some_and(|Peer(peer)| peer.ip().to_canonical().is_loopback());
    let needs_none = parts.version == Version::HTTP_10 && !parts.headers.contains_key(HOST) && is_local();
    if !needs_none && !allowed.is_allowed(host) {
        let host: String = host.chars().take(100).collect();
        let message = format!("the host {host:?} is not this proxy; allow it with --allow-host");
        return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", message));
    }
    let origin = parts.headers.get(ORIGIN).map(|value| value.to_str().unwrap_or_default());
    if let Some(origin) = origin.filter(|origin| !allowed.is_origin_allowed(origin)) {
        let origin: String = origin.chars().take(100).collect();
        let message = format!("pages of {origin:?} may not ask; allow their host with --allow-host");
        return Err(Refusal::new(StatusCode::FORBIDDEN, "wrong_origin", message));
    }
    if parts.headers.contains_key(UPGRADE) {
        let message = "WebSockets are not recorded; the client falls back to HTTP, or has an option for it";
        return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, "no_websocket", message));
    }
    Ok(())
}

/// Returns whom a request is for, and its path without a prefix that says so.
pub(super) fn of(parts: &Parts) -> (Service, &str) {
    Service::of(parts.uri.path(), parts.uri.query(), parts.headers.contains_key("anthropic-version"))
}

/// Reads the whole request.
pub(super) async fn take(parts: Parts, mut body: Incoming, secrets: &Secrets) -> Result<Taken, (Service, Refusal)> {
    let (service, path) = of(&parts);
    let path = path.to_owned();
    let refuse = |status, code, message: String| Err((service, Refusal::new(status, code, message)));
    let too_large = || format!("the request is larger than {LARGEST} bytes");
    let announced = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > LARGEST as u64) {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "too_large", too_large());
    }
    let mut bytes = Vec::new();
    while !body.is_end_stream() {
        match tokio::time::timeout(SILENCE, body.frame()).await {
            Err(_) => {
                let message = format!("nothing of the request came for {} seconds", SILENCE.as_secs());
                return refuse(StatusCode::REQUEST_TIMEOUT, "too_slow", message);
            }
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                return refuse(StatusCode::BAD_REQUEST, "broken_request", format!("the request broke off: {error}"));
            }
            Ok(Some(Ok(frame))) => {
                let Some(data) = frame.data_ref() else { continue };
                if bytes.len() + data.len() > LARGEST {
                    return refuse(StatusCode::PAYLOAD_TOO_LARGE, "too_large", too_large());
                }
                bytes.extend_from_slice(data);
            }
        }
    }
    let mut head = Head { method: parts.method.as_str().into(), service: service.name().into(), ..Head::default() };
    head.set_target(&path, parts.uri.query());
    for (name, value) in &parts.headers {
        head.keep_request(name.as_str(), value.as_bytes());
    }
    head.forget(secrets);
    Ok(Taken { service, path, parts, head, body: bytes })
}
