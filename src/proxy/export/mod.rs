//! A recording in the formats of other tools: HAR 1.2, JSON Lines, OTLP/JSON.
//!
//! Exports go one way: nothing is read back from them, and what a replay or a certificate needs is not in them all. They
//! are also the only place where anything is redacted; the store keeps bodies as they came.

mod har;
mod jsonl;
mod otlp;
mod redact;

use std::io::{self, Write};

use serde_json::Value;

use super::{Exchange, ExchangeError};
use crate::store::{RunRow, Store, StoreError, StoredEvent};
use crate::transcript::Kind;

pub use otlp::CONVENTIONS;
pub use redact::Redaction;

/// The format of an export.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// HTTP Archive 1.2, for browsers and HTTP tools.
    Har {
        /// Returns the day `YYYY-MM-DD` that so many seconds after 1970 fall on.
        day: fn(u64) -> String,
    },
    /// One JSON object an exchange, with the conversation and the turn as they were read.
    JsonLines,
    /// OpenTelemetry spans by the conventions for generative AI, one `ExportTraceServiceRequest`.
    Otlp,
}

/// Says why a recording could not be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// An exchange cannot be read.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One exchange with its place in the run and what was observed of it.
struct Step {
    seq: u32,
    exchange: Exchange,
    started_us: u64,
    elapsed_us: u64,
    /// Until the first piece of a stream came.
    first_us: Option<u64>,
}

impl Step {
    fn of(store: &Store, run: &RunRow, event: &StoredEvent) -> Result<Self, ExchangeError> {
        // Observations are outside every digest: what is not there or not a number counts as nothing.
        let observed: Value = serde_json::from_str(&event.observation).unwrap_or_default();
        let (after_us, elapsed_us) = super::times(&observed).unwrap_or_default();
        let first = observed.pointer("/chunks/1").and_then(Value::as_u64);
        Ok(Self {
            seq: event.seq,
            exchange: Exchange::of_store(store, run.id, event)?,
            started_us: run.started_ms.saturating_mul(1000).saturating_add(after_us),
            elapsed_us,
            first_us: first.map(|ms| ms.saturating_mul(1000).min(elapsed_us)),
        })
    }

    /// Returns the reply's body without its content encoding, where that can be undone.
    fn reply_decoded(&self) -> Vec<u8> {
        let reply = &self.exchange.reply;
        super::decoded(reply, self.exchange.head.header("content-encoding")).unwrap_or_else(|_| reply.clone())
    }
}

/// Writes the exchanges of a recording, one after the other, and returns how many they are.
///
/// # Errors
/// A body that is missing or is not what its digest says, a malformed head, or an output that cannot be written.
pub fn export(
    form: Form,
    store: &Store,
    run: &RunRow,
    redaction: &mut Redaction,
    out: &mut dyn Write,
) -> Result<u32, ExportError> {
    let mut count = 0;
    out.write_all(opening(form, run, redaction).as_bytes())?;
    for event in store.events(run.id)?.iter().filter(|event| event.kind == Kind::Exchange.name()) {
        let step = Step::of(store, run, event)?;
        let mut value = match form {
            Form::Har { day } => har::entry(&step, day, redaction),
            Form::JsonLines => jsonl::line(&step, run, redaction),
            Form::Otlp => otlp::span(&step, run),
        };
        redaction.value(&mut value);
        if count > 0 && !matches!(form, Form::JsonLines) {
            out.write_all(b",\n")?;
        }
        serde_json::to_writer(&mut *out, &value).map_err(io::Error::from)?;
        if matches!(form, Form::JsonLines) {
            out.write_all(b"\n")?;
        }
        count += 1;
    }
    out.write_all(closing(form).as_bytes())?;
    out.flush()?;
    Ok(count)
}

fn opening(form: Form, run: &RunRow, redaction: &mut Redaction) -> String {
    match form {
        Form::Har { .. } => har::opening(),
        Form::JsonLines => String::new(),
        Form::Otlp => otlp::opening(run, redaction),
    }
}

fn closing(form: Form) -> &'static str {
    match form {
        Form::Har { .. } => har::CLOSING,
        Form::JsonLines => "",
        Form::Otlp => otlp::CLOSING,
    }
}

/// Returns a body as text; nothing where it is none.
fn text(body: &[u8]) -> Option<String> {
    String::from_utf8(body.to_vec()).ok()
}
