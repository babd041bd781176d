//! Shared vocabulary, weighed as in BM25 (Robertson and Zaragoza 2009) with integers: rare terms count more, repeated
//! ones less and less, and long files do not win by length.

use super::put_back;
use super::source::Facts;
use super::terms::Terms;

/// Saturation of repeated uses, k1 = 1.2, and share of the length's influence, b = 0.6; both in tenths.
const K1: u64 = 12;
const B: u64 = 6;

/// Returns the weight of the vocabulary that each file shares with the task.
pub(super) fn vocabulary(facts: &[(&str, Facts)], terms: &Terms) -> Vec<u64> {
    let files = facts.len() as u64;
    let average = (facts.iter().map(|(_, facts)| facts.length).sum::<u64>() / files.max(1)).max(1);
    let mut holders = vec![0_u64; terms.weights().count()];
    // Rarity is measured among the files that can be meant: a term of many tests is not common for that.
    for (_, facts) in facts.iter().filter(|(path, _)| put_back(path) == 1) {
        for number in facts.uses.keys() {
            holders[*number] += 1;
        }
    }
    let ordinary = facts.iter().filter(|(path, _)| put_back(path) == 1).count() as u64;
    let worth: Vec<u64> =
        terms.weights().zip(&holders).map(|(weight, holders)| weight * rarity(ordinary, *holders)).collect();
    facts
        .iter()
        .map(|(_, facts)| {
            let length = (10 - B) * 1000 + B * 1000 * facts.length.min(20 * average) / average;
            facts
                .uses
                .iter()
                .map(|(number, uses)| {
                    let uses = u64::from(*uses);
                    // uses (k1 + 1) / (uses + k1 (1 - b + b length / average)), in thousandths.
                    let saturated = uses * (K1 + 10) * 100_000 / (uses * 1000 + K1 * length / 100).max(1);
                    worth[*number] * saturated / 1000
                })
                .sum()
        })
        .collect()
}

/// Returns log2(1 + (files - holders + 1/2) / (holders + 1/2)) in 1/256.
fn rarity(files: u64, holders: u64) -> u64 {
    let ratio = ((2 * files + 2) << 16) / (2 * holders + 1);
    log2(ratio.max(1 << 16)) - (16 << 8)
}

/// Returns the logarithm to base 2 in 1/256, rounded down, by repeated squaring.
fn log2(number: u64) -> u64 {
    let whole = u64::from(number.max(1).ilog2());
    // The mantissa as a fixed-point number in [1, 2) with 31 fractional bits.
    let mut mantissa = u128::from(number.max(1)) << 31 >> whole;
    let mut fraction = 0;
    for bit in (0..8).rev() {
        mantissa = (mantissa * mantissa) >> 31;
        if mantissa >= 2 << 31 {
            mantissa >>= 1;
            fraction |= 1 << bit;
        }
    }
    whole << 8 | fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_right_to_a_256th() {
        for number in [1_u64, 2, 3, 7, 10, 1000, 65_535, 65_536, 1 << 40, u64::MAX] {
            let exact = (number as f64).log2() * 256.0;
            let ours = log2(number) as f64;
            assert!(ours <= exact + 1e-6 && exact - ours < 1.01, "{number}: {ours} {exact}");
        }
    }

    #[test]
    fn rarer_is_worth_more() {
        assert!(rarity(1000, 1) > rarity(1000, 10) && rarity(1000, 10) > rarity(1000, 900));
        assert!(rarity(0, 0) < rarity(1000, 1));
    }
}
