//! `store export` in the formats of other tools.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use clap::Args;
use regex::Regex;
use serde_json::json;

use crate::certificate::Date;
use crate::proxy::export::{CONVENTIONS, ExportError, Form, Redaction, export};
use crate::store::{RunRow, Store, StoreError};

use super::recorded::exchange_failure;
use super::runs::short;
use super::{Exit, Failure, FailureKind, Host, Ui};

/// In which other tool's format, and what is taken out.
#[derive(Debug, Args)]
pub(crate) struct FormArgs {
    /// Writes the exchanges of a recorded agent as an HTTP Archive 1.2.
    #[arg(long, group = "form")]
    har: bool,
    /// Writes them as JSON Lines: bodies, conversation, turn, tokens and times, one object an exchange.
    #[arg(long, group = "form")]
    jsonl: bool,
    /// Writes them as OpenTelemetry spans in OTLP/JSON (conventions for generative AI, version 1.41.0).
    #[arg(long, group = "form")]
    otlp: bool,
    /// Takes out what this pattern matches, too; may be repeated.
    #[arg(long, value_name = "REGEX", requires = "form")]
    redact: Vec<Regex>,
    /// Leaves in what looks like a credential; otherwise it becomes `[redacted]`, in the export alone.
    #[arg(long, requires = "form", conflicts_with = "redact")]
    unredacted: bool,
}

impl FormArgs {
    /// Returns the format that was asked for; nothing for our own.
    pub(crate) fn form(&self) -> Option<Form> {
        match self {
            Self { har: true, .. } => Some(Form::Har { day: |seconds| Date::from_unix(seconds).to_string() }),
            Self { jsonl: true, .. } => Some(Form::JsonLines),
            Self { otlp: true, .. } => Some(Form::Otlp),
            _ => None,
        }
    }

    fn redaction(&self) -> Redaction {
        if self.unredacted { Redaction::off() } else { Redaction::new(Host::secrets(), self.redact.clone()) }
    }
}

/// Writes a recorded agent's exchanges to a new file.
pub(crate) fn export_as(
    form: Form,
    args: &FormArgs,
    (store, run): (&Store, &RunRow),
    file: &Path,
    as_json: bool,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    if run.kind != "record" {
        let failure = Failure::new(FailureKind::Usage, format!("run {} is no recording of an agent", run.id));
        return Err(failure.hint("without --har, --jsonl and --otlp any run can be exported, as a store of its own"));
    }
    let out = File::create_new(file).map_err(|error| StoreError::io(file, error))?;
    let mut redaction = args.redaction();
    let count = export(form, store, run, &mut redaction, &mut BufWriter::new(out)).map_err(|error| {
        // Half an archive is none; that it cannot be removed either changes nothing about what went wrong.
        let _ = fs::remove_file(file);
        match error {
            ExportError::Exchange(error) => exchange_failure(error),
            ExportError::Store(error) => error.into(),
            ExportError::Io(error) => StoreError::io(file, error).into(),
        }
    })?;
    if as_json {
        let conventions = matches!(form, Form::Otlp).then_some(CONVENTIONS);
        ui.json(&json!({
            "run": run.id.to_string(), "file": file, "exchanges": count, "redacted": redaction.replaced(),
            "conventions": conventions,
        }))?;
        return Ok(Exit::Sound);
    }
    let exchanges = if count == 1 { "1 exchange".to_owned() } else { format!("{count} exchanges") };
    ui.say(format_args!("wrote {exchanges} of run {} to {}.", short(store, run.id), file.display()));
    match redaction.replaced() {
        0 => {}
        1 => ui.say("1 piece of text that looks like a credential was taken out; the store keeps it."),
        many => ui.say(format_args!(
            "{many} pieces of text that look like credentials were taken out; the store keeps them."
        )),
    }
    Ok(Exit::Sound)
}
