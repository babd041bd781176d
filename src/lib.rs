//! Records, replays and certifies runs of language-model coding agents.
#![doc = ""]

pub mod canon;
pub mod model;
