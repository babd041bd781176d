//! `prepare`: the virtual environments that instances name, built once and shared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::Args;

use super::args::Global;
use super::ui::counted;
use super::{Exit, Failure, Host, Ui, crew};
use crate::gate::environment::{Environments, Recipe, Step, Tools};
use crate::instance::{self, Instance};

/// Builds the virtual environments that instances name: pinned, once, shared by content.
///
/// This is the only step of a run that needs a package index. An instance names its environment with `env_python` and
/// `env_packages`; instances with the same packages share one. What is built is not built again, so an interrupted call is
/// simply repeated. Afterwards everything works offline.
#[derive(Debug, Args)]
pub(crate) struct PrepareArgs {
    /// Instances: `FILE.jsonl`, `FILE.jsonl#INSTANCE_ID`, or a task folder.
    #[arg(required = true, value_name = "INSTANCES")]
    instances: Vec<String>,
    /// Folder of environments.
    #[arg(long, value_name = "DIR", default_value = ".runproof/environments", env = "RUNPROOF_ENV")]
    env: PathBuf,
    /// Environments at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,
    /// Prints one JSON object per environment.
    #[arg(long)]
    json: bool,
}

pub(crate) fn prepare(args: &PrepareArgs, _global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
    let mut without = 0;
    for reference in &args.instances {
        for instance in load(reference)? {
            match recipe(&instance)? {
                Some(recipe) => {
                    let entry = wanted.entry(recipe.name()).or_insert((recipe, BTreeSet::new()));
                    entry.1.insert(instance.id);
                }
                None => without += 1,
            }
        }
    }
    if without > 0 {
        ui.say(format_args!(
            "{without} of the instances name no environment; their tests run with the programs of PATH."
        ));
    }
    let environments = Environments::new(&args.env);
    let tools = tools();
    let wanted: Vec<Wanted> = wanted.into_values().collect();
    let (done, told, spinner) = (Mutex::new(Vec::new()), AtomicUsize::new(0), ui.spinner());
    crew::each(&wanted, args.jobs as usize, |(recipe, instances)| {
        let name = recipe.name();
        let was_there = environments.find(&name).is_some();
        let say = |text: String| {
            let number = told.load(Ordering::SeqCst);
            spinner.set_message(format!("{number} of {}  {name}: {text}", wanted.len()));
            if !ui.is_terminal() {
                ui.say(format_args!("{name}: {text}"));
            }
        };
        let built = environments.prepare(recipe, &tools, &mut |step| {
            say(match step {
                Step::Interpreter(version) => format!("Python {version}."),
                Step::Waiting => "waiting for another process that builds it.".to_owned(),
                Step::Creating => "making the environment.".to_owned(),
                Step::Installing(count) => format!("installing {}.", counted(count, "package")),
            });
        });
        told.fetch_add(1, Ordering::SeqCst);
        if let Err(error) = &built {
            // The others are worth having; the exit code is that of the first failure.
            let instances: Vec<&str> = instances.iter().map(String::as_str).collect();
            let line = format!("{name}: not built, for {}: {error}", instances.join(", "));
            spinner.suspend(|| ui.say(line));
        }
        let done = &mut *done.lock().unwrap_or_else(PoisonError::into_inner);
        done.push((name, was_there, built));
        Ok(())
    })?;
    spinner.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by(|one, other| one.0.cmp(&other.0));
    let mut failed = None;
    for (name, was_there, built) in done {
        let folder = match built {
            Ok(folder) => folder,
            Err(error) => {
                failed.get_or_insert(error);
                continue;
            }
        };
        let Some((recipe, instances)) = wanted.iter().find(|(recipe, _)| recipe.name() == name) else { continue };
        if args.json {
            ui.json(&serde_json::json!({
                "environment": name, "python": recipe.python(), "packages": recipe.packages(),
                "folder": folder, "built": !was_there, "instances": instances,
            }))?;
        } else {
            let state = if was_there { "was there" } else { "built" };
            ui.data(format_args!("{name}  {state}, for {}", counted(instances.len(), "instance")))?;
        }
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(Exit::Sound),
    }
}

/// An environment and the instances that name it.
type Wanted = (Recipe, BTreeSet<String>);

/// Returns what the instance's environment is made of, if it names one.
fn recipe(instance: &Instance) -> Result<Option<Recipe>, Failure> {
    let Some(python) = &instance.env_python else { return Ok(None) };
    Ok(Some(Recipe::new(python, &instance.env_packages)?))
}

fn load(reference: &str) -> Result<Vec<Instance>, Failure> {
    let loaded = match reference.contains('#') && !Path::new(reference).exists() {
        true => instance::load(reference).map(|instance| vec![instance]),
        false => instance::load_all(Path::new(reference)),
    };
    Ok(loaded?)
}

/// Returns what of this host may be used to build environments.
fn tools() -> Tools {
    let mut installations: Vec<PathBuf> = Vec::new();
    let pyenv = Host::variable("PYENV_ROOT").map(PathBuf::from).or_else(|| Some(Host::home()?.join(".pyenv")));
    installations.extend(pyenv.map(|root| root.join("versions")));
    let installer =
        ["HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy", "no_proxy"];
    let upper = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR"];
    let index =
        ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONFIG_FILE", "PIP_CERT", "PIP_FIND_LINKS", "PIP_NO_INDEX"];
    let uv = ["UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_CACHE_DIR", "UV_OFFLINE", "UV_NATIVE_TLS"];
    let names = installer.iter().chain(&upper).chain(&index).chain(&uv);
    let env = names.filter_map(|name| Some(((*name).into(), Host::variable(name)?.into()))).collect();
    Tools { path: Host::search_path(), installations, env }
}
