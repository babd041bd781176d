//! `verify`: checks a certificate against a policy and, where it is given, the evidence.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::canon::{RunId, Sha256};
use crate::certificate::{
    Date, Decision, Level, MAX_CERTIFICATE, MAX_POLICY, Policy, PolicyError, Report, Trust, Verification,
};
use crate::store::{Access, Durability, Store, StoreError};
use crate::transcript::{Evidence, EvidenceError, Folder};

use super::args::Global;
use super::check::Replayed;
use super::keyfile::{key_failure, read_public};
use super::verdict;
use super::{Exit, Failure, FailureKind, Host, Ui};

/// Bytes of a rung's criteria that are read.
const MAX_RUNG: u64 = 16 << 20;

/// Checks a certificate: who signed it, that the evidence says the same, and that a replay reproduces every byte.
///
/// Trust comes from the policy file, or from the one key given, and from nothing else; the network is never used. The
/// first line says which level was reached and what that does not show. The exit code is 0 if the required level is
/// reached, 1 if the certificate is refused, 3 if it is malformed, 4 if a file cannot be read, 5 if everything checked
/// holds but less than the required level could be.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The certificate.
    certificate: PathBuf,
    /// Who may certify what.
    #[arg(long, value_name = "FILE", required_unless_present = "key")]
    policy: Option<PathBuf>,
    /// The one public key that counts, in place of a policy.
    #[arg(long, value_name = "PUB", conflicts_with = "policy")]
    key: Option<PathBuf>,
    /// The evidence: a folder with manifest and blobs, or a store.
    #[arg(long, value_name = "STORE|FOLDER")]
    evidence: Option<PathBuf>,
    /// The level that must be reached: signature, evidence, replay, tests or live. `replay` if evidence is given, else
    /// `signature`; a policy may ask for more.
    #[arg(long, value_name = "LEVEL")]
    require: Option<Level>,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// The day that the policy's end is compared with; today otherwise.
    #[arg(long, value_name = "YYYY-MM-DD")]
    at: Option<Date>,
    /// Refuses a policy of a lower version, such as an old one put back.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "key")]
    min_policy_version: u64,
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
    /// Annotations of GitHub Actions.
    Github,
    /// JUnit XML, a test case for each check.
    Junit,
    /// A SLSA verification summary.
    Vsa,
}

pub(crate) fn verify(args: &VerifyArgs, _global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let (trust, policy) = trust(args)?;
    let bytes = read_regular(&args.certificate, MAX_CERTIFICATE, "certificate")?;
    let day = args.at.clone().unwrap_or_else(|| Date::from_unix(Host::now_us() / 1_000_000));
    let verification = Verification::begin(&bytes, &trust, &day, args.min_policy_version);
    let report = examine(verification, args.evidence.as_deref(), args.require)?;
    let format = if args.json { Format::Json } else { args.format };
    verdict::print(&report, format, &args.certificate, policy, &day, ui)?;
    Ok(exit_of(&report))
}

/// Returns the exit code of a report.
pub(crate) fn exit_of(report: &Report) -> Exit {
    match report.decision {
        Decision::Accepted => Exit::Sound,
        Decision::Refused => Exit::Wanting,
        Decision::Malformed => Exit::Malformed,
        Decision::Below => Exit::Below,
    }
}

fn trust(args: &VerifyArgs) -> Result<(Trust, Option<Sha256>), Failure> {
    let Some(path) = &args.policy else {
        let path = args.key.as_deref().unwrap_or(Path::new(""));
        return Ok((Trust::Key(read_public(path)?), None));
    };
    let bytes = read_regular(path, MAX_POLICY, "policy")?;
    let policy = Policy::from_bytes(&bytes).map_err(|error| match error {
        PolicyError::Key { name, error } => {
            let mut failure = key_failure(Path::new(&name), &error);
            failure.message = format!("in the policy {}: {}", path.display(), failure.message);
            failure
        }
        error => Failure::new(FailureKind::Malformed, error).hint("docs/certificate.md says what a policy holds"),
    })?;
    Ok((Trust::Policy(Box::new(policy)), Some(Sha256::of(&bytes))))
}

