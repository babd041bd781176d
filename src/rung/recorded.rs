//! Rung 641 of a recorded agent: what can be said of a run whose edits and tests are somebody else's.
//!
//! The criteria about edits, tests and patches are not asked: nothing in the recording could show them. Nor is
//! `replay-equal`, which takes the command: `roots-recomputed` in its place says only that everything recorded comes out
//! of the stored bytes again. The built-in profile [`PROFILE`] says so, and its digest is in the rung, so that nobody
//! takes the one for the other.

use std::collections::BTreeSet;

use super::course::digest_of;
use super::edge::RunInput;
use super::edge::whole::{roots_recomputed, transcript_complete};
use super::finding::{Finding, counted};
use super::ladder::{Basis, Number, Rung};
use crate::canon::Sha256;
use crate::model::Grade;
use crate::proxy::{Exchange, Header, HeaderError, is_recording, view};
use crate::transcript::{Entry, Evidence, Kind};

/// Criteria of rung 641 that are not asked of a recorded agent.
pub const NOT_ASKED: [&str; 9] = [
    "replies-reparse",
    "edits-reapply",
    "files-intact",
    "attempts-pristine",
    "final-patch",
    "patch-accepted",
    "outcome-follows",
    "replay-equal",
    "tests",
];

/// The built-in profile for recorded agents; its SHA-256 is the profile of their rungs.
pub const PROFILE: &str = r#"{"asked":["transcript-complete","exchanges-reread","requests-as-asked","calls-graded","roots-recomputed"],"name":"recorded-agent","not_asked":["replies-reparse","edits-reapply","files-intact","attempts-pristine","final-patch","patch-accepted","outcome-follows","replay-equal","tests"]}"#;

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
    // What another version made of the bytes is not for this one to say; whether they are all there is.
    let disorder = match &header {
        Some(Ok(_) | Err(HeaderError::OtherVersion(_))) => disorder(evidence),
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
            (_, Some(Err(error @ HeaderError::OtherVersion(_)))) => Finding::unknown(error.to_string()),
            (Err(reason), _) => Finding::failed(reason.clone()),
            _ => Finding::unknown("the transcript's events are not in order"),
        };
        criteria.push(finding.criterion(name, Basis::Recomputed));
    }
    criteria.push(roots_recomputed(evidence, input.replay));
    Rung::new(Number::Edge, Some(Sha256::of(PROFILE.as_bytes())), criteria)
}

