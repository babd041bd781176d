//! What an instance is apart from how one machine runs its tests, and the published instances that are known by digest.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::canon::{Sha256, json as canonical};

/// Id and digest of every instance of SWE-bench Lite's test split.
const LITE: &str = include_str!("swe_bench_lite.txt");

/// Returns the digest that says which instance a recorded one is.
///
/// For a published row it is the SHA-256 of the canonical JSON of its fields that a run records, under their published
/// names, so that what somebody adds to run its tests (command, environment, image) makes no other instance of it. For
/// anything else it is that of the recorded bytes.
pub(super) fn identity(recorded: &[u8]) -> Sha256 {
    published(recorded).unwrap_or_else(|| Sha256::of(recorded))
}

fn published(recorded: &[u8]) -> Option<Sha256> {
    let instance: Value = canonical::from_bytes(recorded).ok()?;
    let row = json!({
        "FAIL_TO_PASS": instance["fail_to_pass"],
        "PASS_TO_PASS": instance["pass_to_pass"],
        "base_commit": instance["base_commit"],
        "hints_text": instance["hints"],
        "instance_id": instance["id"],
        "patch": instance["patch"],
        "problem_statement": instance["problem_statement"],
        "repo": instance["repository"].get("named")?,
        "test_patch": instance["hidden"].get("test_patch")?,
        "version": instance["version"],
    });
    Some(Sha256::of(&canonical::to_bytes(&row).ok()?))
}

/// Returns the digest of several instances: of the canonical JSON object from each one's id to its digest.
pub(super) fn digest_of_all<'a>(instances: impl IntoIterator<Item = (&'a str, Sha256)>) -> Sha256 {
    let instances: BTreeMap<&str, Sha256> = instances.into_iter().collect();
    Sha256::of(&canonical::to_bytes(&instances).expect("ids and digests have a canonical form"))
}

/// Returns the instances of SWE-bench Lite, by id.
pub(super) fn lite() -> BTreeMap<&'static str, Sha256> {
    let entry = |line: &'static str| {
        let (id, digest) = line.split_once(' ').expect("an id and a digest");
        (id, format!("sha256:{digest}").parse().expect("a digest"))
    };
    LITE.lines().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut instance = json!({
            "id": "o__n-1", "repository": {"named": "o/n"}, "base_commit": "c", "problem_statement": "It fails.", "hints": "",
            "patch": "p", "hidden": {"test_patch": "t"}, "fail_to_pass": ["a"], "pass_to_pass": [], "version": "1",
            "test_command": null, "env": null,
        });
        change(&mut instance);
        canonical::to_bytes(&instance).unwrap()
    }

    #[test]
    fn what_runs_the_tests_is_no_part_of_a_published_instance_and_everything_else_is() {
        let one = identity(&recorded(|_| {}));
        assert_eq!(identity(&recorded(|row| row["test_command"] = json!("pytest"))), one);
        assert_eq!(identity(&recorded(|row| row["env"] = json!("py39"))), one);
        for (key, value) in [
            ("id", json!("o__n-2")),
            ("repository", json!({"named": "o/m"})),
            ("base_commit", json!("d")),
            ("problem_statement", json!("It fails!")),
            ("hints", json!("x")),
            ("patch", json!(null)),
            ("hidden", json!({"test_patch": "u"})),
            ("fail_to_pass", json!([])),
            ("pass_to_pass", json!(["a"])),
            ("version", json!("2")),
        ] {
            assert_ne!(identity(&recorded(|row| row[key] = value)), one, "{key}");
        }
        let folder = recorded(|row| row["repository"] = json!("folder"));
        assert_eq!(identity(&folder), Sha256::of(&folder));
        assert_eq!(identity(b"no JSON"), Sha256::of(b"no JSON"));
    }

    #[test]
    fn the_table_has_three_hundred_instances_of_twelve_repositories() {
        let lite = lite();
        assert_eq!(lite.len(), 300);
        let repositories: std::collections::BTreeSet<_> =
            lite.keys().filter_map(|id| id.rsplit_once('-')).map(|at| at.0).collect();
        assert_eq!(repositories.len(), 12, "{repositories:?}");
    }
}
