//! What the run ends with: the patch, git's word on it, and the outcome.

use serde_json::{Value, json};

use super::trees::Edits;
use crate::canon::{Blake3, TreeEntry};
use crate::rung::course::{Course, digest_of};
use crate::rung::finding::Finding;
use crate::rung::patch;

const NO_PATCH: &str = "no attempt turned the tests green, so there is no patch";

/// The final patch, applied to the recorded files, gives the recorded tree.
pub(super) fn final_patch(course: &Course<'_>) -> Finding {
    let Ok(patch) = course.body(course.result, "patch") else { return Finding::failed("the result holds no patch") };
    let Some(green) = course.green() else {
        return if patch.is_empty() {
            Finding::passed(NO_PATCH)
        } else {
            Finding::failed("there is a patch that no tests were green with")
        };
    };
    if patch.is_empty() {
        return Finding::failed("the patch is empty, though the tests turned green");
    }
    let before = |path: &str| Some((course.files.get(path)?.clone(), course.base.get(path)?.mode));
    let (edits, after) = match (Edits::read(course, green), patch::apply(&patch, &before)) {
        (Ok(edits), Ok(after)) => (edits, after),
        (Err(reason), _) | (_, Err(reason)) => return Finding::failed(reason),
    };
    let mut tree = course.base.clone();
    for (path, file) in after {
        match file {
            Some((bytes, mode)) => {
                let entry = TreeEntry { mode, digest: Blake3::of(&bytes), size: bytes.len() as u64 };
                tree.insert(path, entry)
            }
            None => tree.remove(&path),
        };
    }
    let found = tree.digest();
    if found != edits.result {
        let reason = format!("the patch gives the tree {found}, the tests were green on {}", edits.result);
        return Finding::failed(reason);
    }
    Finding::passed("it gives the tree on which the tests were green")
        .on(digest_of(course.result, "patch"))
        .figure("bytes", patch.len())
}

/// Git applied the patch in a fresh checkout and came to the same tree.
pub(super) fn patch_accepted(course: &Course<'_>) -> Finding {
    let Some(green) = course.green() else {
        return match course.patch_check {
            None => Finding::passed(NO_PATCH),
            Some(check) => Finding::failed(format!("event {} tries a patch that does not exist", check.position)),
        };
    };
    let Some(check) = course.patch_check else { return Finding::failed("the patch was not tried with git") };
    let body = |slot| course.body(check, slot).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let (Some(request), Some(reply)) = (body("request"), body("canonical")) else {
        return Finding::failed(format!("event {} cannot be read", check.position));
    };
    let result = match Edits::read(course, green) {
        Ok(edits) => edits.result,
        Err(reason) => return Finding::failed(reason),
    };
    let patch = course.body(course.result, "patch").unwrap_or_default();
    if request.get("patch") != Some(&json!(Blake3::of(&patch))) || request.get("tree") != Some(&json!(result)) {
        return Finding::failed(format!("event {} tries another patch than the final one", check.position));
    }
    if reply.get("accepted") != Some(&json!(true)) || reply.get("tree") != Some(&json!(result)) {
        let reason = reply.get("reason").and_then(Value::as_str).unwrap_or("it came to another tree");
        return Finding::failed(format!("git did not accept the patch: {reason}"));
    }
    let evidence = ["request", "canonical"].into_iter().filter_map(|slot| digest_of(check, slot));
    Finding::passed("git applied it in a fresh checkout and came to the recorded tree").on(evidence)
}

/// The outcome, and the number of attempts, follow from the recorded verdicts.
pub(super) fn outcome_follows(course: &Course<'_>) -> Finding {
    if course.outcome() == "invalid" {
        return Finding::unknown("the instance could not be judged");
    }
    let attempts = course.attempts.len();
    let early = course.attempts.iter().rev().skip(1).find(|attempt| attempt.is_green());
    if let Some(attempt) = early {
        return Finding::failed(format!("attempt {} was green, and another one followed", attempt.number));
    }
    let graded = course.grade.map(|verdict| verdict.data.get("passed") == Some(&json!(true)));
    let hidden = !course.hidden().is_empty() && course.option("tests") == "existing-tests";
    let outcome = match (course.green(), graded) {
        // Whether the limit was reached follows from the header and the replies, and a replay shows it.
        (None, None) if course.outcome() == "limit" => "limit",
        (None, None) => "unresolved",
        (None, Some(_)) => return Finding::failed("a result was graded though no attempt was green"),
        (Some(_), Some(false)) => "visible-only",
        (Some(_), None) if hidden => return Finding::failed("the hidden tests did not judge the result"),
        (Some(_), Some(true) | None) => "resolved",
    };
    let data = &course.result.data;
    if data.get("outcome") != Some(&json!(outcome)) || data.get("attempts") != Some(&json!(attempts)) {
        let reason = format!("the verdicts say {outcome} after {attempts} attempts, the result says otherwise");
        return Finding::failed(reason);
    }
    let evidence = course.attempts.iter().filter_map(|attempt| digest_of(attempt.tested?.1, "report"));
    let grade = course.grade.and_then(|verdict| digest_of(verdict, "report"));
    Finding::passed(format!("{outcome}, after {}", crate::rung::finding::counted(attempts, "attempt")))
        .on(evidence)
        .on(grade)
        .figure("attempts", attempts)
        .figure("resolved", usize::from(outcome == "resolved"))
}
