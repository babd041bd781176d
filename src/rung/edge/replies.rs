//! What models said is what the run went on with: normalised, read as edits or refused, all of it computed again.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::canon::{Blake3, Sha256, json as canonical};
use crate::edit::{self, Context, Format, Proposal, Refusal, Region, is_protected};
use crate::model::{self, Provider, Reply, Stop};
use crate::rung::course::{Attempt, Course, NoRequest, digest_of};
use crate::rung::finding::{Finding, counted};
use crate::transcript::Entry;

/// Every reply reads as the recorded edits or the recorded refusal.
pub(super) fn replies_reparse(course: &Course<'_>) -> Finding {
    if course.attempts.is_empty() {
        return Finding::unknown("no model was called");
    }
    let models = course.models.iter().map(|entry| identity(course, entry));
    if let Some(Err(reason)) = models.into_iter().find(Result::is_err) {
        return Finding::failed(reason);
    }
    let mut seen = BTreeMap::new();
    let mut evidence: Vec<Sha256> = Vec::new();
    let (mut replies, mut refused) = (0, 0);
    for attempt in &course.attempts {
        match reread(course, attempt, &mut seen) {
            Ok(()) => {}
            Err(Unreadable::Request) => {
                return Finding::unknown(format!("event {}: the request cannot be read", attempt.call.position));
            }
            Err(Unreadable::Differs(reason)) => return Finding::failed(reason),
        }
        refused += usize::from(!attempt.is_accepted());
        for call in attempt.calls() {
            replies += 1;
            evidence.extend(["reply", "canonical"].iter().filter_map(|slot| digest_of(call, slot)));
        }
        evidence.extend(["edits", "refusal"].iter().filter_map(|slot| digest_of(attempt.edit, slot)));
    }
    Finding::passed(format!("what {} said reads as recorded; {refused} refused", counted(replies, "call")))
        .on(evidence)
        .figure("replies", replies)
        .figure("refused", refused)
}

enum Unreadable {
    /// The request, which another criterion judges.
    Request,
    /// What was recorded is not what comes out.
    Differs(String),
}

impl From<String> for Unreadable {
    fn from(reason: String) -> Self {
        Self::Differs(reason)
    }
}

/// Checks that a model's identity is what its raw bytes say.
fn identity(course: &Course<'_>, entry: &Entry) -> Result<(), String> {
    let at = entry.position;
    let recorded = course.body(entry, "canonical")?;
    let identity = model::Identity::from_bytes(&recorded).map_err(|error| format!("event {at}: {error}"))?;
    normalised_by(entry, identity.provider)?;
    let found = model::identity(identity.provider, &course.body(entry, "reply")?);
    match found {
        Ok(found) if found == recorded => Ok(()),
        Ok(_) => Err(format!("event {at}: the model's answer names another model than the one recorded")),
        Err(error) => Err(format!("event {at}: {error}")),
    }
}

fn normalised_by(entry: &Entry, provider: Provider) -> Result<(), String> {
    let ours = model::normaliser(provider);
    match entry.data.get("normaliser").and_then(Value::as_str) {
        Some(recorded) if recorded == ours => Ok(()),
        recorded => {
            let recorded = recorded.unwrap_or("nothing");
            Err(format!("event {}: it was normalised by {recorded:?}, this version has {ours:?}", entry.position))
        }
    }
}

/// Normalises the reply of one call again and compares it with what is recorded.
fn normalised(course: &Course<'_>, call: &Entry) -> Result<Reply, Unreadable> {
    let at = call.position;
    let request = course.request(call).map_err(|why| match why {
        NoRequest::Body(reason) => Unreadable::Differs(reason),
        NoRequest::Form(_) => Unreadable::Request,
    })?;
    normalised_by(call, request.model.provider)?;
    let sent = if call.bodies.contains_key("sent") { course.body(call, "sent")? } else { Vec::new() };
    let recorded = course.body(call, "canonical")?;
    let canonical = model::normalise(&request, &sent, &course.body(call, "reply")?);
    if canonical.map_err(|error| format!("event {at}: {error}"))? != recorded {
        return Err(format!("event {at}: the raw reply does not read as the recorded canonical one").into());
    }
    Ok(Reply::from_bytes(&recorded).map_err(|error| format!("event {at}: {error}"))?)
}

