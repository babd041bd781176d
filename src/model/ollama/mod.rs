//! Ollama through its native API: `/api/chat`, whose options reach the engine where `/v1` drops them.

#[cfg(feature = "live")]
mod live;
mod reply;

#[cfg(feature = "live")]
pub use live::{Ollama, OllamaSettings};
#[cfg(test)]
pub(super) use reply::plan;
pub(super) use reply::{identity, normalise};
