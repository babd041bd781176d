//! The runs of a campaign brought together: from a store to certify them, from the evidence to verify them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clap::Args;

use crate::canon::{BlobRef, RunId, Sha256};
use crate::certificate::{
    CampaignPredicate, Date, DigestSet, FactsError, Level, MAX_CERTIFICATE, Member, MemberFact, Members, Statement,
    Trust, Verification,
};
use crate::rung::{Certified, Execution, Profile};
use crate::store::{Access, Durability, RunRow, RunStatus, Store};
use crate::transcript::{Evidence, EvidenceError};

use super::check::{Replayed, evidence_failure, read_profile};
use super::evidence::Source;
use super::reexecute::REEXECUTION;
use super::trust::today;
use super::ui::Unit;
use super::verify::read_below;
use super::{Failure, FailureKind, Host, Ui, crew};

/// Name of the folder with the certificates of its runs in a campaign's evidence folder.
pub(crate) const CERTIFICATES: &str = "certificates";
/// Runs that one thread takes at once.
const NEIGHBOURS: usize = 16;

/// Options of every verb that takes several runs as a campaign.
#[derive(Debug, Args)]
pub(crate) struct CampaignArgs {
    /// Runs that make up a campaign, or `all` of the store. Re-executions of them in the same store are found.
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub(crate) runs: Vec<String>,
    /// Thresholds of a campaign, in TOML or JSON, or `swe-bench-lite`; built in: 5 instances, direct arm at 40 % and above the patch arm, seeds
    /// 42, 137 and 9001; for 65537: everything resolved, every call executed again 3 times.
    #[arg(long, value_name = "FILE|NAME")]
    profile: Option<PathBuf>,
    /// Folder with the certificates of the runs, for 65537. `check` counts those that --policy or --key trusts, `certify`
    /// those signed by its own key.
    #[arg(long, value_name = "DIR")]
    pub(crate) certificates: Option<PathBuf>,
}

impl CampaignArgs {
    /// Reads the profile, where one is named.
    pub(crate) fn profile(&self) -> Result<Option<Profile>, Failure> {
        self.profile.as_deref().map(read_profile).transpose()
    }

    /// Refuses what says nothing about a single run.
    pub(crate) fn refuse_for_run(&self) -> Result<(), Failure> {
        if self.profile.is_none() && self.certificates.is_none() {
            return Ok(());
        }
        let failure = Failure::new(FailureKind::Usage, "--profile and --certificates are about a campaign, not a run");
        Err(failure.hint("name a campaign, or its runs with --runs A,B,…"))
    }

    /// Reads the certificates of the runs, where a folder of them is named.
    pub(crate) fn certificates(&self, trust: Trust, ui: &Ui) -> Result<Option<Certificates>, Failure> {
        let Some(folder) = &self.certificates else { return Ok(None) };
        let all = Certificates::read(folder, trust, today(), 0)?;
        if all.passed_over > 0 {
            let (count, folder) = (all.passed_over, folder.display());
            ui.warn(format_args!("{count} of the files in {folder} are no certificates that count"));
        }
        Ok(Some(all))
    }
}

/// The certificates of a campaign's runs, as far as somebody trusted signed them.
pub(crate) struct Certificates {
    trust: Trust,
    day: Date,
    minimum: u64,
    /// The files by the SHA-256 of the manifest that each is about.
    files: BTreeMap<Sha256, Vec<(PathBuf, Vec<u8>)>>,
    /// Files that are no certificate of a run that counts.
    passed_over: usize,
}

