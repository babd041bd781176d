//! How a run is conducted that is recorded: how long it waits for others, when it has to stop, who hears of that.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::transcript::{ActFailure, Ask, Done, Kind, Retries, Transcript, TranscriptError};

use super::interrupt::hold;
use super::{Host, ui};

/// How a run is conducted.
pub(crate) struct Conduct<'a> {
    /// How often and how patiently a failed act is repeated.
    pub(crate) retries: Retries,
    /// How long an act may go on failing altogether: one that hangs each time would take far longer than the pauses.
    pub(crate) patience: Duration,
    /// When nothing more may begin, in microseconds since 1970.
    pub(crate) until_us: Option<u64>,
    /// Hears of each failed act that may be tried again.
    pub(crate) tell: &'a dyn Fn(&str),
    /// Whether the last act that failed was given up after all tries.
    pub(crate) is_unanswered: bool,
    /// Whether its time was over.
    pub(crate) is_over: bool,
}

impl Default for Conduct<'_> {
    fn default() -> Self {
        Self {
            retries: Retries::default(),
            patience: Duration::MAX,
            until_us: None,
            tell: &|_| {},
            is_unanswered: false,
            is_over: false,
        }
    }
}

/// A transcript under a conduct, that records nothing more once the program was told to stop.
pub(crate) struct Conducted<'c, 'a, T> {
    pub(crate) inner: T,
    pub(crate) conduct: &'c mut Conduct<'a>,
}

impl<T: Transcript> Transcript for Conducted<'_, '_, T> {
    fn perform(
        &mut self,
        ask: &Ask<'_>,
        act: &mut dyn FnMut() -> Result<Done, ActFailure>,
    ) -> Result<Vec<u8>, TranscriptError> {
        let Conduct { retries, patience, until_us, tell, .. } = *self.conduct;
        let (mut number, began, mut was_given_up) = (0, Host::now_us(), false);
        let is_over = &mut self.conduct.is_over;
        let performed = self.inner.perform(ask, &mut || {
            hold();
            // Asked here and not before: what is recorded costs no time.
            if until_us.is_some_and(|until| Host::now_us() > until) {
                *is_over = true;
                return Err(ActFailure::fatal("the time of the run is over"));
            }
            let mut done = act();
            hold();
            number += 1;
            if let Err(failure) = &mut done
                && u128::from(Host::now_us().saturating_sub(began)) >= patience.as_micros()
            {
                was_given_up = failure.retry.take().is_some();
            }
            if let Err(failure) = &done
                && failure.retry.is_some()
                && number < retries.tries
            {
                let message = ui::printable_line(&failure.message);
                tell(&format!("try {number} of {} failed, another one follows: {message}", retries.tries));
            }
            done
        });
        if let Err(TranscriptError::Act(failure)) = &performed {
            self.conduct.is_unanswered = was_given_up || failure.retry.is_some();
        }
        performed
    }

    fn note(&mut self, kind: Kind, data: &Map<String, Value>, parts: &[(&str, &[u8])]) -> Result<(), TranscriptError> {
        hold();
        self.inner.note(kind, data, parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canon::RunId;
    use crate::store::{Access, Durability, NewRun, Store};
    use crate::transcript::{Normaliser, Recorder, Retry};

    #[test]
    fn an_act_that_takes_longer_than_the_patience_is_not_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("s"), Access::Create, Durability::Normal).unwrap();
        let retries = Retries { tries: 3, first_pause: Duration::ZERO, longest_pause: Duration::ZERO };
        for (number, patience, expected) in [(0, Duration::MAX, 3), (1, Duration::ZERO, 1)] {
            let run = RunId::from_bytes([number; 12]);
            let new = NewRun {
                id: run,
                name: "r",
                kind: "solve",
                instance: "i",
                arm: "a",
                model: "m",
                tests: "t",
                orchestration: "o",
                started_ms: 0,
            };
            store.begin_run(&new).unwrap();
            let mut conduct = Conduct { retries, patience, ..Conduct::default() };
            let inner = Recorder::new(&mut store, run, Host::clock(), retries);
            let mut tries = 0;
            let ask = Ask { kind: Kind::ModelCall, request: b"{}", normaliser: Normaliser::IDENTITY };
            let failed = Conducted { inner, conduct: &mut conduct }.perform(&ask, &mut || {
                tries += 1;
                Err(ActFailure { retry: Some(Retry::default()), ..ActFailure::fatal("no answer") })
            });
            assert!(failed.is_err() && conduct.is_unanswered, "nobody answered, however it was given up");
            assert_eq!(tries, expected);
        }
    }
}
