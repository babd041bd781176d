//! Making several environments at once; one that fails does not keep the others from being made.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::{PrepareArgs, Shared, Wanted};
use crate::cli::ui::{counted, printable};
use crate::cli::workbench::origin;
use crate::cli::{Exit, Failure, FailureKind, Host, Ui, crew};
use crate::gate::environment::{Environments, Step, Tools};
use crate::workspace::{Git, Worktree};

/// An environment that is there now.
struct Made {
    /// What it is, for a script.
    data: Value,
    /// What it is, for a person.
    text: String,
}

/// Makes everything, says how each came out, and ends as the first failure does.
pub(super) fn make(
    args: &PrepareArgs,
    all: &[Shared],
    environments: &Environments,
    tools: &Tools,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    let (done, told, spinner) = (Mutex::new(Vec::new()), AtomicUsize::new(0), ui.spinner());
    let items: Vec<&Shared> = all.iter().collect();
    crew::each(&items, args.jobs as usize, |&shared| {
        let name = shared.wanted.name();
        let say = |text: String| {
            let number = told.load(Ordering::SeqCst);
            spinner.set_message(format!("{number} of {}  {name}: {text}", all.len()));
            if !ui.is_terminal() {
                ui.say(format_args!("{name}: {text}"));
            }
        };
        let made = match &shared.wanted {
            Wanted::Packages(_) | Wanted::Setup(..) => fill(args, &shared.wanted, environments, tools, &say),
            Wanted::Image(name, id) => fetch(args, name, id.as_deref(), &say, ui),
        };
        told.fetch_add(1, Ordering::SeqCst);
        if let Err(failure) = &made {
            // The others are worth having; the exit code is that of the first failure.
            let instances: Vec<&str> = shared.instances.iter().map(String::as_str).collect();
            let line = format!("{name}: not there, for {}: {}", instances.join(", "), failure.message);
            spinner.suspend(|| ui.say(printable(&line)));
        }
        done.lock().unwrap_or_else(PoisonError::into_inner).push((name, shared, made));
        Ok(())
    })?;
    spinner.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by(|one, other| one.0.cmp(&other.0));
    let mut failed = None;
    for (name, shared, made) in done {
        match made {
            Err(failure) => drop(failed.get_or_insert(failure)),
            Ok(made) if args.json => {
                let mut data = made.data;
                data["instances"] = json!(shared.instances);
                ui.json(&data)?;
            }
            Ok(made) => {
                ui.data(format_args!("{name}  {}, for {}", made.text, counted(shared.instances.len(), "instance")))?;
            }
        }
    }
    failed.map_or(Ok(Exit::Sound), Err)
}

/// Fills a folder, with packages or by a command.
fn fill(
    args: &PrepareArgs,
    wanted: &Wanted,
    environments: &Environments,
    tools: &Tools,
    say: &dyn Fn(String),
) -> Result<Made, Failure> {
    let name = wanted.name();
    let was_there = environments.find(&name).is_some();
    let mut progress = |step| {
        say(match step {
            Step::Interpreter(version) => format!("Python {version}."),
            Step::Waiting => "waiting for another process that builds it.".to_owned(),
            Step::Creating => "making the environment.".to_owned(),
            Step::Installing(count) => format!("installing {}.", counted(count, "package")),
            Step::Running => "running its command.".to_owned(),
        });
    };
    let built = if was_there { "was there" } else { "built" }.to_owned();
    let made = |folder: PathBuf, mut data: Value| {
        data["environment"] = json!(name);
        data["folder"] = json!(folder);
        data["built"] = json!(!was_there);
        Made { data, text: built.clone() }
    };
    match wanted {
        Wanted::Packages(recipe) => {
            let folder = environments.prepare(recipe, tools, &mut progress)?;
            Ok(made(folder, json!({"python": recipe.python(), "packages": recipe.packages()})))
        }
        Wanted::Setup(setup, _) if !was_there && !args.setup => {
            let message = format!("the command was not run: {}", setup.command());
            Err(Failure::new(FailureKind::Environment, message).hint("read it, and allow such commands with --setup"))
        }
        Wanted::Setup(setup, instance) => {
            let mut lay_out = |at: &std::path::Path| {
                let laid_out = || -> Result<PathBuf, Failure> {
                    let git = Git::find(&Host::search_path())?;
                    let origin = origin(instance, &args.repos, &git)?;
                    Ok(Worktree::create(&git, &origin, instance.base_commit.as_deref(), at)?.root())
                };
                laid_out().map_err(|failure| failure.message)
            };
            let folder = environments.set_up(setup, tools, &mut lay_out, &mut progress)?;
            Ok(made(folder, json!({"command": setup.command()})))
        }
        Wanted::Image(..) => unreachable!("an image fills no folder"),
    }
}

/// Fetches an image that is not here, and makes sure of its content.
fn fetch(args: &PrepareArgs, name: &str, id: Option<&str>, say: &dyn Fn(String), ui: &Ui) -> Result<Made, Failure> {
    let engine = args.images.open(ui)?;
    let is_here = engine.image(id.unwrap_or(name)).is_ok();
    if !is_here {
        say("fetching the image.".to_owned());
        engine.pull(name)?;
    }
    let image = args.images.find(name, id, ui)?;
    let text = format!("{}, {}", if is_here { "was there" } else { "fetched" }, image.id);
    let data = json!({"image": name, "image_id": image.id, "fetched": !is_here});
    Ok(Made { data, text })
}
