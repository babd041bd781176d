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
    /// Reads what a run has used; a reply that its server did not count is not counted.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub fn of_run(store: &Store, run: RunId, options: &Options, prices: &[Price]) -> Result<Self, StoreError> {
        let mut spent = Self::default();
        let events = store.events(run)?;
        for (number, event) in events.iter().filter(|event| event.kind == Kind::ModelCall.name()).enumerate() {
            let Ok(reply) = Reply::from_bytes(&store.body(run, event.seq, "canonical")?) else { continue };
            let [prompt, reply] =
                [reply.prompt_tokens, reply.completion_tokens].map(|count| count.map_or(0, u64::from));
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
