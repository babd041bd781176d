//! Runs of recorded agents among the others: telling them apart, and checking them without their command.

#[cfg(feature = "live")]
use std::collections::BTreeSet;

use crate::canon::RunId;
use crate::proxy::{self, ExchangeError, Header, HeaderError, Normalise};
use crate::store::{Access, Durability, Store};
use crate::transcript::ReplayOutcome;

#[cfg(feature = "live")]
pub(crate) use super::playback::replay;
use super::replay::transcript_failure;
use super::{Failure, FailureKind, Host};

/// Kind of their rows.
pub(crate) const KIND: &str = "record";

/// Reads the header of a recording; nothing for a run of another kind.
///
/// # Errors
/// A recording that this version cannot replay; a store that fails.
pub(crate) fn header(store: &Store, run: RunId) -> Result<Option<Header>, Failure> {
    match proxy::header(store, run) {
        Ok(header) => Ok(Some(header)),
        Err(HeaderError::NotARecording) => Ok(None),
        Err(HeaderError::Store(error)) => Err(error.into()),
        Err(error @ HeaderError::OtherVersion(_)) => {
            let hint = "its evidence can still be checked with `runproof store verify`; to replay it, use that version";
            Err(Failure::new(FailureKind::Below, error).hint(hint))
        }
        Err(error) => Err(Failure::new(FailureKind::Malformed, error)),
    }
}

/// Computes a recording's canonical forms and roots again, without its agent.
///
/// # Errors
/// A store that fails, or holds bytes that are not what their digests say.
pub(crate) fn recompute(store: &Store, run: RunId, header: &Header) -> Result<ReplayOutcome, Failure> {
    proxy::replay(store, run, header).map_err(transcript_failure)
}

/// Returns how an exchange that cannot be read shows on the terminal.
pub(crate) fn exchange_failure(error: ExchangeError) -> Failure {
    match error {
        ExchangeError::Store(error) => error.into(),
        error => Failure::new(FailureKind::Malformed, error),
    }
}

/// Puts what killed recorders left beside a store into it. What cannot be done now is left for the next time.
pub(crate) fn salvage(path: &std::path::Path) {
    let wrecks = proxy::wrecks(path);
    if wrecks.is_empty() {
        return;
    }
    let Ok(mut store) = Store::open(path, Access::Write, Durability::Full) else { return };
    for wreck in wrecks {
        if proxy::salvage(&mut store, wreck.run, &wreck.exchanges, Host::clock()).is_ok() {
            wreck.cleared();
        }
    }
    // Everything is durable already; closing only tidies up.
    let _ = store.close();
}

/// Reads the name of a normaliser.
pub(crate) fn parse_normalise(text: &str) -> Result<Normalise, String> {
    let found = Normalise::ALL.into_iter().find(|way| way.word() == text);
    found.ok_or_else(|| "the normalisers are date, tmp-paths, uuids and codex".into())
}

/// Sorts normalisers, each once, so that their order on the command line does not matter.
#[cfg(feature = "live")]
pub(crate) fn in_order(given: &[Normalise]) -> Vec<Normalise> {
    given.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Says that this build has no proxy.
#[cfg(not(feature = "live"))]
pub(crate) fn replay(
    _: &super::replay::ReplayArgs,
    _: &Header,
    _: Store,
    _: &crate::store::RunRow,
    _: &super::args::Global,
    _: &mut super::Ui,
) -> Result<super::Exit, Failure> {
    let failure = Failure::new(FailureKind::Environment, "this build cannot answer a recorded agent");
    Err(failure.hint("`runproof check RUN` needs no proxy; build with the feature `live` for one"))
}
