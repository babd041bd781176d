//! From a reply to changed bytes, purely.
//!
//! [`propose`] reads a reply as leniently as is safe, checks it against the tree, builds every changed file in memory
//! and passes it through the syntax gate: the outcome is a [`Proposal`] for all of it or a [`Refusal`] that says what to
//! do instead. Every normalisation and every reason has its [`Code`]. [`patch`] writes a proposal as a unified diff.
//! A [`Region`] is what the first of two answers names, whose lines the second one gives anew.
//! [`propose_patch`] is the old way for comparison, a one-shot diff as `git apply` and `patch` take it; a [`Format`] says
//! which of the two a run asks for.
//!
//! Not here: reading and writing files (`workspace`), tests (`gate`).

mod body;
mod cheating;
mod choose;
mod code;
mod elide;
mod excerpt;
mod format;
mod indent;
mod interpret;
mod json;
mod label;
mod locate;
mod nesting;
mod notes;
mod oneshot;
mod patch;
mod path;
mod place;
mod propose;
mod protected;
mod region;
mod reply;
mod result;
mod runs;
mod scan;
mod shapes;
mod source;
mod span;
mod types;
mod variant;

pub use code::Code;
pub use elide::PLACEHOLDER;
pub use excerpt::numbered;
pub use format::Format;
pub use oneshot::propose_patch;
pub use patch::patch;
pub use path::distance;
pub use propose::propose;
pub use protected::is_protected;
pub use region::Region;
pub use types::{Change, Context, Limits, Proposal, Refusal, Replaced};

/// Version of the reply grammar, the applier and the syntax gate's use; part of the orchestration digest, raised on purpose with every change.
pub const VERSION: u32 = 9;
