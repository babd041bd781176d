//! The user's own repository: looked at before a run, and patched after one only where the user asks for it.

use std::path::{Path, PathBuf};

use super::error::at;
use super::origin::resolve;
use super::scan::{entry_of, mode_of, walk};
use super::worktree::as_patch_error;
use super::{Git, WorkspaceError};
use crate::canon::tree::is_scratch;
use crate::canon::{Blake3, Tree};

/// Folders of installed packages, which projects keep beside their code and out of git.
const DEPENDENCIES: [&str; 4] = ["node_modules", "vendor", ".venv", "venv"];

/// A work tree with its repository.
#[derive(Debug)]
pub struct UserRepository {
    git: Git,
    top: PathBuf,
    folder: PathBuf,
}

impl UserRepository {
    /// Opens the repository whose top folder is `path`.
    ///
    /// # Errors
    /// No git repository there, one that begins further up, or one without a work tree.
    pub fn open(git: &Git, path: &Path) -> Result<Self, WorkspaceError> {
        let top = at(path, path.canonicalize())?;
        if let Some(folder) = git.folder_of(&top) {
            let repository = Self { git: git.clone(), top, folder };
            let mut kind = repository.command();
            kind.args(["rev-parse", "--is-inside-work-tree", "--is-bare-repository"]);
            let said = git.run("look for a work tree", &mut kind, b"")?;
            return match said.as_slice() {
                b"true\nfalse\n" => Ok(repository),
                _ => Err(WorkspaceError::NoWorkTree(path.to_owned())),
            };
        }
        let mut above = git.command();
        above.arg("-C").arg(&top).args(["rev-parse", "--show-toplevel"]);
        match git.line("find the repository", &mut above) {
            Ok(found) if !found.is_empty() => {
                Err(WorkspaceError::NotTheTop { path: path.to_owned(), top: PathBuf::from(found) })
            }
            // A configuration that git cannot read, for example, is there to be mended.
            Err(WorkspaceError::Git { message, .. }) if !message.contains("not a git repository") => {
                Err(WorkspaceError::Git { what: "open the repository".to_owned(), message })
            }
            _ => Err(WorkspaceError::NotARepository(path.to_owned())),
        }
    }

    /// Returns the top folder of the work tree.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// Returns the id of the commit named, or of the last one; then nothing may be uncommitted.
    ///
    /// # Errors
    /// An unknown commit, no commit at all, uncommitted changes.
    pub fn commit(&self, named: Option<&str>) -> Result<String, WorkspaceError> {
        let mut head = self.command();
        let has_commit =
            self.git.run("find the last commit", head.args(["rev-parse", "--verify", "--quiet", "HEAD"]), b"");
        if named.is_none() && has_commit.is_err() {
            return Err(WorkspaceError::NoCommit(self.top.clone()));
        }
        resolve(&self.git, &self.top, &self.folder, named)
    }

    /// Returns the folders of installed packages that git ignores, and the submodules that are checked out.
    ///
    /// # Errors
    /// A `git` that fails.
    pub fn dependencies(&self) -> Result<Vec<String>, WorkspaceError> {
        let mut ignored = self.command();
        ignored.args(["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"]);
        let ignored = self.names("list ignored folders", &mut ignored)?;
        let packages = ignored.iter().filter_map(|path| path.strip_suffix('/')).filter(|path| {
            DEPENDENCIES.contains(&path.rsplit('/').next().unwrap_or_default()) && self.top.join(path).is_dir()
        });
        let mut found: Vec<String> = packages.map(str::to_owned).collect();
        let mut listed = self.command();
        listed.args(["ls-files", "-z", "--stage"]);
        let submodules = self.names("list submodules", &mut listed)?;
        let submodules = submodules.iter().filter_map(|line| line.strip_prefix("160000 ")?.split_once('\t'));
        found.extend(submodules.map(|(_, path)| path.to_owned()).filter(|path| {
            let entries = std::fs::read_dir(self.top.join(path));
            entries.is_ok_and(|mut entries| entries.next().is_some())
        }));
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Says whether git holds a file at or below `folder`.
    ///
    /// # Errors
    /// A `git` that fails.
    pub fn holds(&self, folder: &str) -> Result<bool, WorkspaceError> {
        let mut listed = self.command();
        listed.args(["ls-files", "-z", "--stage", "--"]).arg(format!(":(literal){folder}"));
        Ok(self.names("list files", &mut listed)?.iter().any(|line| !line.starts_with("160000 ")))
    }

    /// Returns the files that are kept in large file storage, of which a commit holds only pointers.
    ///
    /// # Errors
    /// A `git` that fails.
    pub fn pointers(&self) -> Result<Vec<String>, WorkspaceError> {
        let mut listed = self.command();
        self.names("list large files", listed.args(["ls-files", "-z", "--", ":(attr:filter=lfs)"]))
    }

    /// Returns the digest of the listing of a folder: every file's path, mode and bytes, by-products of tests left out.
    ///
    /// # Errors
    /// Unreadable files, and names that are not UTF-8.
    pub fn digest(&self, folder: &str) -> Result<Blake3, WorkspaceError> {
        let root = self.top.join(folder);
        let mut tree = Tree::default();
        walk(&root, &mut |found| {
            let Some(mode) = mode_of(&found.metadata) else { return Ok(found.metadata.is_dir()) };
            let path = found.path()?;
            if !is_scratch(path) {
                tree.insert(path.to_owned(), entry_of(&root.join(&found.relative), mode)?);
            }
            Ok(true)
        })?;
        Ok(tree.digest())
    }

    /// Applies a patch to the work tree: all of it or none; nothing is committed.
    ///
    /// # Errors
    /// A patch that does not apply to what lies there.
    pub fn apply(&self, patch: &[u8]) -> Result<(), WorkspaceError> {
        let mut command = self.command();
        self.git.without_filters(&self.top, &mut command)?;
        command.args(["apply", "--whitespace=nowarn", "-"]);
        self.git.run("apply the patch", &mut command, patch).map(drop).map_err(as_patch_error)
    }

    fn command(&self) -> std::process::Command {
        let mut command = self.git.command();
        command.arg("-C").arg(&self.top);
        command
    }

    fn names(&self, what: &str, command: &mut std::process::Command) -> Result<Vec<String>, WorkspaceError> {
        let output = self.git.run(what, command, b"")?;
        let lines = output.split(|&byte| byte == 0).filter(|line| !line.is_empty());
        Ok(lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect())
    }
}
