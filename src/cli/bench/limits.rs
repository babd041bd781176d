//! Limits of time, tokens and money, of each run and of all.

use clap::Args;

use crate::campaign::Spent;
use crate::cli::course::CourseArgs;
use crate::cli::progress::duration;
use crate::cli::{Failure, FailureKind, Host};
use crate::solve::{Options, Price, Spending};

/// Limits of a campaign. What stops a run by tokens or money is recorded with it and the same in a replay; what stops it by
/// time is not, and `--resume` goes on with it.
#[derive(Debug, Clone, Args)]
pub(super) struct LimitArgs {
    /// Seconds of each run: nothing more of it begins afterwards, and it counts as out of time.
    #[arg(long, value_name = "SECONDS")]
    max_seconds: Option<u32>,
    /// Tokens of each run, prompts and replies: no call begins that could exceed them.
    #[arg(long, value_name = "TOKENS")]
    max_tokens: Option<u64>,
    /// Money of each run, by --price: no call begins that could exceed it.
    #[arg(long, value_name = "MONEY", value_parser = millionths, requires = "price")]
    max_cost: Option<u64>,
    /// What a million tokens of prompts and of replies cost, for example 0.15,0.6.
    #[arg(long, value_name = "IN,OUT", value_parser = price)]
    price: Option<Price>,
    /// The same of the fallback model.
    #[arg(long, value_name = "IN,OUT", value_parser = price)]
    fallback_price: Option<Price>,
    /// Seconds of this call of the program: no run begins afterwards.
    #[arg(long, value_name = "SECONDS")]
    total_seconds: Option<u32>,
    /// Tokens of all runs of the campaign together: no run begins afterwards.
    #[arg(long, value_name = "TOKENS")]
    total_tokens: Option<u64>,
    /// Money of all runs of the campaign together, by --price: no run begins afterwards.
    #[arg(long, value_name = "MONEY", value_parser = millionths, requires = "price")]
    total_cost: Option<u64>,
}

impl LimitArgs {
    /// Adds the limits that are recorded with a run to its options.
    pub(super) fn set(&self, options: &mut Options, course: &CourseArgs) -> Result<(), Failure> {
        let usage = |text: String, hint: &str| Err(Failure::new(FailureKind::Usage, text).hint(hint));
        let has_cost = self.max_cost.is_some() || self.total_cost.is_some();
        if options.fallback.is_some() && has_cost && self.fallback_price.is_none() {
            return usage(
                "the price of the fallback model is not known".into(),
                "name it with --fallback-price IN,OUT",
            );
        }
        let context = u64::from(options.context_tokens);
        if let Some(tokens) = self.max_tokens.filter(|tokens| *tokens < context) {
            let text = format!("with {tokens} tokens a run no call could begin: one may take {context}");
            return usage(text, "raise --max-tokens, or lower --context");
        }
        if self.max_tokens.is_some() || self.max_cost.is_some() {
            let mut prices = if self.max_cost.is_some() { self.prices() } else { Vec::new() };
            prices.truncate(if course.fallback.is_some() && options.fallback.is_some() { 2 } else { 1 });
            options.spending = Some(Spending { tokens: self.max_tokens, cost: self.max_cost, prices });
        }
        Ok(())
    }

    /// Returns what the model costs, and then its fallback.
    pub(super) fn prices(&self) -> Vec<Price> {
        self.price.into_iter().chain(self.fallback_price).collect()
    }

    /// Says whether what all runs have used has to be counted.
    pub(super) fn counts(&self) -> bool {
        self.total_tokens.is_some() || self.total_cost.is_some()
    }

    /// Returns when a run that begins now has to stop.
    pub(super) fn until_us(&self) -> Option<u64> {
        self.max_seconds.map(|seconds| Host::now_us() + u64::from(seconds) * 1_000_000)
    }

    /// Says which limit of all runs is reached, if one is.
    pub(super) fn reached(&self, spent: Spent, began_us: u64) -> Option<String> {
        let seconds = Host::now_us().saturating_sub(began_us) / 1_000_000;
        if let Some(limit) = self.total_seconds.filter(|limit| seconds >= u64::from(*limit)) {
            return Some(format!("the {} are over", duration(u64::from(limit))));
        }
        if let Some(limit) = self.total_tokens.filter(|limit| spent.tokens >= *limit) {
            return Some(format!("{} tokens are used, of {limit}", spent.tokens));
        }
        let limit = self.total_cost.filter(|limit| spent.cost >= *limit)?;
        Some(format!("{} is spent, of {}", money(spent.cost), money(limit)))
    }
}

/// Writes millionths as a decimal number.
fn money(millionths: u64) -> String {
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}

/// Reads a decimal number as millionths, without rounding.
fn millionths(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no amount of money, such as 2.5");
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(part) || part.len() > 6 {
        return Err(wrong());
    }
    let whole = whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(1_000_000)).ok_or_else(wrong)?;
    let part: u64 = format!("{part:0<6}").parse().map_err(|_| wrong())?;
    whole.checked_add(part).filter(|amount| *amount < 1 << 53).ok_or_else(wrong)
}

/// Reads the price of prompts and of replies.
fn price(text: &str) -> Result<Price, String> {
    let (prompt, reply) = text.split_once(',').ok_or("write two prices, of prompts and of replies: 0.15,0.6")?;
    Ok(Price { prompt: millionths(prompt)?, reply: millionths(reply)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_without_rounding_and_nothing_else_is() {
        assert_eq!([millionths("0.15"), millionths("2"), millionths("0.000001")], [Ok(150_000), Ok(2_000_000), Ok(1)]);
        for text in ["", ".5", "1.", "-1", "1e3", "0.0000001", "9007199254.740993", "1,5"] {
            assert!(millionths(text).is_err(), "{text}");
        }
        assert_eq!(price("0.15,0.6"), Ok(Price { prompt: 150_000, reply: 600_000 }));
        assert!(price("1").is_err());
        assert_eq!(money(2_500_000), "2.500000");
    }
}
