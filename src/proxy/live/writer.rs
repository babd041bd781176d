//! The one thread that writes: exchanges in the order in which they end, each durable before anybody is told so.

use std::sync::mpsc::Receiver;

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::answer::secret_in;
use crate::canon::RunId;
use crate::proxy::recording;
use crate::proxy::{Ending, Exchange, Header, Scan, Secrets, decoded};
use crate::store::{RunEnd, RunStatus, Store};
use crate::transcript::{Clock, Recorder, Retries, Roots, TranscriptError};

/// Says why an exchange was not recorded.
pub type WriteError = TranscriptError;

/// Something to write.
pub(super) enum Job {
    /// An exchange that has ended; the answer says whether it is durable.
    Exchange(Box<Exchange>, Map<String, Value>, oneshot::Sender<Result<(), String>>),
    /// The end of the recording.
    End(Ending),
}

/// What was written.
pub(super) struct Written {
    pub(super) store: Store,
    pub(super) roots: Roots,
    pub(super) exchanges: u32,
    /// Where something like a credential was found, each place once.
    pub(super) found: Vec<String>,
    /// Where something like a credential was left out.
    pub(super) masked: Vec<String>,
    /// The first exchange that could not be recorded, or the ending.
    pub(super) failed: Option<WriteError>,
}

/// Writes until the end, or until nobody is left to send anything. Looks for credentials in replies, and in requests
/// unless that was done before they went out.
pub(super) fn write(
    mut store: Store,
    run: RunId,
    header: &Header,
    clock: Clock,
    secrets: &Secrets,
    jobs: &Receiver<Job>,
) -> Written {
    let mut recorder = Recorder::new(&mut store, run, clock, Retries::default());
    let (mut exchanges, mut found, mut masked) = (0, Vec::new(), Vec::new());
    let mut failed = recording::begin(&mut recorder, header).err();
    let mut has_ended = false;
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Exchange(exchange, observation, told) => {
                let exchange = exchange.at(exchanges);
                let written = recording::perform(&mut recorder, header, &exchange, observation);
                exchanges += u32::from(written.is_ok());
                // An agent that has gone away needs no word.
                let _ = told.send(written.as_ref().map(|_| ()).map_err(ToString::to_string));
                failed = failed.or(written.err());
                let is_scanned = header.secrets == Scan::Warn;
                let path = (is_scanned && exchange.head.has_secret_path())
                    .then(|| format!("the path of {} held something like a credential", exchange.head.target));
                masked.extend(path.filter(|text| !masked.contains(text)));
                let asked = is_scanned.then(|| secrets.scan(&exchange.asked_decoded())).flatten();
                let asked = asked.map(|text| secret_in(&exchange.head, &text));
                found.extend(asked.filter(|text| !found.contains(text)));
                // An error may repeat a header that is kept nowhere else.
                let reply = decoded(&exchange.reply, exchange.head.header("content-encoding"));
                let reply = secrets.scan(reply.as_deref().unwrap_or(&exchange.reply));
                let reply = reply.map(|text| format!("the reply to {} holds {text}", exchange.head.target));
                found.extend(reply.filter(|text| !found.contains(text)));
            }
            Job::End(ending) => {
                // A recording that misses an exchange has no ending: nothing is made of it later.
                if failed.is_none() {
                    failed = recording::end(&mut recorder, ending).err();
                    has_ended = failed.is_none();
                }
                break;
            }
        }
    }
    let roots = recorder.roots().clone();
    let end = RunEnd {
        status: if has_ended { RunStatus::Finished } else { RunStatus::Interrupted },
        outcome: if failed.is_some() { "incomplete" } else { "recorded" },
        attempts: 0,
        raw_root: roots.raw(),
        canonical_root: roots.canonical(),
        finished_ms: (clock.now_us)() / 1000,
    };
    let finished = store.finish_run(run, &end);
    failed = failed.or(finished.err().map(TranscriptError::Store));
    Written { store, roots, exchanges, found, masked, failed }
}