impl Certificates {
    /// Reads the certificates in a folder, which may be somebody else's: no link is followed, files with other names are
    /// not looked at, and what cannot be read as a file is passed over.
    pub(crate) fn read(folder: &Path, trust: Trust, day: Date, minimum: u64) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            let message = format!("cannot read the certificates in {}: {error}", folder.display());
            Failure::new(FailureKind::Environment, message)
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|end| end == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut this = Self { trust, day, minimum, files: BTreeMap::new(), passed_over: 0 };
        for path in paths {
            let Ok(bytes) = read_below(&path, MAX_CERTIFICATE, "certificate") else {
                this.passed_over += 1;
                continue;
            };
            let verification = this.begin(&bytes);
            match verification.statement().filter(|statement| statement.run().is_some()).and_then(manifest) {
                Some(manifest) => this.files.entry(manifest).or_default().push((path, bytes)),
                None => this.passed_over += 1,
            }
        }
        Ok(this)
    }

    fn begin(&self, bytes: &[u8]) -> Verification {
        Verification::begin(bytes, &self.trust, &self.day, self.minimum)
    }

    /// Compares every certificate of a run with the run.
    pub(crate) fn judge(&self, evidence: &Evidence<'_>) -> Vec<Certified> {
        let mut certified = Vec::new();
        let manifest = Sha256::of(evidence.manifest());
        for (_, bytes) in self.files.get(&manifest).into_iter().flatten() {
            let mut verification = self.begin(bytes);
            verification.evidence_given();
            verification.evidence(Ok(evidence), &|_| None);
            certified.push(Certified { manifest, valid: verification.reached() >= Level::Evidence });
        }
        certified
    }

    /// Returns every file that counts under its name in an evidence folder.
    fn named(&self) -> Vec<(String, &[u8])> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let files = self.files.values().flatten();
        files.map(|(path, bytes)| (format!("{CERTIFICATES}/{}", name(path)), bytes.as_slice())).collect()
    }
}

/// Returns the digest of the manifest that a statement is about.
fn manifest(statement: &Statement) -> Option<Sha256> {
    statement.subject.first().map(|subject| subject.digest.sha256())
}

/// The runs of a campaign in a store.
pub(crate) struct Gathered {
    pub(crate) members: Members,
    /// The runs and their re-executions.
    ids: Vec<RunId>,
}

/// Has `work` done on each run of a store by as many threads as there are processors, each with the store opened for
/// itself; returns the results in order.
pub(crate) fn over<R: Send>(
    store: &Store,
    rows: &[RunRow],
    work: impl Fn(&Store, &RunRow) -> Result<R, Failure> + Sync,
) -> Result<Vec<R>, Failure> {
    let (path, threads) = (store.path(), Host::threads());
    let open = || Ok(Store::open(&path, Access::Read, Durability::Full)?);
    let each =
        |store: &Store, piece: &&[RunRow]| piece.iter().map(|row| work(store, row)).collect::<Result<Vec<R>, _>>();
    Ok(crew::map(&pieces(rows, threads), threads, open, each)?.into_iter().flatten().collect())
}

/// Brings the runs of a store together to certify them, replays included.
pub(crate) fn gather(
    store: &Store,
    rows: &[RunRow],
    profile: Profile,
    certificates: Option<&Certificates>,
    ui: &Ui,
) -> Result<Gathered, Failure> {
    let bar = ui.bar("runs", rows.len() as u64, Unit::Items);
    let found = over(store, rows, |store, row| {
        let evidence = Evidence::of_run(store, row.id).map_err(evidence_failure)?;
        if row.raw_root != Some(evidence.roots().raw()) {
            let failure = Failure::new(FailureKind::Malformed, format!("run {} has another root than its row", row.id));
            return Err(failure.hint("`runproof store verify` says what is wrong"));
        }
        let mut member = Member::of(&evidence).map_err(facts_failure)?;
        member.replayed(&evidence, Replayed::perform(store, row)?.seen());
        bar.inc(1);
        Ok((member, certificates.map(|all| all.judge(&evidence)).unwrap_or_default(), evidence.roots().raw()))
    })?;
    bar.finish_and_clear();
    let (mut runs, mut certified, mut roots) = (Vec::new(), Vec::new(), Vec::new());
    for (member, judged, root) in found {
        runs.push(member);
        certified.extend(judged);
        roots.push(root);
    }
    let mut ids: Vec<RunId> = rows.iter().map(|row| row.id).collect();
    let mut executions = Vec::new();
    for row in store.runs()?.iter().filter(|row| row.kind == REEXECUTION && row.status == RunStatus::Finished) {
        let evidence = Evidence::of_run(store, row.id).map_err(evidence_failure)?;
        let execution = Execution::of(&evidence);
        if roots.iter().any(|root| execution.is_of(*root)) {
            executions.push((DigestSet::of(&BlobRef::of(evidence.manifest())), execution));
            ids.push(row.id);
        }
    }
    let certified = certificates.map(|_| certified);
    Ok(Gathered { members: Members { runs, executions, certified, profile }, ids })
}

