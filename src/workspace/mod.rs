//! Worktrees: a task's base tree on disk, away from the user's repository, and what is done to it.
//!
//! Here live the `git` program behind one door ([`Git`]), finding local repositories ([`Repos`]), making, reading,
//! restoring and changing a worktree ([`Worktree`]), and ranking files for a task ([`rank()`]). The user's repository is
//! only ever read. Nothing here runs a program of the repository: tests run in the room `gate`.

mod base;
mod error;
mod files;
mod git;
mod journal;
mod objects;
mod origin;
mod rank;
mod repos;
mod room;
mod scan;
mod user;
mod worktree;

pub use error::WorkspaceError;
pub use git::Git;
pub use origin::Origin;
pub use rank::{Query, RANKING, Ranked, rank};
pub use repos::Repos;
pub use room::ensure_room;
pub use user::UserRepository;
pub use worktree::{MAX_READ, Recovery, Worktree};
