//! Greedy generation and the evidence that it leaves behind.

use super::EngineError;
use super::cache::Cache;
use super::constraint::{Constraint, Machine, State};
use super::forward::{Model, Scratch};
use super::team::Team;
use super::tokenizer::Tokenizer;
use crate::canon::Blake3;

/// Where a generation has to stop, and what its text has to look like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GenerateLimits {
    /// Most tokens of the reply, the ending one included.
    pub max_tokens: u32,
    /// What the reply must begin with, if anything.
    pub constraint: Option<Constraint>,
}

/// Why a generation stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The model ended its reply.
    End,
    /// The limit of tokens or the model's context was reached.
    Length,
}

/// The distance between the best and the second-best logit of a step, kept as the exact bits of an `f32`.
///
/// A step at which only one token was allowed has an infinite margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Margin(u32);

impl Margin {
    /// Returns the IEEE 754 bits; as integers they order as the margins do.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Returns the eight hexadecimal digits of the bits.
    pub fn to_hex(self) -> String {
        format!("{:08x}", self.0)
    }
}

/// What happened since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// So many of the prompt's tokens are evaluated or were in the cache.
    Prompt {
        /// Tokens done.
        done: u32,
        /// Tokens in the prompt.
        total: u32,
    },
    /// A token was generated.
    Token {
        /// Its number, from 1.
        count: u32,
        /// Text that became complete with it; empty while a character is.
        text: &'a str,
    },
}

/// A reply and its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The text, without the token that ended it; bytes that are not UTF-8 become U+FFFD.
    pub text: String,
    /// Every generated token, the ending one included.
    pub tokens: Vec<u32>,
    /// Why it stopped.
    pub stop: Stop,
    /// BLAKE3 of all logits of every step, before any constraint, as little-endian `f32`.
    pub logits: Blake3,
    /// The margin of every step among the tokens that were allowed.
    pub margins: Vec<Margin>,
    /// Number of tokens in the prompt.
    pub prompt_tokens: u32,
}

/// The parts of an engine that a generation uses.
pub(crate) struct Session<'a> {
    pub(crate) model: &'a Model,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) cache: &'a mut Cache,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) team: &'a Team,
    pub(crate) chunk: usize,
    pub(crate) reuse_cache: bool,
}

