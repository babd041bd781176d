//! `certify`: signs what a run, or a campaign of several, is worth.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::certificate::{self, Envelope, MAX_CERTIFICATE, SecretKey, Statement, Trust, Verification, export};
use crate::rung::{Profile, Rung, Verdict};
use crate::store::{RunRow, Store};
use crate::transcript::Evidence;

use super::args::Global;
use super::bench::{self, Finished};
use super::campaign::{self, CampaignArgs};
use super::check::{Replayed, assess, evidence_failure, find_runs};
use super::keyfile::{read_secret, write_whole};
use super::runs::{find_run, open_store, short};
use super::trust::today;
use super::ui::{Tone, printable};
use super::verify::read_regular;
use super::{Exit, Failure, FailureKind, Host, Ui};

/// Signs what a run or a campaign is worth: its transcript, its patch and the rungs that it reached.
///
/// The rungs are assessed first, replay included. A failed rung is certified as failed; one that could not be assessed
/// is not certified, nor is a campaign with missing runs. Certifying a run twice gives the same bytes. Beside CERT lies
/// `NAME.intoto.jsonl`: the certificate and a standard in-toto test result, a line each.
#[derive(Debug, Args)]
pub(crate) struct CertifyArgs {
    /// Run or campaign of `bench`: an id, a unique prefix of one, a name, or `last` for the last run.
    #[arg(default_value = "last", conflicts_with = "runs", value_name = "RUN|CAMPAIGN")]
    run: String,
    #[command(flatten)]
    campaign: CampaignArgs,
    /// The private key, a file that only you may read.
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
    /// Opens an encrypted key with the first line of a file; asked for otherwise.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Where the certificate goes; RUN.dsse.json or campaign.dsse.json otherwise.
    #[arg(short, long, value_name = "CERT")]
    output: Option<PathBuf>,
    /// Replaces files that hold something else.
    #[arg(long)]
    force: bool,
    /// Also writes the evidence as a folder, which `verify` takes without any store.
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    /// Also writes a Sigstore bundle v0.3.
    #[arg(long, value_name = "FILE")]
    sigstore_bundle: Option<PathBuf>,
    /// Also writes CERT.sig for `ssh-keygen -Y verify`.
    #[arg(long)]
    ssh: bool,
    /// Signs this certificate once more, with another key, instead of issuing one.
    #[arg(long, value_name = "CERT", conflicts_with_all = ["run", "runs", "evidence", "output"])]
    add_signature: Option<PathBuf>,
    /// Prints what was written as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn certify(args: &CertifyArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let key = read_secret(&args.key, args.passphrase_file.as_deref())?;
    if let Some(path) = &args.add_signature {
        return add_signature(args, path, &key, ui);
    }
    let store = open_store(&global.store)?;
    if !args.campaign.runs.is_empty() {
        let rows = find_runs(&store, &args.campaign.runs)?;
        return certify_campaign(args, &store, &rows, args.campaign.profile()?.unwrap_or_default(), &key, ui);
    }
    let row = find_run(&store, &args.run)?;
    if row.kind == crate::campaign::KIND {
        let Finished { rows, missing, profile } = bench::finished(&store, &row, ui)?;
        if missing > 0 {
            let failure = Failure::new(FailureKind::Below, "a campaign with missing runs is not certified");
            return Err(failure.hint(
                "perform them with `runproof bench INSTANCES --resume`; `certify --runs A,B,…` is about these runs alone",
            ));
        }
        return certify_campaign(args, &store, &rows, args.campaign.profile()?.unwrap_or(profile), &key, ui);
    }
    args.campaign.refuse_for_run()?;
    let name = format!("{}.dsse.json", short(&store, row.id));
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(name));
    let issued = issue(&store, &row, &key)?;
    write(&issued, &key, &path, args.force)?;
    let evidence = Evidence::of_run(&store, row.id).map_err(evidence_failure)?;
    if let Some(folder) = &args.evidence {
        write_evidence(&issued, &evidence, folder)?;
    }
    extras(args, &issued.envelope, &key, &path)?;
    tell(args, &issued.envelope, &issued.statement, &path, ui)?;
    Ok(Exit::Sound)
}

