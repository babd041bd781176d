//! The trait that every provider implements, and what a call yields.

use serde_json::{Map, Value};

use super::{ModelError, Request};

/// The exact bytes of one exchange with a model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// The request body on the wire; empty where nothing is sent.
    pub sent: Vec<u8>,
    /// The reply body on the wire, streams included.
    pub raw: Vec<u8>,
    /// What is worth knowing and outside every digest: token rates, effective context, server build. No address.
    pub observation: Map<String, Value>,
}

/// How far a running call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Tokens of the prompt, once known.
    pub prompt_tokens: Option<u32>,
    /// Pieces of the reply so far; one piece is one token on most servers.
    pub tokens: u32,
}

/// Something that answers requests.
pub trait Model: Send {
    /// Asks the provider which model this is; [`super::identity`] reads the bytes.
    ///
    /// # Errors
    /// The model or its server is not there, or answers something else.
    fn resolve(&mut self) -> Result<Answer, ModelError>;

    /// Performs one call, once: retrying is the recorder's business, since each try is an event.
    ///
    /// # Errors
    /// See [`super::Fault`]; the error holds the bytes so far.
    fn call(&mut self, request: &Request, progress: &mut dyn FnMut(Progress)) -> Result<Answer, ModelError>;

    /// Tells the model of a call of this run that was answered from its recording, when the run is gone on with.
    ///
    /// Only a model that counts its calls cares.
    fn passed(&mut self, _request: &Request) {}
}
