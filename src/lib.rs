//! Records, replays and certifies runs of language-model coding agents.
//!
//! *An instance becomes a prompt; a prompt becomes a canonical request; a request has a digest; a model answers; the
//! answer becomes edits in a worktree; tests judge them; each step is an event; the events are evidence for a rung; the
//! rungs are signed; anyone can verify them offline.*
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | instance | one task: repository, base commit, issue text, how to test |
//! | attempt | one prompt → reply → edits → tests round |
//! | run | everything recorded while working on one instance |
//! | arm | one configuration that is compared |
//! | campaign | many runs: instances × arms × seeds |
//! | event | one entry of a run's transcript |
//! | transcript | the ordered events of a run; its manifest is their canonical JSON Lines form |
//! | store | the SQLite file that holds blobs and transcripts |
//! | rung | one of the three levels of evidence 641, 274177, 65537; a set of named criteria |
//! | red gate, green gate | the tests before and after the edits |
//!
//! # Rooms
//!
//! Imports run one way, down this list; `tests/it/rooms.rs` holds it as data and fails on any other `use crate::…`.

pub mod campaign;
pub mod canon;
pub mod certificate;
pub mod cli;
pub mod edit;
#[cfg(feature = "embedded")]
pub mod engine;
pub mod gate;
pub mod instance;
pub mod model;
pub mod prompt;
pub mod proxy;
pub mod report;
pub mod rung;
pub mod solve;
pub mod statistics;
pub mod store;
pub mod syntax;
pub mod transcript;
pub mod workspace;

#[cfg(test)]
#[path = "../tests/it/snap.rs"]
mod snap;
