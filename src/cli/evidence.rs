//! Where the evidence for a certificate lies: an evidence folder, or a store that somebody else may have made.

use std::path::{Path, PathBuf};

use crate::canon::{RunId, Sha256};
use crate::certificate::{DigestSet, MemberFact};
use crate::store::{Access, Durability, RunRow, Store, StoreError};
use crate::transcript::{Evidence, EvidenceError, Folder};

use super::check::{Replayed, evidence_failure};
use super::reexecute::REEXECUTION;
use super::{Failure, FailureKind, Host};

/// Bytes of a file beside a manifest that are read.
const MAX_FILE: u64 = 16 << 20;

/// An evidence folder or a store, opened.
pub(crate) enum Source {
    Folder(Folder),
    Store(Box<Store>, Vec<RunRow>),
}

impl Source {
    /// Opens what lies at `path`.
    ///
    /// # Errors
    /// A path that cannot be read is the caller's environment; the inner error is what is wrong with the evidence.
    pub(crate) fn open(path: &Path) -> Result<Result<Self, EvidenceError>, Failure> {
        if path.is_dir() {
            return Ok(Ok(Self::Folder(Folder::open(path).map_err(evidence_failure)?)));
        }
        let opened = Store::open(path, Access::Foreign, Durability::Full)
            .and_then(|store| store.runs().map(|rows| Self::Store(Box::new(store), rows)));
        match opened {
            Err(error @ (StoreError::Io { .. } | StoreError::Missing(_) | StoreError::Locked)) => Err(error.into()),
            other => Ok(other.map_err(EvidenceError::Store)),
        }
    }

    /// Returns where it is, for who opens it once more in another thread.
    pub(crate) fn place(&self) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.path().to_owned(),
            Self::Store(store, _) => store.path(),
        }
    }

    /// Reads a file that lies beside the manifest.
    pub(crate) fn file(&self, name: &str) -> Option<Vec<u8>> {
        match self {
            Self::Folder(folder) => folder.read(name, MAX_FILE).ok(),
            Self::Store(..) => None,
        }
    }

    /// Reads the one run that a certificate is about. A row's root only says where to look: another run than the
    /// certified one is refused by its manifest.
    pub(crate) fn run(&self, raw_root: Sha256) -> Result<(Evidence<'_>, Option<&RunRow>), EvidenceError> {
        match self {
            Self::Folder(folder) => Ok((Evidence::of_folder(folder)?, None)),
            Self::Store(store, rows) => {
                let row = with_root(rows, raw_root).or(rows.last());
                let row = row.ok_or_else(|| EvidenceError::Missing("the run".into()))?;
                Ok((Evidence::of_run(store, row.id)?, Some(row)))
            }
        }
    }

    /// Reads a run of a campaign.
    pub(crate) fn member(&self, fact: &MemberFact) -> Result<(Evidence<'_>, Option<&RunRow>), EvidenceError> {
        match self {
            Self::Folder(folder) => Ok((of_folder(folder, &fact.manifest)?, None)),
            Self::Store(store, rows) => {
                let name = || format!("the run of {} ({}, seed {})", fact.instance, fact.arm, fact.seed);
                let row = with_root(rows, fact.raw_root.as_sha256());
                let row = row.ok_or_else(|| EvidenceError::Missing(name()))?;
                Ok((Evidence::of_run(store, row.id)?, Some(row)))
            }
        }
    }

    /// Reads the runs in which calls were executed again, in the order of `wanted`.
    pub(crate) fn executions<'s>(
        &'s self,
        wanted: &[DigestSet],
        see: &mut dyn FnMut(DigestSet, &Evidence<'s>),
    ) -> Result<(), EvidenceError> {
        let mut missing: Vec<DigestSet> = wanted.to_vec();
        match self {
            Self::Folder(folder) => {
                for digest in wanted {
                    see(*digest, &of_folder(folder, digest)?);
                }
                missing.clear();
            }
            Self::Store(store, rows) => {
                for row in rows.iter().filter(|row| row.kind == REEXECUTION) {
                    let evidence = Evidence::of_run(store, row.id)?;
                    let digest = DigestSet::of(&crate::canon::BlobRef::of(evidence.manifest()));
                    if let Some(at) = missing.iter().position(|wanted| *wanted == digest) {
                        missing.swap_remove(at);
                        see(digest, &evidence);
                    }
                }
            }
        }
        match missing.first() {
            Some(digest) => Err(EvidenceError::Missing(format!("the re-execution {}", digest.sha256()))),
            None => Ok(()),
        }
    }

    /// Has `act` work on the run in a store: its own, or one that is made for it and gone afterwards.
    pub(crate) fn in_store<T>(
        &self,
        evidence: &Evidence<'_>,
        row: Option<&RunRow>,
        act: impl FnOnce(&Store, &RunRow) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let (Self::Store(store, _), Some(row)) = (self, row) {
            return act(store, row);
        }
        let run = RunId::from_bytes(Host::random()?);
        in_scratch(run, |folder| {
            let mut store = Store::open(&folder.join("evidence.sqlite"), Access::Create, Durability::Normal)?;
            evidence.load_into(&mut store, run).map_err(evidence_failure)?;
            let row = store.run(run)?.ok_or(StoreError::MissingRun(run))?;
            act(&store, &row)
        })
    }

    /// Replays the run offline.
    pub(crate) fn replayed(&self, evidence: &Evidence<'_>, row: Option<&RunRow>) -> Result<Replayed, Failure> {
        self.in_store(evidence, row, Replayed::perform)
    }
}

fn with_root(rows: &[RunRow], root: Sha256) -> Option<&RunRow> {
    rows.iter().find(|row| row.raw_root == Some(root))
}

/// Reads a member by its digests; without the second one it cannot be what we wrote.
fn of_folder<'f>(folder: &'f Folder, digest: &DigestSet) -> Result<Evidence<'f>, EvidenceError> {
    let sha256 = digest.sha256();
    let blake3 = digest.blake3().ok_or_else(|| EvidenceError::Differs(format!("the manifest {sha256}")))?;
    Evidence::of_member(folder, sha256, blake3)
}

/// Makes a folder for `act` that is gone afterwards.
pub(crate) fn in_scratch<T>(name: RunId, act: impl FnOnce(&Path) -> Result<T, Failure>) -> Result<T, Failure> {
    let scratch = Host::temporary().join(format!("runproof-{name}"));
    let failed = |error: std::io::Error| {
        let message = format!("a folder to work in is needed: cannot make {}: {error}", scratch.display());
        Failure::new(FailureKind::Environment, message).hint("name another one in TMPDIR")
    };
    std::fs::create_dir(&scratch).map_err(failed)?;
    let result = act(&scratch);
    let _ = std::fs::remove_dir_all(&scratch);
    result
}
