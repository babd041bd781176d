//! Opening the model that a person names: the options, and what the host adds to them.

use clap::Args;

use crate::model::{Model, ModelName, open};

use super::access::access;
use super::{Failure, FailureKind};

/// The model that is asked where none is named.
const DEFAULT: &str = "ollama:llama3.1:8b";

/// Options of every verb that calls a model.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    /// Model, `provider:model[@digest]`: `ollama:llama3.1:8b`, `openai:NAME`, `anthropic:NAME`, `embedded:NAME or
    /// FILE.gguf`, `scripted:FILE`. [default: ollama:llama3.1:8b]
    #[arg(long, value_name = "MODEL", env = "RUNPROOF_MODEL")]
    pub(crate) model: Option<String>,
    /// Where the server is; else OLLAMA_HOST, OPENAI_BASE_URL or ANTHROPIC_BASE_URL, else the provider's usual place.
    #[arg(long, value_name = "URL", env = "RUNPROOF_BASE_URL")]
    pub(crate) base_url: Option<String>,
    /// Threads of the embedded engine; they change no bit of what it answers.
    #[arg(long, value_name = "N", env = "RUNPROOF_THREADS")]
    pub(crate) threads: Option<usize>,
}

impl ModelArgs {
    /// Returns the model named on the command line.
    pub(crate) fn name(&self) -> Result<ModelName, Failure> {
        parse(self.model.as_deref().unwrap_or(DEFAULT))
    }

    /// Returns the model named on the command line, where one is; a resumed run's otherwise.
    ///
    /// The recorded name holds no path, so a script or weights file has to be named again.
    pub(crate) fn name_or(&self, recorded: &str) -> Result<ModelName, Failure> {
        parse(self.model.as_deref().unwrap_or(recorded))
    }

    /// Returns the same options for a fallback, which is usually on another server.
    pub(crate) fn for_fallback(&self) -> Self {
        Self { base_url: None, ..self.clone() }
    }
}

pub(crate) fn parse(text: &str) -> Result<ModelName, Failure> {
    text.parse().map_err(|error| {
        let hint = "write provider:model, for example ollama:llama3.1:8b or embedded:smollm2-135m";
        Failure::new(FailureKind::Usage, error).hint(hint)
    })
}

/// Opens a model for calling.
pub(crate) fn open_model(name: &ModelName, args: &ModelArgs) -> Result<Box<dyn Model>, Failure> {
    let mut access = access(name.provider, args.base_url.as_deref())?;
    access.threads = args.threads.unwrap_or(access.threads);
    Ok(open(name, &access)?)
}
