//! How a run is conducted that is recorded: how long it waits for others, when it has to stop, who hears of that.

use serde_json::{Map, Value};

use crate::transcript::{ActFailure, Ask, Done, Kind, Retries, Transcript, TranscriptError};

use super::interrupt::hold;
use super::{Host, ui};

/// How a run is conducted.
pub(crate) struct Conduct<'a> {
    /// How often and how patiently a failed act is repeated.
    pub(crate) retries: Retries,
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
        Self { retries: Retries::default(), until_us: None, tell: &|_| {}, is_unanswered: false, is_over: false }
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
        let Conduct { retries, until_us, tell, .. } = *self.conduct;
        let mut number = 0;
        let is_over = &mut self.conduct.is_over;
        let performed = self.inner.perform(ask, &mut || {
            hold();
            // Asked here and not before: what is recorded costs no time.
            if until_us.is_some_and(|until| Host::now_us() > until) {
                *is_over = true;
                return Err(ActFailure::fatal("the time of the run is over"));
            }
            let done = act();
            hold();
            number += 1;
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
            self.conduct.is_unanswered = failure.retry.is_some();
        }
        performed
    }

    fn note(&mut self, kind: Kind, data: &Map<String, Value>, parts: &[(&str, &[u8])]) -> Result<(), TranscriptError> {
        hold();
        self.inner.note(kind, data, parts)
    }
}
