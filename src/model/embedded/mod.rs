//! The bit-exact engine of this program as a model.

#[cfg(feature = "embedded")]
mod live;
mod reply;

#[cfg(feature = "embedded")]
pub use live::Embedded;
pub(super) use reply::{identity, normalise};
