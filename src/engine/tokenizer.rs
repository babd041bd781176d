//! Byte-level BPE from the metadata of a GGUF file: text to token ids, token ids to bytes.
//!
//! The splitting rule is named by `tokenizer.ggml.pre`. A name that is not known here is refused: a wrong rule gives
//! slightly other tokens and slightly worse replies, which nobody would notice.

use std::collections::{BTreeMap, BTreeSet};

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior};

use super::EngineError;
use super::gguf::Header;
use crate::canon::Sha256;

const KNOWN: &[&str] = &["gpt-2", "smollm", "llama-bpe", "llama3", "llama-v3"];

/// Llama 3's splitting rule, as its authors publish it.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Texts of the tokens that end a reply when the metadata's own list leaves them out.
const ENDS: &[&str] = &["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>", "<|end|>"];

/// GGML's type numbers of tokens.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Encodes and decodes text for one model.
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Bytes of every token; those of control tokens are empty.
    pieces: Vec<Box<[u8]>>,
    texts: Vec<String>,
    control: BTreeSet<u32>,
    ends: BTreeSet<u32>,
    begin: Option<u32>,
    end: Option<u32>,
    adds_begin: bool,
    digest: Sha256,
}

impl Tokenizer {
    /// Builds the tokenizer that a header describes.
    ///
    /// # Errors
    /// Another tokenizer model, an unknown splitting rule, or a vocabulary that contradicts itself.
    pub(crate) fn read(header: &Header) -> Result<Self, EngineError> {
        let model = header.text("tokenizer.ggml.model").unwrap_or_default();
        if model != "gpt2" {
            return Err(EngineError::TokenizerModel(model.chars().take(100).collect()));
        }
        let pre = header.text("tokenizer.ggml.pre").unwrap_or_default();
        let missing = |key: &str| EngineError::Metadata { key: key.into(), expected: "a list" };
        let tokens = header.texts("tokenizer.ggml.tokens").ok_or_else(|| missing("tokenizer.ggml.tokens"))?;
        let kinds = header.integers("tokenizer.ggml.token_type").ok_or_else(|| missing("tokenizer.ggml.token_type"))?;
        let merges = header.texts("tokenizer.ggml.merges").ok_or_else(|| missing("tokenizer.ggml.merges"))?;
        let error = |text: String| EngineError::Tokenizer(text);
        if kinds.len() != tokens.len() || tokens.is_empty() {
            return Err(error(format!("{} tokens, {} token types", tokens.len(), kinds.len())));
        }
        let special = |id: usize| matches!(kinds[id], CONTROL | USER_DEFINED);
        let ids: BTreeMap<&str, u32> = tokens.iter().map(String::as_str).zip(0..).collect();
        if ids.len() != tokens.len() {
            return Err(error("a token appears twice".into()));
        }
        let alphabet = alphabet();
        let mut pieces = Vec::with_capacity(tokens.len());
        for (id, token) in tokens.iter().enumerate() {
            pieces.push(match kinds[id] {
                CONTROL => Box::default(),
                USER_DEFINED => token.as_bytes().into(),
                _ => {
                    let bytes = token.chars().map(|c| alphabet.get(&c).copied()).collect::<Option<Box<[u8]>>>();
                    bytes.ok_or_else(|| error(format!("the token {token:?} is not byte-level")))?
                }
            });
        }
        let absent = alphabet.iter().find(|(c, byte)| {
            matches!(byte, b'\n' | 0x20..0x7f) && !ids.contains_key(c.encode_utf8(&mut [0; 4]) as &str)
        });
        if let Some((_, byte)) = absent {
            return Err(error(format!("no token for the byte {byte:#04x}")));
        }
        let inner = build(pre, tokens, &ids, merges, special)?;
        let id = |key: &str| header.unsigned(key).filter(|id| (*id as usize) < tokens.len());
        let mut ends: BTreeSet<u32> =
            ["eos", "eot", "eom"].iter().filter_map(|name| id(&format!("tokenizer.ggml.{name}_token_id"))).collect();
        ends.extend(ENDS.iter().filter_map(|text| ids.get(text)).filter(|id| special(**id as usize)));
        if ends.is_empty() {
            return Err(error("no token ends a reply".into()));
        }
        let mut hasher = Hasher::default();
        for list in [tokens, merges] {
            hasher.number(list.len() as u64);
            list.iter().for_each(|text| hasher.text(text));
        }
        kinds.iter().for_each(|kind| hasher.number(*kind as u64));
        hasher.text(pre);
        ends.iter().for_each(|id| hasher.number(u64::from(*id)));
        let begin = id("tokenizer.ggml.bos_token_id");
        let adds_begin = header.bool("tokenizer.ggml.add_bos_token").unwrap_or(pre.starts_with("llama"));
        hasher.number(begin.filter(|_| adds_begin).map_or(u64::MAX, u64::from));
        Ok(Self {
            inner,
            pieces,
            texts: tokens.to_vec(),
            control: (0..tokens.len() as u32).filter(|id| kinds[*id as usize] == CONTROL).collect(),
            ends,
            begin,
            end: id("tokenizer.ggml.eos_token_id"),
            adds_begin,
            digest: hasher.finish(),
        })
    }

