//! Syntax of source files, by tree-sitter: errors, definitions, sameness of code.
//!
//! [`errors`] and [`new_errors`] are what the syntax gate of an edit asks; [`definitions`] are where a file may be cut
//! and what a name refers to. Where no grammar is known,
//! [`balance`] counts brackets. Everything is a pure function of the
//! bytes, with limits on size and work that do not depend on the machine's speed.

mod balance;
mod compare;
mod definitions;
mod errors;
mod language;
mod parse;

pub use balance::balance;
pub use compare::same_code;
pub use definitions::{Definition, Kind, definitions, definitions_of_part, lacks_code};
pub use errors::{Baseline, Gate, Problem, SyntaxError, errors, new_errors};
pub use language::Language;

/// Version of what counts as an error or a definition; part of the orchestration digest, raised on purpose with every change.
pub const VERSION: u32 = 3;
