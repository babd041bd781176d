//! Which of `solve`'s options holds where the command line, the environment and the configuration say different things.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::solve::SolveArgs;
use super::{Failure, FailureKind};

/// Options that a recorded run has its own values of.
const RECORDED: [&str; 14] = [
    "issue",
    "arm",
    "fallback_after",
    "attempts",
    "skills",
    "tests",
    "seed",
    "context",
    "reply",
    "timeout",
    "red_runs",
    "name",
    "test_command",
    "log_parser",
];

impl SolveArgs {
    /// Weighs the options by where they come from.
    ///
    /// An arm fixes attempts, skills and fallback: what stands for them in a place that counts for less than the arm's
    /// is left out, what stands in the same or a better place is for [`super::arms::configuration`] to judge.
    pub(super) fn settle(&mut self, matches: &ArgMatches) {
        let rank = |id: &str| match matches.value_source(id) {
            Some(ValueSource::CommandLine) => 2,
            Some(ValueSource::EnvVariable) => 1,
            _ => 0,
        };
        self.models.named = rank("model") == 2;
        self.said = RECORDED.into_iter().filter(|id| rank(id) == 2).collect();
        self.fallback_named = rank("fallback") == 2;
        let Some(arm) = self.arm else { return };
        let is_less = |id| rank(id) < rank("arm");
        self.attempts.take_if(|attempts| is_less("attempts") && *attempts != arm.attempts);
        self.course.skills.take_if(|_| is_less("skills") && !arm.skills);
        self.course.fallback.take_if(|_| is_less("fallback") && !arm.fallback);
        self.course.fallback_after.take_if(|_| is_less("fallback_after") && !arm.fallback);
    }

    /// Refuses options that a recorded run has its own values of.
    pub(super) fn refuse_recorded(&self) -> Result<(), Failure> {
        let Some(id) = self.said.first() else { return Ok(()) };
        let option = id.replace('_', "-");
        let failure = Failure::new(FailureKind::Usage, format!("--{option} is recorded with the run that goes on"));
        Err(failure.hint(format!("leave out --{option}, or begin a run of its own with it")))
    }
}
