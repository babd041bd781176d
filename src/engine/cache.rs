//! Keys and values of the tokens seen so far, in half precision.
//!
//! A row's bits depend on its token and the tokens before it alone, so a prompt that shares a prefix with the last one
//! may keep the prefix's rows. Memory grows with the tokens, never with the context that a file announces.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::matrix::LANES;

/// The cache of one model.
pub(crate) struct Cache {
    head_width: usize,
    tokens: Vec<u32>,
    layers: Vec<LayerCache>,
}

/// Keys and values of one layer, a list for every head.
pub(crate) struct LayerCache {
    heads: Vec<HeadCache>,
}

/// Keys and values of one head.
#[derive(Default)]
pub(crate) struct HeadCache {
    /// Tiles of eight positions, an item for every element of the head.
    keys: Vec<[f16; LANES]>,
    /// One head after the other.
    values: Vec<f16>,
}

impl Cache {
    /// Makes an empty cache.
    pub(crate) fn new(layers: usize, kv_heads: usize, head_width: usize) -> Self {
        let layer = || LayerCache { heads: (0..kv_heads).map(|_| HeadCache::default()).collect() };
        Self { head_width, tokens: Vec::new(), layers: (0..layers).map(|_| layer()).collect() }
    }

    /// Returns the number of tokens held.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Keeps the longest prefix shared with `prompt`, at most `limit` tokens, and forgets the rest.
    pub(crate) fn keep_prefix(&mut self, prompt: &[u32], limit: usize) {
        let shared = self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        self.truncate(shared.min(limit));
    }

    /// Makes room for `total` tokens, so that growth does not copy.
    pub(crate) fn reserve(&mut self, total: usize) {
        let more = total.saturating_sub(self.tokens.len());
        for head in self.layers.iter_mut().flat_map(|layer| &mut layer.heads) {
            head.keys.reserve_exact((more.div_ceil(LANES) + 1) * self.head_width);
            head.values.reserve_exact(more * self.head_width);
        }
    }

    /// Notes tokens whose rows every layer now holds.
    pub(crate) fn commit(&mut self, tokens: &[u32]) {
        self.tokens.extend_from_slice(tokens);
    }

    /// Returns one layer.
    pub(crate) fn layer(&mut self, layer: usize) -> &mut LayerCache {
        &mut self.layers[layer]
    }

    fn truncate(&mut self, tokens: usize) {
        self.tokens.truncate(tokens);
        for head in self.layers.iter_mut().flat_map(|layer| &mut layer.heads) {
            head.values.truncate(tokens * self.head_width);
        }
    }
}

impl LayerCache {
    /// Returns the heads.
    pub(crate) fn heads(&self) -> &[HeadCache] {
        &self.heads
    }

    /// Returns the heads for writing.
    pub(crate) fn heads_mut(&mut self) -> &mut [HeadCache] {
        &mut self.heads
    }
}

impl HeadCache {
    /// Writes the rows of the tokens from `position` on; both iterators yield one head a token.
    pub(crate) fn store<'a>(
        &mut self,
        position: usize,
        keys: impl Iterator<Item = &'a [f32]>,
        values: impl Iterator<Item = &'a [f32]>,
    ) {
        for (i, key) in keys.enumerate() {
            let (tile, lane) = ((position + i) / LANES, (position + i) % LANES);
            let start = tile * key.len();
            if self.keys.len() < start + key.len() {
                self.keys.resize(start + key.len(), [f16::ZERO; LANES]);
            }
            for (out, x) in self.keys[start..].iter_mut().zip(key) {
                out[lane] = f16::from_f32(*x);
            }
        }
        for (i, value) in values.enumerate() {
            let start = (position + i) * value.len();
            self.values.resize(start + value.len(), f16::ZERO);
            self.values[start..].convert_from_f32_slice(value);
        }
    }

    /// Returns the tiles that hold the positions from `start` (a multiple of eight) to `end`.
    pub(crate) fn keys(&self, start: usize, end: usize, width: usize) -> &[[f16; LANES]] {
        &self.keys[start / LANES * width..end.div_ceil(LANES) * width]
    }

    /// Returns the values of the positions from `start` to `end`.
    pub(crate) fn values(&self, start: usize, end: usize, width: usize) -> &[f16] {
        &self.values[start * width..end * width]
    }
}
