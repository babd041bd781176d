//! Ctrl-C and SIGTERM while a run is recorded: the first ends it in order, a second one at once.
//!
//! Every event is in the store before the next begins, so ending means only: write nothing more, say how to go on, take
//! the worktree and containers away, and leave. Tests end with this process, whose pipe their shim watches.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::iterator::Signals;

use super::{Failure, FailureKind, Ui, claim};

/// What is under way.
struct Current {
    scratch: PathBuf,
    /// The command that goes on with it, if there is one.
    resume: Option<String>,
}

static CURRENT: Mutex<Option<Current>> = Mutex::new(None);
static STOPPING: AtomicBool = AtomicBool::new(false);
static WATCHING: AtomicBool = AtomicBool::new(false);

/// Has signals end in order what works in the folder `scratch` and goes on with the command `resume`.
pub(crate) fn watch(scratch: PathBuf, resume: Option<String>) -> Result<(), Failure> {
    *current() = Some(Current { scratch, resume });
    if WATCHING.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    let failed = |error: std::io::Error| Failure::new(FailureKind::Environment, format!("no signals: {error}"));
    let again = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again)).map_err(failed)?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            STOPPING.store(true, Ordering::SeqCst);
            again.store(true, Ordering::SeqCst);
            match &*current() {
                Some(run) => take_down(run),
                None => Ui::last_word("interrupted"),
            }
            claim::give_back_all();
            super::images::take_down();
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Says that the run has ended by itself.
pub(crate) fn done() {
    *current() = None;
}

/// Waits for the end of the process if it was told to stop: nothing that happens meanwhile may be recorded or reported.
pub(crate) fn hold() {
    while STOPPING.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

fn current() -> std::sync::MutexGuard<'static, Option<Current>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_down(current: &Current) {
    // First, since large worktrees take their time.
    Ui::last_word(&match &current.resume {
        Some(command) => format!("interrupted; everything recorded so far is kept, go on with `{command}`"),
        None => "interrupted; everything recorded so far is kept".to_owned(),
    });
    // Out of the reach of whoever writes there at this moment.
    let aside = claim::aside(&current.scratch);
    std::fs::rename(&current.scratch, &aside).ok();
    for folder in [&aside, &current.scratch] {
        std::fs::remove_dir_all(folder).ok();
    }
}
