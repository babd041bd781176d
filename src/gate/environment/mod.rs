//! Virtual environments that instances name: pinned packages, built once, shared by content, offline from then on.
//!
//! An environment's folder is named by its Python version and the digest of its package list, so two instances that
//! name the same packages share one, whatever they call it. The project under test is never installed into it.

mod build;
mod interpreter;
mod recipe;

pub use build::{Environments, Step};
pub use interpreter::Tools;
pub use recipe::{Recipe, generated_files};
