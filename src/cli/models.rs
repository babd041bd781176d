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
    /// Whether the command line itself names the model, and not the environment or the configuration.
    #[arg(skip)]
    pub(crate) named: bool,
}

impl ModelArgs {
    /// Returns the model named on the command line.
    pub(crate) fn name(&self) -> Result<ModelName, Failure> {
        parse(self.model.as_deref().unwrap_or(DEFAULT))
    }

    /// Returns the recorded model of a run that goes on.
    ///
    /// The recorded name holds no path, so a script or weights file may be named again, by whatever way.
    pub(crate) fn recorded(&self, recorded: &str) -> Result<ModelName, Failure> {
        recorded_or_same(self.model.as_deref(), self.named, recorded, "--model")
    }

    /// Returns the same options for a fallback, which is usually on another server.
    pub(crate) fn for_fallback(&self) -> Self {
        Self { base_url: None, ..self.clone() }
    }
}

/// Returns `given` where it is the model `recorded`, else the recorded one; to ask for another one is a mistake.
pub(crate) fn recorded_or_same(
    given: Option<&str>,
    named: bool,
    recorded: &str,
    option: &str,
) -> Result<ModelName, Failure> {
    if let Some(given) = given.map(parse).transpose()? {
        if given.portable() == recorded {
            return Ok(given);
        }
        if named {
            let text = format!("the run was begun with the model {recorded}, not {}", given.portable());
            let hint = format!("leave out {option}, or begin a run of its own with it");
            return Err(Failure::new(FailureKind::Usage, text).hint(hint));
        }
    }
    parse(recorded)
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
