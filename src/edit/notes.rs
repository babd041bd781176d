//! What was normalised so far, in order of first occurrence.

use super::code::Code;
use super::types::Refusal;

/// A list of codes without repetition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Notes(Vec<Code>);

impl Notes {
    pub(super) fn add(&mut self, code: Code) {
        if !self.0.contains(&code) {
            self.0.push(code);
        }
    }

    pub(super) fn add_all(&mut self, codes: &[Code]) {
        codes.iter().for_each(|code| self.add(*code));
    }

    pub(super) fn into_codes(self) -> Vec<Code> {
        self.0
    }
}

/// Makes a refusal; the notes are attached where it leaves the room.
pub(super) fn refuse(code: Code, message: impl Into<String>, excerpt: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into(), excerpt: excerpt.into(), codes: Vec::new() }
}
