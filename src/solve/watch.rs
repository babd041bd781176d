//! What a run tells whoever watches it. Watching never changes or fails a run.

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Resolving the model's identity.
    Identity,
    /// Laying out the worktree and listing it.
    Tree,
    /// Running the tests before any edit.
    RedGate,
    /// Ranking files.
    Selection,
    /// Waiting for the model.
    Reply,
    /// Reading the reply as edits.
    Edits,
    /// Running the tests after an edit.
    Tests,
    /// Running the hidden tests.
    Grade,
    /// Checking the patch in a fresh checkout.
    Patch,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A phase began, in an attempt (0 before the first).
    Began(Phase, u32),
    /// The model has written so many tokens of its reply; the prompt's tokens where known.
    Tokens {
        /// Tokens of the prompt, once known.
        prompt: Option<u32>,
        /// Tokens of the reply so far.
        reply: u32,
    },
    /// A phase ended; one line about what came of it.
    Ended(Phase, u32, String),
}
