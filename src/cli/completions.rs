//! `completions`: the script that teaches a shell our verbs and options.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::args::{Cli, Global};
use super::{Exit, Failure, Ui};

/// Prints a completion script for a shell.
///
/// For bash: `runproof completions bash > ~/.local/share/bash-completion/completions/runproof`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell to write for.
    shell: Shell,
}

pub(crate) fn completions(args: &CompletionsArgs, _global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "runproof", &mut script);
    ui.bytes(&script)?;
    Ok(Exit::Sound)
}
