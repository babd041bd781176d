//! A report as one HTML file that opens offline: tables, charts and a matrix that stand there as they are, and the
//! texts of all runs in compressed blocks that a small script opens when somebody looks at a run.
//!
//! Everything that came from a model, a test or an instance is hostile: it is escaped, what misleads the eye is written
//! out, and the page's own policy forbids every script but the one in it, and every connection.

mod chart;
mod details;
mod ladder;
mod matrix;
mod page;
mod pool;

pub use details::Size;
pub use page::Page;
