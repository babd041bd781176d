//! Weight matrices as the kernels read them: panels of eight rows, interleaved.
//!
//! In a panel, one lane of a vector register belongs to one row. So each row's sum runs through its blocks in order,
//! alone in its lane, and SIMD and scalar code add the same numbers in the same order by construction. Repacking
//! happens once, while the file is read; the file's own layout is not kept.

use std::io::Read;

use half::f16;

use super::EngineError;
use super::gguf::{Kind, Tensor};
use super::source::Source;

/// Rows in a panel.
pub(crate) const LANES: usize = 8;
/// Elements that share a scale.
pub(crate) const BLOCK: usize = 32;

/// Thirty-two columns of eight rows at four bits: `value = scale * quant + minimum`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct NibbleBlock {
    pub(crate) scales: [f16; LANES],
    pub(crate) minimums: [f16; LANES],
    /// Byte `4 * row + j` of part `s` holds column `4 * s + j` in its low and column `16 + 4 * s + j` in its high half.
    pub(crate) quants: [[u8; 32]; 4],
}

/// Thirty-two columns of eight rows at eight bits: `value = scale * quant`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct ByteBlock {
    pub(crate) scales: [f16; LANES],
    /// Byte `4 * row + j` of part `s` holds column `4 * s + j`.
    pub(crate) quants: [[i8; 32]; 8],
}

/// The panels of a matrix, one after the other.
pub(crate) enum Panels {
    /// Q4_0 and Q4_1; one item a block.
    Nibbles(Vec<NibbleBlock>),
    /// Q8_0; one item a block.
    Bytes(Vec<ByteBlock>),
    /// F16; one item a column.
    Halves(Vec<[f16; LANES]>),
    /// F32; one item a column.
    Floats(Vec<[f32; LANES]>),
}

/// A weight matrix that maps `width` numbers to `rows`.
pub(crate) struct Matrix {
    pub(crate) width: usize,
    pub(crate) rows: usize,
    pub(crate) panels: Panels,
}

impl Matrix {
    /// Reads and repacks the tensor that begins at the source's position.
    ///
    /// # Errors
    /// A file that ends early, or a failing reader.
    pub(crate) fn read<R: Read>(source: &mut Source<R>, tensor: &Tensor) -> Result<Self, EngineError> {
        let width = tensor.dimensions[0] as usize;
        let rows = tensor.dimensions[1] as usize;
        let row_size = tensor.size as usize / rows;
        let count = rows.div_ceil(LANES);
        let mut buffer = vec![0; row_size * LANES];
        let mut panels = match tensor.kind {
            Kind::Q4_0 | Kind::Q4_1 => Panels::Nibbles(Vec::with_capacity(count * width / BLOCK)),
            Kind::Q8_0 => Panels::Bytes(Vec::with_capacity(count * width / BLOCK)),
            Kind::F16 => Panels::Halves(Vec::with_capacity(count * width)),
            Kind::F32 => Panels::Floats(Vec::with_capacity(count * width)),
        };
        for panel in 0..count {
            let present = LANES.min(rows - panel * LANES);
            source.fill(&mut buffer[..present * row_size], &tensor.name)?;
            // Lanes beyond the last row compute zeros that nobody reads.
            buffer[present * row_size..].fill(0);
            let row = |lane: usize| &buffer[lane * row_size..(lane + 1) * row_size];
            match &mut panels {
                Panels::Nibbles(blocks) => pack_nibbles(blocks, tensor.kind, width / BLOCK, row),
                Panels::Bytes(blocks) => pack_bytes(blocks, width / BLOCK, row),
                Panels::Halves(columns) => {
                    columns.extend((0..width).map(|k| std::array::from_fn(|lane| half_at(row(lane), 2 * k))));
                }
                Panels::Floats(columns) => columns.extend((0..width).map(|k| {
                    std::array::from_fn(|lane| {
                        let raw = &row(lane)[4 * k..4 * k + 4];
                        f32::from_le_bytes(raw.try_into().expect("the slice has four bytes"))
                    })
                })),
            }
        }
        Ok(Self { width, rows, panels })
    }

    /// Returns the number of panels.
    pub(crate) fn panel_count(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Says whether the kernels multiply it with quantised activations.
    pub(crate) fn wants_quants(&self) -> bool {
        matches!(self.panels, Panels::Nibbles(_) | Panels::Bytes(_))
    }

    /// Writes one row as floats, for embedding look-ups.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        let (panel, lane) = (row / LANES, row % LANES);
        match &self.panels {
            Panels::Nibbles(blocks) => {
                let blocks = &blocks[panel * (self.width / BLOCK)..];
                for (block, out) in blocks.iter().zip(out.chunks_exact_mut(BLOCK)) {
                    let (scale, minimum) = (block.scales[lane].to_f32(), block.minimums[lane].to_f32());
                    for (k, out) in out.iter_mut().enumerate() {
                        let byte = block.quants[k % 16 / 4][4 * lane + k % 4];
                        let quant = if k < 16 { byte & 15 } else { byte >> 4 };
                        *out = scale * f32::from(quant) + minimum;
                    }
                }
            }
            Panels::Bytes(blocks) => {
                let blocks = &blocks[panel * (self.width / BLOCK)..];
                for (block, out) in blocks.iter().zip(out.chunks_exact_mut(BLOCK)) {
                    let scale = block.scales[lane].to_f32();
                    for (k, out) in out.iter_mut().enumerate() {
                        *out = scale * f32::from(block.quants[k / 4][4 * lane + k % 4]);
                    }
                }
            }
            Panels::Halves(columns) => {
                for (column, out) in columns[panel * self.width..].iter().zip(out) {
                    *out = column[lane].to_f32();
                }
            }
            Panels::Floats(columns) => {
                for (column, out) in columns[panel * self.width..].iter().zip(out) {
                    *out = column[lane];
                }
            }
        }
    }
}

fn half_at(bytes: &[u8], at: usize) -> f16 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn pack_nibbles<'a>(blocks: &mut Vec<NibbleBlock>, kind: Kind, count: usize, row: impl Fn(usize) -> &'a [u8]) {
    let size = kind.block().1 as usize;
    blocks.extend((0..count).map(|b| {
        let block = |lane: usize| &row(lane)[b * size..(b + 1) * size];
        NibbleBlock {
            scales: std::array::from_fn(|lane| half_at(block(lane), 0)),
            minimums: std::array::from_fn(|lane| match kind {
                // Q4_0 stores `scale * (quant - 8)`.
                Kind::Q4_0 => f16::from_f32(-8.0 * half_at(block(lane), 0).to_f32()),
                _ => half_at(block(lane), 2),
            }),
            quants: std::array::from_fn(|s| std::array::from_fn(|i| block(i / 4)[size - 16 + 4 * s + i % 4])),
        }
    }));
}

fn pack_bytes<'a>(blocks: &mut Vec<ByteBlock>, count: usize, row: impl Fn(usize) -> &'a [u8]) {
    blocks.extend((0..count).map(|b| {
        let block = |lane: usize| &row(lane)[b * 34..(b + 1) * 34];
        ByteBlock {
            scales: std::array::from_fn(|lane| half_at(block(lane), 0)),
            quants: std::array::from_fn(|s| {
                std::array::from_fn(|i| i8::from_le_bytes([block(i / 4)[2 + 4 * s + i % 4]]))
            }),
        }
    }));
}
