//! The end of `demo`: rungs checked, a certificate issued with a key of its own, verified, and a changed copy refused.

use std::path::Path;

use crate::certificate::{Decision, Envelope, Report, SecretKey, Trust, Verification};
use crate::rung::Ladder;
use crate::store::{RunRow, Store};
use crate::transcript::Evidence;

use super::certify::{issue, write, write_evidence};
use super::check::{evidence_failure, print_ladder};
use super::keyfile::write_whole;
use super::runs::short;
use super::trust::today;
use super::ui::Tone;
use super::verdict::headline;
use super::verify::Examination;
use super::{Failure, FailureKind, Host, Ui};

/// What the end of the demo showed.
pub(crate) struct Demonstrated {
    /// The certificate was accepted at the level that evidence allows.
    pub(crate) verified: bool,
    /// The changed copy was refused.
    pub(crate) refused: bool,
}

/// Certifies and verifies one run below `folder`.
pub(crate) fn demonstrate(
    store: &Store,
    row: &RunRow,
    folder: &Path,
    aloud: bool,
    ui: &mut Ui,
) -> Result<Demonstrated, Failure> {
    let id = short(store, row.id);
    let folder = folder.join(format!("certificate-{id}"));
    std::fs::create_dir_all(&folder).map_err(|error| {
        Failure::new(FailureKind::Environment, format!("cannot make {}: {error}", folder.display()))
    })?;
    // Never written: nobody can sign with it again.
    let key = SecretKey::from_seed(&Host::random()?);
    let issued = issue(store, row, &key)?;
    let (certificate, public, evidence) =
        (folder.join("run.dsse.json"), folder.join("key.pub"), folder.join("evidence"));
    write(&issued, &key, &certificate, true)?;
    write_whole(&public, key.public().to_pem().as_bytes(), true)?;
    write_evidence(&issued, &Evidence::of_run(store, row.id).map_err(evidence_failure)?, &evidence)?;

    let trust = Trust::Key(key.public());
    let report = verified(&issued.envelope, &trust, &evidence, ui)?;
    let mut changed = issued.envelope.clone();
    change(&mut changed);
    let other = verified(&changed, &trust, &evidence, ui)?;
    if aloud {
        ui.data("")?;
        let ladder = Ladder::new(issued.rungs).map_err(|error| Failure::new(FailureKind::Malformed, error))?;
        ui.data(format_args!("{} of {id}", ui.tone(Tone::Strong, "Rungs")))?;
        print_ladder(&ladder, ui)?;
        ui.data("")?;
        ui.data(format_args!(
            "{} of {id}, signed with a key made for it and thrown away",
            ui.tone(Tone::Strong, "Certificate")
        ))?;
        ui.data(format_args!("  certificate   {}", certificate.display()))?;
        ui.data(format_args!("  public key    {}", public.display()))?;
        ui.data(format_args!("  evidence      {}", evidence.display()))?;
        line("verified", &report, Decision::Accepted, ui)?;
        line("changed copy", &other, Decision::Refused, ui)?;
        let (certificate, public, evidence) = (certificate.display(), public.display(), evidence.display());
        ui.data(format_args!("  by yourself   runproof verify {certificate} --key {public} --evidence {evidence}"))?;
    }
    Ok(Demonstrated { verified: report.decision == Decision::Accepted, refused: other.decision == Decision::Refused })
}

fn verified(envelope: &Envelope, trust: &Trust, evidence: &Path, ui: &mut Ui) -> Result<Report, Failure> {
    let today = today();
    let verification = Verification::begin(&envelope.to_bytes(), trust, &today, 0);
    Examination::of(evidence, trust, &today).examine(verification, ui)
}

/// Changes one digit of the signed bytes, the number of attempts.
fn change(envelope: &mut Envelope) {
    let mark = b"\"outcome\":{\"attempts\":";
    if let Some(at) = envelope.payload.windows(mark.len()).position(|bytes| bytes == mark)
        && let Some(digit) = envelope.payload.get_mut(at + mark.len())
    {
        *digit = if *digit == b'1' { b'2' } else { b'1' };
    }
}

fn line(label: &str, report: &Report, wanted: Decision, ui: &mut Ui) -> Result<(), Failure> {
    let tone = if report.decision == wanted { Tone::Good } else { Tone::Bad };
    ui.data(format_args!("  {label:<12}  {}", ui.tone(tone, &headline(report))))
}
