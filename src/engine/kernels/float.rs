//! Element-wise arithmetic and short sums in floats, written once and compiled for each instruction set.
//!
//! Rust never contracts a multiplication and an addition into one rounding and never reorders a sum. So the same
//! source gives the same bits under every target feature, and the compiler may still vectorise it.

use super::{BLOCK, LANES, QuantBlock, Quants};

/// Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, ties to even, on every instruction set; in between
/// the integer stands in the low bits.
pub(super) const ROUND: f32 = 12_582_912.0;

/// ln 2 in two parts, the first short enough for an exact product.
pub(super) const LN_2_HIGH: f32 = 0.693_359_4;
pub(super) const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Coefficients of (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2, the highest first.
pub(super) const EXP: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.0e-1];

/// Returns e^x, with the error of a few units in the last place; below -87 exactly 0, above 88 e^88.
///
/// Ours, because the host's differs between systems: n = round(x / ln 2), a polynomial on the rest, then 2^n by bits.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut p = EXP[0];
    for coefficient in &EXP[1..] {
        p = p * r + coefficient;
    }
    let y = (p * (r * r) + r) + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    let power = f32::from_bits(exponent << 23);
    if x < -87.0 { 0.0 } else { y * power }
}

/// Adds eight lanes in one written tree.
#[inline(always)]
pub(super) fn tree(lanes: [f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// Writes `x / sqrt(mean(x^2) + epsilon) * weight`; the squares are summed in eight lanes, then by [`tree`].
#[inline(always)]
pub(super) fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let mut lanes = [0.0_f32; LANES];
    for part in x.as_chunks::<LANES>().0 {
        for (lane, x) in lanes.iter_mut().zip(part) {
            *lane += x * x;
        }
    }
    let mean = tree(lanes) / x.len() as f32;
    let factor = 1.0 / (mean + epsilon).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = (x * factor) * weight;
    }
}

/// Replaces `gate` by `silu(gate) * up`.
#[inline(always)]
pub(super) fn silu_times(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = (*gate / (1.0 + exp(-*gate))) * up;
    }
}

/// Adds `y` to `x`.
#[inline(always)]
pub(super) fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// Appends one token's activations to `out`: 32 at a time, `quant = round(x / scale)` with `scale = max|x| / 127`.
#[inline(always)]
pub(super) fn quantise(x: &[f32], out: &mut Quants) {
    for block in x.as_chunks::<BLOCK>().0 {
        // Magnitudes compare as their bits do, and what is not a number comes out largest and spoils the scale.
        let largest = block.iter().fold(0, |largest, x| (x.to_bits() & 0x7fff_ffff).max(largest));
        let largest = f32::from_bits(largest);
        let factor = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let quants = block.map(|x| {
            let shifted = x * factor + ROUND;
            (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32).clamp(-127, 127)
        });
        let scale = largest / 127.0;
        let sum: i32 = quants.iter().sum();
        let words = std::array::from_fn(|s| {
            (quants[4 * s] & 255)
                | (quants[4 * s + 1] & 255) << 8
                | (quants[4 * s + 2] & 255) << 16
                | quants[4 * s + 3] << 24
        });
        out.blocks.push(QuantBlock { words, scale, sum: scale * sum as f32 });
    }
}

/// Turns one row's scores into weights, `exp(score - largest)`, and returns the largest score and the sum of the
/// weights (eight lanes, then [`tree`]). Scores from `visible` on get the weight 0.
pub(super) fn soften(scores: &mut [f32], visible: usize) -> (f32, f32) {
    let scores = hide(scores, visible).as_chunks_mut::<LANES>().0;
    let mut peaks = [f32::NEG_INFINITY; LANES];
    for part in scores.iter() {
        for (peak, score) in peaks.iter_mut().zip(part) {
            *peak = if *score > *peak { *score } else { *peak };
        }
    }
    let largest = largest(peaks);
    let mut lanes = [0.0_f32; LANES];
    for part in scores {
        for (lane, score) in lanes.iter_mut().zip(part) {
            *score = exp(*score - largest);
            *lane += *score;
        }
    }
    (largest, tree(lanes))
}

/// Sets the scores from `visible` on so that their weights are 0, and returns those that still need a weight.
#[inline(always)]
pub(super) fn hide(scores: &mut [f32], visible: usize) -> &mut [f32] {
    let used = visible.next_multiple_of(LANES);
    scores[visible..used].fill(f32::NEG_INFINITY);
    scores[used..].fill(0.0);
    &mut scores[..used]
}

/// Returns the largest of eight lanes.
#[inline(always)]
pub(super) fn largest(lanes: [f32; LANES]) -> f32 {
    lanes.into_iter().fold(f32::NEG_INFINITY, |largest, x| if x > largest { x } else { largest })
}
