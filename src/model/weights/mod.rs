//! Weights of the embedded engine: which are known, where they are, and how to get them.
//!
//! Everything is addressed by SHA-256. A file that is found is taken at its size; its digest is checked whenever it is
//! loaded (0.1 s for 100 MB with SHA instructions), and before it enters the cache. [`find`] never uses the network.

mod catalogue;
#[cfg(feature = "live")]
mod fetch;
mod find;
#[cfg(feature = "live")]
mod keep;

pub use catalogue::{CATALOGUE, Known, known};
#[cfg(feature = "live")]
pub use fetch::{Sources, fetch, import};
pub use find::{Found, Places, Source, find};
#[cfg(feature = "live")]
pub use keep::{Fetching, Part};
