//! The `runproof` program.
#![expect(clippy::disallowed_methods, reason = "the command line is read here and handed to `cli`")]

use std::process::ExitCode;

fn main() -> ExitCode {
    runproof::cli::run(std::env::args_os())
}
