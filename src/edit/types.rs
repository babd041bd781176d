//! What an answer is turned into: a proposal for the whole tree, or a refusal that says what to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::code::Code;
use crate::canon::{self, Blake3, FileMode, Tree};

/// What a reply is read against.
pub struct Context<'a> {
    /// Every file of the pristine worktree.
    pub tree: &'a Tree,
    /// Bytes of the files that the prompt showed, by path.
    pub shown: &'a BTreeMap<String, Vec<u8>>,
    /// Says whether the reply ended because it reached its limit.
    pub cut_off: bool,
    /// Says which paths no answer may touch.
    pub protected: &'a dyn Fn(&str) -> bool,
    /// What an answer may be.
    pub limits: Limits,
}

/// What an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the reply.
    pub reply_bytes: usize,
    /// Files that it changes.
    pub files: usize,
    /// Lines that it removes or adds.
    pub changed_lines: usize,
    /// Bytes of new text.
    pub new_bytes: usize,
    /// Bytes of a file that it may edit.
    pub file_bytes: u64,
    /// Whether it may not break the syntax of a file.
    pub syntax_gate: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reply_bytes: 1 << 20,
            files: 5,
            changed_lines: 400,
            new_bytes: 64 << 10,
            file_bytes: 1 << 20,
            syntax_gate: true,
        }
    }
}

/// What happens to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The file has these bytes and this mode afterwards.
    Write {
        /// All of its bytes.
        bytes: Vec<u8>,
        /// Its mode: unchanged, or regular for a new file.
        mode: FileMode,
    },
    /// The file is gone afterwards.
    Remove,
}

/// An accepted answer: all changes, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// What happens to which file.
    pub changes: BTreeMap<String, Change>,
    /// What was normalised, in the order of first occurrence.
    pub codes: Vec<Code>,
    /// The model's own words about it.
    pub reasoning: String,
    /// The tree before.
    pub base: Tree,
    /// The tree afterwards.
    pub result: Tree,
    /// Which lines of an existing file were replaced, in order; every other byte of the file is as it was.
    pub replaced: BTreeMap<String, Vec<Replaced>>,
}

/// Lines of a file that an answer replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replaced {
    /// Lines before them, so 0 for the first one.
    pub after: u32,
    /// How many there are; 0 where lines are only added.
    pub lines: u32,
    /// How many come in their place.
    pub new: u32,
}

/// An answer that is not applied, and why, for the next prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub code: Code,
    /// One sentence that says what is wrong and what to do.
    pub message: String,
    /// Numbered lines, candidates or a form to fill in; may be empty.
    pub excerpt: String,
    /// What was normalised before it came to that.
    pub codes: Vec<Code>,
}

impl Refusal {
    /// Refuses an answer whose reply equals that of an earlier attempt, which is not tested again.
    pub fn repeated(attempt: u32) -> Self {
        Self {
            code: Code::Repeat,
            message: format!(
                "this answer is the same as that of attempt {attempt}, which failed: give a different edit, in another place if need be"
            ),
            excerpt: String::new(),
            codes: Vec::new(),
        }
    }
}

#[derive(Serialize)]
struct ProposalRecord<'a> {
    base: Blake3,
    changes: BTreeMap<&'a str, ChangeRecord<'a>>,
    codes: &'a [Code],
    reasoning: &'a str,
    result: Blake3,
}

#[derive(Serialize)]
struct ChangeRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Blake3>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Blake3>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<FileMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<&'a [Replaced]>,
}

impl Proposal {
    /// Returns the canonical bytes that an `edit` event records: codes, paths, replaced lines,
    /// digests, and those of the two trees.
    pub fn to_bytes(&self) -> Vec<u8> {
        let changes = self.changes.iter().map(|(path, change)| {
            let before = self.base.get(path).map(|entry| entry.digest);
            let replaced = self.replaced.get(path).map(Vec::as_slice);
            let record = match change {
                Change::Write { bytes, mode } => ChangeRecord {
                    before,
                    after: Some(Blake3::of(bytes)),
                    mode: Some(*mode),
                    size: Some(bytes.len() as u64),
                    replaced,
                },
                Change::Remove => ChangeRecord { before, after: None, mode: None, size: None, replaced },
            };
            (path.as_str(), record)
        });
        let record = ProposalRecord {
            base: self.base.digest(),
            changes: changes.collect(),
            codes: &self.codes,
            reasoning: &self.reasoning,
            result: self.result.digest(),
        };
        canon::json::to_bytes(&record).expect("texts, digests and sizes below 2^53 have a canonical form")
    }
}

#[derive(Serialize)]
struct RefusalRecord<'a> {
    code: Code,
    codes: &'a [Code],
    excerpt: &'a str,
    message: &'a str,
}

impl Refusal {
    /// Returns the canonical bytes that an `edit` event records.
    pub fn to_bytes(&self) -> Vec<u8> {
        let record =
            RefusalRecord { code: self.code, codes: &self.codes, excerpt: &self.excerpt, message: &self.message };
        canon::json::to_bytes(&record).expect("texts have a canonical form")
    }
}
