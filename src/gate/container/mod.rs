//! Tests in a container of an image: the programs that a project needs come as a whole, pinned by their content.
//!
//! The tree under test goes into the container's own `/testbed`, over what the image holds there; nothing of a run comes
//! back but its log and how it ended. The engine is asked through its program (`docker` or `podman`), so it may be
//! anywhere that program reaches. The files here: asking the engine, the archive that carries the tree, what the
//! container is made of and does first, and one run from beginning to end.

mod archive;
mod engine;
mod recipe;
mod run;

pub use engine::{Engine, EngineKind, Image, Owner};
pub use run::Container;
