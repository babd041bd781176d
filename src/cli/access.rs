//! What models need from the host: addresses, keys, folders, proxies.

use std::path::PathBuf;

use crate::model::weights::Places;
use crate::model::{Access, Provider};
#[cfg(feature = "live")]
use crate::model::{ApiKey, ModelError, Network, OllamaSettings, weights::Sources};

#[cfg(feature = "live")]
use super::FailureKind;
use super::{Failure, Host};

/// Reads what opening a model of `provider` may need; `base_url` is the option of that name.
///
/// # Errors
/// A key that cannot be read or sent.
#[cfg(feature = "live")]
pub(crate) fn access(provider: Provider, base_url: Option<&str>) -> Result<Access, Failure> {
    let usual = match provider {
        Provider::Ollama => Some("OLLAMA_HOST"),
        Provider::OpenAi => Some("OPENAI_BASE_URL"),
        Provider::Anthropic => Some("ANTHROPIC_BASE_URL"),
        Provider::Embedded | Provider::Scripted => None,
    };
    Ok(Access {
        address: base_url.map(ToOwned::to_owned).or_else(|| usual.and_then(Host::variable)),
        key: key(provider)?,
        network: network(),
        ollama: OllamaSettings::default(),
        places: places(),
        threads: Host::threads(),
    })
}

/// Reads what a build that reaches no server may need.
#[cfg(not(feature = "live"))]
pub(crate) fn access(_provider: Provider, _base_url: Option<&str>) -> Result<Access, Failure> {
    Ok(Access { places: places(), threads: Host::threads() })
}

/// Returns where weights may lie on this machine.
pub(crate) fn places() -> Places {
    // A service keeps its models apart from the user's.
    let service = PathBuf::from("/usr/share/ollama/.ollama/models");
    let own = Host::home().map(|home| home.join(".ollama/models"));
    let ollama = Host::variable("OLLAMA_MODELS")
        .map(PathBuf::from)
        .or_else(|| own.into_iter().chain([service]).find(|folder| folder.is_dir()));
    Places { cache: Host::cache().map(|cache| cache.join("weights")), ollama }
}

/// Returns where weights may come from.
#[cfg(feature = "live")]
pub(crate) fn sources() -> Sources {
    let hub = Host::variable("HF_ENDPOINT").unwrap_or_else(|| Sources::HUB.to_owned());
    Sources { pythons: vec!["python3".into(), "python".into()], hub: Some(hub), network: network() }
}

#[cfg(feature = "live")]
fn network() -> Network {
    let first = |names: [&str; 4]| names.into_iter().find_map(Host::variable);
    let no_proxy = Host::variable("no_proxy").or_else(|| Host::variable("NO_PROXY")).unwrap_or_default();
    let no_proxy = no_proxy.split(',').map(|entry| entry.trim().to_owned()).filter(|entry| !entry.is_empty());
    Network {
        proxy: first(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        no_proxy: no_proxy.collect(),
        ..Network::default()
    }
}

/// Reads a provider's key from its usual variable, or from the file that the variable with `_FILE` names.
#[cfg(feature = "live")]
fn key(provider: Provider) -> Result<Option<ApiKey>, Failure> {
    let name = match provider {
        Provider::OpenAi => "OPENAI_API_KEY",
        Provider::Anthropic => "ANTHROPIC_API_KEY",
        Provider::Ollama | Provider::Embedded | Provider::Scripted => return Ok(None),
    };
    let text = match (Host::variable(name), Host::variable(&format!("{name}_FILE"))) {
        (Some(text), _) => text,
        (None, Some(path)) => std::fs::read_to_string(&path).map_err(|error| {
            Failure::new(FailureKind::Environment, format!("cannot read the key file {path}: {error}"))
        })?,
        (None, None) => return Ok(None),
    };
    Ok(Some(ApiKey::new(provider, &text).map_err(ModelError::from)?))
}
