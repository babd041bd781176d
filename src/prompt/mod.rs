//! The text that a model is asked: instructions, issue, numbered files, failing tests, what was tried before.
//!
//! [`select`] and [`fit`] decide which ranked files are shown, [`build`] puts the messages together under a token [`Budget`]. The
//! templates are Markdown files beside the code, the default [`Skill`]s too. A run that asks for a one-shot diff shows the
//! same context and says another form of answer; one in two steps asks for a place first, and [`build_text`] for its new text. A context of at most 2,048 tokens gets a form of its own: one line of one
//! function, without the rest of the project, for models that are too small for more. Everything is a pure function of its input. Not here: which files are
//! relevant (`workspace`), how a reply is read (`edit`), what a test log says (`gate`).

mod advice;
mod budget;
mod build;
mod feedback;
mod focus;
mod listing;
mod skills;
mod small;

pub use budget::{Budget, estimate};
pub use build::{Input, Prompt, PromptError, build, build_text, fit, select};
pub use feedback::AttemptNote;
pub use listing::Listing;
pub use skills::{LONGEST_SKILL, MOST_SKILLS, Skill, default_skills, skills_room};

/// Version of everything here that is code: layout, cutting, budget.
pub const VERSION: u32 = 8;

const SYSTEM: &str = include_str!("system.md");
const ASK: &str = include_str!("ask.md");
const SYSTEM_UNNUMBERED: &str = include_str!("system-unnumbered.md");
const SYSTEM_PLACE: &str = include_str!("system-place.md");
const ASK_PLACE: &str = include_str!("ask-place.md");
const SYSTEM_TEXT: &str = include_str!("system-text.md");
const ASK_TEXT: &str = include_str!("ask-text.md");
const SYSTEM_PATCH: &str = include_str!("system-patch.md");
const ASK_PATCH: &str = include_str!("ask-patch.md");
const SMALL: &str = include_str!("small.md");
const SMALL_EXAMPLES: &str = include_str!("small-examples.md");

/// Bytes that the longest instructions take.
const FIXED: usize = longer(SYSTEM.len() + ASK.len(), SYSTEM_PATCH.len() + ASK_PATCH.len());

const fn longer(one: usize, other: usize) -> usize {
    if one > other { one } else { other }
}

/// The templates by name, for the orchestration digest and the run's first event.
pub const TEMPLATES: [(&str, &str); 11] = [
    ("system.md", SYSTEM),
    ("system-unnumbered.md", SYSTEM_UNNUMBERED),
    ("ask.md", ASK),
    ("system-place.md", SYSTEM_PLACE),
    ("ask-place.md", ASK_PLACE),
    ("system-text.md", SYSTEM_TEXT),
    ("ask-text.md", ASK_TEXT),
    ("system-patch.md", SYSTEM_PATCH),
    ("ask-patch.md", ASK_PATCH),
    ("small.md", SMALL),
    ("small-examples.md", SMALL_EXAMPLES),
];