/// Returns how a run that cannot be certified shows on the terminal.
pub(crate) fn facts_failure(error: FactsError) -> Failure {
    match error {
        FactsError::Evidence(error) => evidence_failure(error),
        FactsError::Instance(_) => Failure::new(FailureKind::Malformed, error),
        error => Failure::new(FailureKind::Below, error).hint("only a finished run on an instance can be certified"),
    }
}

/// Writes the evidence folder of a campaign.
pub(crate) fn write_evidence(
    store: &Store,
    gathered: &Gathered,
    statement: &Statement,
    files: &[(String, Vec<u8>)],
    certificates: Option<&Certificates>,
    folder: &Path,
) -> Result<(), Failure> {
    let manifest = statement.campaign().map(|campaign| campaign.manifest()).unwrap_or_default();
    let profile = gathered.members.profile.to_bytes().map_err(|error| Failure::new(FailureKind::Malformed, error))?;
    let mut all: Vec<(&str, &[u8])> = vec![("campaign.jsonl", &manifest), ("profile.json", &profile)];
    all.extend(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    let named = certificates.map(Certificates::named).unwrap_or_default();
    all.extend(named.iter().map(|(name, bytes)| (name.as_str(), *bytes)));
    Evidence::write_campaign(store, &gathered.ids, folder, &all).map_err(evidence_failure)
}

/// Says what the claims rest on that was neither named nor lies beside the runs: that is no word against them.
fn missing(campaign: &CampaignPredicate, profile: &Profile, has_certificates: bool) -> Option<String> {
    let is_default = *profile == Profile::default();
    let is_it = profile.digest().is_ok_and(|digest| digest == campaign.profile.digest.as_sha256());
    if is_default && !is_it {
        return Some(format!("the profile {:?} is not there; name its file with --profile", campaign.profile.name));
    }
    let rests = campaign.rungs.iter().any(|claim| claim.figures.contains_key("runs-certified/certificates"));
    let words = "the certificates of its runs are not there; name their folder with --certificates";
    (rests && !has_certificates).then(|| words.to_owned())
}

/// Why a run of a campaign gives nothing: what is wrong with its evidence, or with this machine.
enum Unread {
    Evidence(FactsError),
    Failed(Failure),
}

impl From<FactsError> for Unread {
    fn from(error: FactsError) -> Self {
        Self::Evidence(error)
    }
}

impl From<EvidenceError> for Unread {
    fn from(error: EvidenceError) -> Self {
        Self::Evidence(error.into())
    }
}

/// As [`over`], for what lies at a source.
fn over_source<T: Sync, R: Send>(
    source: &Source,
    items: &[T],
    work: impl Fn(&Source, &T) -> Result<R, Unread> + Sync,
) -> Result<Vec<R>, Unread> {
    let (place, threads) = (source.place(), Host::threads());
    let open = || Ok(Source::open(&place).map_err(Unread::Failed)??);
    let each =
        |source: &Source, piece: &&[T]| piece.iter().map(|item| work(source, item)).collect::<Result<Vec<R>, _>>();
    Ok(crew::map(&pieces(items, threads), threads, open, each)?.into_iter().flatten().collect())
}

/// Cuts a list for several threads. Neighbours share blocks of a store, which are then unpacked once.
fn pieces<T>(items: &[T], threads: usize) -> Vec<&[T]> {
    items.chunks(items.len().div_ceil(4 * threads).clamp(1, NEIGHBOURS)).collect()
}

/// Replays the runs of a campaign.
fn replay(members: &mut Vec<Member>, facts: &[MemberFact], source: &Source, ui: &Ui) -> Result<(), Failure> {
    let bar = ui.bar("replays", facts.len() as u64, Unit::Items);
    let all: Vec<Mutex<Member>> = std::mem::take(members).into_iter().map(Mutex::new).collect();
    let pairs: Vec<(&Mutex<Member>, &MemberFact)> = all.iter().zip(facts).collect();
    let replayed = over_source(source, &pairs, |source, (member, fact)| {
        let (evidence, row) = source.member(fact)?;
        let replayed = source.replayed(&evidence, row).map_err(Unread::Failed)?;
        member.lock().unwrap_or_else(PoisonError::into_inner).replayed(&evidence, replayed.seen());
        bar.inc(1);
        Ok(())
    });
    bar.finish_and_clear();
    match replayed {
        Err(Unread::Evidence(error)) => return Err(facts_failure(error)),
        Err(Unread::Failed(failure)) => return Err(failure),
        Ok(_) => {}
    }
    members.extend(all.into_iter().map(|member| member.into_inner().unwrap_or_else(PoisonError::into_inner)));
    Ok(())
}

/// Looks at the evidence of a campaign's certificate.
pub(crate) fn verify(
    verification: &mut Verification,
    source: &Source,
    profile: Option<&Path>,
    certificates: Option<&Certificates>,
    wants_replay: bool,
    ui: &Ui,
) -> Result<(), Failure> {
    let Some(statement) = verification.statement().cloned() else { return Ok(()) };
    let Some(campaign) = statement.campaign() else { return Ok(()) };
    let profile = match (profile, source.file("profile.json")) {
        (Some(path), _) => read_profile(path)?,
        (None, Some(bytes)) => match std::str::from_utf8(&bytes).map(Profile::from_text) {
            Ok(Ok(profile)) => profile,
            _ => {
                verification.evidence_refused(&EvidenceError::Differs("profile.json".into()));
                return Ok(());
            }
        },
        (None, None) => Profile::of_digest(campaign.profile.digest.as_sha256()).unwrap_or_default(),
    };
    if let Some(missing) = missing(campaign, &profile, certificates.is_some()) {
        verification.unavailable("evidence", missing);
        return Ok(());
    }
    let bar = ui.bar("runs", campaign.runs.len() as u64, Unit::Items);
    let read = over_source(source, &campaign.runs, |source, fact| {
        let (evidence, _) = source.member(fact)?;
        let judged = certificates.map(|all| all.judge(&evidence)).unwrap_or_default();
        bar.inc(1);
        Ok((Member::of(&evidence)?, judged))
    });
    let mut executions = Vec::new();
    let read = read.and_then(|read| {
        source.executions(&campaign.executions, &mut |digest, evidence| {
            executions.push((digest, Execution::of(evidence)));
        })?;
        Ok(read.into_iter().unzip::<Member, Vec<Certified>, Vec<_>, Vec<_>>())
    });
    bar.finish_and_clear();
    let mut members = match read {
        Ok((runs, judged)) => Members { runs, executions, certified: certificates.map(|_| judged.concat()), profile },
        Err(Unread::Failed(failure)) => return Err(failure),
        Err(Unread::Evidence(error)) => {
            verification.members(Err(&error), &|_| None);
            return Ok(());
        }
    };
    verification.members(Ok(&members), &|name| source.file(name));
    if wants_replay && verification.reached() == Level::Evidence {
        replay(&mut members.runs, &campaign.runs, source, ui)?;
        verification.members_replayed(&members);
    }
    Ok(())
}
