//! The report of the first difference between a replay and its recording.

use std::fmt;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

/// Bytes shown on each side of the first differing one.
const CONTEXT: usize = 60;
/// Lines of the labelled diff that are shown.
const DIFF_LINES: usize = 40;

/// Characters of one line of it.
const WIDTH: usize = 200;

/// One of the two sides that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What the store holds.
    Recorded,
    /// What this replay computed.
    Replayed,
}

impl Side {
    fn label(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Replayed => "replayed",
        }
    }
}

/// Where and how a replay first differs from its recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// Position of the event in the run.
    pub event: u32,
    /// Kind of that event, as recorded.
    pub kind: String,
    /// What is compared: `request`, `canonical`, `data`, or another slot.
    pub what: String,
    /// RFC 6901 pointer to the first differing member, where both sides are JSON.
    pub pointer: Option<String>,
    /// Offset of the first differing byte in the compared bytes.
    pub offset: u64,
    /// Bytes around the first difference: recorded, then replayed, with control characters escaped.
    pub around: [String; 2],
    /// A line diff around the difference, `-` recorded, `+` replayed.
    pub diff: Vec<String>,
    /// A sentence for cases that are not a difference of bytes.
    pub remark: Option<String>,
}

impl Divergence {
    /// Compares two byte strings that should be equal.
    pub(crate) fn of_bytes(event: u32, kind: &str, what: &str, recorded: &[u8], replayed: &[u8]) -> Self {
        let offset = recorded.iter().zip(replayed).take_while(|(a, b)| a == b).count();
        Self {
            event,
            kind: kind.into(),
            what: what.into(),
            pointer: pointer(recorded, replayed),
            offset: offset as u64,
            around: [excerpt(recorded, offset), excerpt(replayed, offset)],
            diff: line_diff(recorded, replayed),
            remark: None,
        }
    }

    /// Describes a difference that has no bytes to compare.
    pub fn remark(event: u32, kind: &str, what: &str, remark: String) -> Self {
        Self {
            event,
            kind: kind.into(),
            what: what.into(),
            pointer: None,
            offset: 0,
            around: Default::default(),
            diff: Vec::new(),
            remark: Some(remark),
        }
    }
}

impl Divergence {
    /// Returns the report without its diff of lines, for whoever has little room.
    #[must_use]
    pub fn without_diff(&self) -> Self {
        Self { diff: Vec::new(), ..self.clone() }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} ({}): ", self.event, self.kind)?;
        if let Some(remark) = &self.remark {
            return write!(f, "{remark}");
        }
        write!(f, "the {} differs at byte {}", self.what, self.offset)?;
        if let Some(pointer) = &self.pointer {
            write!(f, ", JSON pointer {pointer:?}")?;
        }
        for (side, text) in [Side::Recorded, Side::Replayed].into_iter().zip(&self.around) {
            write!(f, "\n  {}: …{text}…", side.label())?;
        }
        for line in &self.diff {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// Returns the pointer to the first differing member, walking both documents in canonical order.
fn pointer(recorded: &[u8], replayed: &[u8]) -> Option<String> {
    let (a, b): (Value, Value) = (serde_json::from_slice(recorded).ok()?, serde_json::from_slice(replayed).ok()?);
    let mut path = String::new();
    descend(&a, &b, &mut path);
    Some(path)
}

fn descend(a: &Value, b: &Value, path: &mut String) {
    let step = match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort_by(|x, y| x.encode_utf16().cmp(y.encode_utf16()));
            keys.into_iter()
                .find(|key| a.get(*key) != b.get(*key))
                .map(|key| (key.replace('~', "~0").replace('/', "~1"), a.get(key), b.get(key)))
        }
        (Value::Array(a), Value::Array(b)) => {
            (0..a.len().max(b.len())).find(|i| a.get(*i) != b.get(*i)).map(|i| (i.to_string(), a.get(i), b.get(i)))
        }
        _ => None,
    };
    if let Some((key, a, b)) = step {
        path.push('/');
        path.push_str(&key);
        if let (Some(a), Some(b)) = (a, b) {
            descend(a, b, path);
        }
    }
}

