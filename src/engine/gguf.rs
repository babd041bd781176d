//! The header of a GGUF file, versions 2 and 3: metadata and the table of tensors.
//!
//! The file is hostile: every count is capped before anything is allocated for it, arrays that no caller asks for are
//! passed over, and a tensor must lie wholly inside the file and beside its neighbours. What the numbers mean for the
//! forward pass is decided in `shape` and `weights`.

use std::collections::BTreeMap;
use std::io::Read;

use super::EngineError;
use super::source::Source;

const MAX_ENTRIES: u64 = 4096;
const MAX_TENSORS: u64 = 16384;
const MAX_ARRAY: u64 = 1 << 21;
const MAX_TEXT: u64 = 1 << 20;
const MAX_KEY: u64 = 1 << 10;
const MAX_HEADER: u64 = 1 << 27;
const MAX_ALIGNMENT: u64 = 1 << 16;

/// A value of the metadata, reduced to what the engine reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    Integers(Vec<i64>),
    /// An array of a type that no model of ours needs; its bytes were passed over.
    Other,
}

/// How the numbers of a tensor are stored; the discriminants are GGML's type numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q4_1 = 3,
    Q8_0 = 8,
}

impl Kind {
    const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Q4_0, Self::Q4_1, Self::Q8_0];

    /// Returns the number of elements that share a block, and the block's size in bytes.
    pub(crate) fn block(self) -> (u64, u64) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q8_0 => (32, 34),
        }
    }

    /// Returns GGML's name of the type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q8_0 => "Q8_0",
        }
    }

    fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }
}

/// One row of the table of tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// One or two dimensions, the contiguous one first.
    pub(crate) dimensions: Vec<u64>,
    pub(crate) kind: Kind,
    /// Offset from the start of the file in bytes.
    pub(crate) offset: u64,
    /// Size in bytes.
    pub(crate) size: u64,
}

/// Metadata and tensors of a file whose header was read; the source stands behind the table of tensors.
#[derive(Debug)]
pub(crate) struct Header {
    metadata: BTreeMap<String, Value>,
    /// In the order of their offsets.
    pub(crate) tensors: Vec<Tensor>,
}

impl Header {
    /// Reads a header from the start of `source`.
    ///
    /// # Errors
    /// Anything that is not a well-formed header of a supported version, or that announces more than the file holds.
    pub(crate) fn read<R: Read>(source: &mut Source<R>) -> Result<Self, EngineError> {
        let magic: [u8; 4] = bytes(source, "the magic number")?;
        if &magic != b"GGUF" {
            return Err(EngineError::NotGguf(magic));
        }
        let version = u32::from_le_bytes(bytes(source, "the version")?);
        if !matches!(version, 2 | 3) {
            return Err(EngineError::Version(version));
        }
        let tensor_count = capped(number(source, "the number of tensors")?, MAX_TENSORS, "the number of tensors")?;
        let entry_count = number(source, "the number of metadata entries")?;
        let entry_count = capped(entry_count, MAX_ENTRIES, "the number of metadata entries")?;
        let mut metadata = BTreeMap::new();
        for _ in 0..entry_count {
            let key = text(source, MAX_KEY, "a metadata key")?;
            let kind = u32::from_le_bytes(bytes(source, &key)?);
            let value = value(source, kind, &key)?;
            capped(source.position(), MAX_HEADER, "the size of the header")?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(EngineError::Malformed(format!("the metadata key {key:?} appears twice")));
            }
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(Value::Unsigned(n)) if n.is_power_of_two() && (8..=MAX_ALIGNMENT).contains(n) => *n,
            Some(other) => return Err(EngineError::Malformed(format!("{other:?} is not an alignment"))),
        };
        let mut tensors = Vec::new();
        for _ in 0..tensor_count {
            tensors.push(tensor(source, alignment)?);
            capped(source.position(), MAX_HEADER, "the size of the header")?;
        }
        let start = source.position().next_multiple_of(alignment);
        place(&mut tensors, start, source)?;
        Ok(Self { metadata, tensors })
    }

    /// Returns the text under `key`, if it is there and a text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the list of texts under `key`.
    pub(crate) fn texts(&self, key: &str) -> Option<&[String]> {
        match self.metadata.get(key) {
            Some(Value::Texts(texts)) => Some(texts),
            _ => None,
        }
    }

    /// Returns the list of integers under `key`.
    pub(crate) fn integers(&self, key: &str) -> Option<&[i64]> {
        match self.metadata.get(key) {
            Some(Value::Integers(integers)) => Some(integers),
            _ => None,
        }
    }

    /// Returns the number under `key`, if it is an integer that fits.
    pub(crate) fn unsigned(&self, key: &str) -> Option<u32> {
        match self.metadata.get(key) {
            Some(Value::Unsigned(n)) => u32::try_from(*n).ok(),
            Some(Value::Signed(n)) => u32::try_from(*n).ok(),
            _ => None,
        }
    }

    /// Returns the float under `key`.
    pub(crate) fn float(&self, key: &str) -> Option<f64> {
        match self.metadata.get(key) {
            Some(Value::Float(x)) => Some(*x),
            _ => None,
        }
    }

    /// Returns the truth value under `key`.
    pub(crate) fn bool(&self, key: &str) -> Option<bool> {
        match self.metadata.get(key) {
            Some(Value::Bool(b)) => Some(*b),
            _ => None,
        }
    }

    /// Says whether `key` is there at all.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.metadata.contains_key(key)
    }
}

