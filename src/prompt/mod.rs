//! The text that a model is asked: instructions, issue, numbered files, failing tests, what was tried before.
//!
//! [`select`] decides which ranked files fit, [`build`] puts the messages together under a token [`Budget`]. The
//! templates are Markdown files beside the code. A context of at most 2,048 tokens gets a form of its own: one line of one
//! function, without the rest of the project, for models that are too small for more. Everything is a pure function of its input. Not here: which files are
//! relevant (`workspace`), how a reply is read (`edit`), what a test log says (`gate`).

mod budget;
mod build;
mod feedback;
mod focus;
mod listing;
mod small;

pub use budget::{Budget, estimate};
pub use build::{Input, Prompt, PromptError, build, select};
pub use feedback::AttemptNote;

/// Version of everything here that is code: layout, cutting, budget.
pub const VERSION: u32 = 3;

const SYSTEM: &str = include_str!("system.md");
const ASK: &str = include_str!("ask.md");
const SMALL: &str = include_str!("small.md");
const SMALL_EXAMPLES: &str = include_str!("small-examples.md");

/// The templates by name, for the orchestration digest and the run's first event.
pub const TEMPLATES: [(&str, &str); 4] =
    [("system.md", SYSTEM), ("ask.md", ASK), ("small.md", SMALL), ("small-examples.md", SMALL_EXAMPLES)];
