//! Texts stored once, in compressed blocks.
//!
//! Prompts of one instance repeat each other, over attempts, arms and seeds. A text is cut at line ends that its content
//! decides, so that equal stretches give equal pieces wherever they stand, and each piece is kept once. Blocks are JSON
//! arrays of pieces, compressed with zlib, which a browser opens without help.

use std::collections::BTreeMap;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::canon::Blake3;

/// A piece ends after a line whose hash has these bits unset: once in 32 lines.
const BORDER: u32 = 31;
/// Bytes after which a piece ends in any case.
const LONGEST_PIECE: usize = 8 << 10;
/// Bytes of a block before it is compressed.
const BLOCK: usize = 160 << 10;

/// A block of the page.
pub(super) struct Block {
    /// Number of its first entry.
    pub(super) first: u32,
    /// Compressed, in base64.
    pub(super) text: String,
}

/// Entries in blocks, in the order in which they were added.
#[derive(Default)]
pub(super) struct Blocks {
    next: u32,
    open: Vec<u8>,
    first: u32,
    sealed: Vec<Block>,
    size: usize,
}

impl Blocks {
    /// Adds an entry, which is JSON, and returns its number.
    pub(super) fn add(&mut self, json: &str) -> std::io::Result<u32> {
        self.open.push(if self.open.is_empty() { b'[' } else { b',' });
        self.open.extend_from_slice(json.as_bytes());
        self.next += 1;
        if self.open.len() >= BLOCK {
            self.seal()?;
        }
        Ok(self.next - 1)
    }

    fn seal(&mut self) -> std::io::Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        self.open.push(b']');
        // The implementation looks for matches in the same way on every processor, so the bytes are the same too.
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&self.open)?;
        let text = STANDARD.encode(encoder.finish()?);
        self.size += text.len();
        self.sealed.push(Block { first: self.first, text });
        self.open.clear();
        self.first = self.next;
        Ok(())
    }

    /// Bytes of the page so far.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Returns all blocks.
    pub(super) fn finish(mut self) -> std::io::Result<Vec<Block>> {
        self.seal()?;
        Ok(self.sealed)
    }
}

/// Pieces of texts, each once.
#[derive(Default)]
pub(super) struct Pool {
    known: BTreeMap<[u8; 16], u32>,
    blocks: Blocks,
}

impl Pool {
    /// Keeps a text and returns the numbers of its pieces.
    pub(super) fn add(&mut self, text: &str) -> std::io::Result<Vec<u32>> {
        pieces(text).map(|piece| self.piece(piece)).collect()
    }

    fn piece(&mut self, piece: &str) -> std::io::Result<u32> {
        let digest = Blake3::of(piece.as_bytes());
        let key: [u8; 16] = digest.as_bytes()[..16].try_into().expect("a digest has 32 bytes");
        if let Some(number) = self.known.get(&key) {
            return Ok(*number);
        }
        let number = self.blocks.add(&serde_json::to_string(piece)?)?;
        self.known.insert(key, number);
        Ok(number)
    }

    /// Bytes of the page so far.
    pub(super) fn size(&self) -> usize {
        self.blocks.size()
    }

    /// Returns all blocks.
    pub(super) fn finish(self) -> std::io::Result<Vec<Block>> {
        self.blocks.finish()
    }
}

/// Cuts a text at line ends.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = border(rest)?;
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

/// Returns where the first piece of a text ends.
fn border(text: &str) -> Option<usize> {
    if text.is_empty() {
        return None;
    }
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if at > LONGEST_PIECE {
            break;
        }
        // FNV-1a, written out: it decides about bytes of the page.
        let hash = line.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        if (hash >> 8) & BORDER == 0 {
            return Some(at);
        }
    }
    Some(text.floor_char_boundary(at.min(LONGEST_PIECE)))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn read(blocks: &[Block]) -> Vec<String> {
        let mut pieces = Vec::new();
        for block in blocks {
            let bytes = STANDARD.decode(&block.text).unwrap();
            let mut text = String::new();
            flate2::read::ZlibDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
            pieces.extend(serde_json::from_str::<Vec<String>>(&text).unwrap());
        }
        pieces
    }

    #[test]
    fn texts_come_back_and_equal_stretches_are_kept_once() {
        let text: String = (0..20_000).map(|line| format!("line {line} with some words\n")).collect();
        let moved = format!("another beginning\n{text}and another end");
        let long = "ü".repeat(20_000);
        let mut pool = Pool::default();
        let numbers: Vec<Vec<u32>> =
            [&text, &moved, &long, ""].into_iter().map(|text| pool.add(text).unwrap()).collect();
        assert!(numbers[0].iter().filter(|number| numbers[1].contains(number)).count() + 2 >= numbers[0].len());
        let blocks = pool.finish().unwrap();
        assert!(blocks.len() > 1 && blocks.is_sorted_by_key(|block| block.first));
        let pieces = read(&blocks);
        let back = |numbers: &[u32]| numbers.iter().map(|number| pieces[*number as usize].as_str()).collect::<String>();
        assert_eq!(
            [back(&numbers[0]), back(&numbers[1]), back(&numbers[2]), back(&numbers[3])],
            [text, moved, long, String::new()]
        );
    }
}
