//! The transcript store: one SQLite file that holds every byte of every run, compressed, and gives each back exactly.
#![doc = ""]
#![doc = include_str!("FORMAT.md")]

mod block;
mod change;
mod compact;
mod error;
mod export;
mod extent;
mod file;
mod gc;
mod limits;
mod mark;
mod merge;
mod open;
mod read;
mod row;
mod run;
mod schema;
mod stats;
mod stream;
mod verify;
mod write;

pub use compact::Compacted;
pub use error::StoreError;
pub use export::Imported;
pub use file::Store;
pub use gc::{Collected, Unneeded};
pub use limits::MAX_BODY;
pub use merge::{Merged, Twice};
pub use open::{Access, Durability};
pub use row::{AttemptRow, NewAttempt, NewEvent, NewRun, RunEnd, RunRow, RunStatus, StoredBody, StoredEvent, ended_by};
pub use schema::{APPLICATION_ID, OLDEST, VERSION};
pub use stats::Stats;
pub use verify::{Damage, VerifyReport};