/// Reads a regular file of at most `cap` bytes; anything else is not opened for longer than it takes to see that.
pub(crate) fn read_regular(path: &Path, cap: u64, what: &str) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(FailureKind::Environment, format!("cannot read the {what} {}: {error}", path.display()))
    };
    // Without waiting: opening a FIFO would otherwise hang until somebody writes to it.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        let message = format!("the {what} {} is not a regular file", path.display());
        return Err(Failure::new(FailureKind::Environment, message));
    }
    if found.len() > cap {
        let message = format!("the {what} {} is larger than {cap} bytes", path.display());
        return Err(Failure::new(FailureKind::Malformed, message));
    }
    let mut bytes = Vec::new();
    file.take(cap).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Looks at the evidence, if there is any and if the certificate is worth it.
pub(crate) fn examine(
    mut verification: Verification,
    evidence: Option<&Path>,
    require: Option<Level>,
) -> Result<Report, Failure> {
    if let Some(path) = evidence {
        verification.evidence_given();
        if verification.statement().is_some() {
            let wants_replay = verification.required(require) >= Level::Replay;
            if path.is_dir() {
                of_folder(&mut verification, path, wants_replay)?;
            } else {
                of_store(&mut verification, path, wants_replay)?;
            }
        }
    }
    Ok(verification.finish(require))
}

fn of_folder(verification: &mut Verification, path: &Path, wants_replay: bool) -> Result<(), Failure> {
    let folder = Folder::open(path).map_err(super::check::evidence_failure)?;
    let evidence = match Evidence::of_folder(&folder) {
        Err(error) => {
            verification.evidence(Err(&error), &|_| None);
            return Ok(());
        }
        Ok(evidence) => evidence,
    };
    verification.evidence(Ok(&evidence), &|name| folder.read(name, MAX_RUNG).ok());
    if wants_replay && verification.reached() == Level::Evidence {
        let replayed = replay_folder(&evidence)?;
        verification.replay(&evidence, replayed.seen());
    }
    Ok(())
}

/// Replays from a store of its own, which is gone afterwards.
fn replay_folder(evidence: &Evidence<'_>) -> Result<Replayed, Failure> {
    let run = RunId::from_bytes(Host::random()?);
    let scratch = Host::temporary().join(format!("runproof-{run}"));
    let failed = |error: std::io::Error| {
        let message = format!("a replay needs a folder to work in: cannot make {}: {error}", scratch.display());
        Failure::new(FailureKind::Environment, message).hint("name another one in TMPDIR")
    };
    std::fs::create_dir(&scratch).map_err(failed)?;
    let replayed = (|| {
        let mut store = Store::open(&scratch.join("evidence.sqlite"), Access::Create, Durability::Normal)?;
        evidence.load_into(&mut store, run).map_err(super::check::evidence_failure)?;
        let row = store.run(run)?.ok_or(StoreError::MissingRun(run))?;
        Replayed::perform(&store, &row)
    })();
    let _ = std::fs::remove_dir_all(&scratch);
    replayed
}

fn of_store(verification: &mut Verification, path: &Path, wants_replay: bool) -> Result<(), Failure> {
    let refuse = |verification: &mut Verification, error: StoreError| match error {
        error @ (StoreError::Io { .. } | StoreError::Missing(_) | StoreError::Locked) => Err(Failure::from(error)),
        error => {
            verification.evidence(Err(&EvidenceError::Store(error)), &|_| None);
            Ok(())
        }
    };
    let store = match Store::open(path, Access::Foreign, Durability::Full) {
        Ok(store) => store,
        Err(error) => return refuse(verification, error),
    };
    let rows = match store.runs() {
        Ok(rows) => rows,
        Err(error) => return refuse(verification, error),
    };
    // The row's word only says where to look; another run than the certified one is refused by its manifest.
    let wanted = verification.statement().map(|statement| statement.predicate.transcript.raw_root);
    let root = |row: &crate::store::RunRow| row.raw_root.map(|root| crate::certificate::Hex::new(root.as_bytes()));
    let row = rows.iter().find(|row| root(row) == wanted).or(rows.last());
    let Some(row) = row else {
        verification.evidence(Err(&EvidenceError::Missing("the run".into())), &|_| None);
        return Ok(());
    };
    match Evidence::of_run(&store, row.id) {
        Err(error) => verification.evidence(Err(&error), &|_| None),
        Ok(evidence) => {
            verification.evidence(Ok(&evidence), &|_| None);
            if wants_replay && verification.reached() == Level::Evidence {
                let replayed = Replayed::perform(&store, row)?;
                verification.replay(&evidence, replayed.seen());
            }
        }
    }
    Ok(())
}
