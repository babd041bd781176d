//! `prepare`: the environments that instances name, made once and shared: virtual ones, what a setup command leaves, images.

mod make;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;

use super::args::Global;
use super::images::ImageArgs;
use super::{Exit, Failure, Host, Ui};
use crate::gate::environment::{Environments, Recipe, Setup, Tools};
use crate::instance::{self, Instance};
use crate::solve::setup;

/// Makes the environments that instances name: virtual ones, what their setup commands leave, container images.
///
/// This is the only step of a run that needs a package index or a registry. An instance names its environment with
/// `env_python` and `env_packages`, with a command `env_setup`, or with an `image`; instances with the same one share it.
/// What is there is not made again, so an interrupted call is simply repeated. Afterwards everything works offline.
#[derive(Debug, Args)]
pub(crate) struct PrepareArgs {
    /// Instances: `FILE.jsonl`, `FILE.jsonl#INSTANCE_ID`, or a task folder.
    #[arg(required = true, value_name = "INSTANCES")]
    instances: Vec<String>,
    /// Folder of environments.
    #[arg(long, value_name = "DIR", default_value = ".runproof/environments", env = "RUNPROOF_ENV")]
    env: PathBuf,
    /// Runs the setup commands that instances name. They can read and write what you can.
    #[arg(long)]
    setup: bool,
    /// Folder of clones (owner__name, owner+name or owner/name), or NAME=PATH of one, for setup commands.
    #[arg(long, value_name = "DIR|NAME=PATH", env = "RUNPROOF_REPOS", value_delimiter = ',')]
    repos: Vec<String>,
    #[command(flatten)]
    images: ImageArgs,
    /// Environments at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: u32,
    /// Prints one JSON object per environment.
    #[arg(long)]
    json: bool,
}

/// One environment, and how it comes to be.
enum Wanted {
    /// Packages in a virtual environment.
    Packages(Recipe),
    /// What a command leaves; it runs in the base tree of this instance.
    Setup(Setup, Box<Instance>),
    /// An image, with the content that it must have where an instance says so.
    Image(String, Option<String>),
}

impl Wanted {
    /// Returns what the tests of an instance need, if it names something.
    fn of(instance: &Instance, images: &ImageArgs) -> Result<Option<Self>, Failure> {
        if let Some(python) = &instance.env_python {
            return Ok(Some(Self::Packages(Recipe::new(python, &instance.env_packages)?)));
        }
        if let Some(setup) = setup(instance) {
            return Ok(Some(Self::Setup(setup, Box::new(instance.clone()))));
        }
        Ok(images.name(instance).map(|name| Self::Image(name, instance.image_id.clone())))
    }

    fn name(&self) -> String {
        match self {
            Self::Packages(recipe) => recipe.name(),
            Self::Setup(setup, _) => setup.name().to_owned(),
            Self::Image(name, _) => name.clone(),
        }
    }
}

/// An environment and the instances that name it.
struct Shared {
    wanted: Wanted,
    instances: BTreeSet<String>,
}

pub(crate) fn prepare(args: &PrepareArgs, _global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let mut all: BTreeMap<(String, Option<String>), Shared> = BTreeMap::new();
    let mut without = 0;
    for reference in &args.instances {
        for instance in load(reference)? {
            match Wanted::of(&instance, &args.images)? {
                Some(wanted) => {
                    let content = if let Wanted::Image(_, id) = &wanted { id.clone() } else { None };
                    let key = (wanted.name(), content);
                    let shared = all.entry(key).or_insert(Shared { wanted, instances: BTreeSet::new() });
                    shared.instances.insert(instance.id);
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
    make::make(args, &all.into_values().collect::<Vec<_>>(), &Environments::new(&args.env), &tools(), ui)
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
