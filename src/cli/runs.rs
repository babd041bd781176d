//! Finding the run that a person means, and printing ids as their shortest unique prefix.

use std::path::Path;

use crate::campaign::KIND;
use crate::canon::RunId;
use crate::store::{Access, Durability, RunRow, Store};

use super::failure::{Failure, FailureKind};

/// Shortest prefix of an id that is printed.
const SHORTEST: usize = 6;

/// Opens a store of one's own for reading.
pub(crate) fn open_store(path: &Path) -> Result<Store, Failure> {
    // A store whose very first transaction failed is an empty file.
    if !path.exists() || path.metadata().is_ok_and(|file| file.is_file() && file.len() == 0) {
        let message = format!("there is no store at {}", path.display());
        let hint = "record a run first (`runproof demo`, `runproof solve`), or name the store with --store";
        return Err(Failure::new(FailureKind::Environment, message).hint(hint));
    }
    super::recorded::salvage(path);
    Ok(Store::open(path, Access::Read, Durability::Full)?)
}

/// Finds the run named by an id, a unique prefix of one, a name, or `last`.
pub(crate) fn find_run(store: &Store, text: &str) -> Result<RunRow, Failure> {
    // A whole id means the run that has it, also where another one has it for a name.
    if let Some(row) = text.parse().ok().map(|id| store.run(id)).transpose()?.flatten() {
        return Ok(row);
    }
    let rows = store.runs()?;
    if text == "last" {
        return rows.into_iter().next_back().ok_or_else(|| not_found(text));
    }
    let by_prefix: Vec<&RunRow> = rows.iter().filter(|row| row.id.to_string().starts_with(text)).collect();
    // Joined stores can hold campaigns of one name, and nothing says which of the plans is meant.
    let campaigns: Vec<String> =
        rows.iter().filter(|row| row.kind == KIND && row.name == text).map(|row| row.id.to_string()).collect();
    if campaigns.len() > 1 {
        let message =
            format!("{text:?} names {} campaigns with different plans: {}", campaigns.len(), campaigns.join(", "));
        return Err(Failure::new(FailureKind::Usage, message).hint("name one by its id"));
    }
    // The youngest run of a name is the one that a person means.
    let by_name = rows.iter().rfind(|row| row.name == text);
    match (by_name, by_prefix.as_slice()) {
        (Some(row), _) => Ok(row.clone()),
        (None, [row]) => Ok((*row).clone()),
        (None, []) => Err(not_found(text)),
        (None, several) => {
            let names: Vec<String> = several.iter().take(8).map(|row| row.id.to_string()).collect();
            let message = format!("{text:?} is the beginning of {} runs: {}", several.len(), names.join(", "));
            Err(Failure::new(FailureKind::Usage, message).hint("give more digits"))
        }
    }
}

fn not_found(text: &str) -> Failure {
    Failure::new(FailureKind::Usage, format!("the store holds no run {text:?}")).hint("`runproof log` lists the runs")
}

/// Returns how many digits of an id are unique in the store.
pub(crate) fn prefix_length(rows: &[RunRow]) -> usize {
    let mut ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
    ids.sort();
    let shared = ids.windows(2).map(|pair| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count());
    shared.max().map_or(SHORTEST, |shared| (shared + 1).max(SHORTEST))
}

/// Returns the shortest prefix of `id` that is unique in the store.
pub(crate) fn short(store: &Store, id: RunId) -> String {
    let length = store.runs().map_or(24, |rows| prefix_length(&rows));
    id.to_string().chars().take(length).collect()
}
