//! The body that goes out: built from a request, and checked against it when a recorded exchange is read.
//!
//! A [`Plan`] lists every field that a request asks a provider for. Building writes them in order; reading says which
//! of them are missing, because the server had refused them, and fails where the body asks something else.

use serde_json::{Map, Value};

use super::Fault;
use super::request::{Message, Request};

struct Field {
    /// `name` or `group/name`.
    path: &'static str,
    value: Value,
    /// Whether a server may refuse it; without the others there is no call.
    optional: bool,
}

/// The fields of a wire body, in order.
#[derive(Default)]
pub(crate) struct Plan(Vec<Field>);

impl Plan {
    /// Adds a field that every body has.
    pub(crate) fn must(&mut self, path: &'static str, value: impl Into<Value>) -> &mut Self {
        self.0.push(Field { path, value: value.into(), optional: false });
        self
    }

    /// Adds a field that is left out once the server has refused it.
    pub(crate) fn may(&mut self, path: &'static str, value: impl Into<Value>) -> &mut Self {
        self.0.push(Field { path, value: value.into(), optional: true });
        self
    }

    /// Adds a decimal setting as a JSON number.
    pub(crate) fn decimal(&mut self, path: &'static str, text: &str) -> &mut Self {
        // A text that is no number goes out as it is, and the server says so.
        let number = serde_json::from_str::<Value>(text).ok().filter(Value::is_number);
        self.may(path, number.unwrap_or_else(|| text.into()))
    }

