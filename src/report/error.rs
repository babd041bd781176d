//! Why there is no report.

use crate::canon::RunId;
use crate::store::StoreError;

/// Says what was wrong with which run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The store fails, or holds bytes that are not what their digests say.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An event or a body of another form.
    #[error("run {run}, event {event}: {reason}")]
    Event {
        /// The run.
        run: RunId,
        /// Its position.
        event: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// The report cannot be written.
    #[error("the report cannot be written: {0}")]
    Io(#[from] std::io::Error),
}
