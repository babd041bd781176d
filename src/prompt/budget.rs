//! How many tokens each part of a prompt may take.

use super::FIXED;

/// Bytes that count as one token: fewer than any known tokenizer packs into one on code, so the estimate is high.
const BYTES_A_TOKEN: usize = 3;
/// Bytes of headings and fences between the parts.
const HEADINGS: usize = 120;
/// Percent of the prompt that the parts may take together.
const ALL: usize = ISSUE + FILES + FEEDBACK;
const ISSUE: usize = 25;
const FILES: usize = 55;
const FEEDBACK: usize = 15;
/// Percent of the prompt that skills may take, out of what the files have.
const SKILLS: usize = 10;

/// The room for a prompt and its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Prompt and reply together, in tokens.
    pub context_tokens: u32,
    /// Reserved for the reply, in tokens.
    pub reply_tokens: u32,
}

/// The bytes that each part may take. Whatever the parts hold, a prompt of these and the instructions fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    /// At most a quarter of the prompt.
    pub(super) issue: usize,
    /// The numbered files, with their names and fences: at most 55 %.
    pub(super) files: usize,
    /// Failing tests and earlier attempts: at most 15 %.
    pub(super) feedback: usize,
}

impl Budget {
    /// Returns the tokens that are left for a prompt.
    pub(super) fn prompt_tokens(&self) -> u32 {
        self.context_tokens.saturating_sub(self.reply_tokens)
    }

    /// Returns the shares beside skills of so many bytes: what skills take, the files give, which are what fills a prompt.
    /// So a prompt with skills is as long as one without, wherever there is more to show than fits.
    pub(super) fn shares(&self, skills: usize) -> Shares {
        let whole = self.prompt_bytes();
        // The instructions are the same bytes in every form of answer, so that all arms show the same.
        let free = whole.saturating_sub(FIXED + HEADINGS);
        let share = |percent: usize| (whole * percent / 100).min(free * percent / ALL);
        Shares { issue: share(ISSUE), files: share(FILES).saturating_sub(skills), feedback: share(FEEDBACK) }
    }

    /// Returns the bytes that skills may take.
    pub(super) fn skills_bytes(&self) -> usize {
        (self.prompt_bytes() * SKILLS / 100).min(self.shares(0).files / 4)
    }

    fn prompt_bytes(&self) -> usize {
        self.prompt_tokens() as usize * BYTES_A_TOKEN
    }
}

/// Returns an upper estimate of the tokens of `bytes` bytes of text; the same for every model.
pub fn estimate(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BYTES_A_TOKEN)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_those_of_the_plan_where_the_context_is_large() {
        let budget = Budget { context_tokens: 34_000, reply_tokens: 2_000 };
        let shares = budget.shares(0);
        assert_eq!((shares.issue, shares.files, shares.feedback), (24_000, 52_800, 14_400));
        let with = budget.shares(1600);
        assert_eq!((with.issue, with.files, with.feedback), (24_000, 51_200, 14_400));
    }
}
