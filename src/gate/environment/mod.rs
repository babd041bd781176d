//! Environments that instances name: pinned packages or what a command of the user's own installs; built once, shared by
//! content, offline from then on.
//!
//! An environment's folder is named by its Python version and the digest of its package list, so two instances that
//! name the same packages share one, whatever they call it. The project under test is never installed into it.

mod build;
mod interpreter;
mod recipe;
mod setup;

pub use build::{Environments, Step};
pub use interpreter::Tools;
pub use recipe::{Recipe, generated_files};
pub use setup::Setup;
