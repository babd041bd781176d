//! Options of every verb that drives the attempt loop, and what a run is told of them.

use clap::Args;

use crate::model::ModelName;
use crate::solve::{Arm, Options, TestsMode};

use super::Failure;
use super::arms::{Asked, configuration};

/// What the loop's course depends on beside arm, model and seed.
#[derive(Debug, Clone, Args)]
pub(crate) struct CourseArgs {
    /// Stronger model for the hard cases, `provider:model`.
    #[arg(long, value_name = "MODEL", env = "RUNPROOF_FALLBACK")]
    pub(super) fallback: Option<String>,
    /// Attempts that the first model has before the fallback takes over, fewer than all. [default: 3, or all but one]
    #[arg(long, value_name = "K", env = "RUNPROOF_FALLBACK_AFTER")]
    pub(super) fallback_after: Option<u32>,
    /// Folder of skills, one Markdown file each; `default` for those that come with the program.
    #[arg(long, value_name = "DIR", env = "RUNPROOF_SKILLS")]
    pub(super) skills: Option<String>,
    /// Which tests drive the loop: `existing` ones, or the hidden ones too (`oracle`; every figure then says so).
    #[arg(long, value_enum, default_value_t = TestsChoice::Existing, env = "RUNPROOF_TESTS")]
    pub(super) tests: TestsChoice,
    /// Prompt and reply together, in tokens.
    #[arg(long, value_name = "TOKENS", default_value_t = 16_384, env = "RUNPROOF_CONTEXT")]
    context: u32,
    /// The reply, in tokens.
    #[arg(long, value_name = "TOKENS", default_value_t = 2_048, env = "RUNPROOF_REPLY")]
    reply: u32,
    /// Limit of one test run in seconds, where the instance names none.
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800, env = "RUNPROOF_TIMEOUT")]
    timeout: u32,
    /// How often the tests run before any edit; more than once finds tests that pass and fail on the same tree.
    #[arg(long, value_name = "N", default_value_t = 2, env = "RUNPROOF_RED_RUNS", value_parser = clap::value_parser!(u32).range(1..=10))]
    red_runs: u32,
}

/// Which tests drive the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TestsChoice {
    /// Tests that were there before the fix.
    Existing,
    /// The hidden tests too.
    Oracle,
}

impl CourseArgs {
    /// Returns the options of a run with an arm, a seed and a model.
    pub(super) fn options(
        &self,
        arm: Option<Arm>,
        attempts: Option<u32>,
        seed: u32,
        name: &ModelName,
    ) -> Result<Options, Failure> {
        let (arm, fallback, skills) = configuration(&Asked {
            arm,
            attempts,
            fallback: self.fallback.as_deref(),
            fallback_after: self.fallback_after,
            skills: self.skills.as_deref(),
        })?;
        let options = Options {
            arm: arm.to_string(),
            model: name.portable(),
            fallback,
            format: arm.format,
            listing: arm.listing,
            skills_room: 0,
            skills: Vec::new(),
            skill_texts: Vec::new(),
            tests: match self.tests {
                TestsChoice::Existing => TestsMode::Existing,
                TestsChoice::Oracle => TestsMode::Oracle,
            },
            attempts: arm.attempts,
            seed,
            context_tokens: self.context,
            reply_tokens: self.reply,
            constrained: true,
            red_runs: self.red_runs,
            timeout_seconds: self.timeout,
            spending: None,
        };
        Ok(options.with_skills(skills))
    }

    /// Returns the options with what an arm has no use for left out: in a comparison they are meant for the other arms.
    pub(super) fn of_arm(&self, arm: Arm) -> Self {
        let mut own = self.clone();
        own.skills.take_if(|_| !arm.skills);
        own.fallback.take_if(|_| !arm.fallback);
        own.fallback_after.take_if(|_| !arm.fallback);
        own
    }
}
