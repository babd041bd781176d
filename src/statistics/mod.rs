//! Figures over counts, as integers: nothing here ever was a float, so equal counts give equal bytes everywhere.
//!
//! Shares and probabilities are integers per million, rounded half up. [`wilson`] is the score interval of a share,
//! [`mcnemar`] the exact two-sided test of two paired arms, and [`failure_bound`] what equal answers leave possible.

mod binomial;
mod share;
mod spread;

pub use binomial::{failure_bound, mcnemar};
pub use share::{Share, percent, probability, wilson};
pub use spread::Spread;

/// One, in the unit of this room's shares and probabilities.
pub const MILLION: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Computed by SciPy and statsmodels; `fixtures/statistics/README.md` says how.
    const TABLES: &str = include_str!("../../fixtures/statistics/tables.jsonl");

    #[test]
    fn a_thousand_random_tables_agree_with_scipy_and_statsmodels() {
        let mut tables = 0;
        for line in TABLES.lines() {
            let table: Value = serde_json::from_str(line).unwrap();
            let number = |name: &str| u32::try_from(table[name].as_u64().unwrap()).unwrap();
            let (low, high) = wilson(number("resolved"), number("of"));
            let expected = (table["low"].as_u64().unwrap(), table["high"].as_u64().unwrap());
            assert_eq!((low, high), expected, "{line}");
            assert_eq!(mcnemar(number("only_first"), number("only_second")), table["p"].as_u64().unwrap(), "{line}");
            assert_eq!(failure_bound(number("times")), table["bound"].as_u64().unwrap(), "{line}");
            tables += 1;
        }
        assert_eq!(tables, 1000);
    }
}
