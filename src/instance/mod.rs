//! Instances: one task each, read from SWE-bench rows or from task folders, and checked.
//!
//! [`load`] finds one, [`load_all`] all of a file or folder; [`Instance::to_bytes`] is what a run records. Nothing here
//! touches a repository: fetching, checking out and testing belong to `workspace` and `gate`.

mod commands;
mod error;
mod folder;
mod load;
mod own;
mod record;
mod row;
mod types;

pub use error::{InstanceError, Place};
pub use load::{load, load_all};
pub use own::{OwnTask, own};
pub use types::{Hidden, Instance, Repository};
