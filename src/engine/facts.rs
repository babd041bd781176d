//! What a model is: the facts that its identity, its listing and its certificates are made of.

use super::gguf::{Header, Kind};
use super::shape::Shape;
use super::template::Template;
use super::tokenizer::Tokenizer;
use crate::canon::Sha256;

/// Version of everything that decides a logit's bits: kernels, order of sums, rotary angles, cache precision. Raised by
/// any change after which a model's logits differ.
pub const KERNEL_VERSION: u32 = 1;

/// Facts about loaded weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Architecture, always `llama` today.
    pub architecture: String,
    /// Name that the file gives itself, or an empty text.
    pub name: String,
    /// Licence that the file names, or an empty text.
    pub license: String,
    /// Largest number of tokens of prompt and reply together.
    pub context_length: u32,
    /// Type of most weights, as GGML names it: `Q4_1`.
    pub quantisation: String,
    /// Number of weights.
    pub parameters: u64,
    /// Digest of the whole file.
    pub weights: Sha256,
    /// Digest of vocabulary, merges, special tokens and splitting rule.
    pub tokenizer: Sha256,
    /// Digest of the chat template's text, if there is one.
    pub template: Option<Sha256>,
    /// [`KERNEL_VERSION`] of the engine that loaded them.
    pub kernel_version: u32,
}

impl Facts {
    pub(crate) fn new(
        header: &Header,
        shape: &Shape,
        tokenizer: &Tokenizer,
        template: Option<&Template>,
        weights: Sha256,
    ) -> Self {
        let text = |key: &str| header.text(key).unwrap_or_default().to_owned();
        let count = |kind: Option<Kind>| -> u64 {
            let wanted = header.tensors.iter().filter(|tensor| kind.is_none_or(|kind| tensor.kind == kind));
            wanted.map(|tensor| tensor.dimensions.iter().product::<u64>()).sum()
        };
        let main = header.tensors.iter().map(|tensor| tensor.kind).max_by_key(|kind| (count(Some(*kind)), *kind));
        Self {
            architecture: text("general.architecture"),
            name: text("general.name"),
            license: text("general.license"),
            context_length: shape.context,
            quantisation: main.map_or("", Kind::name).to_owned(),
            parameters: count(None),
            weights,
            tokenizer: tokenizer.digest(),
            template: template.map(Template::digest),
            kernel_version: KERNEL_VERSION,
        }
    }
}
