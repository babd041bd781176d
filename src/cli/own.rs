//! A task of the user's own: a repository, an issue and a test command instead of an instance file.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::canon::Blake3;
use crate::gate::Parser;
use crate::instance::{self, Instance, OwnTask, Repository};
use crate::solve::{Outcome, OutcomeKind};
use crate::workspace::{Git, UserRepository};

use super::{Failure, FailureKind, Host, Ui};

/// The longest issue that is read, in bytes.
const LONGEST: u64 = 8 << 20;

/// Options that stand for an instance file.
#[derive(Debug, Clone, Args)]
pub(crate) struct OwnArgs {
    /// Works on the repository in --repo instead of an instance: the issue as text, a file that holds it, or `-`.
    #[arg(long, value_name = "TEXT|FILE", conflicts_with = "instance")]
    pub(crate) issue: Option<String>,
    /// With --issue, the shell command that runs the tests in the repository's top folder.
    #[arg(long, value_name = "COMMAND", env = "RUNPROOF_TEST_COMMAND")]
    test_command: Option<String>,
    /// With --issue, how the tests' output is read, where the command does not tell.
    #[arg(long, value_name = "PARSER", env = "RUNPROOF_LOG_PARSER")]
    log_parser: Option<String>,
    /// With --issue, the commit to start from. Without it the last one, and then nothing may be uncommitted.
    #[arg(long, value_name = "COMMIT", requires = "issue")]
    base: Option<String>,
    /// With --issue, a folder that tests need and git does not hold. Ignored node_modules, vendor, .venv and venv, and
    /// submodules, are found without. May be repeated.
    #[arg(long, value_name = "DIR", env = "RUNPROOF_INCLUDE", value_delimiter = ',')]
    include: Vec<String>,
    /// Applies the patch of a resolved run to the repository's files. Without it they are never touched.
    #[arg(long)]
    apply: bool,
}

impl OwnArgs {
    /// Returns the task that the options describe.
    pub(crate) fn instance(&self, issue: &str, repo: Option<&Path>, ui: &Ui) -> Result<Instance, Failure> {
        let Some(test_command) = self.test_command.clone() else {
            let failure = Failure::new(FailureKind::Usage, "--issue needs the command that runs the tests");
            return Err(failure.hint("say it with --test-command 'cargo test', or test_command in runproof.toml"));
        };
        if let Some(name) = &self.log_parser {
            name.parse::<Parser>().map_err(|error| Failure::new(FailureKind::Usage, error))?;
        }
        let repository = open(repo)?;
        let base_commit = repository.commit(self.base.as_deref())?;
        let pointers = repository.pointers()?;
        if let Some(first) = pointers.first() {
            let count = pointers.len();
            ui.warn(format_args!("{count} files are in large file storage, the tests see their pointers: {first}"));
        }
        let mut included = BTreeMap::new();
        for folder in repository.dependencies()? {
            included.insert(folder.clone(), digest(&repository, &folder, ui)?);
        }
        for folder in &self.include {
            let folder = folder.trim_end_matches('/').trim_start_matches("./").to_owned();
            check(&repository, &folder)?;
            included.insert(folder.clone(), digest(&repository, &folder, ui)?);
        }
        Ok(instance::own(OwnTask {
            repository: repository.top().to_owned(),
            base_commit,
            issue: read_issue(issue)?,
            test_command,
            log_parser: self.log_parser.clone(),
            included,
        })?)
    }

    /// Tells where the patch of a run on the user's own repository is, and applies it where that was asked for.
    pub(crate) fn hand_over(
        &self,
        job: &Instance,
        outcome: &Outcome,
        patch: &Path,
        ui: &mut Ui,
    ) -> Result<String, Failure> {
        let Repository::Path(top) = &job.repository else {
            if self.apply {
                ui.warn("--apply is for runs on a repository of your own; the patch was not applied");
            }
            return Ok(patch.display().to_string());
        };
        if outcome.kind != OutcomeKind::Resolved {
            if self.apply {
                ui.warn("the run is not resolved; nothing was applied");
            }
            return Ok(patch.display().to_string());
        }
        if self.apply {
            UserRepository::open(&Git::find(&Host::search_path())?, top)?.apply(&outcome.patch)?;
            return Ok(format!("{}  (applied, not committed)", patch.display()));
        }
        let here = Host::working_folder()?;
        let command = if here == *top {
            format!("git apply {}", quoted(patch))
        } else {
            format!("git -C {} apply {}", quoted(top), quoted(&here.join(patch)))
        };
        Ok(format!("{}  (`{command}`)", patch.display()))
    }
}

