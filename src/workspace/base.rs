//! Filling a new worktree: the base's files on disk, and the repository of one commit that goes with them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::WorkspaceError;
use super::error::at;
use super::files::{copy_all, make_folder, put, remove_all, same_files};
use super::objects::{Blobs, Import, Listed, list};
use super::scan::{mode_of, walk};
use super::worktree::{Base, Worktree};
use crate::canon::tree::{is_safe_path, is_scratch};
use crate::canon::{Blake3, FileMode, TreeEntry};

impl Worktree {
    /// Copies the tree of `commit` out of the repository `from`.
    pub(super) fn copy_commit(&mut self, from: &Path, commit: &str) -> Result<(), WorkspaceError> {
        let listing = list(&self.git, from, commit)?;
        let format = self.git.line(
            "read the object format",
            self.git.command().arg("--git-dir").arg(from).args(["rev-parse", "--show-object-format"]),
        )?;
        self.initialise(&format)?;
        let ids = listing.files.values().map(|file| file.blob.clone()).collect();
        let mut blobs = Blobs::ask(&self.git, from, ids)?;
        let mut import = Import::start(&self.git, &self.repository())?;
        let root = self.root();
        for (path, Listed { mode, blob }) in listing.files {
            let bytes = blobs.next()?;
            put(&root, &path, mode, &bytes)?;
            import.file(&path, mode, &bytes)?;
            let entry = TreeEntry { mode, digest: Blake3::of(&bytes), size: bytes.len() as u64 };
            self.base.insert(path, Base { entry, blob });
        }
        for (path, commit) in &listing.submodules {
            import.submodule(path, commit)?;
        }
        import.finish()?;
        let tree_of = |folder: &Path, commit: &str| {
            let mut command = self.git.command();
            command.arg("--git-dir").arg(folder).args(["rev-parse", "--verify", &format!("{commit}^{{tree}}")]);
            self.git.line("name the tree", &mut command)
        };
        let (wanted, made) = (tree_of(from, commit)?, tree_of(&self.repository(), "HEAD")?);
        if listing.usual_modes && wanted != made {
            return Err(WorkspaceError::Damaged(format!("the copy of tree {wanted} became {made}")));
        }
        Ok(())
    }

    /// Copies the plain files of a folder.
    pub(super) fn copy_folder(&mut self, from: &Path) -> Result<(), WorkspaceError> {
        let from = at(from, from.canonicalize())?;
        self.initialise("sha1")?;
        let mut import = Import::start(&self.git, &self.repository())?;
        let root = self.root();
        let mut base = BTreeMap::new();
        walk(&from, &mut |found| {
            let full = from.join(&found.relative);
            let Some(mode) = mode_of(&found.metadata) else { return Ok(found.metadata.is_dir()) };
            let path = found.path()?.to_owned();
            if is_scratch(&path) {
                return Ok(true);
            }
            if !is_safe_path(&path) {
                return Err(WorkspaceError::UnsafePath(path));
            }
            let bytes = match mode {
                FileMode::Symlink => at(&full, fs::read_link(&full))?.into_os_string().as_bytes().to_vec(),
                FileMode::Regular | FileMode::Executable => at(&full, fs::read(&full))?,
            };
            put(&root, &path, mode, &bytes)?;
            import.file(&path, mode, &bytes)?;
            base.insert(path, TreeEntry { mode, digest: Blake3::of(&bytes), size: bytes.len() as u64 });
            Ok(true)
        })?;
        import.finish()?;
        for (path, Listed { blob, .. }) in list(&self.git, &self.repository(), "HEAD")?.files {
            let entry = base.remove(&path).ok_or_else(|| WorkspaceError::UnsafePath(path.clone()))?;
            self.base.insert(path, Base { entry, blob });
        }
        match base.pop_first() {
            Some((path, _)) => Err(WorkspaceError::UnsafePath(path)),
            None => Ok(()),
        }
    }

    fn initialise(&self, object_format: &str) -> Result<(), WorkspaceError> {
        let mut command = self.git.command();
        command.args(["init", "--quiet", "--template=", "--object-format", object_format, "--bare"]);
        self.git.run("start a repository", command.arg(self.repository()), b"")?;
        let attributes = self.repository().join("info/attributes");
        make_folder(&self.repository().join("info"))?;
        at(&attributes, fs::write(&attributes, "* -text -eol -ident -filter -working-tree-encoding -diff=x\n"))
    }

    /// Puts a copy of the repository into the tree as `.git`, unless it is there unchanged.
    pub(super) fn show_repository(&self) -> Result<(), WorkspaceError> {
        let shown = self.root().join(".git");
        let kept = self.control().join("shown");
        if !kept.exists() {
            copy_all(&self.repository(), &kept)?;
            let set = |name: &str, value: &str| {
                let mut command = self.git.command();
                command.arg("--git-dir").arg(&kept).args(["config", name, value]);
                self.git.run("configure the repository", &mut command, b"")
            };
            set("core.bare", "false")?;
            let mut command = self.git.command();
            command.arg("--git-dir").arg(&kept).arg("--work-tree").arg(self.root()).args(["read-tree", "HEAD"]);
            self.git.run("fill the index", &mut command, b"")?;
        }
        if !same_files(&kept, &shown)? {
            remove_all(&shown)?;
            copy_all(&kept, &shown)?;
        }
        Ok(())
    }
}
