//! The loop itself, one line a step. The steps are in `steps` and `attempt`.

use crate::instance::Instance;
use crate::transcript::{Transcript, TranscriptError};

use super::live::Live;
use super::options::Options;
use super::outcome::Outcome;
use super::spending::reached;
use super::steps::{Interruption, Solver};
use super::watch::Step;

/// Works on `instance` until the tests are green or the attempts are used up.
///
/// `live` is absent in a replay, where `transcript` answers for it.
///
/// # Errors
/// A model, test execution or worktree that fails beyond the retries, a store that fails, or a divergence in replay.
/// An instance that cannot be judged is no error: its outcome is [`super::OutcomeKind::Invalid`].
pub fn run(
    transcript: &mut dyn Transcript,
    instance: &Instance,
    options: &Options,
    live: Option<Live<'_>>,
    watch: &mut dyn FnMut(Step),
) -> Result<Outcome, TranscriptError> {
    let mut solver = Solver::new(transcript, instance, options, live, watch);
    match work(&mut solver) {
        Ok(outcome) => solver.close(outcome),
        Err(Interruption::Invalid(reason)) => solver.close_invalid(reason),
        Err(Interruption::Transcript(error)) => Err(error),
    }
}

fn work(solver: &mut Solver<'_, '_>) -> Result<Outcome, Interruption> {
    solver.open()?;
    let models = solver.resolve_models()?;
    let base = solver.base_tree()?;
    let baseline = solver.red_gate(&base)?;
    let files = solver.select_files(&base, &baseline)?;
    let mut attempts = Vec::new();
    while !solver.is_over(&attempts) && reached(solver.options, &attempts).is_none() {
        let attempt = solver.attempt(&models, &base, &baseline, &files, &attempts)?;
        attempts.push(attempt);
    }
    solver.check_pristine(&base, "end")?;
    let judged = solver.grade(&base, &attempts)?;
    solver.outcome(&base, attempts, judged)
}
