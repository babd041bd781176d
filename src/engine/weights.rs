//! The tensors of a Llama model, read in the order in which the file holds them.

use std::collections::BTreeMap;
use std::io::Read;

use super::EngineError;
use super::gguf::{Header, Kind, Tensor};
use super::matrix::Matrix;
use super::shape::Shape;
use super::source::Source;

/// All weights of a model.
pub(crate) struct Weights {
    pub(crate) embedding: Matrix,
    pub(crate) layers: Vec<Layer>,
    pub(crate) output_norm: Vec<f32>,
    /// Absent when the embedding serves as output too.
    pub(crate) output: Option<Matrix>,
    /// Divisors of the rotary frequencies; absent when all are 1.
    pub(crate) rope_factors: Option<Vec<f32>>,
}

/// The weights of one layer.
pub(crate) struct Layer {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) query: Matrix,
    pub(crate) key: Matrix,
    pub(crate) value: Matrix,
    pub(crate) attention_output: Matrix,
    pub(crate) feed_norm: Vec<f32>,
    pub(crate) gate: Matrix,
    pub(crate) up: Matrix,
    pub(crate) down: Matrix,
}

impl Weights {
    /// Reads every tensor of `header`, whose source stands behind the table.
    ///
    /// # Errors
    /// A tensor that is missing, repeated, unknown, of another shape or type, or cut off.
    pub(crate) fn read<R: Read>(
        source: &mut Source<R>,
        header: &Header,
        shape: &Shape,
        vocabulary: usize,
    ) -> Result<Self, EngineError> {
        let mut read = Tensors::default();
        let mut names = std::collections::BTreeSet::new();
        for tensor in &header.tensors {
            let expected = dimensions(&tensor.name, shape, vocabulary)
                .ok_or_else(|| EngineError::UnexpectedTensor(tensor.name.clone()))?;
            if tensor.dimensions != expected {
                let (tensor, found) = (tensor.name.clone(), tensor.dimensions.clone());
                return Err(EngineError::TensorShape { tensor, found, expected });
            }
            if !names.insert(&tensor.name) {
                return Err(EngineError::Malformed(format!("the tensor {:?} appears twice", tensor.name)));
            }
            source.skip_to(tensor.offset, &tensor.name)?;
            if expected.len() == 1 {
                read.vectors.insert(tensor.name.clone(), vector(source, tensor)?);
            } else {
                read.matrices.insert(tensor.name.clone(), Matrix::read(source, tensor)?);
            }
        }
        let mut layers = Vec::new();
        for i in 0..shape.layers {
            layers.push(Layer {
                attention_norm: read.vector(&format!("blk.{i}.attn_norm.weight"))?,
                query: read.matrix(&format!("blk.{i}.attn_q.weight"))?,
                key: read.matrix(&format!("blk.{i}.attn_k.weight"))?,
                value: read.matrix(&format!("blk.{i}.attn_v.weight"))?,
                attention_output: read.matrix(&format!("blk.{i}.attn_output.weight"))?,
                feed_norm: read.vector(&format!("blk.{i}.ffn_norm.weight"))?,
                gate: read.matrix(&format!("blk.{i}.ffn_gate.weight"))?,
                up: read.matrix(&format!("blk.{i}.ffn_up.weight"))?,
                down: read.matrix(&format!("blk.{i}.ffn_down.weight"))?,
            });
        }
        Ok(Self {
            embedding: read.matrix("token_embd.weight")?,
            layers,
            output_norm: read.vector("output_norm.weight")?,
            output: read.matrices.remove("output.weight"),
            rope_factors: read.vectors.remove("rope_freqs.weight"),
        })
    }
}

#[derive(Default)]
struct Tensors {
    vectors: BTreeMap<String, Vec<f32>>,
    matrices: BTreeMap<String, Matrix>,
}

impl Tensors {
    fn vector(&mut self, name: &str) -> Result<Vec<f32>, EngineError> {
        self.vectors.remove(name).ok_or_else(|| EngineError::MissingTensor(name.to_owned()))
    }

    fn matrix(&mut self, name: &str) -> Result<Matrix, EngineError> {
        self.matrices.remove(name).ok_or_else(|| EngineError::MissingTensor(name.to_owned()))
    }
}

/// Returns the dimensions that `name` must have, or `None` for a tensor that the forward pass does not know.
fn dimensions(name: &str, shape: &Shape, vocabulary: usize) -> Option<Vec<u64>> {
    let queries = shape.heads * shape.head_width;
    let keys = shape.kv_heads * shape.head_width;
    let sizes = match name {
        "token_embd.weight" | "output.weight" => vec![shape.width, vocabulary],
        "output_norm.weight" => vec![shape.width],
        "rope_freqs.weight" => vec![shape.rotated / 2],
        _ => {
            let (layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
            layer.parse::<usize>().ok().filter(|n| *n < shape.layers && n.to_string() == layer)?;
            match part {
                "attn_norm.weight" | "ffn_norm.weight" => vec![shape.width],
                "attn_q.weight" => vec![shape.width, queries],
                "attn_k.weight" | "attn_v.weight" => vec![shape.width, keys],
                "attn_output.weight" => vec![queries, shape.width],
                "ffn_gate.weight" | "ffn_up.weight" => vec![shape.width, shape.inner],
                "ffn_down.weight" => vec![shape.inner, shape.width],
                _ => return None,
            }
        }
    };
    Some(sizes.into_iter().map(|n| n as u64).collect())
}

fn vector<R: Read>(source: &mut Source<R>, tensor: &Tensor) -> Result<Vec<f32>, EngineError> {
    if tensor.kind != Kind::F32 {
        return Err(EngineError::TensorType { tensor: tensor.name.clone(), kind: tensor.kind.name().into() });
    }
    let mut raw = vec![0; tensor.size as usize];
    source.fill(&mut raw, &tensor.name)?;
    Ok(raw.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}
