//! A share of a whole, and how far it can be trusted.

use super::MILLION;

/// Fixed-point unit of the computation.
const UNIT: u128 = 1_000_000_000_000;
/// The square of the 97.5 % quantile of the normal distribution, 1.959963984540054², in units.
const Z_SQUARED: u128 = 3_841_458_820_694;

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub count: u32,
    /// Of how many.
    pub of: u32,
}

impl Share {
    /// Returns the share per million, rounded down, so that no threshold is reached by rounding; 0 of nothing.
    pub fn per_million(self) -> u64 {
        (u64::from(self.count) * MILLION).checked_div(u64::from(self.of)).unwrap_or_default()
    }

    /// Says whether the share is at least `threshold` per million; nothing of nothing is not.
    pub fn reaches(self, threshold: u64) -> bool {
        self.of > 0 && u128::from(self.count) * u128::from(MILLION) >= u128::from(self.of) * u128::from(threshold)
    }
}

/// Returns the Wilson score interval (95 %) of `count` of `of`, per million; everything is possible of nothing.
///
/// The ends are (2k + z² ± √(z⁴ + 4z²k(n−k)/n)) / 2(n + z²).
pub fn wilson(count: u32, of: u32) -> (u64, u64) {
    if of == 0 {
        return (0, MILLION);
    }
    let (k, n) = (u128::from(count.min(of)), u128::from(of));
    let root = (Z_SQUARED * Z_SQUARED + Z_SQUARED * (4 * k * (n - k) * UNIT / n)).isqrt();
    let (centre, whole) = (2 * k * UNIT + Z_SQUARED, 2 * (n * UNIT + Z_SQUARED));
    let per_million = |part: u128| ((part * u128::from(MILLION) + whole / 2) / whole) as u64;
    (per_million(centre.saturating_sub(root)), per_million(centre + root))
}

/// Returns a share per million as a person reads it: `40 %`, `33.3 %`. Only nothing is `0 %`, only everything `100 %`.
pub fn percent(per_million: u64) -> String {
    match (per_million + 500) / 1000 {
        0 if per_million > 0 => "below 0.1 %".into(),
        1000 if per_million < MILLION => "above 99.9 %".into(),
        tenths if tenths.is_multiple_of(10) => format!("{} %", tenths / 10),
        tenths => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

/// Returns a probability per million as a person reads it, never as nothing.
pub fn probability(per_million: u64) -> String {
    match per_million {
        0 => "below 0.000001".into(),
        whole => format!("{}.{:06}", whole / MILLION, whole % MILLION),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_not_reached_by_rounding_or_by_nothing() {
        assert!(Share { count: 2, of: 5 }.reaches(400_000));
        assert!(!Share { count: 1, of: 3 }.reaches(333_334));
        assert!(!Share { count: 0, of: 0 }.reaches(0));
        assert!(Share { count: 300, of: 300 }.reaches(MILLION));
        assert!(!Share { count: 299, of: 300 }.reaches(MILLION));
        assert_eq!(Share { count: 299, of: 300 }.per_million(), 996_666);
    }

    #[test]
    fn intervals_at_the_edges() {
        assert_eq!(wilson(0, 0), (0, MILLION));
        assert_eq!(wilson(0, 5).0, 0);
        assert_eq!(wilson(5, 5).1, MILLION);
        assert!(wilson(u32::MAX, u32::MAX).0 > 999_990);
    }

    #[test]
    fn percentages_for_people() {
        assert_eq!([0, 400_000, 333_333, MILLION].map(percent), ["0 %", "40 %", "33.3 %", "100 %"]);
        assert_eq!([499, 500, 999_499, 999_564].map(percent), ["below 0.1 %", "0.1 %", "99.9 %", "above 99.9 %"]);
        assert_eq!([0, 31_250, MILLION].map(probability), ["below 0.000001", "0.031250", "1.000000"]);
    }
}
