//! What recorded runs are worth: the criteria of the three rungs, each with its verdict, its reason and its evidence.
//!
//! The numbers 641, 274177 and 65537 are labels: they make nothing more certain. A [`Rung`] passes only if all its
//! criteria pass, and one of them is that the rungs below it do. Everything here is a pure function of plain data: a
//! run's [`crate::transcript::Evidence`], and what a replay showed, where somebody performed one. So whoever verifies
//! computes the same bytes again.

mod campaign;
mod course;
mod edge;
mod execution;
mod facts;
mod feedback;
mod finding;
mod full;
mod ladder;
mod patch;
mod profile;
mod published;
mod recorded;
mod stress;

pub use campaign::{CampaignError, CampaignInput, CampaignRun, assess_campaign};
pub use edge::{Replay, RunInput, assess_run, with_replay};
pub use execution::Execution;
pub(crate) use finding::counted;
pub use full::Certified;
pub use ladder::{Basis, Criterion, Ladder, LadderError, Number, Rung, Verdict};
pub use profile::{DataSet, Profile, ProfileError};
pub use recorded::{NOT_ASKED, PROFILE as RECORDED_PROFILE, is_recorded, recorded_models};
