//! Which part of a campaign this machine does: from the option, or from the variables of job arrays.

use crate::campaign::{Shard, ShardError};

use crate::cli::{Failure, FailureKind, Host};

/// Finds out which part is meant.
pub(super) fn part(text: Option<&str>) -> Result<Shard, Failure> {
    let usage = |error: ShardError| {
        let failure = Failure::new(FailureKind::Usage, error);
        failure.hint("write --shard 1/3, or --shard 3 in a job that has SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX")
    };
    let number = |name: &str| Host::variable(name).and_then(|text| text.parse::<u32>().ok());
    let slurm = || {
        let first = number("SLURM_ARRAY_TASK_MIN").unwrap_or_default();
        number("SLURM_ARRAY_TASK_ID").map(|index| index.saturating_sub(first))
    };
    match text {
        Some(text) => match text.parse::<u32>() {
            Ok(of) => match slurm().or_else(|| number("JOB_COMPLETION_INDEX")) {
                Some(index) => Shard::new(index, of).map_err(usage),
                None => Shard::from_text(text).map_err(usage),
            },
            Err(_) => Shard::from_text(text).map_err(usage),
        },
        None => match slurm().zip(number("SLURM_ARRAY_TASK_COUNT")) {
            Some((index, of)) => Shard::new(index, of).map_err(usage),
            None => Ok(Shard::WHOLE),
        },
    }
}
