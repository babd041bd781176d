//! From the events of a run to what a report knows of it. A run that was cut off is read as far as it goes.

use serde_json::{Map, Value};

use super::run::{AttemptFacts, Ending, RunFacts, TestFacts};
use super::{Planned, ReportError};
use crate::canon::RunId;
use crate::store::{RunRow, RunStatus, Store, StoredEvent};
use crate::transcript::Kind;

/// Refusals of replies in which nothing could be read as edits. A reply that was given before (`E-REPEAT`) is not read.
pub const UNREAD: [&str; 7] =
    ["E-NOEDIT", "E-NODIFF", "E-MALFORMED", "E-TRUNCATED", "E-NOBODY", "E-MULTIBODY", "E-REPEAT"];

/// Reads a run; nothing in the store is a run that was not begun.
pub(super) fn run(
    store: &Store,
    planned: &Planned,
    row: Option<&RunRow>,
    with_texts: bool,
) -> Result<RunFacts, ReportError> {
    let mut facts = RunFacts {
        run: planned.run,
        instance: planned.instance.clone(),
        arm: planned.arm.clone(),
        seed: planned.seed,
        ending: Ending::Open,
        outcome: String::new(),
        reason: String::new(),
        by_fallback: false,
        tests: String::new(),
        models: Vec::new(),
        allowed: 0,
        canonical_root: None,
        grade: None,
        attempts: Vec::new(),
        time: 0,
        judged: Default::default(),
    };
    let Some(row) = row else { return Ok(facts) };
    facts.tests.clone_from(&row.tests);
    facts.outcome.clone_from(&row.outcome);
    let mut reader = Reader { store, run: row.id, with_texts, fallback_after: None, identities: Vec::new(), facts };
    for event in store.events(row.id)? {
        reader.event(&event)?;
    }
    let mut facts = reader.facts;
    // Whatever ended a run from outside stands in its row: `environment: no clone of …`, `limit: 600 seconds`.
    let (word, reason) = row.outcome.split_once(": ").unwrap_or((&row.outcome, ""));
    match row.status {
        RunStatus::Finished => {
            facts.canonical_root = row.canonical_root;
            return Ok(facts);
        }
        RunStatus::Failed => facts.ending = Ending::EnvironmentError,
        RunStatus::Interrupted if word == "limit" => facts.ending = Ending::OutOfTime,
        RunStatus::Open | RunStatus::Interrupted => facts.ending = Ending::Open,
    }
    word.clone_into(&mut facts.outcome);
    if !reason.is_empty() {
        reason.clone_into(&mut facts.reason);
    }
    Ok(facts)
}

struct Reader<'s> {
    store: &'s Store,
    run: RunId,
    with_texts: bool,
    fallback_after: Option<u64>,
    /// The models as they were found to be, the fallback last.
    identities: Vec<String>,
    facts: RunFacts,
}