fn certify_campaign(
    args: &CertifyArgs,
    store: &Store,
    rows: &[RunRow],
    profile: Profile,
    key: &SecretKey,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    // Those signed by the same key count.
    let certificates = args.campaign.certificates(Trust::Key(key.public()), ui)?;
    let gathered = campaign::gather(store, rows, profile, certificates.as_ref(), ui)?;
    let issued = issue_campaign(&gathered, key)?;
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from("campaign.dsse.json"));
    write(&issued, key, &path, args.force)?;
    if let Some(folder) = &args.evidence {
        let (statement, files) = (&issued.statement, issued.files());
        campaign::write_evidence(store, &gathered, statement, &files, certificates.as_ref(), folder)?;
    }
    extras(args, &issued.envelope, key, &path)?;
    tell(args, &issued.envelope, &issued.statement, &path, ui)?;
    Ok(Exit::Sound)
}

/// Signs what came of a campaign.
fn issue_campaign(gathered: &campaign::Gathered, key: &SecretKey) -> Result<Issued, Failure> {
    let members = &gathered.members;
    let malformed = |problem: certificate::Problem| Failure::new(FailureKind::Malformed, problem);
    let rungs = members.rungs().map_err(malformed)?;
    sign(members.statement().map_err(malformed)?, rungs, key)
}

/// Certifies a campaign; the certificates of its runs lie in `folder`.
pub(crate) fn campaign_into(
    store: &Store,
    rows: &[RunRow],
    profile: Profile,
    key: &SecretKey,
    folder: &Path,
    path: &Path,
    ui: &Ui,
) -> Result<(), Failure> {
    let certificates = campaign::Certificates::read(folder, Trust::Key(key.public()), today(), 0)?;
    let gathered = campaign::gather(store, rows, profile, Some(&certificates), ui)?;
    write(&issue_campaign(&gathered, key)?, key, path, true)
}

/// A certificate that was issued and not yet written.
pub(crate) struct Issued {
    pub(crate) envelope: Envelope,
    pub(crate) statement: Statement,
    pub(crate) rungs: Vec<Rung>,
}

impl Issued {
    /// Returns the criteria of every certified rung under the names in the certificate.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let certified = self.rungs.iter().take(self.statement.rungs().len());
        certified.map(|rung| (rung.number().file_name(), rung.to_bytes())).collect()
    }
}

/// Assesses a run and signs what came of it.
///
/// # Errors
/// A run that cannot be assessed, or a statement that must not be signed.
pub(crate) fn issue(store: &Store, row: &RunRow, key: &SecretKey) -> Result<Issued, Failure> {
    let evidence = Evidence::of_run(store, row.id).map_err(evidence_failure)?;
    let replayed = Replayed::perform(store, row)?;
    let rung = assess(row, &evidence, &replayed);
    sign(certificate::of_run(&evidence).map_err(campaign::facts_failure)?, vec![rung], key)
}

/// Signs a statement with its rungs, if there is one that was assessed and nothing that must not be told.
fn sign(statement: Statement, rungs: Vec<Rung>, key: &SecretKey) -> Result<Issued, Failure> {
    let statement = statement.claiming(&rungs);
    if statement.rungs().is_empty() {
        let criteria = rungs.iter().flat_map(Rung::criteria);
        let open = criteria.into_iter().find(|criterion| criterion.verdict == Verdict::NotAssessed);
        let why = open.map_or_else(String::new, |criterion| format!(": {} ({})", criterion.name, criterion.reason));
        let failure = Failure::new(FailureKind::Below, format!("rung 641 could not be assessed{why}"));
        return Err(failure.hint("`runproof check` shows every criterion"));
    }
    certificate::lint(&statement, &Host::private_texts()).map_err(|error| {
        Failure::new(FailureKind::Wanting, error)
            .hint("nothing was signed; rename what shows it, or record the run anew")
    })?;
    Ok(Issued { envelope: Envelope::sign(statement.to_bytes(), key), statement, rungs })
}

