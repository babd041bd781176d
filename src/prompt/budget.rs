//! How many tokens each part of a prompt may take.

/// Bytes that count as one token: fewer than any known tokenizer packs into one on code, so the estimate is high.
const BYTES_A_TOKEN: usize = 3;

/// The room for a prompt and its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Prompt and reply together, in tokens.
    pub context_tokens: u32,
    /// Reserved for the reply, in tokens.
    pub reply_tokens: u32,
}

impl Budget {
    /// Returns the bytes that the issue may take: a quarter of the prompt.
    pub(super) fn issue_bytes(&self) -> usize {
        self.share(25)
    }

    /// Returns the bytes that the numbered files may take: 55 % of the prompt.
    pub(super) fn files_bytes(&self) -> usize {
        self.share(55)
    }

    /// Returns the bytes that failing tests and earlier attempts may take: 15 % of the prompt.
    pub(super) fn feedback_bytes(&self) -> usize {
        self.share(15)
    }

    /// Returns the tokens that are left for a prompt.
    pub(super) fn prompt_tokens(&self) -> u32 {
        self.context_tokens.saturating_sub(self.reply_tokens)
    }

    fn share(&self, percent: usize) -> usize {
        self.prompt_tokens() as usize * BYTES_A_TOKEN * percent / 100
    }
}

/// Returns an upper estimate of the tokens of `bytes` bytes of text; the same for every model.
pub fn estimate(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(BYTES_A_TOKEN)).unwrap_or(u32::MAX)
}
