//! Servers that speak OpenAI's chat completions: llama.cpp, vLLM, SGLang, LM Studio, OpenAI itself.

mod identity;
#[cfg(feature = "live")]
mod live;
mod reply;

pub(super) use identity::identity;
#[cfg(feature = "live")]
pub use live::{OpenAi, OpenAiSettings};
pub(super) use reply::normalise;
#[cfg(test)]
pub(super) use reply::plan;
