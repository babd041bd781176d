//! Whether a call is greedy and seeded, and what would have to be set to make it so.
//!
//! Temperature 0 and a seed, where the API has them (the table of fields is in `docs/record.md`). Models that take no
//! temperature are left as they are and graded: nothing is changed that the server would refuse.

use serde_json::{Value, json};

use super::api::{self, Api};
use super::head::Head;
use super::{body, splice};
use crate::model::Grade;

/// What happens to calls that are not greedy and seeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// They are refused, and the agent is told why.
    Require,
    /// What can be set is set; both requests are recorded.
    Enforce,
    /// They are recorded and graded as they are.
    Observe,
}

impl Sampling {
    /// Returns the word of the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }
}

/// Models of Anthropic that still take a temperature; newer ones, from Opus 4.7 on, refuse it.
const WITH_TEMPERATURE: [&str; 6] =
    ["claude-2", "claude-3", "claude-instant", "claude-haiku-4", "claude-sonnet-4", "claude-opus-4"];
/// How models of OpenAI begin that refuse a temperature.
const REASONING: [&str; 5] = ["o1", "o3", "o4", "gpt-5", "codex-mini"];

/// What a call would need to be greedy and seeded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lacks {
    /// Members that can be set, with their values.
    pub settable: Vec<(&'static str, Value)>,
    /// Why nothing can be set.
    pub impossible: Option<&'static str>,
}

impl Lacks {
    /// Says whether the call is as greedy and seeded as its API allows.
    pub fn nothing(&self) -> bool {
        self.settable.is_empty() && self.impossible.is_none()
    }

    /// Says in words what is missing.
    pub fn words(&self) -> String {
        let set: Vec<String> = self.settable.iter().map(|(path, value)| format!("{path} is not {value}")).collect();
        let impossible = self.impossible.map(str::to_owned);
        set.into_iter().chain(impossible).collect::<Vec<_>>().join(", ")
    }
}

/// Returns what the decoded body of a call lacks; `deployment` is the model that the path names, `seed` the one to set.
pub fn lacks(api: Api, deployment: Option<&str>, body: &[u8], seed: u32) -> Lacks {
    let mut lacks = Lacks::default();
    if !api.samples() {
        return lacks;
    }
    if !api.is_read() {
        lacks.impossible = Some("how calls of this kind sample is not read");
        return lacks;
    }
    let Ok(body @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else {
        // Whatever it asks for, nobody can say that it is greedy.
        lacks.impossible = Some("its body cannot be read");
        return lacks;
    };
    let is_ollama = matches!(api, Api::OllamaChat | Api::OllamaGenerate);
    let group = if is_ollama { body.get("options") } else { Some(&body) };
    if is_ollama && group.is_some_and(|options| !options.is_object() && !options.is_null()) {
        lacks.impossible = Some("its options are no object");
        return lacks;
    }
    let member = |name: &str| group.and_then(|group| group.get(name)).filter(|value| !value.is_null());
    let is_zero = member("temperature").and_then(Value::as_f64) == Some(0.0);
    // For Ollama a negative one means any.
    let is_seeded = member("seed").and_then(Value::as_i64).is_some_and(|seed| seed >= 0 || !is_ollama);
    if member("n").and_then(Value::as_f64).is_some_and(|n| n > 1.0) {
        lacks.impossible = Some("it asks for several answers at once");
        return lacks;
    }
    match api {
        Api::OllamaChat | Api::OllamaGenerate => {
            let settings = [("options/temperature", is_zero, json!(0)), ("options/seed", is_seeded, json!(seed))];
            lacks.settable.extend(settings.into_iter().filter(|(_, is, _)| !is).map(|(path, _, value)| (path, value)));
        }
        Api::Messages => {
            let is_top = member("top_k").and_then(Value::as_u64) == Some(1);
            if is_zero || is_top {
            } else if !takes_temperature(&body) {
                lacks.impossible = Some("the model takes no temperature");
            } else if member("top_p").is_some() {
                lacks.impossible = Some("it sets top_p, beside which newer models take no temperature");
            } else {
                lacks.settable.push(("temperature", json!(0)));
            }
        }
        _ if is_reasoning(named(&body, deployment)) && !is_zero => {
            lacks.impossible = Some("the model takes no temperature")
        }
        _ => {
            if !is_zero {
                lacks.settable.push(("temperature", json!(0)));
            }
            // The Responses API has no seed at all.
            if !is_seeded && api != Api::Responses {
                lacks.settable.push(("seed", json!(seed)));
            }
        }
    }
    lacks
}

/// Returns the grade of a call by the decoded body that went to the server; none where nothing is sampled.
pub fn grade(api: Api, deployment: Option<&str>, body: &[u8]) -> Option<Grade> {
    let lacks = api.samples().then(|| lacks(api, deployment, body, 0))?;
    let has_seed = !matches!(api, Api::Messages | Api::Responses);
    Some(match () {
        () if lacks.impossible.is_some() => Grade::NotReexecutable,
        () if lacks.settable.iter().any(|(path, _)| path.ends_with("temperature")) => Grade::NotReexecutable,
        () if lacks.settable.is_empty() && has_seed => Grade::Seeded,
        () => Grade::Greedy,
    })
}

/// Returns the word of a grade in reports.
pub fn word(grade: Grade) -> &'static str {
    match grade {
        Grade::NotReexecutable => "not-reexecutable",
        Grade::Greedy => "greedy",
        Grade::Seeded => "seeded",
        Grade::BitExact => "bit-exact",
    }
}

