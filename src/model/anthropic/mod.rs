//! Anthropic's messages API, as the stronger model for the hard cases.
//!
//! It has no seed, and its newer models refuse a temperature: such calls are recorded and graded, not re-executable.

#[cfg(feature = "live")]
mod live;
mod reply;

#[cfg(feature = "live")]
pub use live::{Anthropic, AnthropicSettings};
#[cfg(test)]
pub(super) use reply::plan;
pub(super) use reply::{identity, normalise};
