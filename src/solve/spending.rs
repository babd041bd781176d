//! What a run may use of its models: tokens and money, counted in integers so that a replay stops where the run did.

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::options::Options;

/// What a run may use altogether. No call begins that could exceed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spending {
    /// Tokens of all prompts and replies at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Money at most, in millionths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// What the model costs, and then what its fallback does, where there is a limit of money.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<Price>,
}

/// What a million tokens cost, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of prompts.
    pub prompt: u64,
    /// Of replies.
    pub reply: u64,
}

impl Price {
    /// Returns the cost of so many tokens in millionths, rounded up.
    pub fn of(self, prompt: u64, reply: u64) -> u64 {
        let whole = u128::from(self.prompt) * u128::from(prompt) + u128::from(self.reply) * u128::from(reply);
        u64::try_from(whole.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// Tokens of prompts and of replies.
type Tokens = (u64, u64);

/// Says which limit the next attempt could exceed, if there is one.
pub(super) fn reached(options: &Options, attempts: &[Attempt]) -> Option<String> {
    let spending = options.spending.as_ref()?;
    let reply = u64::from(options.reply_tokens);
    let calls = u64::from(options.format.calls());
    // What a server does not count is taken for all that it can have been.
    let most = (u64::from(options.context_tokens).saturating_sub(reply) * calls, reply * calls);
    let of = |attempt: &Attempt| -> Tokens {
        let [prompt, reply] = attempt.tokens.map(|tokens| tokens.map(u64::from));
        (prompt.unwrap_or(most.0), reply.unwrap_or(most.1))
    };
    let is_fallback = options.fallback.as_ref().is_some_and(|fallback| attempts.len() >= fallback.after as usize);
    let spent = attempts.iter().map(|attempt| (attempt.fallback, of(attempt))).chain([(is_fallback, most)]);
    let (mut tokens, mut cost) = (0_u64, 0_u64);
    for (is_fallback, (prompt, reply)) in spent {
        tokens = tokens.saturating_add(prompt).saturating_add(reply);
        if let Some(price) = spending.prices.get(usize::from(is_fallback)) {
            cost = cost.saturating_add(price.of(prompt, reply));
        }
    }
    if let Some(limit) = spending.tokens.filter(|limit| tokens > *limit) {
        return Some(format!("another call could exceed the {limit} tokens of the run"));
    }
    let limit = spending.cost.filter(|limit| cost > *limit)?;
    Some(format!("another call could exceed the cost of {}.{:06} of the run", limit / 1_000_000, limit % 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_rounded_up_and_never_overflows() {
        let price = Price { prompt: 150_000, reply: 600_000 };
        assert_eq!(price.of(1_000_000, 0), 150_000);
        assert_eq!(price.of(10, 1), 3, "2.1 millionths");
        assert_eq!(Price { prompt: u64::MAX, reply: 1 }.of(u64::MAX, 1), u64::MAX);
    }
}