    /// Encodes `text`; the texts of special tokens become those tokens, and the model's first token is put in front
    /// where its metadata asks for that.
    ///
    /// # Errors
    /// A text that the splitting rule gives up on. A byte that no token stands for (SmolLM2 lacks a few control
    /// characters) is dropped, as llama.cpp does.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let encoding =
            self.inner.encode_fast(text, false).map_err(|error| EngineError::Tokenizer(error.to_string()))?;
        let mut ids = encoding.get_ids().to_vec();
        match self.begin {
            Some(begin) if self.adds_begin && ids.first() != Some(&begin) => ids.insert(0, begin),
            _ => {}
        }
        Ok(ids)
    }

    /// Returns the bytes that a token stands for; none for a control token.
    pub(crate) fn bytes(&self, token: u32) -> &[u8] {
        self.pieces.get(token as usize).map_or(&[], |piece| piece)
    }

    /// Says whether a token is a control token, which stands for no text.
    pub(crate) fn is_control(&self, token: u32) -> bool {
        self.control.contains(&token)
    }

    /// Says whether a token ends a reply.
    pub(crate) fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// Returns the number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Returns the text of the token that begins a text, for templates.
    pub(crate) fn begin_text(&self) -> &str {
        self.begin.map_or("", |id| &self.texts[id as usize])
    }

    /// Returns the text of the token that ends a text, for templates.
    pub(crate) fn end_text(&self) -> &str {
        self.end.map_or("", |id| &self.texts[id as usize])
    }

    /// Returns the digest of everything that decides how text becomes tokens.
    pub(crate) fn digest(&self) -> Sha256 {
        self.digest
    }
}

fn build(
    pre: &str,
    tokens: &[String],
    ids: &BTreeMap<&str, u32>,
    merges: &[String],
    special: impl Fn(usize) -> bool,
) -> Result<tokenizers::Tokenizer, EngineError> {
    let failed = |error: tokenizers::Error| EngineError::Tokenizer(error.to_string());
    let splitter: PreTokenizerWrapper = match pre {
        "gpt-2" => ByteLevel::new(false, true, true).into(),
        "smollm" => Sequence::new(vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()]).into(),
        "llama-bpe" | "llama3" | "llama-v3" => {
            let pattern = SplitPattern::Regex(LLAMA3.into());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(failed)?;
            Sequence::new(vec![split.into(), ByteLevel::new(false, true, false).into()]).into()
        }
        other => {
            return Err(EngineError::PreTokenizer {
                found: other.chars().take(100).collect(),
                known: KNOWN.join(", "),
            });
        }
    };
    let mut pairs = Vec::with_capacity(merges.len());
    for merge in merges {
        let pair = merge.split_once(' ').filter(|(a, b)| {
            // The crate below copies both halves into a buffer as long as the longest token, unchecked.
            ids.contains_key(a) && ids.contains_key(b) && ids.contains_key(format!("{a}{b}").as_str())
        });
        let (a, b) = pair.ok_or_else(|| EngineError::Tokenizer(format!("the merge {merge:?} makes no token")))?;
        pairs.push((a.to_owned(), b.to_owned()));
    }
    let mut model = BPE::new(tokens.iter().cloned().zip(0..).collect(), pairs);
    model.ignore_merges = pre.starts_with("llama");
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(splitter));
    let added = tokens.iter().enumerate().filter(|(id, token)| special(*id) && !token.is_empty());
    tokenizer.add_special_tokens(added.map(|(_, token)| AddedToken::from(token.as_str(), true))).map_err(failed)?;
    Ok(tokenizer)
}

/// Returns GPT-2's printable character of every byte, the other way round.
fn alphabet() -> BTreeMap<char, u8> {
    let mut next = 256;
    let mut characters = BTreeMap::new();
    for byte in 0..=255_u8 {
        let code = match byte {
            33..=126 | 161..=172 | 174..=255 => u32::from(byte),
            _ => {
                next += 1;
                next - 1
            }
        };
        characters.insert(char::from_u32(code).expect("all codes lie below U+0144"), byte);
    }
    characters
}

/// Hashes a list of texts and numbers without ambiguity.
#[derive(Default)]
struct Hasher(Vec<u8>);

impl Hasher {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn finish(self) -> Sha256 {
        Sha256::of(&self.0)
    }
}
