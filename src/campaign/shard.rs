//! The part of a campaign that one machine does. All runs of an instance are in one part, so that pairs stay together.

/// One of several parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    index: u32,
    of: u32,
}

/// Says why a text names no part.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no shard I/N with I from 1 to N")]
pub struct ShardError(String);

impl Shard {
    /// The campaign as a whole.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Makes the part with a number counted from 0.
    ///
    /// # Errors
    /// A number that is not below the number of parts.
    pub fn new(index: u32, of: u32) -> Result<Self, ShardError> {
        match index < of {
            true => Ok(Self { index, of }),
            false => Err(ShardError(format!("{}/{of}", u64::from(index) + 1))),
        }
    }

    /// Reads `I/N`, counted from 1.
    ///
    /// # Errors
    /// Another text, or a part that does not exist.
    pub fn from_text(text: &str) -> Result<Self, ShardError> {
        let error = || ShardError(text.chars().take(40).collect());
        let (index, of) = text.split_once('/').ok_or_else(error)?;
        let (index, of): (u32, u32) = (index.parse().map_err(|_| error())?, of.parse().map_err(|_| error())?);
        Self::new(index.checked_sub(1).ok_or_else(error)?, of).map_err(|_| error())
    }

    /// Says whether the instance at a place of the sorted ids belongs to this part.
    pub fn holds(self, place: usize) -> bool {
        place as u64 % u64::from(self.of) == u64::from(self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instance_is_in_one_part() {
        let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].map(|text| Shard::from_text(text).unwrap()).to_vec();
        for place in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.holds(place)).count(), 1);
        }
        assert!((0..10).all(|place| Shard::WHOLE.holds(place)));
        for text in ["0/3", "4/3", "1", "a/b", "1/0", "1/", "-1/3", "4294967296/5"] {
            assert!(Shard::from_text(text).is_err(), "{text}");
        }
    }
}
