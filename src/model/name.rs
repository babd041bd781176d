//! Names of models as a person writes them: `provider:model[@digest]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Fault, Identity};

/// Says who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Ollama's native API.
    Ollama,
    /// Any server that speaks OpenAI's chat completions: llama.cpp, vLLM, LM Studio, OpenAI.
    OpenAi,
    /// Anthropic's messages API.
    Anthropic,
    /// The bit-exact engine of this program.
    Embedded,
    /// Replies from a file.
    Scripted,
}

impl Provider {
    /// Every provider, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Ollama, Self::OpenAi, Self::Anthropic, Self::Embedded, Self::Scripted];

    /// Returns the word used in model names, configuration and formats.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Embedded => "embedded",
            Self::Scripted => "scripted",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Returned when a text is not a model name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// No known word before the first colon.
    #[error("{0:?} does not start with a provider (ollama, openai, anthropic, embedded, scripted) and a colon")]
    Provider(String),
    /// Nothing after the colon, or a control character.
    #[error("{0:?} names no model")]
    Model(String),
    /// Something else than a SHA-256 digest after the `@`.
    #[error("{0:?} does not end in @sha256:<64 lower-case hexadecimal digits>")]
    Digest(String),
}

/// A model as the command line names it: `ollama:llama3.1:8b`, `scripted:FILE`, `embedded:smollm2-135m@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelName {
    /// Who answers.
    pub provider: Provider,
    /// The provider's own name of it; a path for `scripted` and for `embedded:PATH.gguf`.
    pub model: String,
    /// `sha256:<hex>` that the resolved digest must equal.
    pub digest: Option<String>,
}

impl ModelName {
    /// Returns the name as formats may hold it: a path is reduced to its last component.
    pub fn portable(&self) -> String {
        let model = match self.provider {
            Provider::Scripted | Provider::Embedded => self.model.rsplit(['/', '\\']).next().unwrap_or_default(),
            _ => &self.model,
        };
        Self { model: model.to_owned(), ..self.clone() }.to_string()
    }
}

impl ModelName {
    /// Checks that a resolved model has the digest that the name demands.
    ///
    /// # Errors
    /// Another digest, or none.
    pub fn check(&self, identity: &Identity) -> Result<(), Fault> {
        match &self.digest {
            Some(expected) if identity.digest.as_ref() != Some(expected) => {
                let found = identity.digest.clone().unwrap_or_else(|| "not known".into());
                Err(Fault::Digest { expected: expected.clone(), found })
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for ModelName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let shown = || text.chars().take(200).collect::<String>();
        let (word, rest) = text.split_once(':').ok_or_else(|| NameError::Provider(shown()))?;
        let provider =
            Provider::ALL.into_iter().find(|p| p.as_str() == word).ok_or_else(|| NameError::Provider(shown()))?;
        // A path may hold an `@`; only one that starts a digest separates.
        let (model, digest) = match rest.rsplit_once("@sha256:") {
            Some((model, hex)) => (model, Some(format!("sha256:{hex}"))),
            None => (rest, None),
        };
        if digest.as_ref().is_some_and(|digest| digest.parse::<crate::canon::Sha256>().is_err()) {
            return Err(NameError::Digest(shown()));
        }
        if model.is_empty() || model.chars().any(char::is_control) {
            return Err(NameError::Model(shown()));
        }
        Ok(Self { provider, model: model.to_owned(), digest })
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.model)?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_documentation_read_back() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for text in [
            "ollama:llama3.1:8b",
            "openai:org/model-7b@main",
            "anthropic:claude-haiku-4-5-20251001",
            "embedded:smollm2-135m",
            "embedded:/srv/models/x.gguf",
            "scripted:fixtures/replies/a.jsonl",
            &format!("ollama:llama3.1:8b@{digest}"),
        ] {
            assert_eq!(text.parse::<ModelName>().unwrap().to_string(), text);
        }
        let name = format!("ollama:llama3.1:8b@{digest}").parse::<ModelName>().unwrap();
        assert_eq!((name.provider, name.model.as_str(), name.digest), (Provider::Ollama, "llama3.1:8b", Some(digest)));
    }

    #[test]
    fn what_is_not_a_name_says_why() {
        for (text, error) in [
            ("", "does not start with a provider"),
            ("llama3.1:8b", "does not start with a provider"),
            ("OLLAMA:x", "does not start with a provider"),
            ("ollama:", "names no model"),
            ("ollama:a\nb", "names no model"),
            ("ollama:x@sha256:12", "does not end in @sha256"),
        ] {
            let message = text.parse::<ModelName>().unwrap_err().to_string();
            assert!(message.contains(error), "{text:?}: {message}");
        }
    }

    #[test]
    fn the_portable_name_holds_no_folder() {
        let portable = |text: &str| text.parse::<ModelName>().unwrap().portable();
        assert_eq!(portable("scripted:/home/somebody/a.jsonl"), "scripted:a.jsonl");
        assert_eq!(portable("embedded:../models/x.gguf"), "embedded:x.gguf");
        assert_eq!(portable("ollama:library/llama3.1:8b"), "ollama:library/llama3.1:8b");
    }
}
