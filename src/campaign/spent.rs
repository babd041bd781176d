//! What runs have used of their models so far, from the recorded replies.

use crate::canon::RunId;
use crate::model::Reply;
use crate::solve::{Options, Price};
use crate::store::{Store, StoreError};
use crate::transcript::Kind;

/// Tokens, and what they cost in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Of all prompts and replies, as the servers counted them.
    pub tokens: u64,
    /// By the prices that were given.
    pub cost: u64,
}

impl Spent {
    /// Reads what a run has used; what its server did not count is taken for all that the call can have been.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn of_run(store: &Store, run: RunId, options: &Options, prices: &[Price]) -> Result<Self, StoreError> {
        let mut spent = Self::default();
        let events = store.events(run)?;
        for (number, event) in events.iter().filter(|event| event.kind == Kind::ModelCall.name()).enumerate() {
            let (context, most) = (u64::from(options.context_tokens), u64::from(options.reply_tokens));
            let reply = Reply::from_bytes(&store.body(run, event.seq, "canonical")?).ok();
            let counted = reply.map(|reply| [reply.prompt_tokens, reply.completion_tokens]).unwrap_or_default();
            let prompt = counted[0].map_or(context.saturating_sub(most), u64::from);
            let reply = counted[1].map_or(most, u64::from);
            let is_fallback = options.fallback.as_ref().is_some_and(|fallback| number >= fallback.after as usize);
            let cost = prices.get(usize::from(is_fallback)).map_or(0, |price| price.of(prompt, reply));
            spent = spent.and(Self { tokens: prompt.saturating_add(reply), cost });
        }
        Ok(spent)
    }

    /// Adds both up.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { tokens: self.tokens.saturating_add(other.tokens), cost: self.cost.saturating_add(other.cost) }
    }
}
