//! A whole model of a few hundred kilobytes from a seed: for self-tests of the engine where no weights are at hand.
//!
//! Its replies are noise, but everything about them is exact: it has every part that a real file has (byte-level
//! vocabulary, merges, chat template, grouped heads, quantised matrices), so a machine that computes its logits with
//! other bits would do so with real weights too.

use half::f16;

/// How the matrices of a tiny model are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TinyKind {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Four bits with a scale.
    Q4_0,
    /// Four bits with a scale and a minimum.
    Q4_1,
    /// Eight bits with a scale.
    Q8_0,
}

const WIDTH: u64 = 64;
const INNER: u64 = 96;
const HEADS: u32 = 4;
const KV_HEADS: u32 = 2;
const LAYERS: u32 = 2;
const CONTEXT: u32 = 2048;
const MERGES: &[&str] = &["F I", "L E", "FI LE", "L I", "N E", "LI NE", "LINE S", "Ġ Ġ", "i n", "a b", "1 2"];
const SPECIAL: &[&str] = &["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}\
                        <|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Returns the bytes of a GGUF file whose weights are drawn from `seed`; the embedding is always in eight bits.
pub fn weights(seed: u64, kind: TinyKind) -> Vec<u8> {
    let mut tokens: Vec<String> = SPECIAL.iter().map(|text| text.to_string()).collect();
    tokens.extend((0..=255).map(|byte| character(byte).to_string()));
    tokens.extend(MERGES.iter().map(|merge| merge.replace(' ', "")));
    let kinds: Vec<u32> = (0..tokens.len()).map(|id| if id < SPECIAL.len() { 3 } else { 1 }).collect();
    let merges: Vec<String> = MERGES.iter().map(|merge| merge.to_string()).collect();

    let mut file = Writer::default();
    file.text("general.architecture", "llama");
    file.text("general.name", "tiny");
    file.unsigned("llama.block_count", LAYERS);
    file.unsigned("llama.context_length", CONTEXT);
    file.unsigned("llama.embedding_length", WIDTH as u32);
    file.unsigned("llama.feed_forward_length", INNER as u32);
    file.unsigned("llama.attention.head_count", HEADS);
    file.unsigned("llama.attention.head_count_kv", KV_HEADS);
    file.float("llama.attention.layer_norm_rms_epsilon", 1e-5);
    file.float("llama.rope.freq_base", 10000.0);
    file.text("tokenizer.ggml.model", "gpt2");
    file.text("tokenizer.ggml.pre", "smollm");
    file.texts("tokenizer.ggml.tokens", &tokens);
    file.unsigneds("tokenizer.ggml.token_type", &kinds);
    file.texts("tokenizer.ggml.merges", &merges);
    file.unsigned("tokenizer.ggml.bos_token_id", 1);
    file.unsigned("tokenizer.ggml.eos_token_id", 2);
    file.text("tokenizer.chat_template", TEMPLATE);

    let keys = WIDTH / u64::from(HEADS) * u64::from(KV_HEADS);
    let mut draw = Draw(seed);
    file.matrix("token_embd.weight", WIDTH, tokens.len() as u64, TinyKind::Q8_0, &mut draw);
    file.vector("output_norm.weight", WIDTH, &mut draw);
    for i in 0..LAYERS {
        file.vector(&format!("blk.{i}.attn_norm.weight"), WIDTH, &mut draw);
        file.vector(&format!("blk.{i}.ffn_norm.weight"), WIDTH, &mut draw);
        for (part, width, rows) in [
            ("attn_q", WIDTH, WIDTH),
            ("attn_k", WIDTH, keys),
            ("attn_v", WIDTH, keys),
            ("attn_output", WIDTH, WIDTH),
            ("ffn_gate", WIDTH, INNER),
            ("ffn_up", WIDTH, INNER),
            ("ffn_down", INNER, WIDTH),
        ] {
            file.matrix(&format!("blk.{i}.{part}.weight"), width, rows, kind, &mut draw);
        }
    }
    file.finish()
}

/// GPT-2's printable character of a byte.
fn character(byte: u8) -> char {
    let shown = |byte: &u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let code = if shown(&byte) { u32::from(byte) } else { 256 + (0..byte).filter(|b| !shown(b)).count() as u32 };
    char::from_u32(code).expect("all codes lie below U+0144")
}

/// SplitMix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Draws from -1 to below 1.
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn bytes(&mut self, count: usize, out: &mut Vec<u8>) {
        out.extend((0..count).map(|_| self.next() as u8));
    }
}

/// Writes a GGUF file of version 3.
#[derive(Default)]
struct Writer {
    entries: u64,
    metadata: Vec<u8>,
    tensors: u64,
    table: Vec<u8>,
    data: Vec<u8>,
}

impl Writer {
    fn entry(&mut self, key: &str, kind: u32) {
        self.entries += 1;
        push_text(&mut self.metadata, key);
        self.metadata.extend_from_slice(&kind.to_le_bytes());
    }

    fn unsigned(&mut self, key: &str, value: u32) {
        self.entry(key, 4);
        self.metadata.extend_from_slice(&value.to_le_bytes());
    }

    fn float(&mut self, key: &str, value: f32) {
        self.entry(key, 6);
        self.metadata.extend_from_slice(&value.to_le_bytes());
    }

    fn text(&mut self, key: &str, value: &str) {
        self.entry(key, 8);
        push_text(&mut self.metadata, value);
    }

