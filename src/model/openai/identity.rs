//! Which server it is and which model it serves, read from what the server says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::canon::{self, Sha256};
use crate::model::{Fault, Identity, Provider};

/// The key of [`Identity::details`] that holds the [`Kind`].
const SERVER: &str = "server";

/// Says whose server it is, as far as that decides which fields it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    LlamaCpp,
    Vllm,
    Sglang,
    OpenAi,
    /// Anything else gets only the fields that OpenAI documents.
    Other,
}

impl Kind {
    const ALL: [Self; 5] = [Self::LlamaCpp, Self::Vllm, Self::Sglang, Self::OpenAi, Self::Other];

    const fn as_str(self) -> &'static str {
        match self {
            Self::LlamaCpp => "llama.cpp",
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::OpenAi => "openai",
            Self::Other => "other",
        }
    }

    fn of_owner(owner: &str) -> Self {
        match owner {
            "llamacpp" => Self::LlamaCpp,
            "vllm" => Self::Vllm,
            "sglang" => Self::Sglang,
            "system" | "openai" | "openai-internal" => Self::OpenAi,
            _ => Self::Other,
        }
    }

    /// Reads the kind back from an identity.
    pub(super) fn of(identity: &Identity) -> Self {
        let word = identity.details.get(SERVER).map(String::as_str).unwrap_or_default();
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).unwrap_or(Self::Other)
    }
}

/// The answers that name a model, joined: each is the exact text of its body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resolved {
    /// The name asked for.
    pub(super) model: String,
    /// `/v1/models`.
    pub(super) models: String,
    /// `/props` of a llama.cpp server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) props: Option<String>,
    /// Digest of the weights file that a llama.cpp server on this machine names, computed here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) weights: Option<Sha256>,
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    owned_by: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    meta: Option<Map<String, Value>>,
    max_model_len: Option<u32>,
}