impl Session<'_> {
    /// Evaluates `prompt` and generates until a limit or the model's own end.
    ///
    /// # Errors
    /// A prompt that is empty, too long or not of this vocabulary; a constraint that no text meets; logits that are not
    /// finite.
    pub(crate) fn generate(
        mut self,
        prompt: &[u32],
        limits: &GenerateLimits,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Generation, EngineError> {
        let tokenizer = self.tokenizer;
        let context = self.model.shape.context;
        let vocabulary = tokenizer.len() as u32;
        if let Some(token) = prompt.iter().find(|token| **token >= vocabulary) {
            return Err(EngineError::Token { token: *token, vocabulary });
        }
        if prompt.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        if prompt.len() >= context as usize {
            return Err(EngineError::PromptTooLong { prompt: prompt.len(), context });
        }
        let machine = limits.constraint.as_ref().map(Machine::new).transpose()?;
        let mut state = machine.as_ref().map_or(State::Free, Machine::start);
        // `prompt.len() < context`, a u32.
        let prompt_tokens = prompt.len() as u32;
        let max_tokens = limits.max_tokens.min(context - prompt_tokens) as usize;

        self.evaluate_all_but_last(prompt, max_tokens, progress);
        let mut next = *prompt.last().expect("the prompt is not empty");
        let mut hasher = blake3::Hasher::new();
        let mut text = Text::default();
        let (mut tokens, mut margins) = (Vec::new(), Vec::new());
        let mut stop = Stop::Length;
        while tokens.len() < max_tokens {
            let position = self.cache.len();
            let Self { model, cache, team, scratch, .. } = &mut self;
            let logits = team.enter(|| model.forward(&[next], cache, team, scratch, true));
            let logits = logits.expect("logits were asked for");
            if tokens.is_empty() {
                progress(Progress::Prompt { done: prompt_tokens, total: prompt_tokens });
            }
            if !logits.iter().all(|logit| logit.is_finite()) {
                return Err(EngineError::NotFinite(position));
            }
            hash(&mut hasher, logits);
            let choice = choose(logits, |token| match &machine {
                Some(machine) if state != State::Free => {
                    !tokenizer.is_control(token)
                        && !tokenizer.is_end(token)
                        && machine.advance(state, tokenizer.bytes(token)).is_some()
                }
                _ => true,
            });
            let (token, margin) =
                choice.ok_or_else(|| EngineError::Constraint("no token of the vocabulary goes on".into()))?;
            next = token;
            tokens.push(token);
            margins.push(margin);
            let ends = tokenizer.is_end(token);
            let piece = if ends { &[] } else { tokenizer.bytes(token) };
            if let Some(machine) = &machine {
                state = machine.advance(state, piece).expect("the token was allowed");
            }
            progress(Progress::Token { count: tokens.len() as u32, text: text.push(piece) });
            if ends {
                stop = Stop::End;
                break;
            }
        }
        let logits = Blake3::from_bytes(*hasher.finalize().as_bytes());
        Ok(Generation { text: text.finish(), tokens, stop, logits, margins, prompt_tokens })
    }

    /// Fills the cache with the prompt but for its last token, whose logits begin the reply.
    fn evaluate_all_but_last(&mut self, prompt: &[u32], max_tokens: usize, progress: &mut dyn FnMut(Progress<'_>)) {
        let Self { model, cache, team, scratch, .. } = self;
        let keep = if self.reuse_cache { prompt.len() - 1 } else { 0 };
        cache.keep_prefix(prompt, keep);
        cache.reserve(prompt.len() + max_tokens);
        let total = prompt.len() as u32;
        for chunk in prompt[cache.len()..prompt.len() - 1].chunks(self.chunk) {
            team.enter(|| model.forward(chunk, cache, team, scratch, false));
            progress(Progress::Prompt { done: cache.len() as u32, total });
        }
    }
}

/// Returns the allowed token with the largest logit, the lowest id among equals, and its margin.
fn choose(logits: &[f32], allowed: impl Fn(u32) -> bool) -> Option<(u32, Margin)> {
    let mut best: Option<(u32, f32)> = None;
    let mut second = f32::NEG_INFINITY;
    for (token, logit) in (0..).zip(logits) {
        if *logit <= second && best.is_some() || !allowed(token) {
            continue;
        }
        match best {
            Some((_, top)) if *logit <= top => second = *logit,
            _ => {
                second = best.map_or(second, |(_, top)| top);
                best = Some((token, *logit));
            }
        }
    }
    best.map(|(token, top)| (token, Margin((top - second).to_bits())))
}

fn hash(hasher: &mut blake3::Hasher, logits: &[f32]) {
    let mut bytes = Vec::with_capacity(4096);
    for part in logits.chunks(1024) {
        bytes.clear();
        part.iter().for_each(|logit| bytes.extend_from_slice(&logit.to_le_bytes()));
        hasher.update(&bytes);
    }
}

/// Collects bytes and hands out text in whole characters.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    /// Bytes that were handed out.
    shown: usize,
}

impl Text {
    /// Adds bytes and returns the text that is complete and was not handed out before.
    fn push(&mut self, bytes: &[u8]) -> &str {
        self.bytes.extend_from_slice(bytes);
        let rest = &self.bytes[self.shown..];
        let valid = match std::str::from_utf8(rest) {
            Ok(_) => rest.len(),
            // An invalid sequence will never complete; it is shown at the end, with the whole text.
            Err(error) => error.valid_up_to(),
        };
        let start = self.shown;
        self.shown += valid;
        std::str::from_utf8(&self.bytes[start..start + valid]).unwrap_or_default()
    }

    fn finish(self) -> String {
        String::from_utf8(self.bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}
