//! Whether each retry was told of the failure before it.

use serde_json::{Value, json};

use super::course::{Attempt, Course, NoRequest};
use crate::canon::Blake3;

/// Characters of a failure's first line that a prompt repeats in any case.
const REPEATED: usize = 200;

/// Returns the number of retries, each of which was told of the failure before it.
///
/// # Errors
/// The first prompt that does not answer the failure before it, in words.
pub(super) fn verified(course: &Course<'_>) -> Result<usize, String> {
    for (before, retry) in course.attempts.iter().zip(course.attempts.iter().skip(1)) {
        answers(course, before, retry).map_err(|reason| format!("event {}: {reason}", retry.prompt.position))?;
    }
    Ok(course.attempts.len().saturating_sub(1))
}

/// Checks that the prompt names the failure by its digest, and that its text stands in what the model was sent.
fn answers(course: &Course<'_>, before: &Attempt<'_>, retry: &Attempt<'_>) -> Result<(), String> {
    let failure = match before.tested {
        Some((_, verdict)) => course.body(verdict, "report")?,
        None => course.body(before.edit, "refusal")?,
    };
    let answered = retry.prompt.data.get("answers").cloned().unwrap_or_default();
    if answered.get("failure") != Some(&json!(Blake3::of(&failure))) {
        return Err("the prompt does not name the failure before it".into());
    }
    let summary = answered.get("summary").and_then(Value::as_str).unwrap_or_default();
    let is_of_failure = match before.tested {
        Some((_, verdict)) => verdict.data.get("summary").and_then(Value::as_str) == Some(summary),
        None => {
            let refusal: Value = serde_json::from_slice(&failure).unwrap_or_default();
            refusal.get("message").and_then(Value::as_str).is_some_and(|message| summary.contains(message))
        }
    };
    if !is_of_failure || summary.is_empty() {
        return Err("the prompt sums up another failure".into());
    }
    let told = String::from_utf8_lossy(&course.body(retry.prompt, "told")?).into_owned();
    let first: String = summary.lines().next().unwrap_or_default().chars().take(REPEATED).collect();
    if first.trim().is_empty() || !told.contains(&first) {
        return Err("what the prompt tells is not the failure".into());
    }
    let request = course.request(retry.call).map_err(NoRequest::into_reason)?;
    match request.messages.last() {
        Some(message) if message.content.contains(&told) => Ok(()),
        _ => Err("the model was not sent what the prompt tells".into()),
    }
}
