//! The orchestration digest: one value over everything that makes a replay come out as it was recorded.
//!
//! It covers the templates by content, and by name and version whatever is code: normalisers, parser, gate and
//! ranking rules, the event format. Whoever changes one of these changes its version on purpose, and with it this
//! digest; a run of another digest can still be verified, but not replayed.

use serde_json::json;

use crate::canon::{Blake3, json as canonical};
use crate::edit;
use crate::gate;
use crate::model::{self, Provider};
use crate::prompt;
use crate::syntax;
use crate::workspace;

/// Version of the events that a solve run writes and of their order.
pub const FORMAT: u32 = 6;

/// Returns the digest of this version's rules.
pub fn orchestration_digest() -> Blake3 {
    let templates: std::collections::BTreeMap<&str, Blake3> =
        prompt::TEMPLATES.iter().map(|(name, text)| (*name, Blake3::of(text.as_bytes()))).collect();
    let providers = [Provider::Ollama, Provider::OpenAi, Provider::Anthropic, Provider::Embedded, Provider::Scripted];
    let rules = json!({
        "format": FORMAT,
        "templates": templates,
        "prompt": prompt::VERSION,
        "edit": edit::VERSION,
        "syntax": syntax::VERSION,
        "gate": gate::VERSION,
        "ranking": workspace::RANKING,
        "normalisers": providers.map(model::normaliser),
        "test-log": gate::NORMALISER,
    });
    Blake3::of(&canonical::to_bytes(&rules).expect("names, digests and small integers"))
}
