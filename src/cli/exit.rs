//! The documented exit codes.

use std::process::ExitCode;

/// How the program ends. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done and sound.
    Sound = 0,
    /// Judged and found wanting: tests red, verification refused, replay diverged.
    Wanting = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Malformed input.
    Malformed = 3,
    /// The environment lacks something: a program, a readable file, a model.
    Environment = 4,
    /// Sound, but below the required level or rung.
    Below = 5,
    /// An error of this program.
    Internal = 70,
    /// Ended by Ctrl-C (128 + SIGINT); what was recorded is kept.
    Interrupted = 130,
    /// Ended by SIGTERM (128 + SIGTERM); what was recorded is kept.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
