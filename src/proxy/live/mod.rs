//! The async half: a server on one thread, a client for upstreams, and the one thread that writes.

mod answer;
mod intake;
mod listen;
mod outlet;
mod record;
mod relay;
mod serve;
mod tail;
mod upstream;
mod writer;

pub use listen::{Allowed, Listening};
pub use record::{Recorded, Recording, record};
pub use serve::{Replayed, Replaying, serve};
pub use upstream::{UpstreamError, Upstreams};
pub use writer::WriteError;
