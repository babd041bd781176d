//! The `runproof` program.
#![expect(clippy::disallowed_methods, reason = "the command line is read here and handed to `cli`")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // A test run's sandbox is this program again; its hidden verb is none of the command line's.
    runproof::gate::shim::enter(&arguments).unwrap_or_else(|| runproof::cli::run(arguments))
}
