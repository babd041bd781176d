//! JSON Lines: one object an exchange, for `jq` and scripts.
//!
//! `request` and `reply` are the bodies as text, exactly as they came but without content encoding (absent where they
//! are no text); `conversation` and `turn` are what was read in them.

use serde_json::{Value, json};

use super::{Redaction, Step, text};
use crate::store::RunRow;

/// Returns one exchange as an object.
pub(super) fn line(step: &Step, run: &RunRow, redaction: &mut Redaction) -> Value {
    let (exchange, head) = (&step.exchange, &step.exchange.head);
    let mut line = json!({
        "run": run.id.to_string(),
        "event": step.seq,
        "service": head.service,
        "method": head.method,
        "target": head.target,
        "status": head.status,
        "request_headers": head.request_headers,
        "headers": head.headers,
        "started_us": step.started_us,
        "elapsed_us": step.elapsed_us,
    });
    if let Some(aborted) = &head.aborted {
        line["aborted"] = json!({"by": aborted.by, "at": aborted.at});
    }
    let sent = exchange.received.as_ref().map(|_| exchange.sent.clone());
    let bodies = [("request", Some(exchange.asked_decoded())), ("sent", sent), ("reply", Some(step.reply_decoded()))];
    for (name, bytes) in bodies {
        let Some(bytes) = bytes else { continue };
        match text(&bytes) {
            Some(text) => line[name] = text.into(),
            None => {
                let hit = redaction.hits(&bytes);
                line[name] = json!({"bytes": bytes.len(), "redacted": hit});
            }
        }
    }
    if let Some(conversation) = exchange.conversation() {
        line["conversation"] = json!({
            "model": conversation.model,
            "streams": conversation.streams,
            "tools": conversation.tools,
            "turns": conversation.turns,
        });
    }
    if let Some(turn) = exchange.turn() {
        line["turn"] = json!(turn);
    }
    if let Some(grade) = exchange.grade() {
        line["grade"] = json!(grade);
    }
    line
}
