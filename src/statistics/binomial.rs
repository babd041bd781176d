//! Exact probabilities of a fair coin, and of answers that were equal so far.

use super::MILLION;

/// Returns the two-sided p-value of McNemar's exact test, per million, of the pairs in which only one arm did it.
///
/// It is min(1, 2·Σ C(n, i) / 2ⁿ) over i up to the smaller count, summed in whole numbers.
pub fn mcnemar(only_first: u32, only_second: u32) -> u64 {
    let n = only_first.saturating_add(only_second);
    let mut term = Natural::from(1);
    let mut sum = Natural::from(1);
    for i in 0..only_first.min(only_second) {
        term.multiply(n - i);
        term.divide(i + 1);
        sum.add(&term);
    }
    // Rounded half up: (2·10⁶·sum + 2ⁿ⁻¹) / 2ⁿ, here with everything doubled.
    sum.multiply(4 * MILLION as u32);
    sum.add(&Natural::power_of_two(n));
    sum.shifted_down(n + 1).min(MILLION)
}

/// Returns the failure rate of a call, per million, that `times` equal answers leave possible at 95 %: 1 − 0.05^(1/times).
pub fn failure_bound(times: u32) -> u64 {
    const UNIT: u128 = 1_000_000_000_000_000_000;
    const BILLION: u128 = 1_000_000_000;
    if times == 0 {
        return MILLION;
    }
    // The smallest rate, per billion, at which so many equal answers would come in at most 5 % of all cases.
    let is_unlikely = |rate: u128| {
        let (mut base, mut left, mut chance) = ((BILLION - rate) * (UNIT / BILLION), times, UNIT);
        while left > 0 {
            if left & 1 == 1 {
                chance = chance * base / UNIT;
            }
            base = base * base / UNIT;
            left >>= 1;
        }
        chance <= UNIT / 20
    };
    let (mut low, mut high) = (0, BILLION);
    while low < high {
        let middle = (low + high) / 2;
        if is_unlikely(middle) { high = middle } else { low = middle + 1 }
    }
    ((low + 500) / 1000) as u64
}

/// A whole number of any size, the lowest 32 bits first.
#[derive(Clone)]
struct Natural(Vec<u32>);

impl From<u32> for Natural {
    fn from(value: u32) -> Self {
        Self(vec![value])
    }
}

impl Natural {
    fn power_of_two(exponent: u32) -> Self {
        let mut digits = vec![0; exponent as usize / 32 + 1];
        digits[exponent as usize / 32] = 1 << (exponent % 32);
        Self(digits)
    }

    fn multiply(&mut self, factor: u32) {
        let mut carry = 0_u64;
        for digit in &mut self.0 {
            carry += u64::from(*digit) * u64::from(factor);
            *digit = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// Divides without rest: a binomial coefficient's next factor always divides.
    fn divide(&mut self, divisor: u32) {
        let mut rest = 0_u64;
        for digit in self.0.iter_mut().rev() {
            rest = rest << 32 | u64::from(*digit);
            *digit = (rest / u64::from(divisor)) as u32;
            rest %= u64::from(divisor);
        }
    }

    fn add(&mut self, other: &Self) {
        let mut carry = 0_u64;
        self.0.resize(self.0.len().max(other.0.len()), 0);
        for (index, digit) in self.0.iter_mut().enumerate() {
            carry += u64::from(*digit) + u64::from(other.0.get(index).copied().unwrap_or_default());
            *digit = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// Returns the number divided by a power of two, which must leave less than 64 bits.
    fn shifted_down(&self, bits: u32) -> u64 {
        let (skip, shift) = (bits as usize / 32, bits % 32);
        let digit = |index: usize| u128::from(self.0.get(skip + index).copied().unwrap_or_default());
        ((digit(0) | digit(1) << 32 | digit(2) << 64) >> shift) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_probabilities() {
        assert_eq!(mcnemar(0, 0), MILLION);
        assert_eq!(mcnemar(5, 0), 62_500);
        assert_eq!(mcnemar(0, 6), 31_250);
        assert_eq!(mcnemar(1, 1), MILLION);
        assert_eq!(mcnemar(0, 300), 0);
        assert_eq!(mcnemar(150, 150), MILLION);
    }

    #[test]
    fn the_bound_is_honest_about_few_answers() {
        for (times, percent) in [(0, 100), (1, 95), (3, 63), (10, 26), (59, 5), (299, 1)] {
            assert_eq!((failure_bound(times) + 5000) / 10_000, percent, "{times}");
        }
    }
}
