//! Running tests and judging what they printed.
//!
//! A [`TestRequest`] says what to run; [`run()`] runs it in a [`Sandbox`] and gives an [`Execution`] (the raw bytes);
//! [`normalise`] makes the canonical form, from which alone a [`Parser`] reads a [`TestReport`]; [`red`] and [`green`]
//! judge reports. A [`Ground`] is where tests run: the sandbox, or a container of an image. Only it and [`environment`]
//! touch the world; the rest are pure functions of bytes, so a replay runs the same code.

mod container;
pub mod environment;
mod error;
mod execution;
mod failure;
mod ground;
mod normalise;
mod parse;
mod report;
mod request;
mod run;
mod sandbox;
pub mod shim;
mod verdict;

pub use container::{Container, Engine, EngineKind, Image, Owner};
pub use error::GateError;
pub use execution::{Exceeded, Execution, Level};
pub use failure::failure_text;
pub use ground::Ground;
pub use normalise::{NORMALISER, normalise};
pub use parse::{Compat, Parser, Reader, report};
pub use report::{Folding, Status, TestReport};
pub use request::TestRequest;
pub use run::run;
pub use sandbox::{ENVIRONMENT, Place, Sandbox, WORKTREE, find as find_program};
pub use shim::Limits;
pub use verdict::{Expected, GreenVerdict, RedVerdict, green, red};

/// Version of parsers, verdict rules and failure text; part of the orchestration digest, raised on purpose with every change.
pub const VERSION: u32 = 6;