fn tensor<R: Read>(source: &mut Source<R>, alignment: u64) -> Result<Tensor, EngineError> {
    let name = text(source, MAX_KEY, "a tensor's name")?;
    let rank = u32::from_le_bytes(bytes(source, &name)?);
    if !matches!(rank, 1 | 2) {
        return Err(EngineError::Malformed(format!("tensor {name:?} has {rank} dimensions")));
    }
    let dimensions = (0..rank).map(|_| number(source, &name)).collect::<Result<Vec<u64>, _>>()?;
    let number_of_kind = u32::from_le_bytes(bytes(source, &name)?);
    let offset = number(source, &name)?;
    let kind = Kind::from_number(number_of_kind)
        .ok_or_else(|| EngineError::TensorType { tensor: name.clone(), kind: kind_name(number_of_kind) })?;
    let (elements, size) = kind.block();
    let malformed = |what: &str| EngineError::Malformed(format!("tensor {name:?} {what}"));
    if dimensions.contains(&0) || dimensions[0] % elements != 0 {
        return Err(malformed(&format!("has the dimensions {dimensions:?}, which its type does not divide")));
    }
    if offset % alignment != 0 {
        return Err(malformed(&format!("begins at {offset}, which is not aligned to {alignment}")));
    }
    let size = dimensions
        .iter()
        .try_fold(1_u64, |product, n| product.checked_mul(*n))
        .and_then(|count| (count / elements).checked_mul(size))
        .ok_or_else(|| malformed("has a size beyond 64 bits"))?;
    Ok(Tensor { name, dimensions, kind, offset, size })
}

/// Turns offsets into positions in the file, sorts by them, and refuses overlaps and tensors beyond the end.
fn place<R: Read>(tensors: &mut [Tensor], start: u64, source: &Source<R>) -> Result<(), EngineError> {
    let beyond = |tensor: &Tensor, offset| EngineError::Truncated {
        what: format!("tensor {:?}", tensor.name),
        needed: tensor.size,
        offset,
        length: source.length(),
    };
    for tensor in tensors.iter_mut() {
        tensor.offset = tensor.offset.checked_add(start).ok_or_else(|| beyond(tensor, u64::MAX))?;
        match tensor.offset.checked_add(tensor.size) {
            Some(end) if end <= source.length() => {}
            _ => return Err(beyond(tensor, tensor.offset)),
        }
    }
    tensors.sort_by_key(|tensor| tensor.offset);
    match tensors.windows(2).find(|pair| pair[0].offset + pair[0].size > pair[1].offset) {
        Some(pair) => Err(EngineError::Malformed(format!("tensors {:?} and {:?} overlap", pair[0].name, pair[1].name))),
        None => Ok(()),
    }
}

