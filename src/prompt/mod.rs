//! The text that a model is asked: instructions, issue, numbered files, failing tests, what was tried before.
//!
//! [`select`] decides which ranked files fit, [`build`] puts the messages together under a token [`Budget`]. The
//! templates are Markdown files beside the code. Everything is a pure function of its input. Not here: which files are
//! relevant (`workspace`), how a reply is read (`edit`), what a test log says (`gate`).

mod budget;
mod build;
mod feedback;
mod listing;

pub use budget::{Budget, estimate};
pub use build::{Input, Prompt, PromptError, build, select};
pub use feedback::AttemptNote;

/// Version of everything here that is code: layout, cutting, budget.
pub const VERSION: u32 = 1;

const SYSTEM: &str = include_str!("system.md");
const ASK: &str = include_str!("ask.md");

/// The templates by name, for the orchestration digest and the run's first event.
pub const TEMPLATES: [(&str, &str); 2] = [("system.md", SYSTEM), ("ask.md", ASK)];
