//! The chat template of the weights, rendered by minijinja as `transformers` renders it.
//!
//! No clock: `strftime_now` is not defined, so a template that asks for the date takes its own default. A template is
//! hostile text; its steps are limited.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value, context};

use super::EngineError;
use crate::canon::Sha256;

const NAME: &str = "chat";
const MAX_STEPS: u64 = 10_000_000;

/// Who speaks a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The instructions.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// Returns the name that templates compare with.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// A compiled chat template.
pub(crate) struct Template {
    environment: Environment<'static>,
    digest: Sha256,
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// A syntax error, or a construct that minijinja lacks.
    pub(crate) fn new(source: &str) -> Result<Self, EngineError> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?);
        environment.set_fuel(Some(MAX_STEPS));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, text))
        });
        environment.add_template_owned(NAME, without_generation_tags(source)).map_err(failed)?;
        Ok(Self { environment, digest: Sha256::of(source.as_bytes()) })
    }

    /// Renders a conversation, ending where the model's reply begins.
    ///
    /// # Errors
    /// A template that refuses the messages or does not end.
    pub(crate) fn render(&self, messages: &[(Role, &str)], begin: &str, end: &str) -> Result<String, EngineError> {
        let messages: Vec<Value> =
            messages.iter().map(|(role, content)| context! { role => role.name(), content => *content }).collect();
        let template = self.environment.get_template(NAME).map_err(failed)?;
        let context = context! {
            messages => messages, bos_token => begin, eos_token => end, add_generation_prompt => true,
        };
        template.render(context).map_err(failed)
    }

    /// Returns the digest of the template's text.
    pub(crate) fn digest(&self) -> Sha256 {
        self.digest
    }
}

fn failed(error: Error) -> EngineError {
    EngineError::Template(error.to_string())
}

/// Turns `transformers`' own `{% generation %}` blocks, which only mark text for training, into plain conditions.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag)) = rest.split_once("{%") {
        out.push_str(before);
        out.push_str("{%");
        let Some((inside, after)) = tag.split_once("%}") else {
            rest = tag;
            continue;
        };
        match inside.trim_matches(['-', '+', ' ', '\n']) {
            word @ ("generation" | "endgeneration") => {
                let plain = if word == "generation" { "if true" } else { "endif" };
                out.push_str(&inside.replace(word, plain));
            }
            _ => out.push_str(inside),
        }
        out.push_str("%}");
        rest = after;
    }
    out.push_str(rest);
    out
}
