//! The numbers that describe a Llama model, read from the metadata and checked before any weight is read.

use super::EngineError;
use super::gguf::Header;

/// Sizes and constants of a Llama model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) layers: usize,
    pub(crate) context: u32,
    /// Width of the residual stream.
    pub(crate) width: usize,
    /// Width between the gate and the down projection.
    pub(crate) inner: usize,
    pub(crate) heads: usize,
    /// Heads that keys and values have; each serves `heads / kv_heads` query heads.
    pub(crate) kv_heads: usize,
    pub(crate) head_width: usize,
    /// How many leading elements of a head are rotated.
    pub(crate) rotated: usize,
    pub(crate) rope_base: f64,
    pub(crate) epsilon: f32,
}

impl Shape {
    /// Reads the shape from a header.
    ///
    /// # Errors
    /// Another architecture, a missing or absurd number, or a property that the forward pass does not compute.
    pub(crate) fn read(header: &Header) -> Result<Self, EngineError> {
        let architecture = header.text("general.architecture").unwrap_or_default();
        if architecture != "llama" {
            return Err(EngineError::Architecture(architecture.chars().take(100).collect()));
        }
        let needed = |key: &str, limit: u32| {
            header
                .unsigned(key)
                .filter(|n| (1..=limit).contains(n))
                .ok_or_else(|| EngineError::Metadata { key: key.into(), expected: "a number in the accepted range" })
        };
        let optional = |key: &str, limit: u32, default: usize| match header.has(key) {
            true => needed(key, limit).map(|n| n as usize),
            false => Ok(default),
        };
        let width = needed("llama.embedding_length", 1 << 16)? as usize;
        let heads = needed("llama.attention.head_count", 1 << 10)? as usize;
        let kv_heads = optional("llama.attention.head_count_kv", 1 << 10, heads)?;
        let head_width = optional("llama.attention.key_length", 1 << 10, width / heads)?;
        let value_width = optional("llama.attention.value_length", 1 << 10, head_width)?;
        let rotated = optional("llama.rope.dimension_count", 1 << 10, head_width)?;
        let shape = Self {
            layers: needed("llama.block_count", 1 << 10)? as usize,
            context: needed("llama.context_length", 1 << 24)?,
            width,
            inner: needed("llama.feed_forward_length", 1 << 18)? as usize,
            heads,
            kv_heads,
            head_width,
            rotated,
            rope_base: header.float("llama.rope.freq_base").unwrap_or(10000.0),
            epsilon: header.float("llama.attention.layer_norm_rms_epsilon").unwrap_or(-1.0) as f32,
        };
        let scaling = header.text("llama.rope.scaling.type").unwrap_or("none");
        let unsupported = [
            (scaling != "none", format!("rotary scaling of the type {scaling:?}")),
            (header.unsigned("llama.expert_count").unwrap_or(0) > 0, "a mixture of experts".into()),
            (header.unsigned("llama.attention.sliding_window").unwrap_or(0) > 0, "a sliding window".into()),
            (value_width != head_width, "values and keys of different widths".into()),
            (!head_width.is_multiple_of(8) || head_width > 512, format!("heads of width {head_width}")),
            (!rotated.is_multiple_of(2) || rotated > head_width, format!("{rotated} rotated elements a head")),
            (!heads.is_multiple_of(kv_heads), format!("{heads} heads over {kv_heads}")),
            (!width.is_multiple_of(32), format!("a width of {width}")),
            (!shape.inner.is_multiple_of(32), format!("an inner width of {}", shape.inner)),
            (!(heads * head_width).is_multiple_of(32), format!("{heads} heads of width {head_width}")),
        ];
        if let Some((_, what)) = unsupported.into_iter().find(|(found, _)| *found) {
            return Err(EngineError::Unsupported(what));
        }
        let positive = |x: f64| x.is_finite() && x > 0.0;
        for (key, ok) in [
            ("llama.rope.freq_base", positive(shape.rope_base)),
            ("llama.attention.layer_norm_rms_epsilon", positive(shape.epsilon.into())),
        ] {
            if !ok {
                return Err(EngineError::Metadata { key: key.into(), expected: "a positive number" });
            }
        }
        Ok(shape)
    }
}
