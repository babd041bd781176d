//! Sets up what a live run works with: repository, worktree, sandbox, environment.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::canon::Tree;
use crate::gate::environment::{Environments, Recipe};
use crate::gate::{Ground, Level, Place, Sandbox};
use crate::instance::{Hidden, Instance, Repository};
use crate::model::Model;
use crate::solve::{Live, Rankings, setup};
use crate::workspace::{Git, Origin, Repos, WorkspaceError, Worktree};

use super::hints::PLACE;
use super::images::ImageArgs;
use super::toolchains::toolchains;
use super::{Failure, FailureKind, Host, Ui};

/// Options of every verb that runs tests.
#[derive(Debug, Clone, Args)]
pub(crate) struct WorkbenchArgs {
    /// Folder of clones (owner__name, owner+name or owner/name), or NAME=PATH of one; may be repeated.
    #[arg(long, value_name = "DIR|NAME=PATH", env = "RUNPROOF_REPOS", value_delimiter = ',')]
    pub(crate) repos: Vec<String>,
    /// Top folder of the git repository, for runs with `--issue`. [default: .]
    #[arg(long, value_name = "DIR", env = "RUNPROOF_REPO")]
    pub(crate) repo: Option<PathBuf>,
    /// Folder of the environments that `runproof prepare` builds.
    #[arg(long = "env", value_name = "DIR", default_value = ".runproof/environments", env = "RUNPROOF_ENV")]
    pub(crate) environments: PathBuf,
    /// How tests are kept from the rest of the machine; `none` must be asked for.
    #[arg(long, value_enum, default_value_t = SandboxChoice::Auto, env = "RUNPROOF_SANDBOX")]
    pub(crate) sandbox: SandboxChoice,
    #[command(flatten)]
    pub(crate) images: ImageArgs,
}

/// The levels of isolation that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SandboxChoice {
    /// The strongest that this machine allows, never none.
    Auto,
    /// No isolation: tests can read and write what you can.
    None,
}

/// Everything that a live run holds, to be taken down after it.
pub(crate) struct Workbench {
    folder: PathBuf,
    worktree: Worktree,
    ground: Ground,
    rankings: Rankings,
}

impl Workbench {
    /// Lays out the base of `instance` below `folder`, which must not exist yet.
    pub(crate) fn set_up(instance: &Instance, args: &WorkbenchArgs, folder: &Path, ui: &Ui) -> Result<Self, Failure> {
        let git = Git::find(&Host::search_path())?;
        let origin = origin(instance, &args.repos, &git)?;
        let container = args.images.container(instance, ui)?;
        let environment = environment(instance, args)?;
        let folder = Host::working_folder()?.join(folder);
        // A run that was cut off leaves its worktree behind; whatever it holds, it is laid out anew.
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(|error| cannot(&folder, &error))?;
        }
        std::fs::create_dir_all(&folder).map_err(|error| cannot(&folder, &error))?;
        ignore(&folder);
        let ground = match container {
            Some(container) => Ground::Container(container),
            None => Ground::Sandbox(sandbox(instance, args, &folder)?, environment),
        };
        if ground.level() == Level::None {
            ui.warn("tests run without a sandbox: they can read and write what you can");
        }
        let spinner = ui.spinner();
        spinner.set_message(format!("{}  laying out the base tree", instance.id));
        let worktree = Worktree::create(&git, &origin, instance.base_commit.as_deref(), &folder.join("worktree"));
        spinner.finish_and_clear();
        let worktree = worktree?;
        if let Err(failure) = check_hidden(instance, &worktree) {
            std::fs::remove_dir_all(&folder).ok();
            return Err(failure);
        }
        Ok(Self { folder, worktree, ground, rankings: Rankings::new() })
    }

    /// Lends everything to a run; several may follow each other.
    pub(crate) fn live<'a>(&'a mut self, models: Vec<Box<dyn Model + 'a>>) -> Live<'a> {
        Live::new(&mut self.worktree, &self.ground, models, &mut self.rankings)
    }

    /// Returns the base tree.
    pub(crate) fn base(&self) -> Tree {
        self.worktree.base()
    }

    /// Removes the worktree.
    pub(crate) fn tear_down(self, ui: &Ui) {
        let spinner = ui.spinner();
        spinner.set_message("removing the worktree");
        let removed = std::fs::remove_dir_all(&self.folder);
        spinner.finish_and_clear();
        if let Err(error) = removed {
            ui.warn(format_args!("the worktree at {} could not be removed: {error}", self.folder.display()));
        }
    }
}

