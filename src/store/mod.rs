//! The transcript store: one SQLite file that holds every byte of every run, compressed, and gives each back exactly.
#![doc = ""]
#![doc = include_str!("FORMAT.md")]

mod block;
mod error;
mod extent;
mod file;
mod limits;
mod mark;
mod open;
mod read;
mod row;
mod schema;
mod stream;
mod write;

pub use error::StoreError;
pub use file::Store;
pub use limits::MAX_BODY;
pub use open::{Access, Durability};
pub use row::{AttemptRow, NewAttempt, NewEvent, NewRun, RunEnd, RunRow, RunStatus, StoredBody, StoredEvent};
pub use schema::{APPLICATION_ID, OLDEST, VERSION};
