//! Language models behind one trait, and the pure forms of what they are asked and what they answer.
//!
//! [`Request`] is what a call is keyed by, [`Reply`] is what everything downstream reads. A provider's [`Model::call`]
//! yields an [`Answer`]: the exact bytes that went out and came back. [`identity`] and [`normalise`] turn those bytes
//! into canonical form and are pure, so that a replay runs them again and compares. Providers: Ollama, servers that
//! speak OpenAI's API, Anthropic, the embedded engine, and scripts.
//!
//! Not here: the retry loop and the recording (`transcript`), prompts (`prompt`), inference (`engine`). Nothing here
//! reads the clock or the environment; addresses, keys and timeouts are passed in.

mod answer;
mod anthropic;
mod embedded;
mod error;
#[cfg(feature = "live")]
mod http;
#[cfg(feature = "live")]
mod key;
mod name;
pub(crate) mod ndjson;
mod normalise;
mod ollama;
mod open;
mod openai;
#[cfg(feature = "live")]
mod refusal;
mod reply;
mod request;
mod scripted;
pub(crate) mod sse;
pub mod weights;
mod wire;

pub use answer::{Answer, Model, Progress};
#[cfg(feature = "live")]
pub use anthropic::{Anthropic, AnthropicSettings};
#[cfg(feature = "embedded")]
pub use embedded::Embedded;
pub use error::{Fault, ModelError, Retry};
#[cfg(feature = "live")]
pub use http::Network;
#[cfg(feature = "live")]
pub use key::ApiKey;
pub use name::{ModelName, NameError, Provider};
pub use normalise::{identity, normalise, normaliser};
#[cfg(feature = "live")]
pub use ollama::{Ollama, OllamaSettings};
pub use open::{Access, open};
#[cfg(feature = "live")]
pub use openai::{OpenAi, OpenAiSettings};
pub use reply::{Evidence, Grade, Reply, Stop, ToolCall};
pub use request::{Constraint, ConstraintFile, Identity, Limits, Message, Request, Role, Sampling};
pub use scripted::Scripted;
