//! How models were asked: greedy and seeded, or graded as not being so.

use crate::model::{Grade, Reply};
use crate::rung::course::{Attempt, Course, NoRequest, digest_of};
use crate::rung::finding::{Finding, counted};
use crate::transcript::Entry;

/// Every call asks for greedy decoding and carries a seed; where the provider took less than that, the grade says so.
pub(super) fn calls_greedy(course: &Course<'_>) -> Finding {
    if course.attempts.is_empty() {
        return Finding::unknown("no model was called");
    }
    let (mut calls, mut graded, mut evidence) = (0, 0, Vec::new());
    for call in course.attempts.iter().flat_map(Attempt::calls) {
        match greedy(course, call) {
            Ok(grade) => graded += usize::from(grade < Grade::Seeded),
            Err(reason) => return Finding::failed(format!("event {}: {reason}", call.position)),
        }
        calls += 1;
        evidence.extend(digest_of(call, "request"));
    }
    let reason = match graded {
        0 => format!("{}, each greedy and seeded", counted(calls, "call")),
        _ => format!("{}, asked greedy and seeded; for {graded} the provider promises less", counted(calls, "call")),
    };
    Finding::passed(reason).on(evidence).figure("calls", calls).figure("graded_below_seeded", graded)
}

fn greedy(course: &Course<'_>, call: &Entry) -> Result<Grade, String> {
    let request = course.request(call).map_err(NoRequest::into_reason)?;
    if !request.sampling.is_greedy() {
        return Err("the call samples: its settings are not the greedy ones".into());
    }
    let reply = course.body(call, "canonical")?;
    Ok(Reply::from_bytes(&reply).map_err(|error| error.to_string())?.grade)
}
