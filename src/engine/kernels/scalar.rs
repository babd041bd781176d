//! The specification: every product and sum in the order that all other kernels must follow to the bit.

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use super::{LANES, Quants, SEGMENT};
use crate::engine::matrix::{ByteBlock, NibbleBlock};

/// Multiplies tokens with panels of four-bit rows: a row's blocks in order, each as one exact sum of integers.
///
/// Token `t` writes its results, a number for every row, to `out[t * stride..]`; so do all functions of this file that
/// multiply.
pub(super) fn nibbles(panels: &[NibbleBlock], x: &Quants, out: &mut [f32], stride: usize) {
    for (p, panel) in panels.chunks_exact(x.per_token).enumerate() {
        for (b, block) in panel.iter().enumerate() {
            let low = columns(|lane, k| block.quants[k / 4][4 * lane + k % 4] & 15);
            let high = columns(|lane, k| block.quants[k / 4][4 * lane + k % 4] >> 4);
            let (scales, minimums) = (to_floats(&block.scales), to_floats(&block.minimums));
            for t in 0..x.tokens() {
                let x = &x.blocks[t * x.per_token + b];
                let (first, second) = (half_sums(&low, &x.words[..4]), half_sums(&high, &x.words[4..]));
                let sums: [_; LANES] = std::array::from_fn(|lane| i32::from(first[lane]) + i32::from(second[lane]));
                add_scaled(results(out, t * stride + p * LANES, b), |lane| {
                    (scales[lane] * x.scale) * sums[lane] as f32 + minimums[lane] * x.sum
                });
            }
        }
    }
}

/// Multiplies tokens with panels of eight-bit rows: a row's blocks in order, each as one exact sum of integers.
pub(super) fn bytes(panels: &[ByteBlock], x: &Quants, out: &mut [f32], stride: usize) {
    for (p, panel) in panels.chunks_exact(x.per_token).enumerate() {
        for (b, block) in panel.iter().enumerate() {
            let quants = block.quants.map(|quants| quants.map(i16::from));
            let scales = to_floats(&block.scales);
            for t in 0..x.tokens() {
                let x = &x.blocks[t * x.per_token + b];
                let mut sums = [0; LANES];
                for (quants, word) in quants.iter().zip(x.words) {
                    add_products(&mut sums, quants, word);
                }
                add_scaled(results(out, t * stride + p * LANES, b), |lane| {
                    (scales[lane] * x.scale) * sums[lane] as f32
                });
            }
        }
    }
}

/// Multiplies tokens of `width` with panels of rows in half precision: a row's columns in order.
pub(super) fn halves(panels: &[[f16; LANES]], x: &[f32], width: usize, out: &mut [f32], stride: usize) {
    for (p, panel) in panels.chunks_exact(width).enumerate() {
        for (k, column) in panel.iter().enumerate() {
            let column = to_floats(column);
            for (t, x) in x.chunks_exact(width).enumerate() {
                add_scaled(results(out, t * stride + p * LANES, k), |lane| column[lane] * x[k]);
            }
        }
    }
}

/// Multiplies tokens of `width` with panels of rows in single precision: a row's columns in order.
pub(super) fn floats(panels: &[[f32; LANES]], x: &[f32], width: usize, out: &mut [f32], stride: usize) {
    for (p, panel) in panels.chunks_exact(width).enumerate() {
        for (k, column) in panel.iter().enumerate() {
            for (t, x) in x.chunks_exact(width).enumerate() {
                add_scaled(results(out, t * stride + p * LANES, k), |lane| column[lane] * x[k]);
            }
        }
    }
}

/// Writes the product of every query with every key of a segment; each is one sum over the head in order.
///
/// `queries` holds heads of `width`, `keys` tiles of eight positions with `width` items each, `out` a row of
/// [`SEGMENT`] scores for every query, of which the first `8 * tiles` are written.
pub(super) fn scores(queries: &[f32], width: usize, keys: &[[f16; LANES]], out: &mut [f32]) {
    halves(keys, queries, width, out, SEGMENT);
}

/// Writes the weighted sum of the values of a segment for every row of weights, position after position.
///
/// `weights` holds rows of [`SEGMENT`], `values` one head of `width` for every position.
pub(super) fn values(weights: &[f32], values: &[f16], width: usize, out: &mut [f32]) {
    out.fill(0.0);
    for (p, values) in values.chunks_exact(width).enumerate() {
        for (i, values) in values.as_chunks::<LANES>().0.iter().enumerate() {
            let values = to_floats(values);
            for (row, weights) in weights.chunks_exact(SEGMENT).enumerate() {
                let out = results(out, row * width + i * LANES, 1);
                add_scaled(out, |lane| weights[p] * values[lane]);
            }
        }
    }
}

fn to_floats(halves: &[f16; LANES]) -> [f32; LANES] {
    let mut floats = [0.0; LANES];
    halves.convert_to_f32_slice(&mut floats);
    floats
}

/// Returns the eight results at `start`, set to 0 before the first of their terms.
fn results(out: &mut [f32], start: usize, term: usize) -> &mut [f32; LANES] {
    let results = out[start..].first_chunk_mut().expect("results come in whole panels");
    if term == 0 {
        *results = [0.0; LANES];
    }
    results
}

fn add_scaled(out: &mut [f32; LANES], term: impl Fn(usize) -> f32) {
    for (lane, out) in out.iter_mut().enumerate() {
        *out += term(lane);
    }
}

/// Returns sixteen columns of eight four-bit rows.
fn columns(quant: impl Fn(usize, usize) -> u8) -> [[i16; LANES]; 16] {
    std::array::from_fn(|k| std::array::from_fn(|lane| i16::from(quant(lane, k))))
}

/// Sums the products of sixteen columns; at most 16 * 15 * 127, which sixteen bits hold.
fn half_sums(columns: &[[i16; LANES]; 16], words: &[i32]) -> [i16; LANES] {
    let mut sums = [0_i16; LANES];
    for (columns, word) in columns.as_chunks::<4>().0.iter().zip(words) {
        for (column, x) in columns.iter().zip(word.to_le_bytes()) {
            for (sum, quant) in sums.iter_mut().zip(column) {
                *sum += quant * i16::from(x as i8);
            }
        }
    }
    sums
}

/// Adds the products of four columns of eight rows with the four activations of a word.
fn add_products(sums: &mut [i32; LANES], quants: &[i16; 4 * LANES], word: i32) {
    let x = word.to_le_bytes().map(|byte| i32::from(byte as i8));
    for (sum, quants) in sums.iter_mut().zip(quants.as_chunks::<4>().0) {
        let [a, b, c, d] = quants.map(i32::from);
        *sum += a * x[0] + b * x[1] + c * x[2] + d * x[3];
    }
}
