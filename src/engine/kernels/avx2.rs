//! The kernels for x86-64 processors with AVX2 and F16C, equal to the specification to the bit.
//!
//! A lane is a row of weights, a position of keys or an element of values, so no kernel ever adds across lanes. The
//! only file of the crate with `unsafe`: loads and stores of whole vectors, and calls into code compiled for
//! instructions whose presence [`Avx2`] proves.

#![expect(unsafe_code, reason = "instruction sets are entered through one checked door")]

use std::arch::x86_64::*;

use half::f16;

use super::{LANES, QuantBlock, Quants, SEGMENT, float};
use crate::engine::matrix::{ByteBlock, NibbleBlock};

/// Proof that this processor has AVX2 and F16C.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

macro_rules! doors {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? => $body:path;)*) => {
        impl Avx2 {
            $($(#[$doc])*
            #[expect(clippy::allow_attributes, reason = "only some of the doors have that many arguments")]
            #[allow(clippy::too_many_arguments)]
            pub(super) fn $name(self, $($argument: $type),*) $(-> $result)? {
                #[target_feature(enable = "avx2,f16c")]
                fn inside($($argument: $type),*) $(-> $result)? {
                    $body($($argument),*)
                }
                // SAFETY: an `Avx2` exists only where `detect` found both features.
                unsafe { inside($($argument),*) }
            })*
        }
    };
}

doors! {
    /// Multiplies tokens with panels of four-bit rows.
    fn nibbles(panels: &[NibbleBlock], x: &Quants, out: &mut [f32], stride: usize) => nibbles;
    /// Multiplies tokens with panels of eight-bit rows.
    fn bytes(panels: &[ByteBlock], x: &Quants, out: &mut [f32], stride: usize) => bytes;
    /// Multiplies tokens of `width` with panels of rows in half precision.
    fn halves(panels: &[[f16; LANES]], x: &[f32], width: usize, out: &mut [f32], stride: usize) => halves;
    /// Multiplies tokens of `width` with panels of rows in single precision.
    fn floats(panels: &[[f32; LANES]], x: &[f32], width: usize, out: &mut [f32], stride: usize) => floats;
    /// Writes the product of every query with every key of a segment.
    fn scores(queries: &[f32], width: usize, keys: &[[f16; LANES]], out: &mut [f32]) => scores;
    /// Writes the weighted sums of a segment's values.
    fn values(weights: &[f32], values: &[f16], width: usize, out: &mut [f32]) => weighted_values;
    /// See [`float::quantise`].
    fn quantise(x: &[f32], out: &mut Quants) => float::quantise;
    /// See [`float::rms_norm`].
    fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) => float::rms_norm;
    /// Replaces `gate` by `silu(gate) * up`.
    fn silu_times(gate: &mut [f32], up: &[f32]) => silu_times;
    /// See [`float::add`].
    fn add(x: &mut [f32], y: &[f32]) => float::add;
    /// Turns one row's scores into weights.
    fn soften(scores: &mut [f32], visible: usize) -> (f32, f32) => soften;
}

