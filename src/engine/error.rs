//! What can go wrong while loading weights or generating, one variant per cause.

use crate::canon::Sha256;

/// Says why weights were refused or a generation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The reader failed before the end of the file.
    #[error("cannot read the weights: {0}")]
    Read(#[from] std::io::Error),
    /// The first four bytes are not those of a GGUF file.
    #[error("not a GGUF file: it begins with the bytes {0:02x?} instead of \"GGUF\"")]
    NotGguf([u8; 4]),
    /// A GGUF version other than 2 or 3.
    #[error("GGUF version {0} is not supported (2 and 3 are)")]
    Version(u32),
    /// The file ends inside a part that its header announces.
    #[error("the weights are truncated: {what} needs {needed} bytes at offset {offset}, the file has {length}")]
    Truncated {
        /// What was being read.
        what: String,
        /// Bytes that it needs.
        needed: u64,
        /// Where it begins.
        offset: u64,
        /// Length of the file in bytes.
        length: u64,
    },
    /// A header that contradicts itself or the format.
    #[error("malformed GGUF: {0}")]
    Malformed(String),
    /// A count or size beyond what the reader accepts.
    #[error("malformed GGUF: {what} is {value}, more than the limit of {limit}")]
    TooLarge {
        /// What was counted.
        what: String,
        /// The value found.
        value: u64,
        /// The largest value accepted.
        limit: u64,
    },
    /// A tensor in a quantisation that has no kernel here.
    #[error("tensor {tensor:?} has the type {kind}, which is not supported")]
    TensorType {
        /// Name of the tensor.
        tensor: String,
        /// Name or number of its type.
        kind: String,
    },
    /// A tensor that the architecture needs is not there.
    #[error("the tensor {0:?} is missing")]
    MissingTensor(String),
    /// A tensor that the forward pass would silently ignore.
    #[error("the tensor {0:?} is not part of a Llama model as this engine computes it")]
    UnexpectedTensor(String),
    /// A tensor whose dimensions contradict the metadata.
    #[error("tensor {tensor:?} has the dimensions {found:?} instead of {expected:?}")]
    TensorShape {
        /// Name of the tensor.
        tensor: String,
        /// Dimensions in the file, fastest first.
        found: Vec<u64>,
        /// Dimensions that follow from the metadata.
        expected: Vec<u64>,
    },
    /// A metadata key that is needed and absent, or of another type.
    #[error("the metadata key {key:?} is missing or not {expected}")]
    Metadata {
        /// The key.
        key: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// Weights of a model that is not of the Llama architecture.
    #[error("the architecture {0:?} is not supported (\"llama\" is)")]
    Architecture(String),
    /// A Llama model with a property that the forward pass does not compute.
    #[error("the model needs {0}, which is not supported")]
    Unsupported(String),
    /// A tokenizer other than byte-level BPE.
    #[error("the tokenizer model {0:?} is not supported (\"gpt2\", byte-level BPE, is)")]
    TokenizerModel(String),
    /// A pre-tokenizer whose splitting rule is not known here.
    #[error("the pre-tokenizer {found:?} is not known; known are {known}")]
    PreTokenizer {
        /// Name in the file.
        found: String,
        /// Names that are known.
        known: String,
    },
    /// A vocabulary that cannot be built, or a text that it cannot encode.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The weights bring no chat template.
    #[error("the weights hold no chat template")]
    NoTemplate,
    /// The chat template does not compile or refuses the messages.
    #[error("chat template: {0}")]
    Template(String),
    /// The file is not the one that was asked for.
    #[error("the weights have the digest {found}, expected {expected}")]
    Digest {
        /// Digest that the caller asked for.
        expected: Sha256,
        /// Digest of the file.
        found: Sha256,
    },
    /// The prompt leaves no room for a reply.
    #[error("the prompt has {prompt} tokens, the model's context holds {context}")]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens that the context holds.
        context: u32,
    },
    /// A prompt of no tokens.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// A token id beyond the vocabulary.
    #[error("the token id {token} is beyond the vocabulary of {vocabulary}")]
    Token {
        /// The id.
        token: u32,
        /// Number of tokens in the vocabulary.
        vocabulary: u32,
    },
    /// A constraint that no text can meet.
    #[error("constraint: {0}")]
    Constraint(String),
    /// A logit that is infinite or not a number; such bits are not reproducible.
    #[error("the model produced a number that is not finite at position {0}")]
    NotFinite(usize),
    /// Settings that this machine cannot follow.
    #[error("settings: {0}")]
    Settings(String),
}