type Assess = fn(&Evidence<'_>, &Header, &[(&Entry, Exchange)]) -> Finding;

fn exchanges<'e>(evidence: &'e Evidence<'_>) -> impl Iterator<Item = &'e Entry> {
    evidence.entries().iter().filter(|entry| entry.kind == Kind::Exchange)
}

/// Says what is wrong with the order of a recording's events, if anything.
fn disorder(evidence: &Evidence<'_>) -> Option<String> {
    const CUT_OFF: &str = "the recording was cut off: it has no end";
    let Some((last, between)) = evidence.entries().get(1..).and_then(<[Entry]>::split_last) else {
        return Some(CUT_OFF.into());
    };
    if let Some(entry) = between.iter().find(|entry| entry.kind != Kind::Exchange) {
        return Some(format!("event {} is no exchange", entry.position));
    }
    (last.kind != Kind::Result).then(|| CUT_OFF.into())
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

/// What was sent on is what the agent asked, or what the recorder's own rule and seed make of that, to the byte.
fn as_asked(_: &Evidence<'_>, header: &Header, read: &[(&Entry, Exchange)]) -> Finding {
    let mut changed = 0;
    let mut on = Vec::new();
    for (entry, exchange) in read {
        let ours = exchange.in_place(header.sampling, header.seed);
        let theirs = exchange.received.is_some().then_some(exchange.sent.as_slice());
        if ours.as_deref() != theirs {
            let rule = header.sampling.word();
            let reason = match (&ours, theirs) {
                (_, None) => format!("the request was sent on as it was asked, and {rule} changes it"),
                (None, _) => format!("the request that was sent on is another one, and {rule} changes nothing in it"),
                _ => {
                    format!("the request that was sent on is not what {rule} with the seed {} makes of it", header.seed)
                }
            };
            return Finding::failed(format!("event {}: {reason}", entry.position));
        }
        if theirs.is_some() {
            changed += 1;
            on.extend(digest_of(entry, "received").into_iter().chain(digest_of(entry, "sent")));
        }
    }
    let reason = match changed {
        0 => "every request was sent on as it was asked".to_owned(),
        _ => format!(
            "{} sent on with temperature and seed as the rule sets them, nothing else changed",
            counted(changed, "request")
        ),
    };
    Finding::passed(reason).on(on).figure("rewritten", changed)
}

/// Targets that are named at most.
const NAMED: usize = 3;

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
    // Nobody knows whether a model wrote text in answer to these: they are named, so that nobody takes them for graded.
    let unknown: Vec<&(&Entry, Exchange)> = read.iter().filter(|(_, exchange)| exchange.is_unknown()).collect();
    let ungraded = match unknown.len() {
        0 => String::new(),
        count => {
            let targets: BTreeSet<&str> = unknown.iter().map(|(_, exchange)| bare(&exchange.head.target)).collect();
            let named: Vec<&str> = targets.iter().take(NAMED).copied().collect();
            let more = if targets.len() > NAMED { ", …" } else { "" };
            let requests = counted(count, "other request");
            format!("; {requests} not read and ungraded ({}{more})", named.join(", "))
        }
    };
    let reason = format!(
        "{}: {seeded} greedy and seeded, {greedy} greedy without a seed, {not} not re-executable{weaker}{ungraded}",
        counted(calls.len(), "call")
    );
    Finding::passed(reason)
        .on(calls.iter().filter_map(|(entry, _)| digest_of(entry, "sent")))
        .figure("calls", calls.len())
        .figure("seeded", seeded)
        .figure("greedy", greedy)
        .figure("not_reexecutable", not)
        .figure("ungraded", unknown.len())
        .figure("tokens_out", tokens(read))
}

/// Returns the path of a target, not too long.
fn bare(target: &str) -> &str {
    let path = target.split('?').next().unwrap_or_default();
    &path[..path.floor_char_boundary(80)]
}

fn tokens(read: &[(&Entry, Exchange)]) -> usize {
    let counted = read.iter().filter_map(|(_, exchange)| view::turn(&exchange.head, &exchange.reply)?.output_tokens);
    usize::try_from(counted.sum::<u64>().min(crate::canon::json::MAX_INTEGER)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::canon::RunId;
    use crate::proxy::{self, Sampling, Scan};
    use crate::rung::{Replay, Verdict};
    use crate::store::{Access, Durability, NewRun, Store};
    use crate::transcript::{Clock, Recorder, Retries, Transcript as _};

    #[test]
    fn the_profile_is_canonical_and_lists_what_is_not_asked() {
        let value: Value = crate::canon::json::from_bytes(PROFILE.as_bytes()).unwrap();
        assert_eq!(value["not_asked"], json!(NOT_ASKED));
    }

    fn exchange(target: &str, asked: &str, sent: Option<&str>) -> Exchange {
        let head = crate::proxy::Head { method: "POST".into(), target: target.into(), ..Default::default() };
        let received = sent.map(|_| asked.as_bytes().to_vec());
        Exchange { head, received, sent: sent.unwrap_or(asked).into(), reply: Vec::new() }
    }

    fn header(sampling: Sampling) -> Header {
        Header { sampling, seed: 7, secrets: Scan::Warn, normalise: Vec::new(), version: "0".into() }
    }

    fn begun(folder: &std::path::Path) -> (Store, RunId) {
        let mut store = Store::open(&folder.join("s.sqlite"), Access::Create, Durability::Normal).unwrap();
        let run = RunId::from_bytes([1; 12]);
        let text = "x";
        store
            .begin_run(&NewRun {
                id: run,
                name: text,
                kind: "record",
                instance: text,
                arm: "",
                model: "",
                tests: "",
                orchestration: text,
                started_ms: 0,
            })
            .unwrap();
        (store, run)
    }

    /// Assesses one exchange by one criterion, with nothing else beside it.
    fn found(assess: Assess, sampling: Sampling, exchange: Exchange) -> (Verdict, String) {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, run) = begun(folder.path());
        let clock = Clock { now_us: || 0, sleep: |_| {} };
        let mut recorder = Recorder::new(&mut store, run, clock, Retries::default());
        let header = header(sampling);
        proxy::begin(&mut recorder, &header).unwrap();
        proxy::perform(&mut recorder, &header, &exchange, Map::new()).unwrap();
        let evidence = Evidence::of_run(&store, run).unwrap();
        let entry = &evidence.entries()[1];
        let criterion = assess(&evidence, &header, &[(entry, exchange)]).criterion("x", Basis::Recomputed);
        (criterion.verdict, criterion.reason)
    }

    #[test]
    fn what_another_version_recorded_is_not_assessed_and_does_not_fail() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, run) = begun(folder.path());
        let mut recorder = Recorder::new(&mut store, run, Clock { now_us: || 0, sleep: |_| {} }, Retries::default());
        let Value::Object(old) = json!({"exchange": "exchange/0", "kind": "record"}) else { unreachable!() };
        recorder.note(Kind::Run, &old, &[]).unwrap();
        let Value::Object(end) = json!({"exit": 0}) else { unreachable!() };
        recorder.note(Kind::Result, &end, &[]).unwrap();
        let evidence = Evidence::of_run(&store, run).unwrap();
        let rung = assess(&RunInput { evidence: &evidence, roots: None, replay: Replay::None("another version") });
        let verdicts: Vec<Verdict> = rung.criteria().iter().map(|criterion| criterion.verdict).collect();
        let open = Verdict::NotAssessed;
        assert_eq!(verdicts, [Verdict::Passed, open, open, open, open]);
        assert!(rung.criteria()[1].reason.contains("exchange/0"), "{}", rung.criteria()[1].reason);
    }

    #[test]
    fn a_recording_that_was_cut_off_before_its_first_call_is_not_complete() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, run) = begun(folder.path());
        let mut recorder = Recorder::new(&mut store, run, Clock { now_us: || 0, sleep: |_| {} }, Retries::default());
        proxy::begin(&mut recorder, &header(Sampling::Observe)).unwrap();
        let evidence = Evidence::of_run(&store, run).unwrap();
        let rung = assess(&RunInput { evidence: &evidence, roots: None, replay: Replay::None("none") });
        let complete = rung.criterion("transcript-complete").unwrap();
        assert!(complete.verdict == Verdict::Failed && complete.reason.contains("cut off"), "{}", complete.reason);
    }

    #[test]
    fn only_what_the_rule_sets_may_differ() {
        use Sampling::{Enforce, Observe, Require};
        let chat = "/v1/chat/completions";
        let asked = r#"{"model":"m","messages":[]}"#;
        let set = r#"{"model":"m","messages":[],"temperature":0,"seed":7}"#;
        let verdict = |sampling, sent| found(as_asked, sampling, exchange(chat, asked, sent)).0;
        assert_eq!(verdict(Enforce, Some(set)), Verdict::Passed);
        assert_eq!(verdict(Observe, None), Verdict::Passed);
        assert_eq!(verdict(Require, None), Verdict::Passed);
        for other in [
            None,
            Some(r#"{"model":"m","messages":[],"temperature":0,"seed":8}"#),
            Some(r#"{"model":"m","messages":[],"temperature":0.5,"seed":7}"#),
            Some(r#"{"model":"m","messages":[1],"temperature":0,"seed":7}"#),
            Some(r#"{"model":"m","messages":[],"temperature":0,"seed":7} "#),
        ] {
            assert_eq!(verdict(Enforce, other), Verdict::Failed, "{other:?}");
        }
        assert_eq!(verdict(Observe, Some(set)), Verdict::Failed);
        assert_eq!(verdict(Require, Some(set)), Verdict::Failed);
        let embeddings = exchange("/v1/embeddings", "{}", Some(r#"{"temperature":0}"#));
        assert_eq!(found(as_asked, Enforce, embeddings).0, Verdict::Failed);
    }

    #[test]
    fn calls_that_are_not_read_are_counted_and_named() {
        let of = |target: &str| found(graded, Sampling::Observe, exchange(target, r#"{"temperature":0}"#, None)).1;
        for target in ["/v1/messages/batches", "/completion", "/v1beta/models/g:generateContent", "/v1/threads/t/runs"]
        {
            assert!(
                of(target).contains("1 call: 0 greedy and seeded, 0 greedy without a seed, 1 not"),
                "{}",
                of(target)
            );
        }
        let text = of("/v2/whatever?x=1");
        assert!(text.starts_with("0 calls") && text.ends_with("1 other request not read and ungraded (/v2/whatever)"));
        assert!(!of("/v1/messages/count_tokens").contains("ungraded"));
        let unreadable = exchange("/v1/chat/completions", "{\"temperature\":NaN}", None);
        assert!(found(graded, Sampling::Observe, unreadable).1.contains("1 not re-executable"));
    }
}
