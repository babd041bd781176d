//! Many whole numbers summed up: how many, their total, the middle one, the ends.

use serde::Serialize;

/// What can be said of many whole numbers at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many there are.
    pub count: u64,
    /// Their sum.
    pub total: u64,
    /// The middle one, of an even number the lower of the two in the middle; 0 of none.
    pub median: u64,
    /// The smallest; 0 of none.
    pub smallest: u64,
    /// The largest; 0 of none.
    pub largest: u64,
}

impl Spread {
    /// Sums up numbers in any order.
    pub fn of(numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut sorted: Vec<u64> = numbers.into_iter().collect();
        sorted.sort_unstable();
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        Self {
            count: sorted.len() as u64,
            total: sorted.iter().fold(0, |sum, number| sum.saturating_add(*number)),
            median: at(sorted.len().saturating_sub(1) / 2),
            smallest: at(0),
            largest: at(sorted.len().saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_does_not_matter_and_nothing_is_nothing() {
        let spread = Spread { count: 4, total: 16, median: 2, smallest: 1, largest: 11 };
        assert_eq!(Spread::of([11, 1, 2, 2]), spread);
        assert_eq!(Spread::of([2, 11, 2, 1]), spread);
        assert_eq!(Spread::of([7]).median, 7);
        assert_eq!(Spread::of([]), Spread::default());
        assert_eq!(Spread::of([u64::MAX, 1]).total, u64::MAX);
    }
}