/// Returns a path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@%:,=".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Says anew where the repository of a recorded task lies: where that of the instance given does.
pub(crate) fn found(instance: &Instance, given: Instance) -> Instance {
    Instance { repository: given.repository, mirror: given.mirror, ..instance.clone() }
}

/// Says anew where the repository of a recorded task lies, since a record knows no path; its folders must be the same.
pub(crate) fn locate(instance: &Instance, repo: Option<&Path>, ui: &Ui) -> Result<Instance, Failure> {
    let mut located = instance.clone();
    if instance.repository != Repository::Path(PathBuf::new()) {
        return Ok(located);
    }
    let repository = open(repo)?;
    for (folder, recorded) in &instance.included {
        check(&repository, folder)?;
        if digest(&repository, folder, ui)? != *recorded {
            let message = format!("{folder} is not what it was when the run was recorded");
            return Err(Failure::new(FailureKind::Environment, message).hint("install the same packages again"));
        }
    }
    located.repository = Repository::Path(repository.top().to_owned());
    Ok(located)
}

fn open(repo: Option<&Path>) -> Result<UserRepository, Failure> {
    Ok(UserRepository::open(&Git::find(&Host::search_path())?, repo.unwrap_or(Path::new(".")))?)
}

fn check(repository: &UserRepository, folder: &str) -> Result<(), Failure> {
    let usage = |message: String| Failure::new(FailureKind::Usage, message);
    if !crate::canon::tree::is_safe_path(folder) || !repository.top().join(folder).is_dir() {
        let failure = usage(format!("{folder:?} is no folder of {}", repository.top().display()));
        return Err(failure.hint("name it from the repository's top folder, for example build/deps"));
    }
    if repository.holds(folder)? {
        let failure = usage(format!("git holds files of {folder}: they are part of the tree already"));
        return Err(failure.hint("include only folders that git does not hold"));
    }
    Ok(())
}

fn digest(repository: &UserRepository, folder: &str, ui: &Ui) -> Result<Blake3, Failure> {
    let spinner = ui.spinner();
    spinner.set_message(format!("reading {folder}"));
    let digest = repository.digest(folder);
    spinner.finish_and_clear();
    Ok(digest?)
}

/// Reads the issue: a file of that name, standard input for `-`, and the text itself otherwise.
fn read_issue(text: &str) -> Result<String, Failure> {
    let path = Path::new(text);
    let unreadable = |error: std::io::Error| {
        Failure::new(FailureKind::Environment, format!("cannot read the issue {text}: {error}"))
            .hint("give the issue as UTF-8 text, or a file that holds it")
    };
    let read = |source: &mut dyn Read| {
        let mut issue = String::new();
        source.take(LONGEST).read_to_string(&mut issue).map_err(unreadable)?;
        Ok(issue)
    };
    if text == "-" {
        return read(&mut std::io::stdin().lock());
    }
    // A long text is no file's name, and asking for one would be an error.
    if text.len() < 4096 && path.is_file() {
        return read(&mut std::fs::File::open(path).map_err(unreadable)?);
    }
    if !text.trim().contains(char::is_whitespace) {
        let failure = Failure::new(FailureKind::Usage, format!("there is no file {text:?} with an issue"));
        return Err(failure.hint("name a file, or give the issue's text in quotes"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_shown_can_be_pasted() {
        assert_eq!(quoted(Path::new("/a/b-c.diff")), "/a/b-c.diff");
        assert_eq!(quoted(Path::new("/a b/it's $x")), "'/a b/it'\\''s $x'");
    }
}