/// Reads what was said in an attempt again and compares what comes out with what is recorded.
fn reread(course: &Course<'_>, attempt: &Attempt<'_>, seen: &mut BTreeMap<Blake3, u32>) -> Result<(), Unreadable> {
    let edit = attempt.edit;
    let reply = normalised(course, attempt.call)?;
    let number = u32::try_from(attempt.number).unwrap_or(u32::MAX);
    let format = course.format()?;
    let hidden = course.hidden();
    let protected = |path: &str| is_protected(&hidden, path);
    let shown = course.shown(attempt);
    let mut known = |path: &str| {
        course.base.get(path)?;
        course.files.get(path).cloned()
    };
    let context = |reply: &Reply| Context {
        tree: &course.base,
        shown: &shown,
        cut_off: reply.stop == Stop::Length,
        protected: &protected,
        limits: format.limits(),
    };
    let mut unless_seen = |answer: &str, read: &mut dyn FnMut() -> Result<Proposal, Refusal>| {
        let digest = Blake3::of(answer.as_bytes());
        let read = seen.get(&digest).map_or_else(read, |earlier| Err(Refusal::repeated(*earlier)));
        seen.entry(digest).or_insert(number);
        read
    };
    let region = match format {
        Format::TwoStep => Some(Region::read(reply.text.as_bytes(), &context(&reply), &mut known)),
        _ => None,
    };
    let read = match (region, attempt.second) {
        (None, None) => {
            unless_seen(&reply.text, &mut || format.propose(reply.text.as_bytes(), &context(&reply), &mut known))
        }
        (Some(Err(refusal)), None) => unless_seen(&reply.text, &mut || Err(refusal.clone())),
        (Some(Ok(region)), None) => Err(region.too_long()),
        (Some(Ok(region)), Some((prompt, call))) => {
            if prompt.data.get("region") != Some(&json!(region)) {
                let reason =
                    format!("event {}: the reply names another place than the one asked about", prompt.position);
                return Err(reason.into());
            }
            let second = normalised(course, call)?;
            let joined = region.edit(&second.text);
            region.noted(unless_seen(&joined, &mut || format.propose(joined.as_bytes(), &context(&second), &mut known)))
        }
        (_, Some((prompt, _))) => {
            return Err(format!("event {}: nothing was left to ask in a second step", prompt.position).into());
        }
    };
    let (accepted, codes, parts) = match read {
        Ok(proposal) => {
            let before = |path: &str| Some((course.files.get(path)?.clone(), course.base.get(path)?.mode));
            let patch = edit::patch(&before, &proposal);
            (true, proposal.codes.clone(), vec![("edits", proposal.to_bytes()), ("patch", patch)])
        }
        Err(refusal) => {
            let codes = refusal.codes.iter().chain([&refusal.code]).copied().collect();
            (false, codes, vec![("refusal", refusal.to_bytes())])
        }
    };
    let codes: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let at = edit.position;
    let said = if accepted { "edits" } else { "a refusal" };
    let data = canonical::to_bytes(&json!({"accepted": accepted, "attempt": number, "codes": codes}));
    if data.ok() != Some(edit.data_bytes()) {
        let codes = codes.join(" ");
        return Err(format!("event {at}: the reply reads as {said} ({codes}), which is not what is recorded").into());
    }
    let recorded: Vec<&String> = edit.bodies.keys().collect();
    if recorded != parts.iter().map(|(slot, _)| *slot).collect::<Vec<_>>() {
        return Err(format!("event {at}: the reply reads as {said}, the recording holds {recorded:?}").into());
    }
    for (slot, bytes) in parts {
        if course.body(edit, slot)? != bytes {
            return Err(format!("event {at}: the reply does not read as the recorded {slot}").into());
        }
    }
    Ok(())
}
