//! Many runs as one: which there are, which part of them a machine does, and what came of them.
//!
//! A [`Plan`] is everything that a campaign's course depends on. It is recorded before the first run, and the ids of the
//! campaign and of its runs follow from it: so a campaign that goes on finds what it has, and another one is refused.
//!
//! Not here: performing the runs, which needs the host's hands (`cli`); what they are worth (`rung`).

mod plan;
mod results;
mod shard;
mod spent;
mod summary;
mod validation;

pub use plan::{Member, Plan, PlanError};
pub use results::HarnessResult;
pub use shard::{Shard, ShardError};
pub use spent::Spent;
pub use summary::{ArmSummary, Summary};
pub use validation::{VALIDATION, Validated, environment_invalid, validated, validation_id};

/// The kind of the row in a store that holds a campaign's plan.
pub const KIND: &str = "campaign";