/// Returns what is sent on in the place of a body as it came; nothing where it is sent on itself.
///
/// A function of what was asked, the rule and the seed alone, so that whoever has the recording can say the same.
pub fn in_place(rule: Sampling, seed: u32, head: &Head, asked: &[u8]) -> Option<Vec<u8>> {
    let api = Api::of(&head.method, &head.target);
    if rule != Sampling::Enforce || !api.samples() {
        return None;
    }
    // What cannot be read is handed on as it is.
    let decoded = body::decoded(asked, head.encoding()).ok()?;
    enforced(&decoded, &lacks(api, api::deployment(&head.target), &decoded, seed))
}

/// Returns the body with everything set that can be; nothing where there is nothing to set.
fn enforced(body: &[u8], lacks: &Lacks) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    for (path, value) in &lacks.settable {
        out = Some(splice::set(out.as_deref().unwrap_or(body), path, value)?);
    }
    out
}

fn model(body: &Value) -> &str {
    body.get("model").and_then(Value::as_str).unwrap_or_default()
}

fn takes_temperature(body: &Value) -> bool {
    let thinks = body.pointer("/thinking/type").is_some_and(|kind| kind != "disabled");
    !thinks && claude(model(body)).is_none_or(|name| is_with_temperature(&name))
}

/// Returns the name of a model of Anthropic without what others put before it (`us.anthropic.`, `anthropic/`).
fn claude(model: &str) -> Option<String> {
    model.find("claude").map(|at| model[at..].replace(['.', '@', ':'], "-"))
}

fn is_with_temperature(name: &str) -> bool {
    let rest = |start: &&str| name.strip_prefix(*start).filter(|rest| rest.is_empty() || rest.starts_with('-'));
    let Some(rest) = WITH_TEMPERATURE.iter().find_map(rest) else { return false };
    // `-7` is a version, `-20250514` a date.
    let minor = rest[rest.len().min(1)..].split('-').next().filter(|part| part.len() <= 2);
    !(name.starts_with("claude-opus")
        && minor.and_then(|minor| minor.parse::<u8>().ok()).is_some_and(|minor| minor >= 7))
}

/// Returns the model that the body names, or else the path: Azure's deployments are mostly called after theirs.
fn named<'n>(body: &'n Value, deployment: Option<&'n str>) -> &'n str {
    Some(model(body)).filter(|name| !name.is_empty()).or(deployment).unwrap_or_default()
}

