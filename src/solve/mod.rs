//! The attempt loop: full files → prompt → direct edits → tests at once → the failure fed back.
//!
//! [`run`] is the loop, one line a step. It works over a [`crate::transcript::Transcript`], so the same code records
//! a live run and replays it; [`Live`] holds the hands that only a live run has. [`Options`] is everything that a
//! run's course depends on besides its instance; it is the run's first event, and a replay reads it back from there.
//! [`validate`] runs the same gates around the known fix, without a model.
//! [`reexecute`] asks the models of a recorded run everything again and compares what they say.
//!
//! Not here: many instances (`campaign`), what a run's events are worth (`rung`), anything on the terminal (`cli`).

mod arm;
mod asking;
mod attempt;
mod live;
mod options;
mod orchestration;
mod outcome;
mod reading;
mod reexecute;
mod replay;
mod run;
mod selection;
mod spending;
mod steps;
mod tests_mode;
mod two_step;
mod validate;
mod watch;

pub use arm::Arm;
pub use asking::setup;
pub use attempt::{Attempt, AttemptEnd};
pub use live::{Live, Rankings};
pub use options::{Fallback, Options, OptionsError, SkillDigest};
pub use orchestration::{FORMAT, orchestration_digest};
pub use outcome::{Outcome, OutcomeKind, SolvedBy};
pub use reexecute::{CallAgain, OpenModel, Original, Reexecution, ReexecutionHeader, reexecute};
pub use replay::{Header, HeaderError, header};
pub use run::run;
pub use spending::{Price, Spending};
pub use tests_mode::TestsMode;
pub use validate::{Validation, validate};
pub use watch::{Phase, Step};
