//! Talking to a server with OpenAI's API.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Map, Value};

use super::identity::{self, Kind, Resolved};
use super::reply;
use crate::canon::{self, Sha256};
use crate::model::http::{Network, Received, Server, address};
use crate::model::wire::Plan;
use crate::model::{Answer, ApiKey, Fault, Model, ModelError, Progress, Provider, Request, normalise, refusal, sse};

/// OpenAI itself.
const ADDRESS: &str = "https://api.openai.com/v1";

/// Where the server is, and the key for it.
#[derive(Debug, Clone, Default)]
pub struct OpenAiSettings {
    /// Base address, with or without the final `/v1`.
    pub address: Option<String>,
    /// Sent as a bearer token.
    pub key: Option<ApiKey>,
}

/// A model of a server that speaks OpenAI's API.
pub struct OpenAi {
    server: Server,
    root: Server,
    model: String,
    dropped: BTreeSet<&'static str>,
}

impl OpenAi {
    /// Prepares a client for `model`; nothing is sent.
    ///
    /// # Errors
    /// An address that is none; no key for OpenAI itself.
    pub fn new(model: &str, settings: &OpenAiSettings, network: &Network) -> Result<Self, ModelError> {
        let provider = Provider::OpenAi;
        let text = settings.address.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(ADDRESS);
        let base = address(provider, text, None)?;
        if base.host() == Some("api.openai.com") && settings.key.is_none() {
            return Err(Fault::Key { provider, reason: "is missing" }.into());
        }
        let root = base.to_string();
        let root = root.trim_end_matches('/').trim_end_matches("/v1");
        let client = |base: &str| -> Result<Server, ModelError> {
            let server = Server::new(provider, &address(provider, base, None)?, network)?;
            Ok(server.with_key("authorization", "Bearer ", settings.key.clone()))
        };
        let versioned = format!("{root}/v1");
        Ok(Self { server: client(&versioned)?, root: client(root)?, model: model.to_owned(), dropped: BTreeSet::new() })
    }

    fn fetch(&self, server: &Server, path: &str) -> Result<String, ModelError> {
        let received = server.get(path)?;
        if received.status != 200 {
            let fault = refusal::fault(Provider::OpenAi, &Plan::default(), b"{}", 0, &received);
            return Err(ModelError::new(fault, Vec::new(), received.body));
        }
        String::from_utf8(received.body).map_err(|error| {
            let fault = Fault::Garbage { provider: Provider::OpenAi, reason: "the body is not UTF-8".into() };
            ModelError::new(fault, Vec::new(), error.into_bytes())
        })
    }

    /// Notes what to leave out from now on.
    fn refused(&mut self, plan: &Plan, sent: &[u8], context: u32, received: &Received) -> Fault {
        let fault = refusal::fault(Provider::OpenAi, plan, sent, context, received);
        if let Fault::FieldRefused { field, .. } = &fault {
            self.dropped.extend(plan.optional().filter(|path| path == field));
            self.dropped.extend(reply::along_with(field));
        }
        fault
    }

    /// Asks a llama.cpp server which settings the slot really used.
    fn effective(&self) -> Option<Value> {
        const KEYS: [&str; 7] = ["seed", "temperature", "top_k", "top_p", "min_p", "repeat_penalty", "samplers"];
        let slots: Vec<Map<String, Value>> = serde_json::from_slice(&self.root.get("/slots").ok()?.body).ok()?;
        let params = slots.into_iter().next()?.shift_remove("params")?;
        let chosen = |(key, _): &(&String, &Value)| KEYS.contains(&key.as_str());
        Some(params.as_object()?.iter().filter(chosen).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// Returns the digest of a weights file that a server on this machine names, if it is one.
fn digest_of_weights(path: &str) -> Option<Sha256> {
    let path = Path::new(path);
    // The server's word is not trusted: only a regular file that starts like a GGUF is read.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut file = std::fs::File::open(path).ok()?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic).ok()?;
    if &magic != b"GGUF" {
        return None;
    }
    Sha256::of_reader(&mut magic.chain(file)).ok()
}

impl Model for OpenAi {
    fn resolve(&mut self) -> Result<Answer, ModelError> {
        let models = self.fetch(&self.server, "/models")?;
        let mut resolved = Resolved { model: self.model.clone(), models, props: None, weights: None };
        if identity::kind(&resolved.models)? == Kind::LlamaCpp {
            let props = self.fetch(&self.root, "/props")?;
            let path = identity::weights_path(&props).filter(|_| self.server.is_loopback());
            resolved.weights = path.and_then(|path| digest_of_weights(&path));
            resolved.props = Some(props);
        }
        let raw = canon::json::to_bytes(&resolved).expect("strings have a canonical form");
        Ok(Answer { raw, ..Answer::default() })
    }

    fn call(&mut self, request: &Request, progress: &mut dyn FnMut(Progress)) -> Result<Answer, ModelError> {
        refusal::check(Provider::OpenAi, request)?;
        let asked = request.limits.context_tokens;
        if let Some(effective) = request.model.context.filter(|&context| context < asked) {
            return Err(Fault::ContextReduced { asked, effective }.into());
        }
        let plan = reply::plan(request);
        let dropped: Vec<String> = self.dropped.iter().map(|&path| path.to_owned()).collect();
        let sent = plan.body(&dropped, &[]);
        let (mut so_far, mut stream) = (Progress::default(), sse::Parser::default());
        let received = self.server.post("/chat/completions", &sent, &mut |piece| {
            // A stream that cannot be framed is judged when it is read as a whole.
            let _ = stream.push(piece, &mut |_| so_far.tokens = so_far.tokens.saturating_add(1));
            progress(so_far);
        })?;
        if received.status != 200 {
            let fault = self.refused(&plan, &sent, asked, &received);
            return Err(ModelError::new(fault, sent, received.body));
        }
        normalise(request, &sent, &received.body)?;
        let mut observation = Map::new();
        if Kind::of(&request.model) == Kind::LlamaCpp {
            observation.extend(self.effective().map(|settings| ("sampling_effective".to_owned(), settings)));
        }
        observation.extend(reply::observation(&received.body));
        Ok(Answer { sent, raw: received.body, observation })
    }
}
