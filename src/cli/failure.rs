//! Errors as the user sees them: one sentence, a hint with a next step, an exit code.

use super::exit::Exit;

/// What sort of thing went wrong; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Judged and found wanting.
    Wanting,
    /// The command line names something that does not exist, or options that do not go together.
    Usage,
    /// A file or a reply is not what it should be.
    Malformed,
    /// A program, file, model or server is missing or fails.
    Environment,
    /// Sound, but below what was asked for.
    Below,
    /// Standard output was closed by its reader: not an error.
    BrokenPipe,
}

impl FailureKind {
    pub(crate) fn exit(self) -> Exit {
        match self {
            Self::Wanting => Exit::Wanting,
            Self::Usage => Exit::Usage,
            Self::Malformed => Exit::Malformed,
            Self::Environment => Exit::Environment,
            Self::Below => Exit::Below,
            Self::BrokenPipe => Exit::Sound,
        }
    }
}

/// An error on its way to the terminal.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl ToString) -> Self {
        Self { kind, message: message.to_string(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// Makes a failure to write to standard output; a closed pipe ends the program quietly.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(FailureKind::BrokenPipe, error),
            _ => Self::new(FailureKind::Environment, format!("failed to write to standard output: {error}")),
        }
    }
}
