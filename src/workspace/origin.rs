//! Where a base tree comes from, and which commit of it.

use std::path::{Path, PathBuf};

use super::error::at;
use super::{Git, WorkspaceError};

/// Where a base tree comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A local clone, or a bare mirror.
    Clone(PathBuf),
    /// A git bundle file.
    Bundle(PathBuf),
    /// Plain files; a `.git` in it is left out.
    Folder(PathBuf),
}

/// What this program leaves in a repository, and the file that configures it, say nothing about the code.
const OURS: [&str; 2] = ["?? .runproof/", "?? runproof.toml"];

/// Returns the id of the commit asked for, or of the last one if nothing is uncommitted.
pub(super) fn resolve(git: &Git, origin: &Path, folder: &Path, commit: Option<&str>) -> Result<String, WorkspaceError> {
    let name = commit.unwrap_or("HEAD");
    let unknown = || WorkspaceError::CommitUnknown { commit: name.to_owned(), origin: origin.to_owned() };
    let mut command = git.command();
    command.arg("--git-dir").arg(folder).args(["rev-parse", "--verify", "--quiet", "--end-of-options"]);
    let id = git.line("find the commit", command.arg(format!("{name}^{{commit}}"))).map_err(|_| unknown())?;
    let mut is_bare = git.command();
    is_bare.arg("--git-dir").arg(folder).args(["rev-parse", "--is-bare-repository"]);
    if commit.is_none() && git.line("look for a work tree", &mut is_bare)? == "false" {
        let mut command = git.command();
        let top = origin.canonicalize();
        let top = top.as_deref().unwrap_or(origin);
        git.without_filters(top, &mut command)?;
        // A submodule has a configuration of its own, and its files are recorded by digest: only its commit counts.
        command.arg("-C").arg(top).args(["status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=dirty"]);
        let status = git.run("look for changes", &mut command, b"")?;
        let changed: Vec<String> = status
            .split(|&byte| byte == 0)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .filter(|line| !OURS.contains(&line.as_str()))
            .filter_map(|line| Some(line.get(3..)?.to_owned()))
            .collect();
        if !changed.is_empty() {
            let more = if changed.len() > 3 { format!(" and {} more", changed.len() - 3) } else { String::new() };
            let files = format!("{}{more}", changed[..changed.len().min(3)].join(", "));
            return Err(WorkspaceError::Dirty { origin: origin.to_owned(), files });
        }
    }
    Ok(id)
}

/// Unpacks a bundle into a new bare repository and returns the name of its head.
pub(super) fn unbundle(git: &Git, bundle: &Path, folder: &Path) -> Result<String, WorkspaceError> {
    let bundle = at(bundle, bundle.canonicalize())?;
    git.run("start a repository", git.command().args(["init", "--quiet", "--template=", "--bare"]).arg(folder), b"")?;
    let heads = git.run("read the bundle", git.command().args(["bundle", "list-heads"]).arg(&bundle), b"")?;
    let heads = String::from_utf8_lossy(&heads).into_owned();
    let mut heads: Vec<(&str, &str)> = heads.lines().filter_map(|line| line.split_once(' ')).collect();
    heads.sort_by_key(|(_, name)| (*name != "HEAD", *name != "refs/heads/main", *name != "refs/heads/master"));
    let (id, _) = heads.first().ok_or_else(|| WorkspaceError::NotARepository(bundle.clone()))?;
    let mut unpack = git.command();
    unpack.arg("--git-dir").arg(folder).args(["bundle", "unbundle"]).arg(&bundle);
    git.run("unpack the bundle", &mut unpack, b"")?;
    Ok((*id).to_owned())
}
