//! Talking to Anthropic's API.

use std::collections::BTreeSet;

use super::reply::{self, Resolved, VERSION};
use crate::canon;
use crate::model::http::{Network, Server, address};
use crate::model::wire::Plan;
use crate::model::{Answer, ApiKey, Fault, Model, ModelError, Progress, Provider, Request, normalise, refusal, sse};

const ADDRESS: &str = "https://api.anthropic.com";

/// Where the server is, and the key for it.
#[derive(Debug, Clone, Default)]
pub struct AnthropicSettings {
    /// Base address, without `/v1`.
    pub address: Option<String>,
    /// Sent as `x-api-key`.
    pub key: Option<ApiKey>,
}

/// A model of Anthropic.
pub struct Anthropic {
    server: Server,
    model: String,
    dropped: BTreeSet<String>,
}

impl Anthropic {
    /// Prepares a client for `model`; nothing is sent.
    ///
    /// # Errors
    /// An address that is none, or no key.
    pub fn new(model: &str, settings: &AnthropicSettings, network: &Network) -> Result<Self, ModelError> {
        let provider = Provider::Anthropic;
        if settings.key.is_none() {
            return Err(Fault::Key { provider, reason: "is missing" }.into());
        }
        // The name becomes part of a path.
        if !model.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte)) {
            let available = Vec::new();
            return Err(Fault::NoSuchModel { provider, model: model.to_owned(), available }.into());
        }
        let text = settings.address.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(ADDRESS);
        let server = Server::new(provider, &address(provider, text, None)?, network)?
            .with_key("x-api-key", "", settings.key.clone())
            .with_header("anthropic-version", VERSION);
        Ok(Self { server, model: model.to_owned(), dropped: BTreeSet::new() })
    }
}

impl Model for Anthropic {
    fn resolve(&mut self) -> Result<Answer, ModelError> {
        let provider = Provider::Anthropic;
        let received = self.server.get(&format!("/v1/models/{}", self.model))?;
        if received.status != 200 {
            let fault = match refusal::fault(provider, &Plan::default(), b"{}", 0, &received) {
                Fault::Status { status: 404, .. } => {
                    Fault::NoSuchModel { provider, model: self.model.clone(), available: Vec::new() }
                }
                fault => fault,
            };
            return Err(ModelError::new(fault, Vec::new(), received.body));
        }
        let model = String::from_utf8(received.body).map_err(|error| {
            let fault = Fault::Garbage { provider, reason: "the body is not UTF-8".into() };
            ModelError::new(fault, Vec::new(), error.into_bytes())
        })?;
        let resolved = Resolved { model, version: VERSION.to_owned() };
        let raw = canon::json::to_bytes(&resolved).expect("strings have a canonical form");
        Ok(Answer { raw, ..Answer::default() })
    }

    fn call(&mut self, request: &Request, progress: &mut dyn FnMut(Progress)) -> Result<Answer, ModelError> {
        refusal::check(Provider::Anthropic, request)?;
        let plan = reply::plan(request);
        let sent = plan.body(&self.dropped.iter().cloned().collect::<Vec<_>>(), &[]);
        let (mut so_far, mut stream) = (Progress::default(), sse::Parser::default());
        let received = self.server.post("/v1/messages", &sent, &mut |piece| {
            // A stream that cannot be framed is judged when it is read as a whole.
            let _ = stream.push(piece, &mut |_| so_far.tokens = so_far.tokens.saturating_add(1));
            progress(so_far);
        })?;
        if received.status != 200 {
            let context = request.limits.context_tokens;
            let fault = refusal::fault(Provider::Anthropic, &plan, &sent, context, &received);
            if let Fault::FieldRefused { field, .. } = &fault {
                // A model that takes no temperature takes no other sampling setting either.
                self.dropped.insert(field.clone());
                self.dropped.extend(plan.optional().map(ToOwned::to_owned));
            }
            return Err(ModelError::new(fault, sent, received.body));
        }
        normalise(request, &sent, &received.body)?;
        let observation = reply::observation(&received.body);
        Ok(Answer { sent, raw: received.body, observation })
    }
}
