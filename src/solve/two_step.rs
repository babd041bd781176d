//! An attempt in two steps: where, and then the new text of these lines.

use serde_json::json;

use crate::edit::{Proposal, Refusal, Region};
use crate::model::Reply;
use crate::prompt;
use crate::transcript::Kind;

use super::attempt::Asked;
use super::steps::{Interruption, Solver, object};

/// Tokens of prompts and of replies, where every call counted them.
type Tokens = [Option<u32>; 2];

impl Solver<'_, '_> {
    /// Reads the first reply as a place, asks for its new text, and reads both as one direct edit.
    pub(super) fn read_place(
        &mut self,
        asked: &Asked<'_>,
        input: &prompt::Input<'_>,
        reply: Reply,
    ) -> Result<(Tokens, Result<Proposal, Refusal>), Interruption> {
        let tokens = [reply.prompt_tokens, reply.completion_tokens];
        let found =
            self.read_reply(asked, &reply, |context, read| Region::read(reply.text.as_bytes(), context, read))?;
        let region = match found {
            Ok(region) => region,
            Err(refusal) => return Ok((tokens, Err(self.repeated(asked.number, &reply.text).unwrap_or(refusal)))),
        };
        let Ok(prompt) = prompt::build_text(input, &region) else { return Ok((tokens, Err(region.too_long()))) };
        let data = object(json!({"attempt": asked.number, "region": region, "shown": prompt.shown}));
        self.transcript.note(Kind::Prompt, &data, &[])?;
        let second = self.reply(asked, &prompt)?;
        let more = [second.prompt_tokens, second.completion_tokens];
        let tokens = [0, 1].map(|side| tokens[side]?.checked_add(more[side]?));
        let joined = Reply { text: region.edit(&second.text), ..second };
        let read = self.read_edits(asked, &joined)?;
        Ok((tokens, region.noted(read)))
    }
}
