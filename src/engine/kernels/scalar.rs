//! The specification: every product and sum in the order that all other kernels must follow to the bit.

use half::f16;

use super::{LANES, Quants, SEGMENT};
use crate::engine::matrix::{ByteBlock, NibbleBlock};

/// Multiplies tokens with panels of four-bit rows: a row's blocks in order, each as one exact sum of integers.
///
/// Token `t` writes its results, a number for every row, to `out[t * stride..]`; so do all functions of this file that
/// multiply.
pub(super) fn nibbles(panels: &[NibbleBlock], x: &Quants, out: &mut [f32], stride: usize) {
    for (t, x) in x.blocks.chunks_exact(x.per_token).enumerate() {
        for (panel, out) in panels.chunks_exact(x.len()).zip(out[t * stride..].as_chunks_mut::<LANES>().0) {
            *out = [0.0; LANES];
            for (block, x) in panel.iter().zip(x) {
                let mut sums = [0; LANES];
                for (s, quants) in block.quants.iter().enumerate() {
                    let low = quants.map(|byte| i32::from(byte & 15));
                    let high = quants.map(|byte| i32::from(byte >> 4));
                    add_products(&mut sums, &low, x.words[s]);
                    add_products(&mut sums, &high, x.words[s + 4]);
                }
                for (lane, out) in out.iter_mut().enumerate() {
                    let scaled = (block.scales[lane].to_f32() * x.scale) * sums[lane] as f32;
                    *out += scaled + block.minimums[lane].to_f32() * x.sum;
                }
            }
        }
    }
}

/// Multiplies tokens with panels of eight-bit rows: a row's blocks in order, each as one exact sum of integers.
pub(super) fn bytes(panels: &[ByteBlock], x: &Quants, out: &mut [f32], stride: usize) {
    for (t, x) in x.blocks.chunks_exact(x.per_token).enumerate() {
        for (panel, out) in panels.chunks_exact(x.len()).zip(out[t * stride..].as_chunks_mut::<LANES>().0) {
            *out = [0.0; LANES];
            for (block, x) in panel.iter().zip(x) {
                let mut sums = [0; LANES];
                for (quants, word) in block.quants.iter().zip(x.words) {
                    add_products(&mut sums, &quants.map(i32::from), word);
                }
                for (lane, out) in out.iter_mut().enumerate() {
                    *out += (block.scales[lane].to_f32() * x.scale) * sums[lane] as f32;
                }
            }
        }
    }
}

/// Adds the products of four columns of eight rows with the four activations of a word.
fn add_products(sums: &mut [i32; LANES], quants: &[i32; 4 * LANES], word: i32) {
    let x = word.to_le_bytes().map(|byte| i32::from(byte as i8));
    for (sum, quants) in sums.iter_mut().zip(quants.as_chunks::<4>().0) {
        *sum += quants[0] * x[0] + quants[1] * x[1] + quants[2] * x[2] + quants[3] * x[3];
    }
}

/// Multiplies tokens of `width` with panels of rows in half precision: a row's columns in order.
pub(super) fn halves(panels: &[[f16; LANES]], x: &[f32], width: usize, out: &mut [f32], stride: usize) {
    for (t, x) in x.chunks_exact(width).enumerate() {
        for (panel, out) in panels.chunks_exact(width).zip(out[t * stride..].as_chunks_mut::<LANES>().0) {
            *out = [0.0; LANES];
            for (column, x) in panel.iter().zip(x) {
                for (out, weight) in out.iter_mut().zip(column) {
                    *out += weight.to_f32() * x;
                }
            }
        }
    }
}

/// Multiplies tokens of `width` with panels of rows in single precision: a row's columns in order.
pub(super) fn floats(panels: &[[f32; LANES]], x: &[f32], width: usize, out: &mut [f32], stride: usize) {
    for (t, x) in x.chunks_exact(width).enumerate() {
        for (panel, out) in panels.chunks_exact(width).zip(out[t * stride..].as_chunks_mut::<LANES>().0) {
            *out = [0.0; LANES];
            for (column, x) in panel.iter().zip(x) {
                for (out, weight) in out.iter_mut().zip(column) {
                    *out += weight * x;
                }
            }
        }
    }
}

/// Writes the product of every query with every key of a segment; each is one sum over the head in order.
///
/// `queries` holds heads of `width`, `keys` tiles of eight positions with `width` items each, `out` a row of
/// [`SEGMENT`] scores for every query, of which the first `8 * tiles` are written.
pub(super) fn scores(queries: &[f32], width: usize, keys: &[[f16; LANES]], out: &mut [f32]) {
    for (query, out) in queries.chunks_exact(width).zip(out.chunks_exact_mut(SEGMENT)) {
        for (tile, out) in keys.chunks_exact(width).zip(out.chunks_exact_mut(LANES)) {
            out.fill(0.0);
            for (keys, x) in tile.iter().zip(query) {
                for (out, key) in out.iter_mut().zip(keys) {
                    *out += x * key.to_f32();
                }
            }
        }
    }
}

/// Writes the weighted sum of the values of a segment for every row of weights, position after position.
///
/// `weights` holds rows of [`SEGMENT`], `values` one head of `width` for every position.
pub(super) fn values(weights: &[f32], values: &[f16], width: usize, out: &mut [f32]) {
    for (weights, out) in weights.chunks_exact(SEGMENT).zip(out.chunks_exact_mut(width)) {
        out.fill(0.0);
        for (value, weight) in values.chunks_exact(width).zip(weights) {
            for (out, value) in out.iter_mut().zip(value) {
                *out += weight * value.to_f32();
            }
        }
    }
}
