//! `prepare`: the virtual environments that instances name, built once and shared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;

use super::args::Global;
use super::{Exit, Failure, Host, Ui};
use crate::gate::environment::{Environments, Recipe, Step, Tools};
use crate::instance::{self, Instance};

/// Builds the virtual environments that instances name: pinned, once, shared by content.
///
/// This is the only step of a run that needs a package index. An instance names its environment with `env_python` and
/// `env_packages`; instances with the same packages share one. Afterwards everything works offline.
#[derive(Debug, Args)]
pub(crate) struct PrepareArgs {
    /// Instances: `FILE.jsonl`, `FILE.jsonl#INSTANCE_ID`, or a task folder.
    #[arg(required = true, value_name = "INSTANCES")]
    instances: Vec<String>,
    /// Folder of environments.
    #[arg(long, value_name = "DIR", default_value = ".runproof/environments", env = "RUNPROOF_ENV")]
    env: PathBuf,
    /// Prints one JSON object per environment.
    #[arg(long)]
    json: bool,
}

pub(crate) fn prepare(args: &PrepareArgs, _global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let mut wanted: BTreeMap<String, (Recipe, BTreeSet<String>)> = BTreeMap::new();
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
    let mut failed = None;
    for (name, (recipe, instances)) in &wanted {
        let was_there = environments.find(name).is_some();
        let spinner = ui.spinner();
        let say = |text: String| {
            spinner.set_message(format!("{name}: {text}"));
            if !ui.is_terminal() {
                ui.say(format_args!("{name}: {text}"));
            }
        };
        let built = environments.prepare(recipe, &tools, &mut |step| {
            say(match step {
                Step::Interpreter(version) => format!("Python {version}."),
                Step::Waiting => "waiting for another process that builds it.".to_owned(),
                Step::Creating => "making the environment.".to_owned(),
                Step::Installing(1) => "installing 1 package.".to_owned(),
                Step::Installing(count) => format!("installing {count} packages."),
            });
        });
        spinner.finish_and_clear();
        let folder = match built {
            Ok(folder) => folder,
            Err(error) => {
                // The others are worth having; the exit code is that of the first failure.
                let instances: Vec<&str> = instances.iter().map(String::as_str).collect();
                ui.say(format_args!("{name}: not built, for {}: {error}", instances.join(", ")));
                failed.get_or_insert(error);
                continue;
            }
        };
        if args.json {
            ui.json(&serde_json::json!({
                "environment": name, "python": recipe.python(), "packages": recipe.packages(),
                "folder": folder, "built": !was_there, "instances": instances,
            }))?;
        } else {
            let state = if was_there { "was there" } else { "built" };
            let count = instances.len();
            ui.data(format_args!(
                "{name}  {state}, for {count} {}",
                if count == 1 { "instance" } else { "instances" }
            ))?;
        }
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(Exit::Sound),
    }
}

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
