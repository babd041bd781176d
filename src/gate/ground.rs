//! Where tests run: here in the sandbox, or in a container of an image.

use std::path::{Path, PathBuf};

use super::{Container, Execution, GateError, Level, Sandbox, TestRequest, run};

/// Where the tests of an instance run, and with which programs.
#[derive(Debug, Clone)]
pub enum Ground {
    /// With this machine's programs, those of a prepared environment first.
    Sandbox(Sandbox, Option<PathBuf>),
    /// With the programs of an image.
    Container(Container),
}

impl Ground {
    /// Returns how far runs are kept away from this machine.
    pub fn level(&self) -> Level {
        match self {
            Self::Sandbox(sandbox, _) => sandbox.level(),
            Self::Container(_) => Level::Container,
        }
    }

    /// Runs the request's command on the tree in `worktree`.
    ///
    /// # Errors
    /// What keeps the command from being run; how it fares is no error.
    pub fn run(&self, worktree: &Path, request: &TestRequest) -> Result<Execution, GateError> {
        match self {
            Self::Sandbox(sandbox, environment) => run(sandbox, worktree, environment.as_deref(), request),
            Self::Container(container) => container.run(worktree, request),
        }
    }
}
