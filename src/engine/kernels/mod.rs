//! The arithmetic of the forward pass: a scalar specification, and faster code that must equal it to the bit.
//!
//! Three rules keep the bits: sums of integers are exact, so their order is free; each sum of floats has one order,
//! written in [`scalar`] or [`float`]; a multiplication and an addition are rounded separately. [`Kernels`] picks the
//! instruction set by an explicit setting. What is computed for one token never depends on the tokens beside it.

mod float;
mod scalar;

use std::ops::Range;

use half::f16;

use super::load::Simd;
pub(crate) use super::matrix::{BLOCK, LANES};
use super::matrix::{Matrix, Panels};

/// Positions that attention sums up before their result joins the others; fixed, because it decides an order.
pub(crate) const SEGMENT: usize = 128;

/// Activations of some tokens in eight bits, 32 to a scale.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Quants {
    width: usize,
    quants: Vec<i8>,
    scales: Vec<f32>,
    /// `scale * sum(quants)` of each block, for the minimums of four-bit weights.
    sums: Vec<f32>,
}

impl Quants {
    /// Empties it for tokens of `width` numbers, keeping the memory.
    pub(crate) fn clear(&mut self, width: usize) {
        self.width = width;
        self.quants.clear();
        self.scales.clear();
        self.sums.clear();
    }

    fn token(&self, token: usize) -> (&[i8], &[f32], &[f32]) {
        let blocks = self.width / BLOCK;
        let range = token * blocks..(token + 1) * blocks;
        (&self.quants[token * self.width..(token + 1) * self.width], &self.scales[range.clone()], &self.sums[range])
    }
}

/// The activations that a matrix is multiplied with, in both forms; a matrix uses the one it wants.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    /// Numbers of every token, one token after the other.
    pub(crate) floats: &'a [f32],
    /// The same tokens quantised; may be empty if no matrix wants it.
    pub(crate) quants: &'a Quants,
}

/// The instruction set that all arithmetic uses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kernels {
    /// The specification itself.
    Scalar,
}

impl Kernels {
    /// Returns the kernels for a setting.
    pub(crate) fn new(_simd: Simd) -> Self {
        Self::Scalar
    }

    /// Multiplies a range of panels with `tokens` tokens. Token `t` writes the panels' rows to `out[t * stride..]`.
    pub(crate) fn multiply(
        self,
        matrix: &Matrix,
        panels: Range<usize>,
        input: Input<'_>,
        tokens: usize,
        out: &mut [f32],
        stride: usize,
    ) {
        let rows = panels.len() * LANES;
        let blocks = matrix.width / BLOCK;
        for token in 0..tokens {
            let out = &mut out[token * stride..][..rows];
            let x = || &input.floats[token * matrix.width..(token + 1) * matrix.width];
            match &matrix.panels {
                Panels::Nibbles(all) => {
                    scalar::nibbles(&all[panels.start * blocks..panels.end * blocks], input.quants, token, out);
                }
                Panels::Bytes(all) => {
                    scalar::bytes(&all[panels.start * blocks..panels.end * blocks], input.quants, token, out);
                }
                Panels::Halves(all) => {
                    scalar::halves(&all[panels.start * matrix.width..panels.end * matrix.width], x(), out);
                }
                Panels::Floats(all) => {
                    scalar::floats(&all[panels.start * matrix.width..panels.end * matrix.width], x(), out);
                }
            }
        }
    }

    /// Appends a token's activations to `out`.
    pub(crate) fn quantise(self, x: &[f32], out: &mut Quants) {
        float::quantise(x, out);
    }

    /// Writes the root-mean-square norm of `x`.
    pub(crate) fn rms_norm(self, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
        float::rms_norm(x, weight, epsilon, out);
    }

    /// Replaces `gate` by `silu(gate) * up`.
    pub(crate) fn silu_times(self, gate: &mut [f32], up: &[f32]) {
        float::silu_times(gate, up);
    }

    /// Adds `y` to `x`.
    pub(crate) fn add(self, x: &mut [f32], y: &[f32]) {
        float::add(x, y);
    }

    /// Attends to one segment; see [`scalar::scores`], [`float::soften`] and [`scalar::values`] for the three steps.
    ///
    /// `visible` says for each query how many positions of the segment it sees, at least one. `scores` is scratch of
    /// [`SEGMENT`] numbers a query. Returns through `peaks` the largest score and the sum of weights of each query.
    #[expect(clippy::too_many_arguments, reason = "plain slices in, plain slices out")]
    pub(crate) fn attend(
        self,
        queries: &[f32],
        width: usize,
        keys: &[[f16; LANES]],
        values: &[f16],
        visible: &[usize],
        scores: &mut [f32],
        peaks: &mut [(f32, f32)],
        out: &mut [f32],
    ) {
        scalar::scores(queries, width, keys, scores);
        for ((row, visible), peak) in scores.chunks_exact_mut(SEGMENT).zip(visible).zip(peaks) {
            *peak = float::soften(row, *visible);
        }
        scalar::values(scores, values, width, out);
    }

    /// Joins a segment's result to those of the segments before it, in place.
    pub(crate) fn join(self, peak: &mut (f32, f32), sum: &mut [f32], next: (f32, f32), next_sum: &[f32]) {
        let largest = if next.0 > peak.0 { next.0 } else { peak.0 };
        let (old, new) = (float::exp(peak.0 - largest), float::exp(next.0 - largest));
        *peak = (largest, peak.1 * old + next.1 * new);
        for (sum, next) in sum.iter_mut().zip(next_sum) {
            *sum = *sum * old + next * new;
        }
    }
}