fn is_reasoning(name: &str) -> bool {
    if let Some(name) = claude(name) {
        return !is_with_temperature(&name);
    }
    let name = name.rsplit('/').next().unwrap_or_default();
    let name = name.strip_prefix("ft:").unwrap_or(name);
    let begins = |start: &&str| {
        name.strip_prefix(*start).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', ':']))
    };
    name.contains("-search-preview") || !name.starts_with("gpt-5-chat") && REASONING.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(api: Api, body: &str) -> String {
        let lacks = lacks(api, None, body.as_bytes(), 42);
        let out = enforced(body.as_bytes(), &lacks).unwrap_or(body.as_bytes().to_vec());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_can_be_set_is_set_in_place() {
        assert_eq!(set(Api::Chat, r#"{"model":"m"}"#), r#"{"model":"m","temperature":0,"seed":42}"#);
        assert_eq!(
            set(Api::Chat, r#"{"model":"m","temperature":0.0,"seed":7}"#),
            r#"{"model":"m","temperature":0.0,"seed":7}"#
        );
        assert_eq!(
            set(Api::Chat, r#"{"temperature":0.7,"model":"m","seed":7}"#),
            r#"{"temperature":0,"model":"m","seed":7}"#
        );
        assert_eq!(
            set(Api::OllamaChat, r#"{"options":{"num_ctx":8}}"#),
            r#"{"options":{"num_ctx":8,"temperature":0,"seed":42}}"#
        );
        for model in ["claude-opus-4-20250514", "claude-opus-4-6", "claude-opus-4-5-20251101", "claude-3-5-haiku"] {
            let body = format!(r#"{{"model":"{model}"}}"#);
            assert_eq!(set(Api::Messages, &body), format!(r#"{{"model":"{model}","temperature":0}}"#));
        }
        assert_eq!(set(Api::Chat, r#"{"temperature":0,"seed":-5}"#), r#"{"temperature":0,"seed":-5}"#);
        assert_eq!(set(Api::Responses, r#"{"model":"m"}"#), r#"{"model":"m","temperature":0}"#);
        assert_eq!(
            set(Api::Messages, r#"{"model":"claude-haiku-4-5-20251001"}"#),
            r#"{"model":"claude-haiku-4-5-20251001","temperature":0}"#
        );
    }

    #[test]
    fn what_the_server_would_refuse_is_left_and_graded() {
        for (api, body) in [
            (Api::Chat, r#"{"model":"gpt-5.2-codex"}"#),
            (Api::Responses, r#"{"model":"o3"}"#),
            (Api::Messages, r#"{"model":"claude-opus-4-7"}"#),
            (Api::Messages, r#"{"model":"claude-sonnet-4-5","thinking":{"type":"enabled"}}"#),
            (Api::Chat, r#"{"model":"m","n":3,"temperature":0,"seed":1}"#),
            (Api::Chat, r#"{"model":"m","n":2.0,"temperature":0,"seed":1}"#),
            (Api::Chat, r#"{"model":"m","temperature":1,"messages":"\udc80"}"#),
            (Api::Chat, r#"{"model":"m","temperature":NaN}"#),
            (Api::Chat, r#"{"model":"ft:o4-mini-x"}"#),
            (Api::Chat, r#"{"model":"anthropic/claude-opus-4.7"}"#),
            (Api::Messages, r#"{"model":"us.anthropic.claude-opus-4-7","temperature":1}"#),
            (Api::Messages, r#"{"model":"claude-sonnet-4-5","top_p":0.9}"#),
            (Api::OllamaChat, r#"{"options":[1]}"#),
        ] {
            assert_eq!(set(api, body), body);
            assert_eq!(grade(api, None, body.as_bytes()), Some(Grade::NotReexecutable), "{body}");
            assert!(!lacks(api, None, body.as_bytes(), 1).nothing());
        }
    }

    #[test]
    fn grades_follow_from_what_was_sent() {
        let of = |api, body: &str| grade(api, None, body.as_bytes());
        assert_eq!(of(Api::Chat, r#"{"model":"m","temperature":0,"seed":1}"#), Some(Grade::Seeded));
        assert_eq!(of(Api::Chat, r#"{"model":"m","temperature":0}"#), Some(Grade::Greedy));
        assert_eq!(of(Api::Chat, r#"{"model":"m","seed":1}"#), Some(Grade::NotReexecutable));
        assert_eq!(of(Api::Messages, r#"{"model":"m","top_k":1}"#), Some(Grade::Greedy));
        assert_eq!(of(Api::OllamaChat, r#"{"options":{"temperature":0,"seed":-1}}"#), Some(Grade::Greedy));
        assert_eq!(of(Api::Embeddings, "{}"), None);
        let deployed = |name, body: &str| grade(Api::Chat, Some(name), body.as_bytes());
        assert_eq!(deployed("gpt-5-mini", r#"{"seed":1}"#), Some(Grade::NotReexecutable));
        assert!(lacks(Api::Chat, Some("gpt-5-mini"), b"{}", 1).settable.is_empty());
        assert_eq!(lacks(Api::Chat, Some("gpt-5-mini"), b"{\"model\":\"gpt-4o\"}", 1).settable.len(), 2);
        assert_eq!(of(Api::Unread, r#"{"temperature":0,"seed":1}"#), Some(Grade::NotReexecutable));
        assert_eq!(lacks(Api::Chat, None, b"{\"temperature\":1}", 5).words(), "temperature is not 0, seed is not 5");
    }
}
