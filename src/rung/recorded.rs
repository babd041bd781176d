//! Rung 641 of a recorded agent: what can be said of a run whose edits and tests are somebody else's.
//!
//! The criteria about edits, tests and patches are not asked: nothing in the recording could show them. The built-in
//! profile [`PROFILE`] says so, and its digest is in the rung, so that nobody takes the one for the other.

use std::collections::BTreeSet;

use serde_json::Value;

use super::course::digest_of;
use super::edge::RunInput;
use super::edge::whole::{replay_equal, transcript_complete};
use super::finding::{Finding, counted};
use super::ladder::{Basis, Number, Rung};
use crate::canon::Sha256;
use crate::model::Grade;
use crate::proxy::{Exchange, Header, is_recording, view};
use crate::transcript::{Entry, Evidence, Kind};

/// Criteria of rung 641 that are not asked of a recorded agent.
pub const NOT_ASKED: [&str; 8] = [
    "replies-reparse",
    "edits-reapply",
    "files-intact",
    "attempts-pristine",
    "final-patch",
    "patch-accepted",
    "outcome-follows",
    "tests",
];

/// The built-in profile for recorded agents; its SHA-256 is the profile of their rungs.
pub const PROFILE: &str = r#"{"asked":["transcript-complete","exchanges-reread","requests-as-asked","calls-graded","replay-equal"],"name":"recorded-agent","not_asked":["replies-reparse","edits-reapply","files-intact","attempts-pristine","final-patch","patch-accepted","outcome-follows","tests"]}"#;

/// Says whether the run is a recording of somebody's agent.
pub fn is_recorded(evidence: &Evidence<'_>) -> bool {
    evidence.entries().first().is_some_and(|entry| entry.kind == Kind::Run && is_recording(&entry.data))
}

/// Returns the models that answered a recorded agent, as `service:name`, sorted.
///
/// # Errors
/// An exchange that cannot be read.
pub fn recorded_models(evidence: &Evidence<'_>) -> Result<Vec<String>, String> {
    let mut models = BTreeSet::new();
    for entry in exchanges(evidence) {
        let exchange = Exchange::of_evidence(evidence, entry).map_err(|error| error.to_string())?;
        let said = exchange.turn().map(|reply| reply.model).filter(|model| !model.is_empty());
        let model = said.or_else(|| exchange.conversation().map(|asked| asked.model));
        models
            .extend(model.filter(|model| !model.is_empty()).map(|model| format!("{}:{model}", exchange.head.service)));
    }
    Ok(models.into_iter().collect())
}

/// Assesses rung 641 of a recorded agent.
pub(super) fn assess(input: &RunInput<'_>) -> Rung {
    let evidence = input.evidence;
    let header = evidence.entries().first().map(|entry| Header::read(&entry.data));
    let disorder = match &header {
        Some(Ok(_)) => disorder(evidence),
        Some(Err(error)) => Some(error.to_string()),
        None => Some("it has no event".into()),
    };
    let mut criteria = vec![transcript_complete(input, disorder.as_deref())];
    let read: Result<Vec<(&Entry, Exchange)>, String> = exchanges(evidence)
        .map(|entry| {
            let exchange = Exchange::of_evidence(evidence, entry);
            Ok((entry, exchange.map_err(|error| format!("event {}: {error}", entry.position))?))
        })
        .collect();
    let named: [(&str, Assess); 3] =
        [("exchanges-reread", reread), ("requests-as-asked", as_asked), ("calls-graded", graded)];
    for (name, assess) in named {
        let finding = match (&read, &header) {
            (Ok(read), Some(Ok(header))) => assess(evidence, header, read),
            (Err(reason), _) => Finding::failed(reason.clone()),
            _ => Finding::unknown("the transcript's events are not in order"),
        };
        criteria.push(finding.criterion(name, Basis::Recomputed));
    }
    criteria.push(replay_equal(evidence, input.replay));
    Rung::new(Number::Edge, Some(Sha256::of(PROFILE.as_bytes())), criteria)
}

