//! Talking to an Ollama server.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::reply::{self, Resolved};
use crate::canon;
use crate::model::http::{Network, Received, Server, address};
use crate::model::wire::Plan;
use crate::model::{Answer, Fault, Model, ModelError, Progress, Provider, Request, ndjson, normalise, refusal};

/// Ollama's own default.
const ADDRESS: &str = "127.0.0.1";
const PORT: u16 = 11434;

/// What a person may say about how Ollama runs the model; it is in the body that is sent, not in the request's digest.
#[derive(Debug, Clone, Default)]
pub struct OllamaSettings {
    /// Where the server is, in any form of `OLLAMA_HOST`.
    pub address: Option<String>,
    /// Threads of the engine; its own choice otherwise.
    pub threads: Option<u32>,
    /// Layers on the GPU; 0 is the CPU alone.
    pub gpu_layers: Option<u32>,
    /// Unload the model after each call: slow, and the only way to a cold prompt cache through Ollama.
    pub cold: bool,
}

/// A model of an Ollama server.
pub struct Ollama {
    server: Server,
    model: String,
    extra: Vec<(&'static str, Value)>,
    dropped: BTreeSet<String>,
}

impl Ollama {
    /// Prepares a client for `model`; nothing is sent.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(model: &str, settings: &OllamaSettings, network: &Network) -> Result<Self, ModelError> {
        let text = settings.address.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(ADDRESS);
        let server = Server::new(Provider::Ollama, &address(Provider::Ollama, text, Some(PORT))?, network)?;
        let mut extra = Vec::new();
        extra.extend(settings.cold.then(|| ("keep_alive", json!(0))));
        extra.extend(settings.threads.map(|threads| ("options/num_thread", json!(threads))));
        extra.extend(settings.gpu_layers.map(|layers| ("options/num_gpu", json!(layers))));
        Ok(Self { server, model: model.to_owned(), extra, dropped: BTreeSet::new() })
    }

    fn fault(&self, plan: &Plan, sent: &[u8], context: u32, received: &Received) -> Fault {
        let fault = refusal::fault(Provider::Ollama, plan, sent, context, received);
        match fault {
            Fault::Status { status: 404, message, .. } if message.contains("not found") => {
                Fault::NoSuchModel { provider: Provider::Ollama, model: self.model.clone(), available: Vec::new() }
            }
            fault => fault,
        }
    }

    fn text(&self, received: Received) -> Result<String, ModelError> {
        if received.status != 200 {
            let fault = self.fault(&Plan::default(), b"{}", 0, &received);
            return Err(ModelError::new(fault, Vec::new(), received.body));
        }
        String::from_utf8(received.body).map_err(|error| {
            let fault = Fault::Garbage { provider: Provider::Ollama, reason: "the body is not UTF-8".into() };
            ModelError::new(fault, Vec::new(), error.into_bytes())
        })
    }

    /// Asks which context and which weights are really running, once they are loaded.
    fn running(&self, request: &Request) -> Result<Option<u32>, Fault> {
        // A server that cannot say it is not thereby wrong.
        let Ok(received) = self.server.get("/api/ps") else { return Ok(None) };
        let Ok(Ok(running)) = reply::entry(&received.body, "/api/ps", &request.model.name) else { return Ok(None) };
        let found = format!("sha256:{}", running.digest.trim_start_matches("sha256:"));
        if let Some(expected) = request.model.digest.as_ref().filter(|expected| **expected != found) {
            return Err(Fault::Digest { expected: expected.clone(), found });
        }
        match running.context_length {
            Some(effective) if effective < request.limits.context_tokens => {
                Err(Fault::ContextReduced { asked: request.limits.context_tokens, effective })
            }
            effective => Ok(effective),
        }
    }
}

impl Model for Ollama {
    fn resolve(&mut self) -> Result<Answer, ModelError> {
        let version = self.text(self.server.get("/api/version")?)?;
        let tags = self.text(self.server.get("/api/tags")?)?;
        // Looked up here first: `/api/show` would answer for a model elsewhere, or with an error that names none.
        if let Err(available) = reply::entry(tags.as_bytes(), "/api/tags", &self.model)? {
            let model = self.model.clone();
            return Err(Fault::NoSuchModel { provider: Provider::Ollama, model, available }.into());
        }
        let body = serde_json::to_vec(&json!({"model": self.model})).expect("a string serialises");
        let show = self.text(self.server.post("/api/show", &body, &mut |_| ())?)?;
        let resolved = Resolved { model: self.model.clone(), show, tags, version };
        let raw = canon::json::to_bytes(&resolved).expect("strings have a canonical form");
        Ok(Answer { sent: body, raw, ..Answer::default() })
    }

    fn call(&mut self, request: &Request, progress: &mut dyn FnMut(Progress)) -> Result<Answer, ModelError> {
        refusal::check(Provider::Ollama, request)?;
        let plan = reply::plan(request);
        let sent = plan.body(&self.dropped.iter().cloned().collect::<Vec<_>>(), &self.extra);
        let mut so_far = Progress::default();
        let received = self.server.post("/api/chat", &sent, &mut |piece| {
            so_far.tokens = so_far.tokens.saturating_add(ndjson::ended(piece));
            progress(so_far);
        })?;
        if received.status != 200 {
            let fault = self.fault(&plan, &sent, request.limits.context_tokens, &received);
            if let Fault::FieldRefused { field, .. } = &fault {
                self.dropped.insert(field.clone());
            }
            return Err(ModelError::new(fault, sent, received.body));
        }
        let raw = received.body;
        // The same reading as in a replay: what could not be read then is no answer now.
        normalise(request, &sent, &raw)?;
        let mut observation = reply::observation(&raw);
        match self.running(request) {
            Ok(effective) => observation.extend(effective.map(|tokens| ("context_effective".into(), tokens.into()))),
            Err(fault) => return Err(ModelError::new(fault, sent, raw)),
        }
        Ok(Answer { sent, raw, observation })
    }
}
