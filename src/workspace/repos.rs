//! Finding local clones by the name that an instance gives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Git, WorkspaceError};

/// Where local clones lie: folders that hold many, and single ones by name.
#[derive(Debug, Clone, Default)]
pub struct Repos {
    folders: Vec<PathBuf>,
    named: BTreeMap<String, PathBuf>,
}

impl Repos {
    /// Reads `--repos` values: each is a folder of clones, or `NAME=PATH` for one.
    pub fn from_arguments<S: AsRef<str>>(values: &[S]) -> Self {
        let mut repos = Self::default();
        for value in values {
            match value.as_ref().split_once('=') {
                Some((name, path)) if !name.is_empty() && !name.starts_with(['/', '.']) => {
                    repos.add(name, Path::new(path))
                }
                _ => repos.add_folder(Path::new(value.as_ref())),
            }
        }
        repos
    }

    /// Adds a folder whose children are clones.
    pub fn add_folder(&mut self, folder: &Path) {
        self.folders.push(folder.to_owned());
    }

    /// Says that the clone of `name` (`owner/name`) is at `path`.
    pub fn add(&mut self, name: &str, path: &Path) {
        self.named.insert(plain(name), path.to_owned());
    }

    /// Returns the git folder of a clone of `repo` (`owner/name`), or of its stand-in `mirror`.
    ///
    /// In a folder of clones the names `owner__name`, `owner+name`, `owner/name` and `name` are tried, with and without
    /// `.git`, and a child `repo` of each.
    ///
    /// # Errors
    /// No such clone, or a named path that holds none.
    pub fn find(&self, git: &Git, repo: &str, mirror: Option<&str>) -> Result<PathBuf, WorkspaceError> {
        let mut looked = Vec::new();
        for wanted in [Some(repo), mirror].into_iter().flatten() {
            if let Some(path) = self.named.get(&plain(wanted)) {
                return git.folder_of(path).ok_or_else(|| WorkspaceError::NotARepository(path.clone()));
            }
            for folder in &self.folders {
                for name in spellings(wanted) {
                    for candidate in
                        [folder.join(&name), folder.join(format!("{name}.git")), folder.join(&name).join("repo")]
                    {
                        if candidate.is_dir()
                            && let Some(found) = git.folder_of(&candidate)
                        {
                            return Ok(found);
                        }
                    }
                    looked.push(name);
                }
            }
        }
        let looked = if looked.is_empty() { "nothing, as no folder was given".to_owned() } else { looked.join(", ") };
        Err(WorkspaceError::RepositoryUnknown { repo: repo.to_owned(), looked })
    }
}

/// `owner__name`, `owner+name` and `owner/name` are one repository.
fn plain(name: &str) -> String {
    name.trim_end_matches(".git").replace("__", "/").replace('+', "/")
}

fn spellings(name: &str) -> Vec<String> {
    let plain = plain(name);
    if plain.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        return Vec::new();
    }
    match plain.split_once('/') {
        Some((owner, name)) => {
            vec![format!("{owner}__{name}"), format!("{owner}+{name}"), format!("{owner}/{name}"), name.to_owned()]
        }
        None => vec![plain],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_name_is_tried() {
        for name in ["pallets/flask", "pallets__flask", "pallets+flask"] {
            assert_eq!(spellings(name), ["pallets__flask", "pallets+flask", "pallets/flask", "flask"]);
        }
        assert!(spellings("../x").is_empty());
        assert!(spellings("/etc").is_empty());
    }

    #[test]
    fn arguments_name_folders_or_single_clones() {
        let repos = Repos::from_arguments(&["/clones", "a/b=/x/y", "./odd=name"]);
        assert_eq!(repos.folders, [PathBuf::from("/clones"), PathBuf::from("./odd=name")]);
        assert_eq!(repos.named["a/b"], PathBuf::from("/x/y"));
    }
}
