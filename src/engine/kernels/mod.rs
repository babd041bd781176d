//! The arithmetic of the forward pass: a scalar specification, and faster code that must equal it to the bit.
//!
//! Three rules keep the bits: sums of integers are exact, so their order is free; each sum of floats has one order,
//! written in [`scalar`] or [`float`]; a multiplication and an addition are rounded separately. [`Kernels`] picks the
//! instruction set by an explicit setting. What is computed for one token never depends on the tokens beside it.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod float;
mod scalar;

use std::ops::Range;

use half::f16;

use super::EngineError;
use super::load::Simd;
pub(crate) use super::matrix::{BLOCK, LANES};
use super::matrix::{Matrix, Panels};

/// Positions that attention sums up before their result joins the others; fixed, because it decides an order.
pub(crate) const SEGMENT: usize = 128;

/// Thirty-two activations of one token in eight bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct QuantBlock {
    /// Word `s` holds the activations from `4 * s` on, the first in its lowest byte.
    words: [i32; BLOCK / 4],
    scale: f32,
    /// `scale * sum of the quants`, for the minimums of four-bit weights.
    sum: f32,
}

/// Activations of some tokens in eight bits.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Quants {
    per_token: usize,
    blocks: Vec<QuantBlock>,
}

impl Quants {
    /// Empties it for tokens of `width` numbers, keeping the memory.
    pub(crate) fn clear(&mut self, width: usize) {
        self.per_token = width / BLOCK;
        self.blocks.clear();
    }

    fn tokens(&self) -> usize {
        self.blocks.len() / self.per_token
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
    /// AVX2 and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
}

/// Calls the same function of whatever implements the instruction set.
macro_rules! dispatch {
    ($self:expr, $portable:ident::$function:ident($($argument:expr),*)) => {
        match $self {
            Self::Scalar => $portable::$function($($argument),*),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(kernels) => kernels.$function($($argument),*),
        }
    };
}

impl Kernels {
    /// Returns the kernels for a setting.
    ///
    /// # Errors
    /// An instruction set that this processor lacks.
    pub(crate) fn new(simd: Simd) -> Result<Self, EngineError> {
        #[cfg(target_arch = "x86_64")]
        let fastest = avx2::Avx2::detect().map(Self::Avx2);
        #[cfg(not(target_arch = "x86_64"))]
        let fastest = None;
        match simd {
            Simd::Scalar => Ok(Self::Scalar),
            Simd::Auto => Ok(fastest.unwrap_or(Self::Scalar)),
            Simd::Avx2 => fastest.ok_or_else(|| EngineError::Settings("this processor has no AVX2 with F16C".into())),
        }
    }

    /// Multiplies a range of panels with all tokens. Token `t` writes the panels' rows to `out[t * stride..]`.
    pub(crate) fn multiply(
        self,
        matrix: &Matrix,
        panels: Range<usize>,
        input: Input<'_>,
        out: &mut [f32],
        stride: usize,
    ) {
        let blocks = panels.start * matrix.width / BLOCK..panels.end * matrix.width / BLOCK;
        let columns = panels.start * matrix.width..panels.end * matrix.width;
        let Input { floats, quants } = input;
        match &matrix.panels {
            Panels::Nibbles(all) => dispatch!(self, scalar::nibbles(&all[blocks], quants, out, stride)),
            Panels::Bytes(all) => dispatch!(self, scalar::bytes(&all[blocks], quants, out, stride)),
            Panels::Halves(all) => dispatch!(self, scalar::halves(&all[columns], floats, matrix.width, out, stride)),
            Panels::Floats(all) => dispatch!(self, scalar::floats(&all[columns], floats, matrix.width, out, stride)),
        }
    }

    /// Appends a token's activations to `out`.
    pub(crate) fn quantise(self, x: &[f32], out: &mut Quants) {
        dispatch!(self, float::quantise(x, out));
    }

    /// Writes the root-mean-square norm of `x`.
    pub(crate) fn rms_norm(self, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
        dispatch!(self, float::rms_norm(x, weight, epsilon, out));
    }

    /// Replaces `gate` by `silu(gate) * up`.
    pub(crate) fn silu_times(self, gate: &mut [f32], up: &[f32]) {
        dispatch!(self, float::silu_times(gate, up));
    }

    /// Adds `y` to `x`.
    pub(crate) fn add(self, x: &mut [f32], y: &[f32]) {
        dispatch!(self, float::add(x, y));
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
        dispatch!(self, scalar::scores(queries, width, keys, scores));
        for ((row, visible), peak) in scores.chunks_exact_mut(SEGMENT).zip(visible).zip(peaks) {
            *peak = dispatch!(self, float::soften(row, *visible));
        }
        dispatch!(self, scalar::values(scores, values, width, out));
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
