//! The part of the sandbox that runs inside it: this program, started again.
//!
//! Two stages, both hidden verbs. `watch` is the first process of the new namespaces: it puts the file system together,
//! starts the second stage, reaps everything, and kills everything once the command has ended or its own input closes.
//! `enter` takes the last rights away and becomes the command. The stages are separate so that the command cannot touch
//! the one that watches it. Entered from `main` before the command line is parsed; nothing here is for users.

mod enter;
mod guard;
mod mounts;
mod plan;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

pub use plan::Limits;
pub(super) use plan::{Mounts, PROCESS_SLACK, Plan, Report, Shown};
pub use watch::raise_loopback;

/// The hidden verb that starts a stage.
pub(super) const SHIM_VERB: &str = "__shim";

/// Runs a stage of the shim if `arguments` (the program's name first) ask for one.
pub fn enter(arguments: &[OsString]) -> Option<ExitCode> {
    if arguments.get(1).is_none_or(|verb| verb != SHIM_VERB) {
        return None;
    }
    let done = match arguments.get(2).and_then(|stage| stage.to_str()) {
        Some("watch") => watch::watch(),
        Some("enter") => enter::enter(),
        _ => Err("the shim knows no such stage".to_owned()),
    };
    let report = match done {
        Ok(report) => report.to_line(),
        Err(complaint) => format!("{complaint}\n"),
    };
    // Standard error leads to the parent alone; if it is gone, nobody is left to tell.
    std::io::Write::write_all(&mut std::io::stderr(), report.as_bytes()).ok();
    Some(ExitCode::SUCCESS)
}