impl Avx2 {
    /// Returns the proof, if this processor has the features.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c")).then_some(Self(()))
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_bytes(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: 32 readable bytes, no alignment asked for.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_signed(bytes: &[i8; 32]) -> __m256i {
    // SAFETY: 32 readable bytes, no alignment asked for.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_floats(floats: &[f32; LANES]) -> __m256 {
    // SAFETY: 32 readable bytes, no alignment asked for.
    unsafe { _mm256_loadu_ps(floats.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn load_halves(halves: &[f16; LANES]) -> __m256 {
    // SAFETY: 16 readable bytes, no alignment asked for; `f16` is a transparent `u16`.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(halves.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(vector: __m256, out: &mut [f32; LANES]) {
    // SAFETY: 32 writable bytes, no alignment asked for.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), vector) }
}

/// Writes one panel's results of some tokens.
#[inline]
#[target_feature(enable = "avx2")]
fn write<const T: usize>(sums: [__m256; T], out: &mut [f32], stride: usize) {
    for (t, sum) in sums.into_iter().enumerate() {
        let out = out[t * stride..].first_chunk_mut().expect("a row of results is a whole number of panels");
        store(sum, out);
    }
}

/// Calls a kernel for as many tokens or rows at once as it takes, then for the rest.
macro_rules! in_tiles {
    ($count:expr, |$first:ident| $kernel:ident::<4>($($argument:expr),*)) => {
        let mut $first = 0;
        while $first < $count {
            $first += match $count - $first {
                1 => { $kernel::<1>($($argument),*); 1 }
                2 => { $kernel::<2>($($argument),*); 2 }
                3 => { $kernel::<3>($($argument),*); 3 }
                _ => { $kernel::<4>($($argument),*); 4 }
            };
        }
    };
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn nibbles(panels: &[NibbleBlock], x: &Quants, out: &mut [f32], stride: usize) {
    for (p, panel) in panels.chunks_exact(x.per_token).enumerate() {
        in_tiles!(x.tokens(), |t| nibbles_tile::<4>(
            panel,
            &x.blocks[t * x.per_token..],
            &mut out[t * stride + p * LANES..],
            stride
        ));
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn nibbles_tile<const T: usize>(panel: &[NibbleBlock], x: &[QuantBlock], out: &mut [f32], stride: usize) {
    let x: [&[QuantBlock]; T] = std::array::from_fn(|t| &x[t * panel.len()..(t + 1) * panel.len()]);
    let (low_half, ones) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1));
    let mut results = [_mm256_setzero_ps(); T];
    for (b, block) in panel.iter().enumerate() {
        // Sixteen bits hold the sum of a lane's sixteen pairs: 8 * 2 * 15 * 127 < 2^15.
        let mut sums = [_mm256_setzero_si256(); T];
        for (s, quants) in block.quants.iter().enumerate() {
            let quants = load_bytes(quants);
            let low = _mm256_and_si256(quants, low_half);
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(quants), low_half);
            for (sum, x) in sums.iter_mut().zip(x) {
                let words = &x[b].words;
                let first = _mm256_maddubs_epi16(low, _mm256_set1_epi32(words[s]));
                let second = _mm256_maddubs_epi16(high, _mm256_set1_epi32(words[s + 4]));
                *sum = _mm256_add_epi16(*sum, _mm256_add_epi16(first, second));
            }
        }
        let (scales, minimums) = (load_halves(&block.scales), load_halves(&block.minimums));
        for ((result, sum), x) in results.iter_mut().zip(sums).zip(x) {
            let sum = _mm256_cvtepi32_ps(_mm256_madd_epi16(sum, ones));
            let scaled = _mm256_mul_ps(_mm256_mul_ps(scales, _mm256_set1_ps(x[b].scale)), sum);
            let minimum = _mm256_mul_ps(minimums, _mm256_set1_ps(x[b].sum));
            *result = _mm256_add_ps(*result, _mm256_add_ps(scaled, minimum));
        }
    }
    write(results, out, stride);
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn bytes(panels: &[ByteBlock], x: &Quants, out: &mut [f32], stride: usize) {
    for (p, panel) in panels.chunks_exact(x.per_token).enumerate() {
        in_tiles!(x.tokens(), |t| bytes_tile::<4>(
            panel,
            &x.blocks[t * x.per_token..],
            &mut out[t * stride + p * LANES..],
            stride
        ));
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn bytes_tile<const T: usize>(panel: &[ByteBlock], x: &[QuantBlock], out: &mut [f32], stride: usize) {
    let x: [&[QuantBlock]; T] = std::array::from_fn(|t| &x[t * panel.len()..(t + 1) * panel.len()]);
    let ones = _mm256_set1_epi16(1);
    let mut results = [_mm256_setzero_ps(); T];
    for (b, block) in panel.iter().enumerate() {
        let mut sums = [_mm256_setzero_si256(); T];
        for (s, quants) in block.quants.iter().enumerate() {
            let quants = load_signed(quants);
            let magnitudes = _mm256_abs_epi8(quants);
            for (sum, x) in sums.iter_mut().zip(x) {
                // The sign moves to the other factor: one has to be unsigned. 2 * 128 * 127 < 2^15.
                let signed = _mm256_sign_epi8(_mm256_set1_epi32(x[b].words[s]), quants);
                let pairs = _mm256_maddubs_epi16(magnitudes, signed);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
        let scales = load_halves(&block.scales);
        for ((result, sum), x) in results.iter_mut().zip(sums).zip(x) {
            let factor = _mm256_mul_ps(scales, _mm256_set1_ps(x[b].scale));
            *result = _mm256_add_ps(*result, _mm256_mul_ps(factor, _mm256_cvtepi32_ps(sum)));
        }
    }
    write(results, out, stride);
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn halves(panels: &[[f16; LANES]], x: &[f32], width: usize, out: &mut [f32], stride: usize) {
    for (p, panel) in panels.chunks_exact(width).enumerate() {
        in_tiles!(x.len() / width, |t| halves_tile::<4>(
            panel,
            &x[t * width..],
            &mut out[t * stride + p * LANES..],
            stride
        ));
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn halves_tile<const T: usize>(panel: &[[f16; LANES]], x: &[f32], out: &mut [f32], stride: usize) {
    let x: [&[f32]; T] = std::array::from_fn(|t| &x[t * panel.len()..(t + 1) * panel.len()]);
    let mut results = [_mm256_setzero_ps(); T];
    for (k, column) in panel.iter().enumerate() {
        let column = load_halves(column);
        for (result, x) in results.iter_mut().zip(x) {
            *result = _mm256_add_ps(*result, _mm256_mul_ps(column, _mm256_set1_ps(x[k])));
        }
    }
    write(results, out, stride);
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn floats(panels: &[[f32; LANES]], x: &[f32], width: usize, out: &mut [f32], stride: usize) {
    for (p, panel) in panels.chunks_exact(width).enumerate() {
        in_tiles!(x.len() / width, |t| floats_tile::<4>(
            panel,
            &x[t * width..],
            &mut out[t * stride + p * LANES..],
            stride
        ));
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn floats_tile<const T: usize>(panel: &[[f32; LANES]], x: &[f32], out: &mut [f32], stride: usize) {
    let x: [&[f32]; T] = std::array::from_fn(|t| &x[t * panel.len()..(t + 1) * panel.len()]);
    let mut results = [_mm256_setzero_ps(); T];
    for (k, column) in panel.iter().enumerate() {
        let column = load_floats(column);
        for (result, x) in results.iter_mut().zip(x) {
            *result = _mm256_add_ps(*result, _mm256_mul_ps(column, _mm256_set1_ps(x[k])));
        }
    }
    write(results, out, stride);
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn scores(queries: &[f32], width: usize, keys: &[[f16; LANES]], out: &mut [f32]) {
    for (i, keys) in keys.chunks(2 * width).enumerate() {
        let rows = queries.len() / width;
        if keys.len() == 2 * width {
            in_tiles!(rows, |r| score_pairs::<4>(&queries[r * width..], keys, &mut out[r * SEGMENT + 2 * i * LANES..]));
        } else {
            in_tiles!(rows, |r| score_tile::<4>(&queries[r * width..], keys, &mut out[r * SEGMENT + 2 * i * LANES..]));
        }
    }
}

/// Two tiles of keys at once: more independent sums hide the latency of an addition.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn score_pairs<const R: usize>(queries: &[f32], keys: &[[f16; LANES]], out: &mut [f32]) {
    let width = keys.len() / 2;
    let (first, second) = keys.split_at(width);
    let queries: [&[f32]; R] = std::array::from_fn(|r| &queries[r * width..(r + 1) * width]);
    let mut left = [_mm256_setzero_ps(); R];
    let mut right = [_mm256_setzero_ps(); R];
    for (d, (first, second)) in first.iter().zip(second).enumerate() {
        let (first, second) = (load_halves(first), load_halves(second));
        for r in 0..R {
            let x = _mm256_set1_ps(queries[r][d]);
            left[r] = _mm256_add_ps(left[r], _mm256_mul_ps(x, first));
            right[r] = _mm256_add_ps(right[r], _mm256_mul_ps(x, second));
        }
    }
    write(left, out, SEGMENT);
    write(right, &mut out[LANES..], SEGMENT);
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn score_tile<const R: usize>(queries: &[f32], keys: &[[f16; LANES]], out: &mut [f32]) {
    halves_tile::<R>(keys, queries, out, SEGMENT);
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn weighted_values(weights: &[f32], values: &[f16], width: usize, out: &mut [f32]) {
    // Four vectors of three rows fill the registers; what is left of a head goes one vector at a time.
    let (rows, wide) = (weights.len() / SEGMENT, width / 32 * 32);
    let mut row = 0;
    while row < rows {
        let (weights, out) = (&weights[row * SEGMENT..], &mut out[row * width..]);
        let count = (rows - row).min(3);
        for start in (0..wide).step_by(32) {
            match count {
                1 => value_tile::<1, 4>(weights, &values[start..], width, &mut out[start..]),
                2 => value_tile::<2, 4>(weights, &values[start..], width, &mut out[start..]),
                _ => value_tile::<3, 4>(weights, &values[start..], width, &mut out[start..]),
            }
        }
        for start in (wide..width).step_by(LANES) {
            match count {
                1 => value_tile::<1, 1>(weights, &values[start..], width, &mut out[start..]),
                2 => value_tile::<2, 1>(weights, &values[start..], width, &mut out[start..]),
                _ => value_tile::<3, 1>(weights, &values[start..], width, &mut out[start..]),
            }
        }
        row += count;
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn value_tile<const R: usize, const V: usize>(weights: &[f32], values: &[f16], width: usize, out: &mut [f32]) {
    let weights: [&[f32]; R] = std::array::from_fn(|r| &weights[r * SEGMENT..(r + 1) * SEGMENT]);
    let mut sums = [[_mm256_setzero_ps(); V]; R];
    for (p, value) in values.chunks(width).enumerate() {
        let value = &value.as_chunks::<LANES>().0[..V];
        for v in 0..V {
            let value = load_halves(&value[v]);
            for r in 0..R {
                sums[r][v] = _mm256_add_ps(sums[r][v], _mm256_mul_ps(_mm256_set1_ps(weights[r][p]), value));
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for (v, sum) in sums.into_iter().enumerate() {
            write([sum], &mut out[r * width + v * LANES..], 0);
        }
    }
}

/// [`float::exp`] in eight lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn exp(x: __m256) -> __m256 {
    let set = |x: f32| _mm256_set1_ps(x);
    // Operands in the order that lets what is not a number through, as `clamp` does.
    let clamped = _mm256_min_ps(set(88.0), _mm256_max_ps(set(-87.0), x));
    let shifted = _mm256_add_ps(_mm256_mul_ps(clamped, set(std::f32::consts::LOG2_E)), set(float::ROUND));
    let n = _mm256_sub_ps(shifted, set(float::ROUND));
    let r = _mm256_sub_ps(clamped, _mm256_mul_ps(n, set(float::LN_2_HIGH)));
    let r = _mm256_sub_ps(r, _mm256_mul_ps(n, set(float::LN_2_LOW)));
    let mut p = set(float::EXP[0]);
    for coefficient in &float::EXP[1..] {
        p = _mm256_add_ps(_mm256_mul_ps(p, r), set(*coefficient));
    }
    let y = _mm256_add_ps(_mm256_add_ps(_mm256_mul_ps(p, _mm256_mul_ps(r, r)), r), set(1.0));
    let exponent =
        _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(float::ROUND.to_bits() as i32 - 127));
    let power = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent));
    let small = _mm256_cmp_ps::<_CMP_LT_OQ>(x, set(-87.0));
    _mm256_andnot_ps(small, _mm256_mul_ps(y, power))
}

#[inline]
#[target_feature(enable = "avx2")]
fn silu_times(gate: &mut [f32], up: &[f32]) {
    let (gates, rest) = gate.as_chunks_mut::<LANES>();
    let (ups, up_rest) = up.as_chunks::<LANES>();
    for (gate, up) in gates.iter_mut().zip(ups) {
        let x = load_floats(gate);
        let negative = _mm256_xor_ps(x, _mm256_set1_ps(-0.0));
        let silu = _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0), exp(negative)));
        store(_mm256_mul_ps(silu, load_floats(up)), gate);
    }
    float::silu_times(rest, up_rest);
}

#[inline]
#[target_feature(enable = "avx2")]
fn soften(scores: &mut [f32], visible: usize) -> (f32, f32) {
    let scores = float::hide(scores, visible).as_chunks_mut::<LANES>().0;
    let mut peaks = _mm256_set1_ps(f32::NEG_INFINITY);
    for part in scores.iter() {
        // The second operand is returned where the first is not greater.
        peaks = _mm256_max_ps(load_floats(part), peaks);
    }
    let mut lanes = [0.0; LANES];
    store(peaks, &mut lanes);
    let largest = float::largest(lanes);
    let mut sums = _mm256_setzero_ps();
    for part in scores {
        let weight = exp(_mm256_sub_ps(load_floats(part), _mm256_set1_ps(largest)));
        store(weight, part);
        sums = _mm256_add_ps(sums, weight);
    }
    store(sums, &mut lanes);
    (largest, float::tree(lanes))
}