    fn texts(&mut self, key: &str, values: &[String]) {
        self.entry(key, 9);
        self.metadata.extend_from_slice(&8_u32.to_le_bytes());
        self.metadata.extend_from_slice(&(values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| push_text(&mut self.metadata, value));
    }

    fn unsigneds(&mut self, key: &str, values: &[u32]) {
        self.entry(key, 9);
        self.metadata.extend_from_slice(&4_u32.to_le_bytes());
        self.metadata.extend_from_slice(&(values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| self.metadata.extend_from_slice(&value.to_le_bytes()));
    }

    fn tensor(&mut self, name: &str, dimensions: &[u64], kind: u32) {
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        self.tensors += 1;
        push_text(&mut self.table, name);
        self.table.extend_from_slice(&(dimensions.len() as u32).to_le_bytes());
        dimensions.iter().for_each(|n| self.table.extend_from_slice(&n.to_le_bytes()));
        self.table.extend_from_slice(&kind.to_le_bytes());
        self.table.extend_from_slice(&(self.data.len() as u64).to_le_bytes());
    }

    /// Norm weights around 1.
    fn vector(&mut self, name: &str, width: u64, draw: &mut Draw) {
        self.tensor(name, &[width], 0);
        self.data.extend((0..width).flat_map(|_| (1.0 + 0.1 * draw.float()).to_le_bytes()));
    }

    fn matrix(&mut self, name: &str, width: u64, rows: u64, kind: TinyKind, draw: &mut Draw) {
        let number = match kind {
            TinyKind::F32 => 0,
            TinyKind::F16 => 1,
            TinyKind::Q4_0 => 2,
            TinyKind::Q4_1 => 3,
            TinyKind::Q8_0 => 8,
        };
        self.tensor(name, &[width, rows], number);
        let half = |x: f32| f16::from_f32(x).to_le_bytes();
        // Scales that keep the variance of a sum over a row near 1.
        match kind {
            TinyKind::F32 => self.data.extend((0..width * rows).flat_map(|_| (0.2 * draw.float()).to_le_bytes())),
            TinyKind::F16 => self.data.extend((0..width * rows).flat_map(|_| half(0.2 * draw.float()))),
            TinyKind::Q4_0 | TinyKind::Q4_1 => {
                for _ in 0..width * rows / 32 {
                    let scale = 0.027 + 0.005 * draw.float();
                    self.data.extend_from_slice(&half(scale));
                    if kind == TinyKind::Q4_1 {
                        self.data.extend_from_slice(&half(-7.5 * scale));
                    }
                    draw.bytes(16, &mut self.data);
                }
            }
            TinyKind::Q8_0 => {
                for _ in 0..width * rows / 32 {
                    self.data.extend_from_slice(&half(0.0017 + 0.0003 * draw.float()));
                    draw.bytes(32, &mut self.data);
                }
            }
        }
    }

    fn finish(self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend_from_slice(&3_u32.to_le_bytes());
        file.extend_from_slice(&self.tensors.to_le_bytes());
        file.extend_from_slice(&self.entries.to_le_bytes());
        file.extend_from_slice(&self.metadata);
        file.extend_from_slice(&self.table);
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend_from_slice(&self.data);
        file
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, GenerateLimits, Generation, Settings, Simd};

    const KINDS: [TinyKind; 5] = [TinyKind::F32, TinyKind::F16, TinyKind::Q4_0, TinyKind::Q4_1, TinyKind::Q8_0];

    fn engine(bytes: &[u8], settings: Settings) -> Engine {
        Engine::load(bytes, bytes.len() as u64, None, settings).unwrap()
    }

    fn reply(engine: &mut Engine, prompt: &[u32]) -> Generation {
        engine.generate(prompt, &GenerateLimits { max_tokens: 12, constraint: None }, &mut |_| {}).unwrap()
    }

    #[test]
    fn one_reply_over_threads_chunks_cache_and_instruction_sets() {
        let plain = Settings { threads: 1, chunk: usize::MAX, simd: Simd::Scalar, reuse_cache: false };
        for kind in KINDS {
            let file = weights(641, kind);
            // Longer than a segment of attention, and no multiple of anything.
            let prompt: Vec<u32> = (0..150).map(|i| i * 7 % 256 + 3).collect();
            let expected = reply(&mut engine(&file, plain), &prompt);
            for (threads, chunk, simd) in [
                (1, 3, Simd::Scalar),
                (1, 1, Simd::Auto),
                (1, usize::MAX, Simd::Auto),
                (2, 3, Simd::Auto),
                (2, usize::MAX, Simd::Scalar),
                (4, 1, Simd::Auto),
                (4, 37, Simd::Auto),
                (4, usize::MAX, Simd::Auto),
            ] {
                let mut engine = engine(&file, Settings { threads, chunk, simd, reuse_cache: true });
                for cache in ["fresh", "whole", "other", "part"] {
                    if cache == "other" {
                        reply(&mut engine, &prompt[..101]);
                        continue;
                    }
                    let found = reply(&mut engine, &prompt);
                    assert_eq!(found, expected, "{kind:?}, {threads} threads, chunk {chunk}, {simd:?}, {cache} cache");
                }
            }
        }
    }

    #[test]
    fn a_seed_is_a_model() {
        let settings = Settings { threads: 1, chunk: 64, simd: Simd::Auto, reuse_cache: false };
        let [one, two] = [1, 2].map(|seed| {
            let mut engine = engine(&weights(seed, TinyKind::Q4_1), settings);
            reply(&mut engine, &[5, 6, 7]).logits
        });
        assert_ne!(one, two);
        assert_eq!(weights(1, TinyKind::Q4_0), weights(1, TinyKind::Q4_0));
    }
}