/// Makes sure that the hidden tests fit the base before anything is recorded.
fn check_hidden(instance: &Instance, worktree: &Worktree) -> Result<(), Failure> {
    let Hidden::TestPatch(patch) = &instance.hidden else { return Ok(()) };
    match worktree.check_patch(patch.as_bytes()) {
        Ok(_) => Ok(()),
        Err(WorkspaceError::Patch(reason)) => {
            let text = format!("the test_patch of {} does not apply to its base commit: {reason}", instance.id);
            let hint = "correct test_patch or base_commit in the instance";
            Err(Failure::new(FailureKind::Malformed, text).hint(hint))
        }
        Err(error) => Err(error.into()),
    }
}

/// Keeps git from showing `.runproof` in a repository of the user's, as tools that leave folders behind do.
fn ignore(folder: &Path) {
    let own = folder.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == ".runproof"));
    if let Some(file) = own.map(|own| own.join(".gitignore")).filter(|file| !file.exists()) {
        std::fs::write(file, "*\n").ok();
    }
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(FailureKind::Environment, format!("cannot prepare {}: {error}", path.display())).hint(PLACE)
}

/// Opens the sandbox for tests that run with this machine's programs; `folder` is where it may write.
fn sandbox(instance: &Instance, args: &WorkbenchArgs, folder: &Path) -> Result<Sandbox, Failure> {
    let level = match args.sandbox {
        SandboxChoice::Auto => None,
        SandboxChoice::None => Some(Level::None),
    };
    let scratch = folder.join("scratch");
    std::fs::create_dir(&scratch).map_err(|error| cannot(&scratch, &error))?;
    Ok(show(Sandbox::open(level, &Host::program()?, &scratch, &Host::search_path())?, instance))
}

/// Shows what lies beside the tree: the tools' own stores, and the folders that the instance names.
fn show(sandbox: Sandbox, instance: &Instance) -> Sandbox {
    let tools = toolchains().into_iter().map(|(folder, place)| (folder, Place::Home(place)));
    let included = instance.included.keys().filter_map(|path| match &instance.repository {
        Repository::Path(top) => Some((top.join(path), Place::Worktree(path.clone()))),
        _ => None,
    });
    tools.chain(included).fold(sandbox, |sandbox, (folder, place)| sandbox.with_shown(&folder, place))
}

/// Finds where the code of an instance comes from.
pub(crate) fn origin(instance: &Instance, repos: &[String], git: &Git) -> Result<Origin, Failure> {
    match &instance.repository {
        // Where it lies is not recorded.
        Repository::Path(path) | Repository::Bundle(path) | Repository::Folder(path) if path.as_os_str().is_empty() => {
            let failure = Failure::new(FailureKind::Environment, "the run's repository has no name to find it by");
            Err(failure.hint("name the task folder, or FILE.jsonl#ID, with --instance"))
        }
        Repository::Named(name) => {
            let repos = Repos::from_arguments(repos);
            Ok(Origin::Clone(repos.find(git, name, instance.mirror.as_deref())?))
        }
        Repository::Path(path) => Ok(Origin::Clone(path.clone())),
        Repository::Bundle(path) => Ok(Origin::Bundle(path.clone())),
        Repository::Folder(path) => Ok(Origin::Folder(path.clone())),
    }
}

/// Finds the prepared environment that an instance names.
fn environment(instance: &Instance, args: &WorkbenchArgs) -> Result<Option<PathBuf>, Failure> {
    let name = match (&instance.env_python, setup(instance)) {
        (Some(python), _) => Recipe::new(python, &instance.env_packages)?.name(),
        (None, Some(setup)) => setup.name().to_owned(),
        (None, None) => return Ok(None),
    };
    let folder = Host::working_folder()?.join(&args.environments);
    if let Some(found) = Environments::new(&folder).find(&name) {
        return Ok(Some(found));
    }
    let name = instance.env.as_deref().unwrap_or(&instance.id);
    let failure = Failure::new(FailureKind::Environment, format!("the environment {name} is not built"));
    Err(failure.hint("build it with `runproof prepare INSTANCES`"))
}
