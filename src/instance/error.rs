//! What can be wrong with an instance, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// A file, and a line in it where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Line number from 1.
    pub line: Option<usize>,
}

impl Place {
    pub(super) fn of(file: &Path) -> Self {
        Self { file: file.to_owned(), line: None }
    }

    pub(super) fn at(file: &Path, line: usize) -> Self {
        Self { file: file.to_owned(), line: Some(line) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        self.line.iter().try_for_each(|line| write!(f, ":{line}"))
    }
}

/// Says what was wrong with an instance, or why none was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// A file or folder that cannot be read.
    #[error("cannot read {place}: {reason}")]
    Unreadable {
        /// The file or folder.
        place: Place,
        /// The system's message.
        reason: String,
    },
    /// Bytes that are not JSON, TOML or UTF-8 where they must be.
    #[error("{place} is not {format}: {reason}")]
    Syntax {
        /// Where.
        place: Place,
        /// What it should be.
        format: &'static str,
        /// The parser's message.
        reason: String,
    },
    /// A field that is missing or has the wrong form.
    #[error("{place}: field `{field}` must be {expected}, found {found}")]
    Field {
        /// Where.
        place: Place,
        /// The field's name in the file.
        field: String,
        /// What is accepted.
        expected: &'static str,
        /// What is there, shortened.
        found: String,
    },
    /// Larger than what is read.
    #[error("{place} is larger than {limit}")]
    TooLarge {
        /// Where.
        place: Place,
        /// The limit, with its unit.
        limit: &'static str,
    },
    /// Two rows or folders with one id.
    #[error("{place}: the id `{id}` was already used in {first}")]
    Duplicate {
        /// The second one.
        place: Place,
        /// The first one.
        first: Place,
        /// The id.
        id: String,
    },
    /// No row with that id.
    #[error("{place} holds no instance `{id}`")]
    NotFound {
        /// The file.
        place: Place,
        /// The id asked for.
        id: String,
        /// Ids that come closest, or the first ones.
        candidates: Vec<String>,
    },
    /// A reference that names no single instance.
    #[error("{reference:?} names no single instance: {reason}")]
    Reference {
        /// As given.
        reference: String,
        /// Why not.
        reason: &'static str,
    },
    /// A part of a task on the command line that says nothing.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// Recorded bytes that are not an instance.
    #[error("the recorded instance is malformed: {0}")]
    Record(String),
}

impl InstanceError {
    /// Returns the next step for a person.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { candidates, .. } if !candidates.is_empty() => {
                format!("it holds for example {}", candidates.join(", "))
            }
            Self::Reference { .. } => "give a task folder, or FILE.jsonl#INSTANCE_ID".into(),
            Self::Syntax { format: "JSON", .. } => "each line of a .jsonl file is one JSON object".into(),
            Self::Syntax { format: "a JSON object", .. } => "each line of a .jsonl file is one JSON object".into(),
            Self::TooLarge { place, .. } => format!("make it smaller in {place}, or leave the instance out"),
            Self::Syntax { place, .. } | Self::Field { place, .. } => {
                format!("correct it in {place}, or leave the instance out")
            }
            Self::Unreadable { .. } => {
                "give a task folder, FILE.jsonl or FILE.jsonl#INSTANCE_ID that can be read".into()
            }
            Self::Duplicate { .. } => "rename or remove one of the two".into(),
            _ => return None,
        })
    }
}
