//! Running the engine.

use std::fs;
use std::io::BufReader;

use serde_json::Map;

use super::reply::{Raw, Resolved};
use crate::canon::{self, Sha256};
use crate::engine::{self, Engine, EngineError, GenerateLimits, Settings};
use crate::model::weights::{CATALOGUE, Found};
use crate::model::{Answer, Fault, Model, ModelError, Progress, Provider, Request, Role, Stop};

/// A model that runs in this process.
pub struct Embedded {
    engine: Engine,
    settings: Settings,
}

impl Embedded {
    /// Loads weights; their digest is computed on the way and must be the one that they were found by.
    ///
    /// # Errors
    /// A file that cannot be read, is no supported model, or has another digest.
    pub fn load(found: &Found, settings: Settings) -> Result<Self, ModelError> {
        let unreadable = |error: std::io::Error| Fault::Unreadable {
            path: found.path.display().to_string(),
            reason: error.to_string(),
        };
        let file = fs::File::open(&found.path).map_err(unreadable)?;
        let reader = BufReader::with_capacity(1 << 20, file);
        let engine = Engine::load(reader, found.size, found.digest, settings).map_err(fault)?;
        Ok(Self { engine, settings })
    }

    /// Returns the facts about the weights.
    pub fn facts(&self) -> &engine::Facts {
        self.engine.facts()
    }

    /// Returns the number of tokens of the messages as the model's template renders them.
    ///
    /// # Errors
    /// Weights without a template, or a template that refuses the messages.
    pub fn count(&self, request: &Request) -> Result<usize, ModelError> {
        Ok(self.prompt(request)?.len())
    }

    fn prompt(&self, request: &Request) -> Result<Vec<u32>, Fault> {
        let role = |role| match role {
            Role::System => engine::Role::System,
            Role::User => engine::Role::User,
            Role::Assistant => engine::Role::Assistant,
        };
        let messages: Vec<_> =
            request.messages.iter().map(|message| (role(message.role), message.content.as_str())).collect();
        let text = self.engine.render(&messages).map_err(fault)?;
        self.engine.tokenize(&text).map_err(fault)
    }
}

fn fault(error: EngineError) -> Fault {
    match error {
        EngineError::Digest { expected, found } => {
            Fault::Digest { expected: expected.to_string(), found: found.to_string() }
        }
        error => Fault::Engine(error.to_string()),
    }
}

impl Model for Embedded {
    fn resolve(&mut self) -> Result<Answer, ModelError> {
        let facts = self.engine.facts();
        // A known name is better than whatever a file calls itself.
        let known = CATALOGUE.iter().find(|known| known.digest == facts.weights);
        let resolved = Resolved {
            architecture: facts.architecture.clone(),
            context: facts.context_length,
            kernel: facts.kernel_version,
            name: known.map_or_else(|| facts.name.clone(), |known| known.name.to_owned()),
            parameters: facts.parameters,
            quantisation: facts.quantisation.clone(),
            template: facts.template,
            tokenizer: facts.tokenizer,
            weights: facts.weights,
        };
        let raw = canon::json::to_bytes(&resolved).map_err(|error| Fault::Engine(error.to_string()))?;
        Ok(Answer { raw, ..Answer::default() })
    }

    fn call(&mut self, request: &Request, progress: &mut dyn FnMut(Progress)) -> Result<Answer, ModelError> {
        let provider = Provider::Embedded;
        let refuse = |reason| Err(Fault::Request { provider, reason }.into());
        if request.model.provider != provider {
            return refuse("it is for another provider");
        }
        if !request.sampling.is_greedy() {
            return refuse("the engine is greedy and nothing else");
        }
        let found = self.engine.facts().weights.to_string();
        if let Some(expected) = request.model.digest.as_ref().filter(|expected| **expected != found) {
            return Err(Fault::Digest { expected: expected.clone(), found }.into());
        }
        let (asked, effective) = (request.limits.context_tokens, self.engine.facts().context_length);
        if asked > effective {
            return Err(Fault::ContextReduced { asked, effective }.into());
        }
        let prompt = self.prompt(request)?;
        let room = u32::try_from(prompt.len()).ok().and_then(|length| asked.checked_sub(length)).unwrap_or(0);
        if room == 0 {
            let message = format!("it has {} tokens", prompt.len());
            return Err(Fault::PromptTooLong { context: asked, message }.into());
        }
        let limits = GenerateLimits {
            max_tokens: request.limits.max_tokens.min(room),
            constraint: request.constraint.as_ref().map(|constraint| engine::Constraint {
                files: constraint.files.iter().map(|file| (file.path.clone(), file.lines)).collect(),
            }),
        };
        let mut so_far = Progress::default();
        let generation = self.engine.generate(&prompt, &limits, &mut |step| {
            match step {
                engine::Progress::Prompt { total, .. } => so_far.prompt_tokens = Some(total),
                engine::Progress::Token { count, .. } => so_far.tokens = count,
            }
            progress(so_far);
        });
        let generation = generation.map_err(fault)?;
        let ids: Vec<u8> = prompt.iter().flat_map(|id| id.to_le_bytes()).collect();
        let raw = Raw {
            logits: generation.logits,
            margins: generation.margins.iter().map(|margin| margin.to_hex()).collect(),
            prompt: Sha256::of(&ids),
            prompt_tokens: generation.prompt_tokens,
            stop: match generation.stop {
                engine::Stop::End => Stop::End,
                engine::Stop::Length => Stop::Length,
            },
            text: generation.text,
            tokens: generation.tokens,
        };
        let raw = canon::json::to_bytes(&raw).map_err(|error| Fault::Engine(error.to_string()))?;
        let observation = Map::from_iter([("threads".to_owned(), self.settings.threads.into())]);
        Ok(Answer { sent: Vec::new(), raw, observation })
    }
}
