//! HTTP Archive 1.2, as browsers and HTTP tools read it.
//!
//! Hosts are not recorded, so the address of an entry is that of its service under the reserved domain `invalid`.
//! Members that the format does not know begin with an underscore, as it asks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Redaction, Step, text};

/// What comes after the entries.
pub(super) const CLOSING: &str = "\n]}}\n";

/// What comes before the entries.
pub(super) fn opening() -> String {
    let creator = json!({"name": "runproof", "version": env!("CARGO_PKG_VERSION")});
    format!("{{\"log\":{{\"version\":\"1.2\",\"creator\":{creator},\"entries\":[\n")
}

/// Returns one exchange as an entry.
pub(super) fn entry(step: &Step, day: fn(u64) -> String, redaction: &mut Redaction) -> Value {
    let (exchange, head) = (&step.exchange, &step.exchange.head);
    let milliseconds = |us: u64| us as f64 / 1000.0;
    // When a reply that is no stream began to come was not observed.
    let waited_us = step.first_us.unwrap_or(step.elapsed_us);
    let mut request = json!({
        "method": head.method,
        "url": format!("https://{}.invalid{}", head.service, head.target),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": pairs(head.request_headers.iter()),
        "queryString": query(&head.target),
        "headersSize": -1,
        "bodySize": exchange.asked().len(),
    });
    if !exchange.asked().is_empty() {
        let kind = head.request_headers.get("content-type").map_or("", String::as_str);
        request["postData"] = body(&exchange.asked_decoded(), kind, redaction);
    }
    let reply = step.reply_decoded();
    let mut content = body(&reply, head.header("content-type"), redaction);
    content["size"] = reply.len().into();
    let mut entry = json!({
        "startedDateTime": moment(step.started_us, day),
        "time": milliseconds(step.elapsed_us),
        "request": request,
        "response": {
            "status": head.status,
            "statusText": "",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": pairs(head.headers.iter()),
            "content": content,
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": exchange.reply.len(),
        },
        "cache": {},
        "timings": {
            "send": 0,
            "wait": milliseconds(waited_us),
            "receive": milliseconds(step.elapsed_us - waited_us),
        },
        "_event": step.seq,
        "_service": head.service,
    });
    if let Some(aborted) = &head.aborted {
        entry["_aborted"] = json!({"by": aborted.by, "at": aborted.at});
    }
    entry
}

fn pairs<'a>(items: impl Iterator<Item = (&'a String, &'a String)>) -> Vec<Value> {
    items.map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn query(target: &str) -> Vec<Value> {
    let parts = target.split_once('?').map_or("", |(_, query)| query).split('&').filter(|part| !part.is_empty());
    let named = parts.map(|part| part.split_once('=').unwrap_or((part, "")));
    named.map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// Returns a body: its text, or its bytes in base64 where they are none.
fn body(bytes: &[u8], kind: &str, redaction: &mut Redaction) -> Value {
    let mut body = Map::new();
    body.insert("mimeType".into(), kind.into());
    match text(bytes) {
        Some(text) => body.insert("text".into(), text.into()),
        None if redaction.hits(bytes) => body.insert("comment".into(), "left out: it holds a credential".into()),
        None => {
            body.insert("text".into(), STANDARD.encode(bytes).into());
            body.insert("encoding".into(), "base64".into())
        }
    };
    Value::Object(body)
}

/// Returns a moment in the form of ISO 8601, in UTC.
fn moment(us: u64, day: fn(u64) -> String) -> String {
    let (seconds, rest) = (us / 1_000_000, us % 1_000_000 / 1000);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}.{rest:03}Z", day(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_queries() {
        assert_eq!(moment(86_399_999_999, |seconds| format!("day {}", seconds / 86_400)), "day 0T23:59:59.999Z");
        assert_eq!(
            query("/v1/models?limit=2&flag"),
            [json!({"name": "limit", "value": "2"}), json!({"name": "flag", "value": ""})]
        );
        assert!(query("/v1/models").is_empty());
    }

    #[test]
    fn bytes_that_are_no_text_go_as_base64_unless_they_hold_a_key() {
        let mut redaction = Redaction::new(Vec::new(), Vec::new());
        let plain = body(b"\xff\x00", "image/png", &mut redaction);
        assert_eq!(plain, json!({"mimeType": "image/png", "text": "/wA=", "encoding": "base64"}));
        let key = [b"\xff".as_slice(), format!("sk-proj-{}", "a1b2".repeat(6)).as_bytes()].concat();
        assert!(body(&key, "", &mut redaction).get("text").is_none());
    }
}
