//! The seam between what is recorded and what is computed.
//!
//! Everything that is not a pure function of a run's inputs goes through [`Transcript::perform`]. Live, the
//! [`Recorder`] does it and writes down what came; in replay, the [`Player`] answers from the store, does nothing, and
//! refuses what was not recorded. Whatever drives a run cannot tell which of the two it holds, so both execute the same
//! code. Derived results go through [`Transcript::note`]: live they are written, in replay they are compared.
//!
//! Here live events and their manifest lines, the two implementations of the seam, the report of a divergence, and a
//! run's [`Evidence`]: its manifest and blobs, from a store or from a folder.
//! What an event's bodies mean is the business of the rooms that wrote them.

mod divergence;
mod event;
mod evidence;
mod folder;
mod kept;
mod player;
mod recorder;
mod roots;
mod seam;
mod tape;

pub use divergence::{Divergence, Side};
pub use event::{Kind, ManifestError, canonical_leaf, manifest_line};
pub(crate) use event::{RECEIVED, REPLY, REQUEST, SENT};
pub use evidence::{Entry, Evidence, EvidenceError};
pub use folder::{BLOBS, Folder, MANIFEST};
pub use player::{Player, ReplayOutcome, check_manifest};
pub use recorder::{Clock, Recorder, Retries};
pub use roots::Roots;
pub use seam::{ActFailure, Ask, Done, Normaliser, Retry, Transcript, TranscriptError};
