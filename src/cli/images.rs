//! Which container image an instance's tests run in, and the engine that has it.

use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};

use clap::Args;

use crate::gate::{Container, Engine, EngineKind, GateError, Image};
use crate::instance::Instance;

use super::ui::counted;
use super::{Failure, Host, Ui};

/// The word for the images that SWE-bench publishes, instead of a template.
const PUBLISHED: &str = "published";

/// Options that say which image tests run in.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ImageArgs {
    /// Container image of instances that name neither an environment nor an image; {id} in it is the instance's id as
    /// image names spell it. `published` names the image that SWE-bench publishes.
    #[arg(long, value_name = "TEMPLATE", env = "RUNPROOF_IMAGE")]
    pub(crate) image: Option<String>,
    /// Program of the container engine. [default: docker where it is there, else podman]
    #[arg(long, value_enum, env = "RUNPROOF_ENGINE")]
    pub(crate) engine: Option<EngineChoice>,
}

/// The engines that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EngineChoice {
    /// Docker's program.
    Docker,
    /// Podman's program.
    Podman,
}

impl ImageArgs {
    /// Returns the name of the image that the tests of an instance run in, if they run in one.
    pub(crate) fn name(&self, instance: &Instance) -> Option<String> {
        if instance.env_python.is_some() || instance.env_setup.is_some() {
            return None;
        }
        instance.image.clone().or_else(|| Some(expand(self.image.as_deref()?, &instance.id)))
    }

    /// Returns the instance as a run records it: with the content of its image, and with the commands that it leaves out.
    pub(crate) fn pin(&self, instance: &Instance, ui: &Ui) -> Result<Instance, Failure> {
        let instance = instance.clone();
        let Some(name) = self.name(&instance) else {
            return Ok(if instance.env_setup.is_some() { instance.with_commands() } else { instance });
        };
        let image = self.find(&name, instance.image_id.as_deref(), ui)?;
        Ok(instance.in_image(name, Some(image.id)))
    }

    /// Returns the instance as [`Self::pin`] does, in the image that a run of it was begun in.
    pub(crate) fn pin_like(&self, instance: &Instance, begun: &Instance, ui: &Ui) -> Result<Instance, Failure> {
        match (&begun.image, &begun.image_id) {
            (Some(name), Some(id)) => Ok(instance.clone().in_image(name.clone(), Some(id.clone()))),
            _ => self.pin(instance, ui),
        }
    }

    /// Returns containers for the tests of an instance, if they run in an image.
    pub(crate) fn container(&self, instance: &Instance, ui: &Ui) -> Result<Option<Container>, Failure> {
        let Some(name) = self.name(instance) else { return Ok(None) };
        let image = self.find(&name, instance.image_id.as_deref(), ui)?;
        Ok(Some(Container::new(self.open(ui)?, image)))
    }

    /// Finds an image here, by its content where that is known.
    pub(crate) fn find(&self, name: &str, id: Option<&str>, ui: &Ui) -> Result<Image, Failure> {
        let engine = self.open(ui)?;
        let Some(wanted) = id else { return Ok(engine.image(name)?) };
        match engine.image(wanted) {
            Err(GateError::ImageMissing(_)) => {
                let found = engine.image(name)?.id;
                Err(GateError::ImageOther { name: name.to_owned(), found, wanted: wanted.to_owned() }.into())
            }
            found => Ok(found?),
        }
    }

    /// Finds the engine, once; what earlier processes left of their containers is removed then.
    pub(crate) fn open(&self, ui: &Ui) -> Result<Engine, Failure> {
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = &*opened {
            return Ok(engine.clone());
        }
        let kind = self.engine.map(|choice| match choice {
            EngineChoice::Docker => EngineKind::Docker,
            EngineChoice::Podman => EngineKind::Podman,
        });
        let engine = Engine::find(kind, &Host::search_path(), variables(), Host::owner()?)?;
        match engine.remove_stale()? {
            0 => {}
            count => {
                let count = counted(count, "container");
                ui.say(format_args!("removed {count} that processes which are gone had left."));
            }
        }
        *opened = Some(engine.clone());
        Ok(engine)
    }
}

/// The engine of this process, so that a signal can take its containers away.
static OPENED: Mutex<Option<Engine>> = Mutex::new(None);

/// Removes the containers of this process, which is about to end.
pub(crate) fn take_down() {
    if let Some(engine) = OPENED.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        engine.remove_own();
    }
}

/// Returns the variables that an engine's program reads: where its daemon, its settings and its proxies are.
fn variables() -> std::collections::BTreeMap<OsString, OsString> {
    let docker = ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"];
    let podman = ["CONTAINER_HOST", "CONTAINER_CONNECTION", "CONTAINERS_CONF", "REGISTRY_AUTH_FILE"];
    let both = ["HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR", "SSH_AUTH_SOCK"];
    let proxies = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];
    let names = docker.iter().chain(&podman).chain(&both).chain(&proxies);
    names.filter_map(|name| Some(((*name).into(), Host::variable(name)?.into()))).collect()
}

/// Returns the name that a template gives an instance: image names are in small letters and hold no two underscores in
/// a row, for which the published ones have `_1776_`.
fn expand(template: &str, id: &str) -> String {
    let id = id.to_lowercase().replace("__", "_1776_");
    match template {
        PUBLISHED => {
            let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
            format!("swebench/sweb.eval.{machine}.{id}:latest")
        }
        template => template.replace("{id}", &id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_an_image_for_each_instance() {
        assert_eq!(expand("mine/{id}:1", "Owner__name-12"), "mine/owner_1776_name-12:1");
        assert_eq!(expand("debian:12", "a__b-1"), "debian:12");
        let published = expand("published", "pytest-dev__pytest-5262");
        assert!(published.starts_with("swebench/sweb.eval."), "{published}");
        assert!(published.ends_with(".pytest-dev_1776_pytest-5262:latest"), "{published}");
    }
}
