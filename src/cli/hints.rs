//! What a person can do about an error of a room that does not say so itself.

use crate::gate::GateError;
use crate::instance::InstanceError;
use crate::model::{Fault, ModelError};
use crate::store::StoreError;
use crate::workspace::WorkspaceError;

use super::failure::{Failure, FailureKind};

/// What helps where the disk is full.
const FREE: &str = "free some space, or put the store (and the worktrees beside it) on another disk with --store";

/// What helps where an installer fails.
const INSTALLER: &str =
    "see what the installer says; check names and versions of the packages, the network, and free space beside --env";
/// What helps where something cannot be written.
pub(super) const PLACE: &str = "check that the folder can be written; --store, --results and --env name other places";

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        use StoreError as E;
        let (kind, hint) = match &error {
            E::NotAStore { .. } => (FailureKind::Malformed, Some("name a file that runproof recorded, with --store")),
            E::NewerVersion { .. } => (FailureKind::Malformed, Some("install a newer runproof")),
            E::Refused { .. } => (FailureKind::Malformed, Some("ask for the file alone, as `store export` writes it")),
            E::Conflict(_) => (FailureKind::Malformed, Some("import it into another store, with --store")),
            E::Diverged { .. } => (
                FailureKind::Malformed,
                Some(
                    "model or tests answered differently; take one of the two out with `store gc --run RUN` and merge again",
                ),
            ),
            E::In { .. } if error.is_damage() => (
                FailureKind::Malformed,
                Some("leave the file out; `bench … --resume` does its runs again. `store verify` lists the damage"),
            ),
            E::Corrupt { .. } | E::DigestMismatch { .. } => {
                (FailureKind::Malformed, Some("`runproof store verify` lists what is damaged"))
            }
            E::MissingRun(_) | E::MissingBody { .. } => (FailureKind::Usage, Some("`runproof log` lists the runs")),
            E::Missing(_) => (FailureKind::Environment, Some("name the store with --store")),
            E::DiskFull => (FailureKind::Environment, Some("free some space; everything recorded so far is kept")),
            E::Unwritable(_) => (FailureKind::Environment, Some("check free space, file size limits and the disk")),
            E::ReadOnly => {
                (FailureKind::Environment, Some("check that the store's file and its folder can be written"))
            }
            E::Locked => (FailureKind::Environment, Some("wait until the other runproof is done with the store")),
            E::Io { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
                (FailureKind::Usage, Some("name a file that is not there yet"))
            }
            E::Io { .. } | E::Sqlite(_) => {
                (FailureKind::Environment, Some("check that the file and its folder can be read and written"))
            }
            _ => (FailureKind::Environment, None),
        };
        Self::new(kind, error).maybe_hint(hint.map(Into::into))
    }
}

impl From<InstanceError> for Failure {
    fn from(error: InstanceError) -> Self {
        let kind = match &error {
            InstanceError::Unreadable { .. } => FailureKind::Environment,
            InstanceError::NotFound { .. } | InstanceError::Reference { .. } => FailureKind::Usage,
            _ => FailureKind::Malformed,
        };
        let hint = error.hint();
        Self::new(kind, error).maybe_hint(hint)
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        let kind = match error.fault() {
            Fault::Address { .. } => FailureKind::Usage,
            Fault::Malformed { .. } | Fault::ScriptExhausted(_) | Fault::Digest { .. } | Fault::Engine(_) => {
                FailureKind::Malformed
            }
            _ => FailureKind::Environment,
        };
        let hint = error.hint();
        Self::new(kind, error).maybe_hint(hint)
    }
}

impl From<WorkspaceError> for Failure {
    fn from(error: WorkspaceError) -> Self {
        let hint = match &error {
            WorkspaceError::GitMissing(_) => Some("install git"),
            WorkspaceError::GitOld { .. } => Some("install a newer git"),
            WorkspaceError::RepositoryUnknown { .. } => {
                Some("clone it and say where with --repos DIR, or --repos NAME=PATH")
            }
            WorkspaceError::NotARepository(_) => {
                Some("name a git repository (`git init && git add -A && git commit` makes one), or a folder of clones")
            }
            WorkspaceError::NoWorkTree(_) => {
                Some("name a clone of it that has its files (`git clone`); only instances of a file take bare ones")
            }
            WorkspaceError::NotTheTop { .. } => {
                Some("name its top folder with --repo, and begin the test command with `cd FOLDER &&`")
            }
            WorkspaceError::NoCommit(_) => Some("commit the code first: a run starts from a commit"),
            WorkspaceError::Patch(_) => Some("the patch was made for another state of the files"),
            WorkspaceError::CommitUnknown { .. } => Some("fetch the repository's full history"),
            WorkspaceError::Dirty { .. } => {
                Some("commit or stash the changes, or leave them out on purpose by naming a base commit (--base HEAD)")
            }
            WorkspaceError::NotUtf8(_) => {
                Some("files whose names are not UTF-8 are not supported: rename it and commit that")
            }
            WorkspaceError::UnsafePath(_) => {
                Some("names with a backslash, or that some system takes for .git, are not supported: rename it")
            }
            WorkspaceError::Full => Some(FREE),
            WorkspaceError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => Some(FREE),
            WorkspaceError::Git { message, .. } if message.ends_with(" missing") => {
                Some("fetch what the clone left out (`git fetch --refetch --no-filter`), or clone it whole")
            }
            WorkspaceError::Git { .. } => Some("see what git says; check free space and permissions beside the store"),
            _ => None,
        };
        Self::new(FailureKind::Environment, error).maybe_hint(hint.map(Into::into))
    }
}

impl From<GateError> for Failure {
    fn from(error: GateError) -> Self {
        let (kind, hint) = match &error {
            GateError::Malformed(_) | GateError::Request(_) => (FailureKind::Malformed, None),
            GateError::LevelUnavailable { .. } | GateError::NoSandbox(_) | GateError::Setup(_) => {
                let hint = "install util-linux and allow user namespaces; --sandbox none runs tests unprotected";
                (FailureKind::Environment, Some(hint))
            }
            GateError::EnvironmentMissing { .. } => {
                (FailureKind::Environment, Some("build it with `runproof prepare INSTANCES`"))
            }
            GateError::EngineMissing(_) => {
                (FailureKind::Environment, Some("install Docker or Podman, or use instances that name an environment"))
            }
            GateError::ImageName(_) => (FailureKind::Malformed, Some("an image is named like registry/name:tag")),
            GateError::ImageMissing(_) => {
                (FailureKind::Environment, Some("fetch it with `runproof prepare INSTANCES`, with the same --image"))
            }
            GateError::ImageOther { .. } => {
                (FailureKind::Environment, Some("fetch the image of that content, or correct image_id in the instance"))
            }
            GateError::Engine { .. } => {
                (FailureKind::Environment, Some("see that the engine runs and that you may use it: `docker info`"))
            }
            GateError::Recipe(_) => (FailureKind::Malformed, Some("pin packages as name==version")),
            GateError::InterpreterMissing { .. } => {
                (FailureKind::Environment, Some("install that Python, for example with pyenv"))
            }
            GateError::Prepare { .. } => (FailureKind::Environment, Some(INSTALLER)),
            GateError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                (FailureKind::Environment, Some(FREE))
            }
            GateError::Io { .. } => (FailureKind::Environment, Some(PLACE)),
        };
        Self::new(kind, error).maybe_hint(hint.map(Into::into))
    }
}
