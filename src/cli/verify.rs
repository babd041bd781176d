//! `verify`: checks a certificate against a policy and, where it is given, the evidence.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use rustix::fs::OFlags;

use crate::certificate::{Date, Decision, Level, MAX_CERTIFICATE, Report, Statement, Trust, Verification};

use super::again::{self, AgainArgs};
use super::args::Global;
use super::campaign::{self, CERTIFICATES, Certificates};
use super::evidence::Source;
use super::trust::{TrustArgs, today};
use super::verdict;
use super::{Exit, Failure, FailureKind, Ui};

/// Checks a certificate: who signed it, that the evidence says the same, and that a replay reproduces every byte.
///
/// Trust comes from the policy file, or from the one key given, and from nothing else; the network is never used unless
/// --require live asks the models again. The first line says which level was reached and what that does not show. The
/// exit code is 0 if the required level is reached, 1 if the certificate is refused, 3 if it is malformed, 4 if a file
/// cannot be read, 5 if everything checked holds but less than the required level could be.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("trusted").required(true).args(["policy", "key"])))]
pub(crate) struct VerifyArgs {
    /// The certificate, of a run or of a campaign.
    certificate: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
    /// The evidence: a folder with manifest and blobs, or a store.
    #[arg(long, value_name = "STORE|FOLDER")]
    evidence: Option<PathBuf>,
    /// The level that must be reached: signature, evidence, replay, tests (really run again) or live (the models asked
    /// again). `replay` if evidence is given, else `signature`; a policy may ask for more.
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
    /// Certificates of a campaign's runs; otherwise `certificates` in the evidence folder.
    #[arg(long, value_name = "DIR", help_heading = "Campaigns")]
    certificates: Option<PathBuf>,
    /// Thresholds of a campaign; otherwise `profile.json` in the evidence folder, or the built-in ones.
    #[arg(long, value_name = "FILE", help_heading = "Campaigns")]
    profile: Option<PathBuf>,
    #[command(flatten)]
    again: AgainArgs,
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
    let Some(loaded) = args.trust.load()? else {
        return Err(Failure::new(FailureKind::Usage, "nobody is trusted").hint("name a policy with --policy"));
    };
    let bytes = read_regular(&args.certificate, MAX_CERTIFICATE, "certificate")?;
    let day = args.at.clone().unwrap_or_else(today);
    let verification = Verification::begin(&bytes, &loaded.trust, &day, args.min_policy_version);
    let report = Examination {
        evidence: args.evidence.as_deref(),
        require: args.require,
        trust: &loaded.trust,
        day: &day,
        minimum: args.min_policy_version,
        certificates: args.certificates.as_deref(),
        profile: args.profile.as_deref(),
        again: Some(&args.again),
    }
    .examine(verification, ui)?;
    let format = if args.json { Format::Json } else { args.format };
    verdict::print(&report, format, &args.certificate, loaded.policy, &day, ui)?;
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

/// Reads a regular file of at most `cap` bytes; anything else is not opened for longer than it takes to see that.
pub(crate) fn read_regular(path: &Path, cap: u64, what: &str) -> Result<Vec<u8>, Failure> {
    read_with(path, cap, what, OFlags::NONBLOCK)
}

/// As [`read_regular`] in a folder that somebody else may have made: a link is not followed.
pub(crate) fn read_below(path: &Path, cap: u64, what: &str) -> Result<Vec<u8>, Failure> {
    read_with(path, cap, what, OFlags::NONBLOCK | OFlags::NOFOLLOW)
}

fn read_with(path: &Path, cap: u64, what: &str, flags: OFlags) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(FailureKind::Environment, format!("cannot read the {what} {}: {error}", path.display()))
    };
    // Without waiting: opening a FIFO would otherwise hang until somebody writes to it.
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if found.file_type().is_char_device() || found.file_type().is_block_device() {
        let message = format!("the {what} {} is a device, which has no end", path.display());
        return Err(Failure::new(FailureKind::Malformed, message));
    }
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

/// Says whether a folder is there, and is not a link to another one.
fn is_own_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

/// What a certificate is held against.
pub(crate) struct Examination<'a> {
    pub(crate) evidence: Option<&'a Path>,
    pub(crate) require: Option<Level>,
    pub(crate) trust: &'a Trust,
    pub(crate) day: &'a Date,
    pub(crate) minimum: u64,
    pub(crate) certificates: Option<&'a Path>,
    pub(crate) profile: Option<&'a Path>,
    pub(crate) again: Option<&'a AgainArgs>,
}

impl<'a> Examination<'a> {
    /// Evidence alone, held against one key or policy.
    pub(crate) fn of(evidence: &'a Path, trust: &'a Trust, day: &'a Date) -> Self {
        let (require, certificates, profile, again) = (None, None, None, None);
        Self { evidence: Some(evidence), require, trust, day, minimum: 0, certificates, profile, again }
    }

    /// Looks at the evidence, if there is any and if the certificate is worth it.
    pub(crate) fn examine(&self, mut verification: Verification, ui: &mut Ui) -> Result<Report, Failure> {
        if let Some(path) = self.evidence {
            verification.evidence_given();
            if verification.statement().is_some() {
                match Source::open(path)? {
                    Ok(source) => self.look(&mut verification, &source, path, ui)?,
                    Err(error) => verification.evidence_refused(&error),
                }
            }
        }
        Ok(verification.finish(self.require))
    }

    fn look(&self, verification: &mut Verification, source: &Source, path: &Path, ui: &mut Ui) -> Result<(), Failure> {
        let required = verification.required(self.require);
        // Whatever a recorded agent's recomputation shows counts, though it is no replay.
        let is_recorded = verification.statement().is_some_and(Statement::is_of_recorded_agent);
        let wants_replay = required >= Level::Replay || is_recorded && required >= Level::Evidence;
        let Some(root) = verification.statement().and_then(|statement| Some(statement.run()?.transcript.raw_root))
        else {
            let beside = path.join(CERTIFICATES);
            let folder = self.certificates.or_else(|| is_own_folder(&beside).then_some(beside.as_path()));
            let certificates = folder
                .map(|folder| Certificates::read(folder, self.trust.clone(), self.day.clone(), self.minimum))
                .transpose()?;
            campaign::verify(verification, source, self.profile, certificates.as_ref(), wants_replay, ui)?;
            if required > Level::Replay {
                verification
                    .unavailable("tests", "a campaign's tests are run again run by run: verify its certificates");
            }
            return Ok(());
        };
        let (evidence, row) = match source.run(root.as_sha256()) {
            Ok(found) => found,
            Err(error) => {
                verification.evidence_refused(&error);
                return Ok(());
            }
        };
        verification.evidence(Ok(&evidence), &|name| source.file(name));
        if wants_replay && verification.reached() == Level::Evidence {
            verification.replay(&evidence, source.replayed(&evidence, row)?.seen());
        }
        match self.again {
            Some(args) if required > Level::Replay && verification.reached() == Level::Replay => {
                source
                    .in_store(&evidence, row, |store, row| again::perform(verification, store, row, args, required, ui))
            }
            _ => Ok(()),
        }
    }
}