fn excerpt(bytes: &[u8], offset: usize) -> String {
    let from = offset.saturating_sub(CONTEXT).min(bytes.len());
    let to = (offset + CONTEXT).min(bytes.len());
    String::from_utf8_lossy(&bytes[from..to]).chars().flat_map(shown).collect()
}

fn shown(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control();
    let plain = (!escaped).then_some(c);
    plain.into_iter().chain(escaped.then(|| c.escape_default()).into_iter().flatten())
}

/// Diffs the two sides by lines; JSON strings are unfolded first, so that a prompt reads as text.
fn line_diff(recorded: &[u8], replayed: &[u8]) -> Vec<String> {
    let (a, b) = (unfolded(recorded), unfolded(replayed));
    let diff = TextDiff::configure().timeout(std::time::Duration::from_secs(2)).diff_lines(&a, &b);
    let mut lines = Vec::new();
    for group in diff.grouped_ops(2) {
        // Where the first changed lines of both sides part: a long line is shown from a little before there.
        let first = |tag| group.iter().flat_map(|op| diff.iter_changes(op)).find(|change| change.tag() == tag);
        let parts = match (first(ChangeTag::Delete), first(ChangeTag::Insert)) {
            (Some(a), Some(b)) => a.value().chars().zip(b.value().chars()).take_while(|(a, b)| a == b).count(),
            _ => 0,
        };
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            if lines.len() == DIFF_LINES {
                lines.push("…".into());
                return lines;
            }
            let sign = match change.tag() {
                ChangeTag::Delete => "- recorded",
                ChangeTag::Insert => "+ replayed",
                ChangeTag::Equal => "          ",
            };
            let skipped = if change.tag() == ChangeTag::Equal || parts < WIDTH { 0 } else { parts - CONTEXT };
            let dots = if skipped > 0 { "…" } else { "" };
            let line = change.value().trim_end_matches('\n').chars().skip(skipped).take(WIDTH);
            lines.push(format!("{sign} | {dots}{}", line.flat_map(shown).collect::<String>()));
        }
    }
    lines
}

fn unfolded(bytes: &[u8]) -> String {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(value) => serde_json::to_string_pretty(&value).unwrap_or_default().replace("\\n", "\n"),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_change_is_named_exactly() {
        let long = "x".repeat(10_000);
        let a = format!(r#"{{"messages":[{{"content":"{long}one"}}]}}"#);
        let b = format!(r#"{{"messages":[{{"content":"{long}two"}}]}}"#);
        let divergence = Divergence::of_bytes(7, "model_call", "request", a.as_bytes(), b.as_bytes());
        assert_eq!(divergence.pointer.as_deref(), Some("/messages/0/content"));
        assert_eq!(divergence.offset, 10_025);
        assert!(divergence.around[0].ends_with("one\"}]}") && divergence.around[1].ends_with("two\"}]}"));
    }

    #[test]
    fn pointers_escape_their_parts_and_name_missing_members() {
        let at = |a: &str, b: &str| pointer(a.as_bytes(), b.as_bytes()).unwrap();
        assert_eq!(at(r#"{"a/b":{"c~d":1}}"#, r#"{"a/b":{"c~d":2}}"#), "/a~1b/c~0d");
        assert_eq!(at("[1,2]", "[1,2,3]"), "/2");
        assert_eq!(at("1", "2"), "");
    }

    #[test]
    fn what_is_not_json_is_compared_as_bytes() {
        let divergence = Divergence::of_bytes(0, "test", "canonical", b"ok\n\xff", b"ok\n\xfe");
        assert_eq!((divergence.pointer, divergence.offset), (None, 3));
    }
}
