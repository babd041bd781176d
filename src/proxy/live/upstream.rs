//! Where requests go, and the client that brings them there: TLS with the roots of `webpki`, no redirects, no retries.

use std::time::Duration;

use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::proxy::Service;

/// The longest time to find and reach a server.
const CONNECT: Duration = Duration::from_secs(10);

/// Says why an address cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("the address {address:?} of {service}: {reason}")]
pub struct UpstreamError {
    service: Service,
    address: String,
    reason: &'static str,
}

/// The server of each service.
#[derive(Debug, Clone)]
pub struct Upstreams {
    openai: Uri,
    anthropic: Uri,
    ollama: Uri,
}

impl Upstreams {
    /// Takes an address for each service; OpenAI's ends where `/chat/completions` begins, mostly with `/v1`.
    ///
    /// # Errors
    /// Something that is no address of an HTTP server.
    pub fn new(openai: &str, anthropic: &str, ollama: &str) -> Result<Self, UpstreamError> {
        Ok(Self {
            openai: address(Service::OpenAi, openai)?,
            anthropic: address(Service::Anthropic, anthropic)?,
            ollama: address(Service::Ollama, ollama)?,
        })
    }

    /// Returns the address that a request for `path` and `query` goes to.
    pub(super) fn target(&self, service: Service, path: &str, query: Option<&str>) -> Option<Uri> {
        let base = match service {
            Service::OpenAi => &self.openai,
            Service::Anthropic => &self.anthropic,
            Service::Ollama => &self.ollama,
        };
        // What agents are given as OpenAI's address ends with `/v1`, and stands for the whole base.
        let path = match service {
            Service::OpenAi => path.strip_prefix("/v1").filter(|rest| rest.is_empty() || rest.starts_with('/')),
            _ => None,
        }
        .unwrap_or(path);
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let (scheme, authority) = (base.scheme_str()?, base.authority()?);
        format!("{scheme}://{authority}{}{path}{query}", base.path().trim_end_matches('/')).parse().ok()
    }
}

fn address(service: Service, text: &str) -> Result<Uri, UpstreamError> {
    // Before the host there may be a password, behind the path a key.
    let shown = text.split(['?', '#']).next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
    let wrong = |reason| UpstreamError { service, address: shown.chars().take(200).collect(), reason };
    let text = text.trim();
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let uri: Uri = text.parse().map_err(|_| wrong("it cannot be read"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong("its scheme is neither http nor https"));
    }
    let authority = uri.authority().ok_or(wrong("it names no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("it holds a user name or password"));
    }
    if uri.query().is_some() {
        return Err(wrong("it holds a query"));
    }
    Ok(uri)
}

pub(super) type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Makes the client.
pub(super) fn client() -> HttpClient {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    let connector = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .retry_canceled_requests(true)
        .build(connector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_put_behind_the_base() {
        let upstreams =
            Upstreams::new("https://api.openai.com/v1", "http://[::1]:9/claude/", "127.0.0.1:11434").unwrap();
        let at = |service, path, query| upstreams.target(service, path, query).unwrap().to_string();
        assert_eq!(
            at(Service::OpenAi, "/v1/chat/completions", Some("a=1")),
            "https://api.openai.com/v1/chat/completions?a=1"
        );
        assert_eq!(at(Service::OpenAi, "/v1x", None), "https://api.openai.com/v1/v1x");
        assert_eq!(at(Service::Anthropic, "/v1/messages", None), "http://[::1]:9/claude/v1/messages");
        assert_eq!(at(Service::Ollama, "/api/tags", None), "http://127.0.0.1:11434/api/tags");
        for wrong in ["ftp://x", "http://", "http://a:b@c", "http://x/?q=1", "http://a b"] {
            assert!(Upstreams::new(wrong, "http://x", "http://x").is_err(), "{wrong}");
        }
        let error = Upstreams::new("http://user:hunter2@host", "http://x", "http://x").unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("host"), "{error}");
        let error = Upstreams::new("http://host/v1?api_key=hunter2", "http://x", "http://x").unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("host/v1"), "{error}");
    }
}
