//! Which part of a campaign this machine does: from the option, or from the variables of job arrays.

use crate::campaign::Shard;

use crate::cli::ui::counted;
use crate::cli::{Failure, FailureKind, Host};

/// Finds out which part is meant.
pub(super) fn part(text: Option<&str>) -> Result<Shard, Failure> {
    of_variables(text, &Host::variable)
}

/// What a job array says of the task that runs here.
struct Task {
    /// Its place among the tasks, from 0.
    place: u32,
    /// How many there are, where the array says so.
    of: Option<u32>,
}

type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

fn of_variables(text: Option<&str>, variables: Variables<'_>) -> Result<Shard, Failure> {
    let parts = text.and_then(|text| text.parse::<u32>().ok());
    if let (Some(text), None) = (text, parts) {
        return Shard::from_text(text).map_err(usage);
    }
    match (task(variables)?, parts) {
        // A task that was submitted again by itself is the only one of its array, and nothing says which of them it was.
        (Some(Task { of: Some(of), .. }), Some(parts)) if of != parts => {
            Err(usage(format!("the array has {}, and --shard says {parts}", counted(of, "task"))))
        }
        (Some(Task { place, .. }), Some(parts)) => Shard::new(place, parts).map_err(usage),
        (Some(Task { place, of: Some(of) }), None) => Shard::new(place, of).map_err(usage),
        (None, Some(parts)) => Shard::from_text(&parts.to_string()).map_err(usage),
        // All tasks of such an array would do everything.
        (Some(Task { of: None, .. }), None) => {
            Err(usage("this is one task of a job array, and nothing says of how many".to_owned()))
        }
        (None, None) => Ok(Shard::WHOLE),
    }
}

/// Reads the variables. A task whose place cannot be told does nothing: it would do the part of another one.
fn task(variables: Variables<'_>) -> Result<Option<Task>, Failure> {
    let number = |name: &str| match variables(name) {
        None => Ok(None),
        Some(text) => match text.parse::<u32>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(usage(format!("{name} is {text:?}, which is no number"))),
        },
    };
    let slurm = |name: &str| number(&format!("SLURM_ARRAY_TASK_{name}"));
    let Some(id) = slurm("ID")? else {
        return Ok(number("JOB_COMPLETION_INDEX")?.map(|place| Task { place, of: None }));
    };
    let (first, step) = (slurm("MIN")?.unwrap_or_default(), slurm("STEP")?.unwrap_or(1).max(1));
    let (last, of) = (slurm("MAX")?, slurm("COUNT")?);
    let place = |id: u32| id.checked_sub(first).filter(|far| far % step == 0).map(|far| far / step);
    let has_holes =
        last.zip(of).is_some_and(|(last, of)| place(last).is_none_or(|place| place.checked_add(1) != Some(of)));
    match place(id).filter(|_| !has_holes) {
        Some(place) => Ok(Some(Task { place, of })),
        None => Err(usage("the numbers of the array's tasks are not equally far apart".to_owned())),
    }
}

fn usage(error: impl ToString) -> Failure {
    let failure = Failure::new(FailureKind::Usage, error.to_string());
    failure.hint(
        "write --shard 1/3, or --shard 3 in a job that has SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX; --shard 1/1 does \
         everything",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part that follows from the words of `--shard` and from variables, `NAME=VALUE` each.
    fn found(text: Option<&str>, set: &str) -> Result<Shard, String> {
        let variable = |name: &str| {
            let pairs = set.split(' ').filter_map(|pair| pair.split_once('='));
            let short = |name: &str| name.replace("SLURM_ARRAY_TASK_", "").replace("JOB_COMPLETION_", "");
            pairs.into_iter().find(|pair| pair.0 == short(name)).map(|pair| pair.1.to_owned())
        };
        of_variables(text, &variable).map_err(|failure| failure.message)
    }

    fn shard(index: u32, of: u32) -> Result<Shard, String> {
        Ok(Shard::new(index, of).unwrap())
    }

    #[test]
    fn an_array_may_begin_anywhere_and_go_in_steps() {
        assert_eq!(found(None, "ID=1 COUNT=3 MIN=1 MAX=3 STEP=1"), shard(0, 3));
        assert_eq!(found(None, "ID=10 COUNT=3 MIN=0 MAX=10 STEP=5"), shard(2, 3));
        assert_eq!(found(Some("3"), "ID=7 COUNT=3 MIN=5 MAX=7"), shard(2, 3));
        assert_eq!(found(Some("3"), "INDEX=2"), shard(2, 3));
        assert_eq!(found(Some("2/3"), "ID=abc"), shard(1, 3), "said in full, nothing else is asked");
        assert_eq!(found(Some("1/1"), "INDEX=2"), Ok(Shard::WHOLE));
        assert_eq!(found(None, ""), Ok(Shard::WHOLE));
    }

    #[test]
    fn a_task_that_cannot_know_its_part_does_no_other_one() {
        for (text, set, word) in [
            (Some("3"), "ID=2 COUNT=1 MIN=2 MAX=2", "the array has 1 task, and --shard says 3"),
            (None, "ID=abc COUNT=3", "SLURM_ARRAY_TASK_ID is \"abc\", which is no number"),
            (Some("3"), "INDEX=-1", "JOB_COMPLETION_INDEX is \"-1\""),
            (None, "INDEX=2", "nothing says of how many"),
            (None, "ID=2", "nothing says of how many"),
            (None, "ID=3 COUNT=3 MIN=1 MAX=7", "not equally far apart"),
            (None, "ID=3 COUNT=3 MIN=0 MAX=10 STEP=5", "not equally far apart"),
            (Some("2"), "INDEX=2", "\"3/2\" is no shard"),
            (Some("3"), "", "\"3\" is no shard"),
        ] {
            let found = found(text, set).unwrap_err();
            assert!(found.contains(word), "{set}: {found}");
        }
    }
}