fn value<R: Read>(source: &mut Source<R>, kind: u32, key: &str) -> Result<Value, EngineError> {
    Ok(match kind {
        0 => Value::Unsigned(u8::from_le_bytes(bytes(source, key)?).into()),
        1 => Value::Signed(i8::from_le_bytes(bytes(source, key)?).into()),
        2 => Value::Unsigned(u16::from_le_bytes(bytes(source, key)?).into()),
        3 => Value::Signed(i16::from_le_bytes(bytes(source, key)?).into()),
        4 => Value::Unsigned(u32::from_le_bytes(bytes(source, key)?).into()),
        5 => Value::Signed(i32::from_le_bytes(bytes(source, key)?).into()),
        6 => Value::Float(f32::from_le_bytes(bytes(source, key)?).into()),
        7 => match bytes(source, key)? {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            [other] => return Err(EngineError::Malformed(format!("{key:?} holds the truth value {other}"))),
        },
        8 => Value::Text(text(source, MAX_TEXT, key)?),
        9 => array(source, key)?,
        10 => Value::Unsigned(number(source, key)?),
        11 => Value::Signed(i64::from_le_bytes(bytes(source, key)?)),
        12 => Value::Float(f64::from_le_bytes(bytes(source, key)?)),
        other => return Err(EngineError::Malformed(format!("{key:?} has the unknown type {other}"))),
    })
}

fn array<R: Read>(source: &mut Source<R>, key: &str) -> Result<Value, EngineError> {
    let kind = u32::from_le_bytes(bytes(source, key)?);
    let count = capped(number(source, key)?, MAX_ARRAY, &format!("the length of {key:?}"))?;
    let size = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        8 => {
            source.demand(count * 8, key)?;
            let texts = (0..count).map(|_| {
                capped(source.position(), MAX_HEADER, "the size of the header")?;
                text(source, MAX_TEXT, key)
            });
            return Ok(Value::Texts(texts.collect::<Result<_, _>>()?));
        }
        other => {
            return Err(EngineError::Malformed(format!("{key:?} is an array of the type {other}, which is not read")));
        }
    };
    source.demand(count * size, key)?;
    if !matches!(kind, 4 | 5) {
        source.skip_to(source.position() + count * size, key)?;
        return Ok(Value::Other);
    }
    let integers = (0..count).map(|_| {
        let raw: [u8; 4] = bytes(source, key)?;
        Ok(if kind == 4 { u32::from_le_bytes(raw).into() } else { i32::from_le_bytes(raw).into() })
    });
    Ok(Value::Integers(integers.collect::<Result<_, EngineError>>()?))
}

fn text<R: Read>(source: &mut Source<R>, limit: u64, what: &str) -> Result<String, EngineError> {
    let length = number(source, what)?;
    source.demand(length, what)?;
    let mut buffer = vec![0; capped(length, limit, &format!("the length of {what}"))? as usize];
    source.fill(&mut buffer, what)?;
    String::from_utf8(buffer).map_err(|_| EngineError::Malformed(format!("{what} is not UTF-8")))
}

fn number<R: Read>(source: &mut Source<R>, what: &str) -> Result<u64, EngineError> {
    Ok(u64::from_le_bytes(bytes(source, what)?))
}

fn bytes<R: Read, const N: usize>(source: &mut Source<R>, what: &str) -> Result<[u8; N], EngineError> {
    let mut buffer = [0; N];
    source.fill(&mut buffer, what)?;
    Ok(buffer)
}

fn capped(value: u64, limit: u64, what: &str) -> Result<u64, EngineError> {
    if value > limit {
        return Err(EngineError::TooLarge { what: what.to_owned(), value, limit });
    }
    Ok(value)
}

/// Names the types that people meet and that have no kernel here yet.
fn kind_name(number: u32) -> String {
    match number {
        6 => "Q5_0".into(),
        7 => "Q5_1".into(),
        10 => "Q2_K".into(),
        11 => "Q3_K".into(),
        12 => "Q4_K".into(),
        13 => "Q5_K".into(),
        14 => "Q6_K".into(),
        30 => "BF16".into(),
        other => format!("number {other}"),
    }
}