/// Says whether a certificate lies at `path` that `key` signed, of this recording of the run.
pub(crate) fn is_of(path: &Path, row: &RunRow, key: &SecretKey) -> bool {
    let Ok(bytes) = read_regular(path, MAX_CERTIFICATE, "certificate") else { return false };
    let verification = Verification::begin(&bytes, &Trust::Key(key.public()), &today(), 0);
    let run = verification.statement().and_then(Statement::run);
    run.is_some_and(|run| row.raw_root == Some(run.transcript.raw_root.as_sha256()))
}

/// Writes a certificate and its companion.
pub(crate) fn write(issued: &Issued, key: &SecretKey, path: &Path, force: bool) -> Result<(), Failure> {
    let bytes = issued.envelope.to_bytes();
    let companion = Envelope::sign(export::test_result(&issued.statement), key).to_bytes();
    write_whole(path, &bytes, force)?;
    write_whole(&companion_of(path), &[bytes, companion].concat(), force)
}

fn companion_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = [".dsse.json", ".json"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    path.with_file_name(format!("{stem}.intoto.jsonl"))
}

/// Writes the evidence folder, the rung's criteria beside the manifest.
pub(crate) fn write_evidence(issued: &Issued, evidence: &Evidence<'_>, folder: &Path) -> Result<(), Failure> {
    let files = issued.files();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    evidence.write_folder(folder, &files).map_err(evidence_failure)
}

fn extras(args: &CertifyArgs, envelope: &Envelope, key: &SecretKey, path: &Path) -> Result<(), Failure> {
    if let Some(file) = &args.sigstore_bundle {
        let bundle = export::sigstore_bundle(envelope).map_err(|problem| {
            Failure::new(FailureKind::Wanting, problem).hint("export a certificate with one signature")
        })?;
        write_whole(file, &bundle, args.force)?;
    }
    if args.ssh {
        let mut sidecar = path.as_os_str().to_owned();
        sidecar.push(".sig");
        write_whole(Path::new(&sidecar), certificate::sshsig(key, &envelope.to_bytes()).as_bytes(), args.force)?;
    }
    Ok(())
}

fn add_signature(args: &CertifyArgs, path: &Path, key: &SecretKey, ui: &mut Ui) -> Result<Exit, Failure> {
    let bytes = read_regular(path, MAX_CERTIFICATE, "certificate")?;
    let malformed = |problem: certificate::Problem| Failure::new(FailureKind::Malformed, problem);
    let mut envelope = Envelope::from_bytes(&bytes).map_err(malformed)?;
    let statement = Statement::from_bytes(&envelope.payload).map_err(malformed)?;
    envelope.add_signature(key);
    write_whole(path, &envelope.to_bytes(), true)?;
    extras(args, &envelope, key, path)?;
    tell(args, &envelope, &statement, path, ui)?;
    Ok(Exit::Sound)
}

fn tell(
    args: &CertifyArgs,
    envelope: &Envelope,
    statement: &Statement,
    path: &Path,
    ui: &mut Ui,
) -> Result<(), Failure> {
    let (identity, signatures) = (envelope.identity(), envelope.signatures.len());
    let rungs = statement.rungs();
    if args.json {
        return ui.json(&json!({
            "certificate": path.to_string_lossy(), "payload": identity, "signatures": signatures, "rungs": rungs,
        }));
    }
    ui.data(path.display())?;
    ui.data(format_args!("  about    {}", printable(&statement.about())))?;
    for claim in rungs {
        let tone = if claim.result == certificate::RungResult::Passed { Tone::Good } else { Tone::Bad };
        ui.data(format_args!("  rung     {} {}", claim.rung, ui.tone(tone, claim.result.word())))?;
    }
    ui.data(format_args!("  payload  {identity}"))?;
    ui.data(format_args!("  signed   by {signatures} key{}", if signatures == 1 { "" } else { "s" }))
}
