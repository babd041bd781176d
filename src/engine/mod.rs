//! The embedded inference engine: GGUF weights in, bit-exact greedy replies out, on the CPU.
//!
//! A Llama-architecture model is read from a GGUF file ([`gguf`], [`shape`], [`weights`], [`matrix`]), its vocabulary
//! and chat template from the same file ([`tokenizer`], [`template`]); [`forward`] computes logits with the arithmetic
//! of [`kernels`], and [`generate`] picks tokens, perhaps under a [`Constraint`]. The logits are the same bits for
//! every number of threads, size of chunk, state of the cache and instruction set. The room knows nothing of prompts,
//! edits or runs, and reads neither clock nor environment.

mod cache;
mod constraint;
mod error;
mod facts;
mod forward;
mod generate;
mod gguf;
mod kernels;
mod load;
mod matrix;
mod rope;
mod shape;
mod source;
mod team;
mod template;
pub mod tiny;
mod tokenizer;
mod weights;

pub use constraint::Constraint;
pub use error::EngineError;
pub use facts::{Facts, KERNEL_VERSION};
pub use generate::{GenerateLimits, Generation, Margin, Progress, Stop};
pub use load::{Engine, Settings, Simd};
pub use template::Role;
