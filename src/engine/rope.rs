//! Rotary positions: the angles by which pairs of elements turn, from `libm`, never from the host's library.

use super::EngineError;
use super::shape::Shape;

/// The frequency of each pair.
pub(crate) struct Rope {
    frequencies: Vec<f64>,
    head_width: usize,
}

impl Rope {
    /// Computes the frequencies of a model; `factors` divides them one by one (Llama 3.1's long contexts).
    ///
    /// # Errors
    /// A factor that is not a positive number.
    pub(crate) fn new(shape: &Shape, factors: Option<&[f32]>) -> Result<Self, EngineError> {
        let pairs = shape.rotated / 2;
        let mut frequencies: Vec<f64> =
            (0..pairs).map(|i| libm::pow(shape.rope_base, -((2 * i) as f64) / shape.rotated as f64)).collect();
        if let Some(factors) = factors {
            if !factors.iter().all(|factor| factor.is_finite() && *factor > 0.0) {
                return Err(EngineError::Malformed("a rotary factor is not a positive number".into()));
            }
            for (frequency, factor) in frequencies.iter_mut().zip(factors) {
                *frequency /= f64::from(*factor);
            }
        }
        Ok(Self { frequencies, head_width: shape.head_width })
    }

    /// Appends cosine and sine of every pair at `position`.
    pub(crate) fn angles(&self, position: usize, out: &mut Vec<(f32, f32)>) {
        out.extend(self.frequencies.iter().map(|frequency| {
            let angle = position as f64 * frequency;
            (libm::cos(angle) as f32, libm::sin(angle) as f32)
        }));
    }

    /// Returns the number of pairs that turn in each head.
    pub(crate) fn pairs(&self) -> usize {
        self.frequencies.len()
    }

    /// Turns all heads of one token by its angles, adjacent elements making a pair.
    pub(crate) fn turn(&self, heads: &mut [f32], angles: &[(f32, f32)]) {
        for head in heads.chunks_exact_mut(self.head_width) {
            for (pair, (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                let [a, b] = *pair;
                *pair = [a * cos - b * sin, a * sin + b * cos];
            }
        }
    }
}