impl Reader<'_> {
    fn event(&mut self, event: &StoredEvent) -> Result<(), ReportError> {
        let data: Map<String, Value> =
            serde_json::from_slice(&event.data).map_err(|error| self.wrong(event, &error))?;
        let took = elapsed(event);
        self.facts.time = self.facts.time.saturating_add(took);
        match Kind::from_name(&event.kind) {
            Some(Kind::Run) => self.header(&data),
            Some(Kind::Model) => {
                let identity = self.json_of(event, "canonical")?;
                self.identities.push(format!("{}:{}", text(&identity, "provider"), text(&identity, "name")));
            }
            Some(Kind::Prompt) => self.prompt(event, &data)?,
            Some(Kind::ModelCall) => self.call(event, took)?,
            Some(Kind::Edit) => self.edit(event, &data)?,
            Some(Kind::Test) => {
                if let Some(attempt) = self.facts.attempts.last_mut().filter(|attempt| attempt.tests.is_none()) {
                    attempt.times[1] = attempt.times[1].saturating_add(took);
                }
            }
            Some(Kind::Verdict) => self.verdict(event, &data)?,
            Some(Kind::FailedTry) => self.facts.reason = text(&data, "message"),
            Some(Kind::Result) => self.result(&data),
            _ => {}
        }
        Ok(())
    }

    fn wrong(&self, event: &StoredEvent, reason: &dyn std::fmt::Display) -> ReportError {
        ReportError::Event { run: self.run, event: event.seq, reason: reason.to_string() }
    }

    fn header(&mut self, data: &Map<String, Value>) {
        let Some(options) = data.get("options").and_then(Value::as_object) else { return };
        self.facts.allowed = options.get("attempts").and_then(Value::as_u64).unwrap_or_default() as u32;
        self.facts.models.push(text(options, "model"));
        if let Some(fallback) = options.get("fallback").and_then(Value::as_object) {
            self.fallback_after = fallback.get("after").and_then(Value::as_u64);
            self.facts.models.push(text(fallback, "model"));
        }
    }

    fn prompt(&mut self, event: &StoredEvent, data: &Map<String, Value>) -> Result<(), ReportError> {
        // What failed and was tried again until it went well is no reason of anything.
        self.facts.reason.clear();
        if data.contains_key("region") {
            // The second question of an attempt in two steps: what was asked and said before is its beginning.
            if let Some(attempt) = self.facts.attempts.last_mut() {
                let said = std::mem::take(&mut attempt.texts.reply);
                attempt.texts.prompt.push(("assistant".to_owned(), said));
                for (name, first) in [("prompt", "place-prompt"), ("reply", "place-reply")] {
                    attempt.digests.remove(name).map(|digest| attempt.digests.insert(first, digest));
                }
            }
            return Ok(());
        }
        let number = data.get("attempt").and_then(Value::as_u64).unwrap_or_default();
        let fallback = self.fallback_after.is_some_and(|after| number > after);
        let mut attempt = AttemptFacts {
            number: number as u32,
            fallback,
            model: self.identities.get(usize::from(fallback)).cloned().unwrap_or_default(),
            files: data.get("shown").and_then(Value::as_array).map_or(0, Vec::len),
            told: data.contains_key("answers"),
            ..AttemptFacts::default()
        };
        if attempt.told && self.with_texts {
            attempt.texts.told = self.text_of(event, "told")?;
        }
        self.facts.attempts.push(attempt);
        Ok(())
    }

    fn call(&mut self, event: &StoredEvent, took: u64) -> Result<(), ReportError> {
        let reply = self.json_of(event, "canonical")?;
        let request = self.with_texts.then(|| self.json_of(event, "request")).transpose()?;
        let Some(attempt) = self.facts.attempts.last_mut() else { return Ok(()) };
        attempt.times[0] = attempt.times[0].saturating_add(took);
        let is_second = std::mem::replace(&mut attempt.replied, true);
        let counted = |sum: Option<u64>, name| {
            let tokens = reply.get(name).and_then(Value::as_u64)?;
            if is_second { sum?.checked_add(tokens) } else { Some(tokens) }
        };
        attempt.prompt_tokens = counted(attempt.prompt_tokens, "prompt_tokens");
        attempt.reply_tokens = counted(attempt.reply_tokens, "completion_tokens");
        attempt.stop = match reply.get("stop") {
            Some(Value::String(word)) => word.clone(),
            Some(Value::Object(other)) => text(other, "other"),
            _ => String::new(),
        };
        for (name, slot) in [("prompt", "request"), ("reply", "canonical")] {
            if let Some(body) = event.body(slot) {
                attempt.digests.insert(name, body.digest);
            }
        }
        if let Some(request) = request {
            let messages = request.get("messages").and_then(Value::as_array);
            let messages = messages.into_iter().flatten().filter_map(Value::as_object);
            attempt.texts.prompt.extend(messages.map(|message| (text(message, "role"), text(message, "content"))));
            attempt.texts.reply = text(&reply, "text");
            attempt.texts.reasoning += &text(&reply, "reasoning");
        }
        Ok(())
    }

    fn edit(&mut self, event: &StoredEvent, data: &Map<String, Value>) -> Result<(), ReportError> {
        let accepted = data.get("accepted") == Some(&Value::Bool(true));
        let mut codes = words(data, "codes");
        let (mut refusal, mut patch) = (Map::new(), String::new());
        if !accepted {
            refusal = self.json_of(event, "refusal")?;
        } else if self.with_texts {
            patch = self.text_of(event, "patch")?;
        }
        let Some(attempt) = self.facts.attempts.last_mut() else { return Ok(()) };
        attempt.applied = accepted;
        if accepted {
            attempt.texts.patch = patch;
        } else {
            attempt.refusal = codes.pop();
            attempt.summary = text(&refusal, "message");
            attempt.texts.excerpt = text(&refusal, "excerpt");
        }
        attempt.codes = codes;
        for slot in ["edits", "patch", "refusal"] {
            if let Some(body) = event.body(slot) {
                attempt.digests.insert(slot, body.digest);
            }
        }
        Ok(())
    }

    fn verdict(&mut self, event: &StoredEvent, data: &Map<String, Value>) -> Result<(), ReportError> {
        let gate = text(data, "gate");
        if gate == "red" {
            return Ok(());
        }
        let report = self.json_of(event, "report")?;
        let mut lists: [Vec<String>; 2] = Default::default();
        for (name, status) in report.get("tests").and_then(Value::as_object).into_iter().flatten() {
            match status.as_str() {
                Some("passed" | "xfail") => lists[0].push(name.clone()),
                Some("failed" | "error") => lists[1].push(name.clone()),
                _ => {}
            }
        }
        let facts = TestFacts {
            green: data.get("passed") == Some(&Value::Bool(true)),
            passed: lists[0].len(),
            failed: lists[1].len(),
            codes: words(data, "codes"),
            still_failing: words(data, "still_failing"),
            newly_failing: words(data, "newly_failing"),
            summary: text(data, "summary"),
        };
        if gate == "grade" {
            self.facts.grade = Some(facts);
        } else if let Some(attempt) = self.facts.attempts.last_mut() {
            attempt.summary.clone_from(&facts.summary);
            attempt.tests = Some(facts);
            if let Some(body) = event.body("report") {
                attempt.digests.insert("tests", body.digest);
            }
            if self.with_texts {
                [attempt.texts.passed, attempt.texts.failed] = lists;
            }
        }
        Ok(())
    }

    fn result(&mut self, data: &Map<String, Value>) {
        let outcome = text(data, "outcome");
        self.facts.ending = Ending::of_outcome(&outcome);
        self.facts.by_fallback =
            self.facts.ending == Ending::Resolved && data.get("fallback") == Some(&Value::Bool(true));
        self.facts.outcome = outcome;
        self.facts.reason = text(data, "reason");
        if let Some(judged) = data.get("judged").and_then(Value::as_object) {
            self.facts.judged = [words(judged, "passed"), words(judged, "failed")];
        }
    }

    fn json_of(&self, event: &StoredEvent, slot: &str) -> Result<Map<String, Value>, ReportError> {
        if event.body(slot).is_none() {
            return Err(self.wrong(event, &format!("it has no {slot}")));
        }
        let bytes = self.store.body(self.run, event.seq, slot)?;
        serde_json::from_slice(&bytes).map_err(|error| self.wrong(event, &format!("{slot}: {error}")))
    }

    fn text_of(&self, event: &StoredEvent, slot: &str) -> Result<String, ReportError> {
        if event.body(slot).is_none() {
            return Ok(String::new());
        }
        let bytes = self.store.body(self.run, event.seq, slot)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Returns the microseconds that an event took.
fn elapsed(event: &StoredEvent) -> u64 {
    let observation: Value = serde_json::from_str(&event.observation).unwrap_or_default();
    observation.get("elapsed_us").and_then(Value::as_u64).unwrap_or_default()
}

fn text(data: &Map<String, Value>, name: &str) -> String {
    data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn words(data: &Map<String, Value>, name: &str) -> Vec<String> {
    let words = data.get(name).and_then(Value::as_array).into_iter().flatten();
    words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
}
