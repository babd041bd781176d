//! The command line: arguments, terminal output, exit codes; one file per verb.
//!
//! This room alone reads the clock, the environment, randomness and the host ([`host`]), writes to the terminal
//! ([`ui`]), and turns errors into text, hint and exit code ([`failure`]). It also performs replays for whoever needs
//! one and hands the outcome on as data.

mod access;
mod again;
#[cfg(feature = "live")]
mod agent;
mod args;
mod arms;
mod bench;
mod campaign;
mod certify;
mod check;
mod claim;
mod completions;
mod conduct;
mod config;
mod course;
mod crew;
mod demo;
mod demonstrate;
mod diff;
mod evidence;
mod exchanges;
mod exit;
mod export;
mod failure;
mod files;
mod gc;
mod hints;
mod host;
mod images;
mod interrupt;
mod key;
mod keyfile;
mod log;
mod merge;
mod model;
mod models;
mod own;
#[cfg(feature = "live")]
mod playback;
mod prepare;
mod progress;
#[cfg(feature = "live")]
mod record;
mod recorded;
mod reexecute;
mod replay;
mod report;
mod runs;
mod settle;
mod show;
mod solve;
mod store;
mod toolchains;
mod trust;
mod ui;
mod verdict;
mod verify;
mod workbench;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

pub use args::Cli;
pub use exit::Exit;
pub(crate) use failure::{Failure, FailureKind};
pub(crate) use host::Host;
pub(crate) use ui::Ui;

/// Parses `arguments` (the program's name first), does what they say, and returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return ui::usage(&error).into(),
    };
    // Only what is understood without the file says where the file is.
    let cli = match config::with_defaults(Cli::command(), cli.global.config.as_deref()) {
        Ok(command) => command.try_get_matches_from(&arguments).and_then(|matches| {
            let mut cli = Cli::from_arg_matches(&matches)?;
            cli.settle(&matches);
            Ok(cli)
        }),
        Err(failure) => return Ui::new(&cli.global).fail(&failure).into(),
    };
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => return ui::usage(&error).into(),
    };
    let mut ui = Ui::new(&cli.global);
    let exit = match args::dispatch(cli, &mut ui) {
        Ok(exit) => exit,
        Err(failure) => {
            // A signal can look like a failure of whatever it reached first.
            interrupt::hold();
            ui.fail(&failure)
        }
    };
    exit.into()
}
