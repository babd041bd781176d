//! Taking credentials out of what is exported.

use regex::Regex;
use serde_json::Value;

use crate::proxy::secret;

/// What stands in a credential's place.
const MARK: &str = "[redacted]";

/// What is taken out of an export, and how often that was.
#[derive(Default)]
pub struct Redaction {
    off: bool,
    values: Vec<String>,
    patterns: Vec<Regex>,
    replaced: u64,
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the values.
        write!(f, "{} values, {} patterns, {} replaced", self.values.len(), self.patterns.len(), self.replaced)
    }
}

impl Redaction {
    /// Takes out what has the shape of a key, these values, and what these patterns match.
    pub fn new(values: Vec<String>, patterns: Vec<Regex>) -> Self {
        let values = values.into_iter().filter(|value| value.len() >= secret::SHORTEST).collect();
        Self { off: false, values, patterns, replaced: 0 }
    }

    /// Leaves everything as it was recorded.
    pub fn off() -> Self {
        Self { off: true, ..Self::default() }
    }

    /// Returns how many pieces of text were taken out so far.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Returns a text without what is to be taken out.
    pub(super) fn text(&mut self, text: &str) -> String {
        if self.off {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for key in secret::keys(text) {
            out.push_str(&text[at..key.start]);
            out.push_str(MARK);
            at = key.end;
            self.replaced += 1;
        }
        out.push_str(&text[at..]);
        for value in &self.values {
            let found = out.matches(value.as_str()).count() as u64;
            if found > 0 {
                out = out.replace(value.as_str(), MARK);
                self.replaced += found;
            }
        }
        for pattern in &self.patterns {
            let found = pattern.find_iter(&out).filter(|found| !found.is_empty()).count() as u64;
            if found > 0 {
                out = pattern.replace_all(&out, MARK).into_owned();
                self.replaced += found;
            }
        }
        out
    }

    /// Says whether bytes that are no text hold something that is to be taken out; they are then left out as a whole.
    pub(super) fn hits(&mut self, bytes: &[u8]) -> bool {
        let before = self.replaced;
        self.text(&String::from_utf8_lossy(bytes));
        self.replaced > before
    }

    /// Redacts every text in a value; names of members stay.
    pub(super) fn value(&mut self, value: &mut Value) {
        match value {
            _ if self.off => {}
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.value(member)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_values_and_patterns_are_taken_out_and_counted() {
        let key = format!("sk-proj-{}", "a1b2".repeat(6));
        let mut redaction =
            Redaction::new(vec!["correct horse".into(), "short".into()], vec![Regex::new("[0-9]+@x").unwrap()]);
        let mut value = json!({"a": [format!("({key}) and ({key})"), 1], "b": {"c": "correct horse, 12@x, short"}});
        redaction.value(&mut value);
        let expected = json!({"a": ["([redacted]) and ([redacted])", 1], "b": {"c": "[redacted], [redacted], short"}});
        assert_eq!(value, expected);
        assert_eq!(redaction.replaced(), 4);
        assert!(redaction.hits(format!("\u{0}{key}").as_bytes()));
        assert!(!redaction.hits(b"\xff\xfe nothing"));
        assert!(!format!("{redaction:?}").contains("horse"));
    }

    #[test]
    fn switched_off_it_leaves_everything() {
        let key = format!("sk-proj-{}", "a1b2".repeat(6));
        let mut redaction = Redaction::off();
        let mut value = json!(key);
        redaction.value(&mut value);
        assert_eq!((value, redaction.replaced()), (json!(key), 0));
    }

    #[test]
    fn a_private_key_goes_as_a_whole() {
        let mut redaction = Redaction::new(Vec::new(), Vec::new());
        let text = "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nxyz=\n-----END RSA PRIVATE KEY-----\nb";
        assert_eq!(redaction.text(text), "a\n[redacted]\nb");
        assert_eq!(redaction.text("-----BEGIN PRIVATE KEY-----\nMIIE"), "[redacted]");
    }
}
