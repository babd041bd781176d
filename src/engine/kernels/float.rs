//! Element-wise arithmetic and short sums in floats, written once and compiled for each instruction set.
//!
//! Rust never contracts a multiplication and an addition into one rounding and never reorders a sum. So the same
//! source gives the same bits under every target feature, and the compiler may still vectorise it.

use super::{BLOCK, Quants};

const LANES: usize = 8;

/// Returns e^x, with the error of a few units in the last place; below -87 exactly 0, above 88 e^88.
///
/// Ours, because the host's differs between systems: n = round(x / ln 2), a polynomial on the rest, then 2^n by bits.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, ties to even, on every instruction set.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let n = (clamped * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (clamped - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4_f32;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5.0e-1;
    let y = (p * (r * r) + r) + 1.0;
    let power = f32::from_bits(((n as i32 + 127) << 23) as u32);
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
    const ROUND: f32 = 12_582_912.0;
    for block in x.as_chunks::<BLOCK>().0 {
        let mut largest = 0.0_f32;
        for x in block {
            largest = if x.abs() > largest { x.abs() } else { largest };
        }
        let factor = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let mut quants = [0_i8; BLOCK];
        let mut sum = 0;
        for (quant, x) in quants.iter_mut().zip(block) {
            let rounded = ((x * factor + ROUND) - ROUND).clamp(-127.0, 127.0) as i32;
            *quant = rounded as i8;
            sum += rounded;
        }
        let scale = largest / 127.0;
        out.quants.extend_from_slice(&quants);
        out.scales.push(scale);
        out.sums.push(scale * sum as f32);
    }
}

/// Turns one row's scores into weights, `exp(score - largest)`, and returns the largest score and the sum of the
/// weights (eight lanes, then [`tree`]). Scores from `visible` on get the weight 0.
#[inline(always)]
pub(super) fn soften(scores: &mut [f32], visible: usize) -> (f32, f32) {
    let mut largest = f32::NEG_INFINITY;
    for score in &scores[..visible] {
        largest = if *score > largest { *score } else { largest };
    }
    let used = visible.next_multiple_of(LANES);
    scores[visible..used].fill(f32::NEG_INFINITY);
    scores[used..].fill(0.0);
    let mut lanes = [0.0_f32; LANES];
    for part in scores[..used].as_chunks_mut::<LANES>().0 {
        for (lane, score) in lanes.iter_mut().zip(part) {
            *score = exp(*score - largest);
            *lane += *score;
        }
    }
    (largest, tree(lanes))
}
