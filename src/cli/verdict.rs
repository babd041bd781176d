//! A verification's report in every form that somebody may want to read.

use std::path::Path;

use serde_json::json;

use crate::canon::Sha256;
use crate::certificate::{Date, Decision, Level, Report, Status, export};

use super::ui::{Tone, printable_line};
use super::verify::{Format, exit_of};
use super::{Failure, FailureKind, Ui};

pub(crate) fn print(
    report: &Report,
    format: Format,
    path: &Path,
    policy: Option<Sha256>,
    day: &Date,
    ui: &mut Ui,
) -> Result<(), Failure> {
    match format {
        Format::Text => text(report, ui),
        Format::Json => {
            let mut value =
                serde_json::to_value(report).map_err(|error| Failure::new(FailureKind::Malformed, error))?;
            value["exit"] = json!(exit_of(report).code());
            ui.json(&value)
        }
        Format::Github => ui.data(github(report, path)),
        Format::Junit => ui.data(junit(report, path)),
        Format::Vsa => ui.json(&export::verification_summary(report, policy, day)),
    }
}

/// Returns the first line: what was decided, the level, and what it does not show.
pub(crate) fn headline(report: &Report) -> String {
    let word = report.decision.word();
    match report.decision {
        Decision::Accepted => {
            format!("{word} at level {}; this does not show {}", report.level, report.does_not_show)
        }
        Decision::Below => format!("{word}: {}; this does not show {}", report.message, report.does_not_show),
        _ => format!("{word} ({}): {}", report.reason.map_or("", |reason| reason.word()), report.message),
    }
}

fn text(report: &Report, ui: &mut Ui) -> Result<(), Failure> {
    let tone = if report.decision == Decision::Accepted { Tone::Good } else { Tone::Bad };
    ui.data(ui.tone(tone, &printable_line(&headline(report))))?;
    for check in &report.checks {
        let tone = match check.status {
            Status::Passed => Tone::Good,
            Status::Failed => Tone::Bad,
            Status::Skipped | Status::Unavailable => Tone::Dim,
        };
        let pad = " ".repeat("unavailable".len() - check.status.word().len());
        let word = ui.tone(tone, check.status.word());
        ui.data(format_args!("  {word}{pad}  {:<9}  {}", check.name, printable_line(&check.reason)))?;
    }
    if report.level >= Level::Signature
        && let Some(statement) = &report.statement
    {
        ui.data(format_args!("  about   {}", printable_line(&statement.about())))?;
        for claim in statement.rungs() {
            ui.data(format_args!("  rung    {} {}", claim.rung, claim.result.word()))?;
        }
    }
    for signer in &report.signers {
        ui.data(format_args!("  signer  {} ({})", signer.keyid, printable_line(&signer.name)))?;
    }
    if !report.ignored.is_empty() {
        ui.data(format_args!("  ignored {}", printable_line(&report.ignored.join(", "))))?;
    }
    Ok(())
}

/// Escapes as GitHub's workflow commands want it.
fn github(report: &Report, path: &Path) -> String {
    let data = |text: &str| printable_line(text).replace('%', "%25");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let command = if report.decision == Decision::Accepted { "notice" } else { "error" };
    let title = format!("runproof verify {}", report.decision.word());
    let file = property(&path.to_string_lossy());
    let mut lines = vec![format!("::{command} file={file},title={}::{}", property(&title), data(&headline(report)))];
    let failed = report.checks.iter().filter(|check| matches!(check.status, Status::Failed | Status::Unavailable));
    lines.extend(failed.map(|check| {
        let text = format!("{}: {} ({})", check.name, check.reason, check.status.word());
        format!("::warning file={file},title={}::{}", property(check.name), data(&text))
    }));
    lines.join("\n")
}

fn junit(report: &Report, path: &Path) -> String {
    let escape = |text: &str| {
        let safe = printable_line(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        safe.replace('"', "&quot;")
    };
    let file = escape(&path.to_string_lossy());
    let count = |wanted: &[Status]| report.checks.iter().filter(|check| wanted.contains(&check.status)).count();
    // The decision is a case of its own: a level that is too low fails no single check.
    let refused = usize::from(report.decision != Decision::Accepted);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"runproof verify\" tests=\"{}\" \
         failures=\"{}\" errors=\"0\" skipped=\"{}\">\n",
        report.checks.len() + 1,
        count(&[Status::Failed]) + refused,
        count(&[Status::Skipped, Status::Unavailable])
    );
    let mut case = |name: &str, body: String| {
        xml.push_str(&format!("<testcase classname=\"{file}\" name=\"{name}\" file=\"{file}\">{body}</testcase>\n"));
    };
    for check in &report.checks {
        let reason = escape(&check.reason);
        case(
            check.name,
            match check.status {
                Status::Passed => format!("<system-out>{reason}</system-out>"),
                Status::Failed => format!("<failure message=\"{reason}\"/>"),
                status => format!("<skipped message=\"{}: {reason}\"/>", status.word()),
            },
        );
    }
    let line = escape(&headline(report));
    let body = match report.decision {
        Decision::Accepted => format!("<system-out>{line}</system-out>"),
        _ => format!("<failure message=\"{line}\"/>"),
    };
    case("decision", body);
    xml.push_str("</testsuite>\n</testsuites>");
    xml
}