type Assess = fn(&Evidence<'_>, &Header, &[(&Entry, Exchange)]) -> Finding;

fn exchanges<'e>(evidence: &'e Evidence<'_>) -> impl Iterator<Item = &'e Entry> {
    evidence.entries().iter().filter(|entry| entry.kind == Kind::Exchange)
}

/// Says what is wrong with the order of a recording's events, if anything.
fn disorder(evidence: &Evidence<'_>) -> Option<String> {
    let (last, between) = evidence.entries().get(1..)?.split_last()?;
    if let Some(entry) = between.iter().find(|entry| entry.kind != Kind::Exchange) {
        return Some(format!("event {} is no exchange", entry.position));
    }
    (last.kind != Kind::Result).then(|| "the recording was cut off: it has no end".into())
}

/// Every canonical request and reply comes out of the raw bytes.
fn reread(evidence: &Evidence<'_>, header: &Header, read: &[(&Entry, Exchange)]) -> Finding {
    if read.is_empty() {
        return Finding::unknown("no call was recorded");
    }
    let mut on = Vec::new();
    for (entry, exchange) in read {
        let pairs =
            [("request", exchange.key(&header.normalise).bytes().to_vec()), ("canonical", exchange.canonical_reply())];
        for (slot, bytes) in pairs {
            match evidence.body(entry, slot) {
                Ok(recorded) if recorded == bytes => {}
                Ok(_) => {
                    return Finding::failed(format!(
                        "event {}: the {slot} is not what its raw bytes say",
                        entry.position
                    ));
                }
                Err(error) => return Finding::failed(format!("event {}: {error}", entry.position)),
            }
            on.extend(digest_of(entry, slot));
        }
    }
    let aborted = read.iter().filter(|(_, exchange)| exchange.head.aborted.is_some()).count();
    Finding::passed(format!("{} read from the raw bytes again; {aborted} broke off", counted(read.len(), "exchange")))
        .on(on)
        .figure("exchanges", read.len())
        .figure("aborted", aborted)
}

/// What was sent on is what the agent asked, but for settings of the sampling.
fn as_asked(_: &Evidence<'_>, _: &Header, read: &[(&Entry, Exchange)]) -> Finding {
    let mut changed = 0;
    let mut on = Vec::new();
    for (entry, exchange) in read.iter().filter(|(_, exchange)| exchange.received.is_some()) {
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).map(without_sampling);
        let (Ok(asked), Ok(sent)) = (parse(&exchange.asked_decoded()), parse(&exchange.sent)) else {
            return Finding::failed(format!("event {}: a rewritten request is no JSON", entry.position));
        };
        if asked != sent {
            let reason = "more than the sampling was changed in the request that was sent on";
            return Finding::failed(format!("event {}: {reason}", entry.position));
        }
        changed += 1;
        on.extend(digest_of(entry, "received").into_iter().chain(digest_of(entry, "sent")));
    }
    let reason = match changed {
        0 => "every request was sent on as it was asked".to_owned(),
        _ => format!("{} sent on with other sampling, nothing else changed", counted(changed, "request")),
    };
    Finding::passed(reason).on(on).figure("rewritten", changed)
}

/// Removes what `enforce` may set; a group of options that is left empty goes too.
fn without_sampling(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.remove("temperature");
        members.remove("seed");
        if let Some(Value::Object(options)) = members.get_mut("options") {
            options.remove("temperature");
            options.remove("seed");
        }
        let is_empty = members
            .get("options")
            .is_some_and(|options| options.is_null() || options.as_object().is_some_and(serde_json::Map::is_empty));
        if is_empty {
            members.remove("options");
        }
    }
    value
}

/// Every call has its grade: how far it could be made again.
fn graded(_: &Evidence<'_>, header: &Header, read: &[(&Entry, Exchange)]) -> Finding {
    let calls: Vec<(&Entry, Grade)> =
        read.iter().filter_map(|(entry, exchange)| Some((*entry, exchange.grade()?))).collect();
    let count = |grade: Grade| calls.iter().filter(|(_, found)| *found == grade).count();
    let (seeded, greedy, not) = (count(Grade::Seeded), count(Grade::Greedy), count(Grade::NotReexecutable));
    let weaker = match header.normalise.is_empty() {
        true => String::new(),
        false => {
            let names: Vec<&str> = header.normalise.iter().map(|way| way.name()).collect();
            format!("; requests are compared without {}", names.join(", "))
        }
    };
    let reason = format!(
        "{}: {seeded} greedy and seeded, {greedy} greedy without a seed, {not} not re-executable{weaker}",
        counted(calls.len(), "call")
    );
    Finding::passed(reason)
        .on(calls.iter().filter_map(|(entry, _)| digest_of(entry, "sent")))
        .figure("calls", calls.len())
        .figure("seeded", seeded)
        .figure("greedy", greedy)
        .figure("not_reexecutable", not)
        .figure("tokens_out", tokens(read))
}

fn tokens(read: &[(&Entry, Exchange)]) -> usize {
    let counted = read.iter().filter_map(|(_, exchange)| view::turn(&exchange.head, &exchange.reply)?.output_tokens);
    usize::try_from(counted.sum::<u64>().min(crate::canon::json::MAX_INTEGER)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_profile_is_canonical_and_lists_what_is_not_asked() {
        let value: Value = crate::canon::json::from_bytes(PROFILE.as_bytes()).unwrap();
        assert_eq!(value["not_asked"], json!(NOT_ASKED));
    }

    #[test]
    fn only_the_sampling_may_differ() {
        let same = |a: Value, b: Value| without_sampling(a) == without_sampling(b);
        assert!(same(json!({"m": 1}), json!({"m": 1, "temperature": 0, "seed": 42})));
        assert!(same(
            json!({"options": {"num_ctx": 1}}),
            json!({"options": {"num_ctx": 1, "seed": 1, "temperature": 0}})
        ));
        assert!(same(json!({}), json!({"options": {"seed": 1, "temperature": 0}})));
        assert!(!same(json!({"m": 1}), json!({"m": 2})));
        assert!(!same(json!({"top_p": 1}), json!({"top_p": 0.5})));
    }
}