    /// Returns the body without the fields in `dropped`, followed by `extra` fields.
    #[cfg(any(feature = "live", test))]
    pub(crate) fn body(&self, dropped: &[String], extra: &[(&'static str, Value)]) -> Vec<u8> {
        let kept = self.0.iter().filter(|field| !dropped.iter().any(|name| name == field.path));
        let mut body = Map::new();
        for (path, value) in kept.map(|field| (field.path, &field.value)).chain(extra.iter().map(|(p, v)| (*p, v))) {
            match path.split_once('/') {
                None => {
                    body.insert(path.into(), value.clone());
                }
                Some((group, name)) => {
                    let group = body.entry(group).or_insert_with(|| Value::Object(Map::new()));
                    group.as_object_mut().expect("only groups hold a slash").insert(name.into(), value.clone());
                }
            }
        }
        serde_json::to_vec(&body).expect("a map of values serialises")
    }

    /// Returns the optional fields that `sent` lacks, sorted.
    ///
    /// # Errors
    /// A body that lacks another field, or holds one with another value or one that is neither here nor in `extra`.
    pub(crate) fn missing(&self, sent: &[u8], extra: &[&str]) -> Result<Vec<String>, Fault> {
        let differs = |field: &str| Fault::SentDiffers { field: field.to_owned() };
        let mut body: Map<String, Value> = serde_json::from_slice(sent).map_err(|_| differs("the whole body"))?;
        let mut missing = Vec::new();
        for field in &self.0 {
            match take(&mut body, field.path) {
                Some(value) if value == field.value => {}
                None if field.optional => missing.push(field.path.to_owned()),
                _ => return Err(differs(field.path)),
            }
        }
        for path in extra {
            take(&mut body, path);
        }
        let left = body.iter().find(|(_, value)| value.as_object().is_none_or(|group| !group.is_empty()));
        if let Some((name, _)) = left {
            return Err(differs(&name.chars().take(100).collect::<String>()));
        }
        missing.sort();
        Ok(missing)
    }

    /// Returns the names of the fields that a server may refuse.
    #[cfg(feature = "live")]
    pub(crate) fn optional(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().filter(|field| field.optional).map(|field| field.path)
    }

    /// Returns the optional field, among those in `sent`, that a refusal names.
    ///
    /// `named` is the server's own field for it; failing that the message is searched for the name as a whole word.
    #[cfg(feature = "live")]
    pub(crate) fn refused(&self, sent: &[u8], named: Option<&str>, message: &str) -> Option<&'static str> {
        let mut body: Map<String, Value> = serde_json::from_slice(sent).ok()?;
        let sent: Vec<_> =
            self.0.iter().filter(|field| field.optional && take(&mut body, field.path).is_some()).collect();
        let last = |path: &'static str| path.rsplit('/').next().unwrap_or(path);
        let is = |path: &'static str, word: &str| word == last(path) || word.replace('.', "/") == path;
        let by_name = named.and_then(|named| sent.iter().find(|field| is(field.path, named)));
        let words: Vec<&str> = message.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
        by_name.or_else(|| sent.iter().find(|field| words.contains(&last(field.path)))).map(|field| field.path)
    }
}

fn take(body: &mut Map<String, Value>, path: &str) -> Option<Value> {
    match path.split_once('/') {
        None => body.shift_remove(path),
        Some((group, name)) => body.get_mut(group)?.as_object_mut()?.shift_remove(name),
    }
}

/// Returns messages as every chat API takes them.
pub(crate) fn messages<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Value {
    let message = |message: &Message| serde_json::json!({"role": message.role.as_str(), "content": message.content});
    messages.into_iter().map(message).collect()
}

/// Refuses a prompt count that cannot be that of the whole prompt.
///
/// A server that cuts the prompt says nothing of it. No tokenizer in use needs less than one token for eight
/// characters of text or code, and a count that fills the context leaves no room for a reply.
pub(crate) fn whole_prompt(request: &Request, counted: Option<u32>) -> Result<(), Fault> {
    const CHARACTERS_PER_TOKEN: usize = 8;
    const TOO_SHORT_TO_JUDGE: usize = 2000;
    let Some(counted) = counted else { return Ok(()) };
    let characters: usize = request.messages.iter().map(|message| message.content.chars().count()).sum();
    let few = characters > TOO_SHORT_TO_JUDGE && (counted as usize) < characters / CHARACTERS_PER_TOKEN;
    if few || counted >= request.limits.context_tokens {
        return Err(Fault::PromptTruncated { counted, characters, context: request.limits.context_tokens });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Provider;
    use crate::model::request::tests::request;

    fn plan() -> Plan {
        let mut plan = Plan::default();
        plan.must("model", "m").decimal("options/temperature", "0").may("options/seed", 42).may("top_k", 1);
        plan
    }

    #[test]
    fn a_body_reads_back_with_what_was_dropped() {
        let plan = plan();
        assert_eq!(plan.body(&[], &[]), br#"{"model":"m","options":{"temperature":0,"seed":42},"top_k":1}"#);
        let sent = plan.body(&["options/seed".into(), "top_k".into()], &[("keep_alive", 0.into())]);
        assert_eq!(sent, br#"{"model":"m","options":{"temperature":0},"keep_alive":0}"#);
        assert_eq!(plan.missing(&sent, &["keep_alive"]).unwrap(), ["options/seed", "top_k"]);
    }

    #[test]
    fn a_body_that_asks_something_else_is_refused() {
        for (sent, field) in [
            (r#"{"options":{"temperature":0}}"#, "model"),
            (r#"{"model":"x"}"#, "model"),
            (r#"{"model":"m","options":{"temperature":1}}"#, "options/temperature"),
            (r#"{"model":"m","top_p":1}"#, "top_p"),
            (r#"{"model":"m","options":{"mirostat":1}}"#, "options"),
            ("[]", "the whole body"),
        ] {
            let error = plan().missing(sent.as_bytes(), &[]).unwrap_err();
            assert_eq!(error, Fault::SentDiffers { field: field.into() });
        }
    }

    #[cfg(feature = "live")]
    #[test]
    fn a_refusal_names_a_field_that_was_sent() {
        let plan = plan();
        let sent = plan.body(&["top_k".into()], &[]);
        for (named, message, field) in [
            (Some("temperature"), "", Some("options/temperature")),
            (Some("options.seed"), "", Some("options/seed")),
            (None, "Unsupported value: 'temperature' does not support 0", Some("options/temperature")),
            (None, "`top_k` is not supported", None),
            (None, "the model is bad", None),
            (None, "temperatures", None),
        ] {
            assert_eq!(plan.refused(&sent, named, message), field, "{message}");
        }
    }

    #[test]
    fn a_count_that_is_too_low_or_fills_the_context_is_a_cut_prompt() {
        let mut request = request(Provider::Ollama);
        assert_eq!(whole_prompt(&request, Some(1)), Ok(()));
        request.messages[1].content = "def f(x): return x\n".repeat(500);
        assert_eq!(whole_prompt(&request, None), Ok(()));
        assert_eq!(whole_prompt(&request, Some(3000)), Ok(()));
        for counted in [500, 4096] {
            assert!(matches!(whole_prompt(&request, Some(counted)), Err(Fault::PromptTruncated { .. })));
        }
    }
}
