//! Extents: where the pieces of a body lie, and their encoding in the `at` columns.
//!
//! An `at` value is one byte of [`Encoding`] and then, for each extent, three LEB128 numbers: the block's distance
//! from the previous extent's block (zigzag) with the lane in the low three bits, the distance of the offset from
//! where it would continue the previous extent (zigzag), and the length.

use super::StoreError;
use super::limits::{LANES, MAX_BODY, MAX_EXTENTS};

/// A run of bytes in one lane of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) block: u32,
    pub(crate) lane: u8,
    pub(crate) start: u32,
    pub(crate) length: u32,
}

impl Extent {
    fn end(&self) -> u64 {
        u64::from(self.start) + u64::from(self.length)
    }
}

/// What the bytes in the extents are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// The body itself.
    Plain = 0,
    /// The body after [`super::stream::split`].
    Stream = 1,
}

/// A body's place in the blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) encoding: Encoding,
    pub(crate) extents: Vec<Extent>,
}

impl Place {
    pub(crate) fn plain() -> Self {
        Self { encoding: Encoding::Plain, extents: Vec::new() }
    }

    /// Adds an extent, or lengthens the last one if this one continues it.
    pub(crate) fn push(&mut self, extent: Extent) {
        if extent.length == 0 {
            return;
        }
        if let Some(last) = self.extents.last_mut()
            && (last.block, last.lane) == (extent.block, extent.lane)
            && last.end() == u64::from(extent.start)
        {
            last.length += extent.length;
            return;
        }
        self.extents.push(extent);
    }

    /// Adds the extents of the bytes `from..to` of the body that lies at `base`.
    pub(crate) fn push_range(&mut self, base: &[Extent], from: usize, to: usize) {
        let mut position = 0;
        for extent in base {
            let end = position + extent.length as usize;
            let (cut_from, cut_to) = (from.max(position), to.min(end));
            if cut_from < cut_to {
                let start = extent.start + (cut_from - position) as u32;
                self.push(Extent { start, length: (cut_to - cut_from) as u32, ..*extent });
            }
            position = end;
        }
    }

    /// Returns the number of bytes in the extents.
    pub(crate) fn stored_size(&self) -> u64 {
        self.extents.iter().map(|extent| u64::from(extent.length)).sum()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.encoding as u8];
        let mut previous = Extent { block: 0, lane: 0, start: 0, length: 0 };
        for extent in &self.extents {
            let step = zigzag(i64::from(extent.block) - i64::from(previous.block));
            put(&mut bytes, step << 3 | u64::from(extent.lane));
            let same = (previous.block, previous.lane) == (extent.block, extent.lane);
            let expected = if same { previous.end() } else { 0 };
            put(&mut bytes, zigzag(i64::from(extent.start) - expected as i64));
            put(&mut bytes, u64::from(extent.length));
            previous = *extent;
        }
        bytes
    }

    /// Reads an `at` value.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for anything that [`Place::to_bytes`] does not write, or that names more than a body
    /// may hold.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let wrong = |problem: &str| StoreError::corrupt("an extent list", problem);
        let (&encoding, mut rest) = bytes.split_first().ok_or_else(|| wrong("empty"))?;
        let encoding = match encoding {
            0 => Encoding::Plain,
            1 => Encoding::Stream,
            _ => return Err(wrong("unknown encoding")),
        };
        let mut place = Self { encoding, extents: Vec::new() };
        let mut previous = Extent { block: 0, lane: 0, start: 0, length: 0 };
        let mut total = 0;
        while !rest.is_empty() {
            let mut number = || take(&mut rest).ok_or_else(|| wrong("cut off or overlong number"));
            let (head, offset, length) = (number()?, number()?, number()?);
            let lane = (head & 7) as u8;
            let block = i64::from(previous.block) + unzigzag(head >> 3);
            let same = i64::from(previous.block) == block && previous.lane == lane;
            let expected = if same { previous.end() as i64 } else { 0 };
            let start = expected.checked_add(unzigzag(offset));
            let extent = Extent {
                block: u32::try_from(block).ok().filter(|b| *b > 0).ok_or_else(|| wrong("block out of range"))?,
                lane,
                start: start.and_then(|s| u32::try_from(s).ok()).ok_or_else(|| wrong("offset out of range"))?,
                length: u32::try_from(length).ok().filter(|l| *l > 0).ok_or_else(|| wrong("length out of range"))?,
            };
            total += length;
            if total > MAX_BODY || place.extents.len() == MAX_EXTENTS {
                return Err(wrong("names more than a body may hold"));
            }
            place.extents.push(extent);
            previous = extent;
        }
        Ok(place)
    }
}

const _: () = assert!(LANES == 8, "the lane is three bits of the first number");

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends a LEB128 number.
pub(crate) fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Takes a LEB128 number of at most 49 bits, in its shortest form, from the front of `bytes`.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for index in 0..7 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return (byte != 0 || index == 0).then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_place_reads_back(list in proptest::collection::vec((1..5_000_u32, 0..8_u8, 0..4_000_000_u32, 1..900_000_u32), 0..40)) {
            let mut place = Place::plain();
            for (block, lane, start, length) in list {
                place.push(Extent { block, lane, start, length });
            }
            prop_assert_eq!(Place::from_bytes(&place.to_bytes()).unwrap(), place);
        }

        #[test]
        fn arbitrary_bytes_are_an_error_or_a_place_within_limits(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(place) = Place::from_bytes(&bytes) {
                prop_assert!(place.stored_size() <= MAX_BODY);
            }
        }

        #[test]
        fn a_range_of_extents_is_the_range_of_their_bytes(lengths in proptest::collection::vec(1..50_u32, 1..12), a in 0..400_usize, b in 0..400_usize) {
            let base: Vec<_> = lengths.iter().enumerate().map(|(i, &length)| Extent { block: i as u32 + 1, lane: 0, start: 7, length }).collect();
            let flat = |extents: &[Extent]| -> Vec<(u32, u32)> {
                extents.iter().flat_map(|e| (e.start..e.start + e.length).map(|at| (e.block, at))).collect()
            };
            let all = flat(&base);
            let (from, to) = (a.min(b).min(all.len()), a.max(b).min(all.len()));
            let mut place = Place::plain();
            place.push_range(&base, from, to);
            prop_assert_eq!(flat(&place.extents), &all[from..to]);
        }
    }

    #[test]
    fn a_contiguous_extent_costs_nothing() {
        let mut place = Place::plain();
        place.push(Extent { block: 3, lane: 1, start: 10, length: 5 });
        place.push(Extent { block: 3, lane: 1, start: 15, length: 6 });
        assert_eq!(place.extents, [Extent { block: 3, lane: 1, start: 10, length: 11 }]);
        assert_eq!(place.to_bytes().len(), 4);
    }
}