#[derive(Deserialize)]
struct Props {
    build_info: Option<String>,
    #[cfg(feature = "live")]
    model_path: Option<String>,
    chat_template: Option<String>,
    total_slots: Option<u32>,
    #[serde(default)]
    default_generation_settings: Settings,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Settings {
    n_ctx: Option<u32>,
}

fn parse<'a, T: Deserialize<'a>>(what: &str, body: &'a str) -> Result<T, Fault> {
    let reason = |error| format!("{what}: {error}");
    serde_json::from_str(body).map_err(|error| Fault::Garbage { provider: Provider::OpenAi, reason: reason(error) })
}

/// Returns a server's model name without the folder that llama.cpp puts before it.
fn without_folder(id: &str, kind: Kind) -> &str {
    let path = kind == Kind::LlamaCpp && id.ends_with(".gguf");
    if path { id.rsplit(['/', '\\']).next().unwrap_or(id) } else { id }
}

/// Returns the kind of server that a list of models comes from.
#[cfg(feature = "live")]
pub(super) fn kind(models: &str) -> Result<Kind, Fault> {
    let models: Models = parse("/v1/models", models)?;
    Ok(models.data.first().map_or(Kind::Other, |entry| Kind::of_owner(&entry.owned_by)))
}

/// Returns the path of the weights in `/props`.
#[cfg(feature = "live")]
pub(super) fn weights_path(props: &str) -> Option<String> {
    parse::<Props>("/props", props).ok()?.model_path
}

pub(in crate::model) fn identity(raw: &[u8]) -> Result<Identity, Fault> {
    let provider = Provider::OpenAi;
    let malformed =
        |error: canon::CanonError| Fault::Malformed { what: "the recorded model", reason: error.to_string() };
    let resolved: Resolved = canon::json::from_bytes(raw).map_err(malformed)?;
    let models: Models = parse("/v1/models", &resolved.models)?;
    let is_meant = |entry: &&Entry| {
        let name = without_folder(&entry.id, Kind::of_owner(&entry.owned_by));
        [&entry.id, name, name.trim_end_matches(".gguf")].contains(&resolved.model.as_str())
            || entry.aliases.contains(&resolved.model)
    };
    let shown = |entry: &Entry| without_folder(&entry.id, Kind::of_owner(&entry.owned_by)).to_owned();
    let entry = models.data.iter().find(is_meant).ok_or_else(|| Fault::NoSuchModel {
        provider,
        model: resolved.model.clone(),
        available: models.data.iter().take(20).map(shown).collect(),
    })?;
    let kind = Kind::of_owner(&entry.owned_by);
    let mut details = BTreeMap::from([(SERVER.to_owned(), kind.as_str().to_owned())]);
    let mut context = entry.max_model_len;
    for key in ["ftype", "n_params", "size"] {
        match entry.meta.as_ref().and_then(|meta| meta.get(key)) {
            Some(Value::String(text)) => details.insert(key.into(), text.clone()),
            Some(Value::Number(number)) => details.insert(key.into(), number.to_string()),
            _ => None,
        };
    }
    if let Some(props) = &resolved.props {
        let props: Props = parse("/props", props)?;
        context = props.default_generation_settings.n_ctx;
        details.extend(props.build_info.map(|build| ("build".into(), build)));
        details.extend(props.total_slots.map(|slots| ("slots".into(), slots.to_string())));
        let template = props.chat_template.map(|text| Sha256::of(text.as_bytes()).to_string());
        details.extend(template.map(|digest| ("template".into(), digest)));
    }
    let digest = resolved.weights.map(|digest| digest.to_string());
    Ok(Identity { provider, name: shown(entry), digest, context, details })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a llama.cpp server said, shortened.
    const MODELS: &str = r#"{"models":[],"object":"list","data":[{"id":"/srv/models/smollm2.gguf","aliases":["tiny"],
        "object":"model","created":1795387878,"owned_by":"llamacpp","meta":{"n_ctx":4096,"n_params":134515008,
        "size":96576768,"ftype":"Q4_1"}}]}"#;
    const PROPS: &str = r#"{"default_generation_settings":{"params":{"temperature":0.800000011920929},"n_ctx":4096},
        "total_slots":1,"model_path":"/srv/models/smollm2.gguf","media_marker":"<__media_IVtA__>","chat_template":"x",
        "build_info":"b10488-abc"}"#;

    fn resolve(model: &str, models: &str, props: Option<&str>) -> Result<Identity, Fault> {
        let weights = props.map(|_| Sha256::of(b"weights"));
        let resolved = Resolved { model: model.into(), models: models.into(), props: props.map(Into::into), weights };
        identity(&canon::json::to_bytes(&resolved).unwrap())
    }

    #[test]
    fn a_llama_cpp_server_is_known_by_its_weights_and_build_not_by_its_paths() {
        for name in ["smollm2.gguf", "smollm2", "tiny", "/srv/models/smollm2.gguf"] {
            let identity = resolve(name, MODELS, Some(PROPS)).unwrap();
            assert_eq!(Kind::of(&identity), Kind::LlamaCpp);
            assert_eq!((identity.name.as_str(), identity.context), ("smollm2.gguf", Some(4096)));
            assert_eq!(identity.digest, Some(Sha256::of(b"weights").to_string()));
            let text = String::from_utf8(identity.to_bytes()).unwrap();
            assert!(text.contains("b10488-abc") && !text.contains("/srv") && !text.contains("media"), "{text}");
        }
    }

    #[test]
    fn what_is_random_in_props_changes_nothing() {
        let other = PROPS.replace("IVtA", "Zzzz");
        assert_eq!(resolve("tiny", MODELS, Some(PROPS)), resolve("tiny", MODELS, Some(&other)));
    }

    #[test]
    fn the_kind_follows_from_the_owner() {
        for (owner, kind) in
            [("vllm", Kind::Vllm), ("sglang", Kind::Sglang), ("system", Kind::OpenAi), ("x", Kind::Other)]
        {
            let models = format!(r#"{{"data":[{{"id":"org/m","owned_by":"{owner}","max_model_len":8192}}]}}"#);
            let identity = resolve("org/m", &models, None).unwrap();
            assert_eq!((Kind::of(&identity), identity.context), (kind, Some(8192)));
        }
    }

    #[test]
    fn another_name_is_refused_with_what_is_there() {
        let error = resolve("gpt-x", MODELS, Some(PROPS)).unwrap_err();
        assert_eq!(error.hint().unwrap(), "it has: smollm2.gguf");
        assert!(matches!(resolve("m", "{}", None), Err(Fault::Garbage { .. })));
    }
}
