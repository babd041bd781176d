//! What can go wrong with repositories and worktrees.

use std::io;
use std::path::{Path, PathBuf};

/// Says why a repository or worktree could not be used as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkspaceError {
    /// No `git` program on the search path.
    #[error("git is not on the search path {0:?}")]
    GitMissing(String),
    /// A `git` program that lacks what the pinned configuration needs.
    #[error("git {found} is too old: {needed} or newer is needed")]
    GitOld {
        /// Version found.
        found: String,
        /// Oldest version that works.
        needed: &'static str,
    },
    /// A `git` command that failed, with the end of what it printed.
    #[error("git could not {what}: {message}")]
    Git {
        /// The action, as a verb phrase.
        what: String,
        /// The end of its error output.
        message: String,
    },
    /// No local clone of a repository.
    #[error("there is no local clone of {repo}; looked for {looked}")]
    RepositoryUnknown {
        /// Repository asked for, `owner/name`.
        repo: String,
        /// Names tried, separated by commas.
        looked: String,
    },
    /// A path that should hold a repository and does not.
    #[error("{} is not a git repository", .0.display())]
    NotARepository(PathBuf),
    /// A repository without files of its own, where a work tree is wanted.
    #[error("{} is a repository without a work tree", .0.display())]
    NoWorkTree(PathBuf),
    /// A folder inside a work tree where its top folder is wanted.
    #[error("{} is inside the repository {}", .path.display(), .top.display())]
    NotTheTop {
        /// The folder given.
        path: PathBuf,
        /// The top folder.
        top: PathBuf,
    },
    /// A repository in which nothing was committed yet.
    #[error("{} has no commit yet", .0.display())]
    NoCommit(PathBuf),
    /// A commit that the repository does not hold.
    #[error("commit {commit} is not in {}", .origin.display())]
    CommitUnknown {
        /// Commit asked for.
        commit: String,
        /// Repository searched.
        origin: PathBuf,
    },
    /// A repository without a named commit whose files differ from its last commit.
    #[error("{} has uncommitted changes ({files})", .origin.display())]
    Dirty {
        /// The repository.
        origin: PathBuf,
        /// Some of the files, separated by commas.
        files: String,
    },
    /// A file name that is not UTF-8, shown with replacement characters.
    #[error("the file name {0:?} is not UTF-8")]
    NotUtf8(String),
    /// A path that leaves the worktree, passes through a symbolic link, or enters git's own folder.
    #[error("the path {0:?} is not a plain path inside the worktree")]
    UnsafePath(String),
    /// A path at which there is no regular file.
    #[error("{0:?} is not a regular file of the worktree")]
    NotAFile(String),
    /// A file beyond the size that is read into memory.
    #[error("{path:?} has {size} bytes, more than the {cap} that are read")]
    TooLarge {
        /// The file.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The cap in bytes.
        cap: u64,
    },
    /// The place of a new worktree holds something already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A file that somebody else changed while it was about to be written.
    #[error("{0:?} was changed by somebody else meanwhile")]
    ChangedMeanwhile(String),
    /// A patch that `git apply` refuses.
    #[error("the patch does not apply: {0}")]
    Patch(String),
    /// A worktree whose control folder cannot be used.
    #[error("the worktree's control folder is damaged: {0}")]
    Damaged(String),
    /// A disk on which nothing that fails can be told from want of room.
    #[error("the disk with the worktrees is full")]
    Full,
    /// A file operation that failed.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The path concerned.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Puts the path beside an I/O error.
pub(super) fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, WorkspaceError> {
    result.map_err(|source| WorkspaceError::Io { path: path.to_owned(), source })
}
