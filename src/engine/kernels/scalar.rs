//! The specification: every product and sum in the order that all other kernels must follow to the bit.

use half::f16;

use super::{BLOCK, LANES, Quants, SEGMENT};
use crate::engine::matrix::{ByteBlock, NibbleBlock};

/// Multiplies one token with panels of four-bit rows.
pub(super) fn nibbles(panels: &[NibbleBlock], x: &Quants, token: usize, out: &mut [f32]) {
    let (quants, scales, sums) = x.token(token);
    for (panel, out) in panels.chunks_exact(scales.len()).zip(out.chunks_exact_mut(LANES)) {
        for (lane, out) in out.iter_mut().enumerate() {
            *out = 0.0;
            for (b, block) in panel.iter().enumerate() {
                let quants = &quants[b * BLOCK..(b + 1) * BLOCK];
                let mut sum = 0_i32;
                for k in 0..16 {
                    let byte = block.quants[k / 4][4 * lane + k % 4];
                    sum += i32::from(byte & 15) * i32::from(quants[k]);
                    sum += i32::from(byte >> 4) * i32::from(quants[k + 16]);
                }
                let scaled = (block.scales[lane].to_f32() * scales[b]) * sum as f32;
                *out += scaled + block.minimums[lane].to_f32() * sums[b];
            }
        }
    }
}

/// Multiplies one token with panels of eight-bit rows.
pub(super) fn bytes(panels: &[ByteBlock], x: &Quants, token: usize, out: &mut [f32]) {
    let (quants, scales, _) = x.token(token);
    for (panel, out) in panels.chunks_exact(scales.len()).zip(out.chunks_exact_mut(LANES)) {
        for (lane, out) in out.iter_mut().enumerate() {
            *out = 0.0;
            for (b, block) in panel.iter().enumerate() {
                let quants = &quants[b * BLOCK..(b + 1) * BLOCK];
                let mut sum = 0_i32;
                for (k, quant) in quants.iter().enumerate() {
                    sum += i32::from(block.quants[k / 4][4 * lane + k % 4]) * i32::from(*quant);
                }
                *out += (block.scales[lane].to_f32() * scales[b]) * sum as f32;
            }
        }
    }
}

/// Multiplies one token with panels of rows in half precision.
pub(super) fn halves(panels: &[[f16; LANES]], x: &[f32], out: &mut [f32]) {
    for (panel, out) in panels.chunks_exact(x.len()).zip(out.chunks_exact_mut(LANES)) {
        out.fill(0.0);
        for (column, x) in panel.iter().zip(x) {
            for (out, weight) in out.iter_mut().zip(column) {
                *out += weight.to_f32() * x;
            }
        }
    }
}

/// Multiplies one token with panels of rows in single precision.
pub(super) fn floats(panels: &[[f32; LANES]], x: &[f32], out: &mut [f32]) {
    for (panel, out) in panels.chunks_exact(x.len()).zip(out.chunks_exact_mut(LANES)) {
        out.fill(0.0);
        for (column, x) in panel.iter().zip(x) {
            for (out, weight) in out.iter_mut().zip(column) {
                *out += weight * x;
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
