//! The engine as its callers see it: load weights, render, tokenize, generate.

use std::io::Read;

use super::EngineError;
use super::cache::Cache;
use super::facts::Facts;
use super::forward::{Model, Scratch};
use super::generate::{GenerateLimits, Generation, Progress, Session};
use super::gguf::Header;
use super::kernels::Kernels;
use super::rope::Rope;
use super::shape::Shape;
use super::source::Source;
use super::team::Team;
use super::template::{Role, Template};
use super::tokenizer::Tokenizer;
use super::weights::Weights;
use crate::canon::Sha256;

/// How the work is done; no setting changes a bit of any result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Threads that share the work, at least 1.
    pub threads: usize,
    /// Most tokens of a prompt that are evaluated together, at least 1; `usize::MAX` for all.
    pub chunk: usize,
    /// Instruction set.
    pub simd: Simd,
    /// Keeps what the cache holds of a prompt's beginning from the generation before.
    pub reuse_cache: bool,
}

/// Instruction set that the arithmetic uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Simd {
    /// The fastest that this processor has.
    Auto,
    /// AVX2 with F16C, or an error.
    Avx2,
    /// Plain code, which specifies the bits.
    Scalar,
}

/// A loaded model with its cache and threads.
pub struct Engine {
    model: Model,
    tokenizer: Tokenizer,
    template: Option<Template>,
    facts: Facts,
    team: Team,
    cache: Cache,
    scratch: Scratch,
    settings: Settings,
}

impl Engine {
    /// Reads weights from `reader`, which holds `length` bytes, front to back and once.
    ///
    /// Nothing of the file is kept but the repacked tensors, so the peak is little more than the file's size. With
    /// `expected` the whole file's digest must be that one.
    ///
    /// # Errors
    /// A file that is not a supported GGUF model, is cut off or has another digest; settings that cannot be followed.
    pub fn load<R: Read>(
        reader: R,
        length: u64,
        expected: Option<Sha256>,
        settings: Settings,
    ) -> Result<Self, EngineError> {
        if settings.chunk == 0 {
            return Err(EngineError::Settings("chunks of 0 tokens".into()));
        }
        let team = Team::new(settings.threads)?;
        let kernels = Kernels::new(settings.simd)?;
        let mut source = Source::new(reader, length);
        let header = Header::read(&mut source)?;
        let shape = Shape::read(&header)?;
        let tokenizer = Tokenizer::read(&header)?;
        let template = header.text("tokenizer.chat_template").map(Template::new).transpose()?;
        let weights = Weights::read(&mut source, &header, &shape, tokenizer.len())?;
        let rope = Rope::new(&shape, weights.rope_factors.as_deref())?;
        let found = source.finish()?;
        match expected {
            Some(expected) if expected != found => return Err(EngineError::Digest { expected, found }),
            _ => {}
        }
        let facts = Facts::new(&header, &shape, &tokenizer, template.as_ref(), found);
        let cache = Cache::new(shape.layers, shape.kv_heads, shape.head_width);
        let model = Model { shape, weights, rope, kernels };
        Ok(Self { model, tokenizer, template, facts, team, cache, scratch: Scratch::default(), settings })
    }

    /// Returns the facts about the weights.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Renders a conversation with the model's chat template, ending where its reply begins.
    ///
    /// # Errors
    /// Weights without a template, or a template that refuses the messages.
    pub fn render(&self, messages: &[(Role, &str)]) -> Result<String, EngineError> {
        let template = self.template.as_ref().ok_or(EngineError::NoTemplate)?;
        template.render(messages, self.tokenizer.begin_text(), self.tokenizer.end_text())
    }

    /// Encodes a text; the texts of special tokens become those tokens.
    ///
    /// # Errors
    /// A text that the splitting rule gives up on.
    pub fn tokenize(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        self.tokenizer.encode(text)
    }

    /// Evaluates `prompt` and generates greedily until a limit or the model's own end.
    ///
    /// # Errors
    /// A prompt that is empty, too long or not of this vocabulary; a constraint that no text meets; logits that are not
    /// finite.
    pub fn generate(
        &mut self,
        prompt: &[u32],
        limits: &GenerateLimits,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Generation, EngineError> {
        let session = Session {
            model: &self.model,
            tokenizer: &self.tokenizer,
            cache: &mut self.cache,
            scratch: &mut self.scratch,
            team: &self.team,
            chunk: self.settings.chunk,
            reuse_cache: self.settings.reuse_cache,
        };
        session.generate(prompt, limits, progress)
    }
}
