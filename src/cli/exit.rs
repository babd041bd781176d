//! The documented exit codes.

use std::process::ExitCode;

/// How the program ends. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done and sound.
    Sound,
    /// 1: judged and found wanting: tests red, verification refused, replay diverged.
    Wanting,
    /// 2: the command line makes no sense.
    Usage,
    /// 3: malformed input.
    Malformed,
    /// 4: the environment lacks something: a program, a readable file, a model.
    Environment,
    /// 5: sound, but below the required level or rung.
    Below,
    /// 70: an error of this program.
    Internal,
    /// 130: ended by Ctrl-C (128 + SIGINT); what was recorded is kept.
    Interrupted,
    /// 143: ended by SIGTERM (128 + SIGTERM); what was recorded is kept.
    Terminated,
    /// The code of the command that `record` ran, whatever it means there.
    Command(u8),
}

impl Exit {
    /// Returns the number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Sound => 0,
            Self::Wanting => 1,
            Self::Usage => 2,
            Self::Malformed => 3,
            Self::Environment => 4,
            Self::Below => 5,
            Self::Internal => 70,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::Command(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
