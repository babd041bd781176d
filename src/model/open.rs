//! From a name to a model that can be called.

#[cfg(not(all(feature = "live", feature = "embedded")))]
use super::Fault;
use super::weights::Places;
#[cfg(feature = "live")]
use super::{Anthropic, AnthropicSettings, ApiKey, Network, Ollama, OllamaSettings, OpenAi, OpenAiSettings};
use super::{Model, ModelError, ModelName, Provider, Scripted};

/// Everything that opening a model may need from outside.
#[derive(Debug, Clone)]
pub struct Access {
    /// The provider's server, where it is not at its usual place.
    #[cfg(feature = "live")]
    pub address: Option<String>,
    /// The provider's key.
    #[cfg(feature = "live")]
    pub key: Option<ApiKey>,
    /// How to reach servers.
    #[cfg(feature = "live")]
    pub network: Network,
    /// How Ollama shall run the model; its address is [`Access::address`].
    #[cfg(feature = "live")]
    pub ollama: OllamaSettings,
    /// Where weights may lie.
    pub places: Places,
    /// Threads of the embedded engine; their number changes no bit.
    pub threads: usize,
}

/// Opens a model. Servers are not asked before [`Model::resolve`]; scripts and weights are read at once.
///
/// # Errors
/// An unusable address or key, a script or weights that cannot be read, a provider that this build lacks.
#[cfg_attr(
    not(any(feature = "live", feature = "embedded")),
    expect(unused_variables, reason = "a script needs nothing")
)]
pub fn open(name: &ModelName, access: &Access) -> Result<Box<dyn Model>, ModelError> {
    match name.provider {
        Provider::Scripted => Ok(Box::new(Scripted::open(std::path::Path::new(&name.model))?)),
        #[cfg(feature = "embedded")]
        Provider::Embedded => {
            let mut found = super::weights::find(&name.model, &access.places)?;
            if let Some(digest) = &name.digest {
                found.digest = Some(digest.parse().expect("a model name holds only well-formed digests"));
            }
            let settings = crate::engine::Settings {
                threads: access.threads.max(1),
                chunk: 128,
                simd: crate::engine::Simd::Auto,
                reuse_cache: true,
            };
            Ok(Box::new(super::Embedded::load(&found, settings)?))
        }
        #[cfg(feature = "live")]
        Provider::Ollama => {
            let settings = OllamaSettings { address: access.address.clone(), ..access.ollama.clone() };
            Ok(Box::new(Ollama::new(&name.model, &settings, &access.network)?))
        }
        #[cfg(feature = "live")]
        Provider::OpenAi => {
            let settings = OpenAiSettings { address: access.address.clone(), key: access.key.clone() };
            Ok(Box::new(OpenAi::new(&name.model, &settings, &access.network)?))
        }
        #[cfg(feature = "live")]
        Provider::Anthropic => {
            let settings = AnthropicSettings { address: access.address.clone(), key: access.key.clone() };
            Ok(Box::new(Anthropic::new(&name.model, &settings, &access.network)?))
        }
        #[cfg(not(all(feature = "live", feature = "embedded")))]
        provider => Err(Fault::NotBuilt(provider).into()),
    }
}
