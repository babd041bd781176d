//! HTTP to a model's server: exact body bytes, bounded times and sizes, no redirects, no compression.

use std::io::Read as _;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, Uri};

use super::{ApiKey, Fault, ModelError, Provider};

/// The largest reply body, in bytes.
pub(crate) const LARGEST: usize = 64 << 20;

/// How to reach servers; the same for every provider.
#[derive(Debug, Clone)]
pub struct Network {
    /// The longest time to find and connect to a server.
    pub connect: Duration,
    /// The longest silence while waiting for the next bytes. Loading a large model and reading a long prompt are silent.
    pub silence: Duration,
    /// The longest time of one call.
    pub total: Duration,
    /// `http://HOST:PORT` of a proxy for everything but this machine.
    pub proxy: Option<String>,
    /// Hosts that are reached directly, and domains whose hosts are.
    pub no_proxy: Vec<String>,
}

impl Default for Network {
    /// Ten seconds to connect, ten minutes of silence, one hour in all, no proxy.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(10), silence: seconds(600), total: seconds(3600), proxy: None, no_proxy: Vec::new() }
    }
}

impl Network {
    /// Returns a client for `address`; `redirects` is how many hops it follows, over HTTPS alone.
    pub(crate) fn agent(&self, provider: Provider, address: &Uri, redirects: u32) -> Result<Agent, Fault> {
        let direct = is_loopback(address) || self.is_exempt(address.host().unwrap_or_default());
        let proxy = self.proxy.as_deref().filter(|_| !direct).map(ureq::Proxy::new).transpose();
        let proxy = proxy.map_err(|_| Fault::Address { provider, reason: "the proxy's address is not one" })?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(redirects)
            .max_redirects_will_error(redirects > 0)
            .https_only(redirects > 0)
            .proxy(proxy)
            .user_agent(concat!("runproof/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            // A server may close an idle connection at any moment; a call is long and a new connection is cheap.
            .max_idle_connections(0)
            .timeout_resolve(Some(self.connect))
            .timeout_connect(Some(self.connect))
            .timeout_per_read(Some(self.silence))
            .timeout_per_write(Some(self.silence))
            .timeout_global(Some(self.total));
        Ok(config.build().new_agent())
    }

    fn is_exempt(&self, host: &str) -> bool {
        let exempts = |entry: &String| {
            let domain = entry.trim_start_matches('*').trim_start_matches('.');
            entry == "*" || host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.no_proxy.iter().any(exempts)
    }
}

/// Reads an address of the form `[http[s]://]HOST[:PORT][/PATH]`; the scheme is HTTP, `port` stands in where none is given.
pub(crate) fn address(provider: Provider, text: &str, port: Option<u16>) -> Result<Uri, Fault> {
    let wrong = |reason| Fault::Address { provider, reason };
    let text = text.trim();
    let (given, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    let scheme = given.unwrap_or("http");
    if !matches!(scheme, "http" | "https") {
        return Err(wrong("its scheme is neither http nor https"));
    }
    let uri: Uri =
        format!("{scheme}://{}", rest.trim_end_matches('/')).parse().map_err(|_| wrong("it cannot be read"))?;
    let authority =
        uri.authority().filter(|authority| !authority.host().is_empty()).ok_or(wrong("it names no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("it holds a user name or password"));
    }
    if uri.query().is_some() {
        return Err(wrong("it holds a query"));
    }
    // A server listens on every address; a client needs one.
    let host = match authority.host() {
        "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    let port = authority.port_u16().or(port.filter(|_| given.is_none()));
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let path = uri.path().trim_end_matches('/');
    format!("{scheme}://{host}{port}{path}").parse().map_err(|_| wrong("it cannot be read"))
}

/// Says whether the address is on this machine.
pub(crate) fn is_loopback(address: &Uri) -> bool {
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What came back: any status, the exact body.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) after: Option<Duration>,
}

/// A server with the headers that every request to it carries.
pub(crate) struct Server {
    provider: Provider,
    agent: Agent,
    address: String,
    loopback: bool,
    headers: Vec<(&'static str, String)>,
    key: Option<ApiKey>,
}

impl Server {
    /// Prepares a client; nothing is sent.
    pub(crate) fn new(provider: Provider, address: &Uri, network: &Network) -> Result<Self, Fault> {
        let loopback = is_loopback(address);
        let agent = network.agent(provider, address, 0)?;
        let address = address.to_string().trim_end_matches('/').to_owned();
        Ok(Self { provider, agent, address, loopback, headers: Vec::new(), key: None })
    }

    /// Sends the key in the header `name`, after `scheme`.
    pub(crate) fn with_key(mut self, name: &'static str, scheme: &str, key: Option<ApiKey>) -> Self {
        self.headers.extend(key.as_ref().map(|key| (name, key.header(scheme))));
        self.key = key;
        self
    }

    /// Sends a header.
    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Says whether the server is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// Fetches `path`.
    pub(crate) fn get(&self, path: &str) -> Result<Received, ModelError> {
        let mut request = self.agent.get(format!("{}{path}", self.address));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        self.finish(request.call(), &[], &mut |_| ())
    }

    /// Posts a JSON body, and hands each piece of the reply to `each` as it arrives.
    pub(crate) fn post(&self, path: &str, body: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<Received, ModelError> {
        if self.key.as_ref().is_some_and(|key| key.is_in(body)) {
            let reason = "the prompt holds the API key; it was not sent";
            return Err(Fault::Request { provider: self.provider, reason }.into());
        }
        let mut request = self.agent.post(format!("{}{path}", self.address)).content_type("application/json");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        self.finish(request.send(body), body, each)
    }

    fn finish(
        &self,
        result: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
        sent: &[u8],
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<Received, ModelError> {
        let fail = |fault, raw| ModelError::new(fault, sent.to_vec(), raw);
        let response = result.map_err(|error| fail(self.fault(error), Vec::new()))?;
        let status = response.status().as_u16();
        let after = retry_after(response.headers());
        let (mut raw, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        let mut reader = response.into_body().into_reader();
        let end = loop {
            match reader.read(&mut buffer) {
                Ok(0) => break None,
                Ok(n) if raw.len() + n > LARGEST => {
                    raw.extend_from_slice(&buffer[..LARGEST - raw.len()]);
                    break Some(Fault::TooLarge { provider: self.provider, limit: LARGEST });
                }
                Ok(n) => {
                    raw.extend_from_slice(&buffer[..n]);
                    each(&buffer[..n]);
                }
                Err(error) => break Some(self.fault(ureq::Error::from(error))),
            }
        };
        if let Some(key) = &self.key {
            key.scrub(&mut raw);
        }
        match end {
            Some(fault) => Err(fail(fault, raw)),
            None if (300..400).contains(&status) => Err(fail(Fault::Redirect { provider: self.provider, status }, raw)),
            None => Ok(Received { status, body: raw, after }),
        }
    }

    fn fault(&self, error: ureq::Error) -> Fault {
        use std::io::ErrorKind;
        let provider = self.provider;
        let unreachable = |reason: String| {
            let address = self.address.clone();
            Fault::Unreachable { provider, reason, address, awaited: false }
        };
        match error {
            ureq::Error::Timeout(timeout) => {
                let phase = match timeout {
                    ureq::Timeout::Resolve | ureq::Timeout::Connect => "connect",
                    ureq::Timeout::Global | ureq::Timeout::PerCall => "total",
                    _ => "silence",
                };
                Fault::Timeout { provider, phase }
            }
            ureq::Error::HostNotFound => unreachable("the host is not known".into()),
            ureq::Error::ConnectionFailed => unreachable("no connection".into()),
            ureq::Error::ConnectProxyFailed(_) => unreachable("the proxy refuses".into()),
            ureq::Error::Rustls(error) => unreachable(format!("TLS: {error}")),
            ureq::Error::Io(error) => match error.kind() {
                ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof => Fault::Cut { provider, reason: error.kind().to_string() },
                ErrorKind::TimedOut | ErrorKind::WouldBlock => Fault::Timeout { provider, phase: "silence" },
                ErrorKind::InvalidData => Fault::Garbage { provider, reason: error.to_string() },
                kind => unreachable(kind.to_string()),
            },
            error => Fault::Garbage { provider, reason: error.to_string() },
        }
    }
}

/// Reads `Retry-After` in seconds. Its other form, a date, would need a clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_and_variables_give_them() {
        let address = |text: &str, port| address(Provider::Ollama, text, port).map(|uri| uri.to_string());
        for (text, expected) in [
            ("127.0.0.1", "http://127.0.0.1:11434/"),
            ("0.0.0.0:80", "http://127.0.0.1:80/"),
            ("localhost/", "http://localhost:11434/"),
            ("http://box", "http://box/"),
            ("https://box:1/v1/", "https://box:1/v1"),
            ("[::]:9", "http://[::1]:9/"),
            (" box.example/api ", "http://box.example:11434/api"),
        ] {
            assert_eq!(address(text, Some(11434)).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "ftp://x", "http://", "http://u:secret@box", "http://box?key=secret", "http://a b", ":80"] {
            let error = address(text, None).unwrap_err();
            assert!(matches!(error, Fault::Address { .. }) && !error.to_string().contains("secret"), "{text}");
        }
    }

    #[test]
    fn this_machine_needs_no_proxy() {
        let loopback = |text: &str| is_loopback(&address(Provider::OpenAi, text, None).unwrap());
        assert!(loopback("localhost:1") && loopback("127.0.0.2") && loopback("[::1]:8"));
        assert!(!loopback("10.0.0.1") && !loopback("localhost.example"));
    }

    #[test]
    fn hosts_and_domains_can_be_exempt_from_the_proxy() {
        let exempt = |list: &[&str], host: &str| {
            let no_proxy = list.iter().map(|&entry| entry.to_owned()).collect();
            Network { no_proxy, ..Network::default() }.is_exempt(host)
        };
        assert!(exempt(&["box.example"], "box.example") && exempt(&[".example"], "box.example"));
        assert!(exempt(&["*"], "box") && exempt(&["*.example"], "a.example"));
        assert!(!exempt(&["box.example"], "otherbox.example") && !exempt(&[], "box"));
    }

    #[test]
    fn only_seconds_count_as_a_wait() {
        let wait = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(wait("-1"), None);
    }
}
