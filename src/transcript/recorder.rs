//! The live side of the seam: performs, retries by the rules, and writes down what came before handing it on.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::canon::{BlobRef, RunId, json as canonical};
use crate::store::{NewEvent, Store, StoreError};

use super::event::{CANONICAL, Kind, ManifestError, REPLY, REQUEST, SENT};
use super::roots::Roots;
use super::seam::{ActFailure, Ask, Done, Transcript, TranscriptError};
use super::tape::{FailedTry, Tape, performed_data};

/// The clock, handed in by the program. What it says goes into observations only.
#[derive(Clone, Copy)]
pub struct Clock {
    /// Returns microseconds since 1970-01-01 UTC.
    pub now_us: fn() -> u64,
    /// Waits.
    pub sleep: fn(Duration),
}

/// Failed tries after which the other side's wish makes a pause longer only, not shorter.
const WISHES: u32 = 4;

/// How often and how patiently a failed act is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Tries in all, at least 1.
    pub tries: u32,
    /// Pause after the first failed try; it doubles after each further one.
    pub first_pause: Duration,
    /// The longest pause, also where the other side asks for a longer one.
    pub longest_pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { tries: 5, first_pause: Duration::from_secs(1), longest_pause: Duration::from_secs(60) }
    }
}

impl Retries {
    /// Returns the usual pauses, as many as it takes to wait for so long altogether, and none that is longer than that.
    pub fn lasting(patience: Duration) -> Self {
        let usual = Self::default();
        let mut this = Self { tries: 1, longest_pause: usual.longest_pause.min(patience), ..usual };
        let mut waited = Duration::ZERO;
        while waited < patience {
            waited += this.pause(this.tries, None);
            this.tries += 1;
        }
        this
    }

    fn pause(&self, failed: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << (failed - 1).min(20));
        let wished = asked.unwrap_or(doubled);
        // Whoever asks for short pauses and goes on failing would use up all tries long before the patience.
        let pause = if failed > WISHES { wished.max(doubled) } else { wished };
        pause.min(self.longest_pause)
    }
}

/// Performs and records the events of one run.
pub struct Recorder<'a> {
    store: &'a mut Store,
    run: RunId,
    clock: Clock,
    retries: Retries,
    tape: Tape,
}

impl<'a> Recorder<'a> {
    /// Records a run that was begun in `store` and has no event yet.
    pub fn new(store: &'a mut Store, run: RunId, clock: Clock, retries: Retries) -> Self {
        Self { store, run, clock, retries, tape: Tape::empty(run) }
    }

    /// Goes on with an interrupted run: what is recorded is answered from the store, what follows is performed.
    ///
    /// # Errors
    /// A store that cannot be read or written, or a run that came to its own end.
    pub fn resume(store: &'a mut Store, run: RunId, clock: Clock, retries: Retries) -> Result<Self, StoreError> {
        store.reopen_run(run)?;
        let tape = Tape::load(store, run, true)?;
        Ok(Self { store, run, clock, retries, tape })
    }

    /// Returns the roots over everything recorded so far.
    pub fn roots(&self) -> &Roots {
        &self.tape.roots
    }

    /// Returns the store that is written to.
    pub fn store(&mut self) -> &mut Store {
        self.store
    }

    fn append(
        &mut self,
        kind: Kind,
        data: &Map<String, Value>,
        bodies: &[(&str, &[u8])],
        observation: &Map<String, Value>,
    ) -> Result<(), TranscriptError> {
        let data = canonical::to_bytes(data).map_err(ManifestError::from)?;
        let observation = Value::Object(observation.clone()).to_string();
        let event = NewEvent { kind: kind.name(), data: &data, bodies, observation: &observation };
        let position = self.store.append(self.run, &event)?;
        let blobs: Vec<_> = bodies.iter().map(|(slot, bytes)| (*slot, BlobRef::of(bytes))).collect();
        self.tape.roots.push(position, kind.name(), &data, &blobs)?;
        self.tape.passed_end();
        Ok(())
    }

    fn append_failure(
        &mut self,
        ask: &Ask<'_>,
        number: u32,
        last: bool,
        failure: &ActFailure,
        observation: &Map<String, Value>,
    ) -> Result<(), TranscriptError> {
        let of = ask.kind.name().into();
        let data = serde_json::to_value(FailedTry { of, number, last, message: failure.message.clone() });
        let Ok(Value::Object(data)) = data else { return Ok(()) };
        let mut bodies = vec![(REQUEST, ask.request)];
        bodies.extend(failure.sent.as_deref().map(|sent| (SENT, sent)));
        bodies.push((REPLY, &failure.raw));
        self.append(Kind::FailedTry, &data, &bodies, observation)
    }
}

impl Transcript for Recorder<'_> {
    fn perform(
        &mut self,
        ask: &Ask<'_>,
        act: &mut dyn FnMut() -> Result<Done, ActFailure>,
    ) -> Result<Vec<u8>, TranscriptError> {
        if let Some(reply) = self.tape.answer(self.store, ask)? {
            return Ok(reply);
        }
        for number in 1.. {
            let started = (self.clock.now_us)();
            let outcome = act();
            let mut observation = Map::new();
            observation.insert("started_us".into(), json!(started));
            observation.insert("elapsed_us".into(), json!((self.clock.now_us)().saturating_sub(started)));
            match outcome {
                Ok(Done { sent, raw, parts, observation: more }) => {
                    // What an exchange took was measured where it happened.
                    if ask.kind == Kind::Exchange {
                        observation.clear();
                    }
                    observation.extend(more);
                    let reply = match (ask.normaliser.apply)(sent.as_deref().unwrap_or_default(), &raw) {
                        Ok(reply) => reply,
                        Err(reason) => {
                            let message = format!("the reply cannot be read: {reason}");
                            let failure = ActFailure { message, sent, raw, ..ActFailure::default() };
                            self.append_failure(ask, number, true, &failure, &observation)?;
                            return Err(TranscriptError::Act(failure));
                        }
                    };
                    let mut bodies = vec![(REQUEST, ask.request)];
                    bodies.extend(sent.as_deref().map(|sent| (SENT, sent)));
                    bodies.extend([(REPLY, raw.as_slice()), (CANONICAL, reply.as_slice())]);
                    bodies.extend(parts.iter().map(|(slot, bytes)| (*slot, bytes.as_slice())));
                    self.append(ask.kind, &performed_data(ask), &bodies, &observation)?;
                    return Ok(reply);
                }
                Err(failure) => {
                    let retry = failure.retry.filter(|_| number < self.retries.tries);
                    self.append_failure(ask, number, retry.is_none(), &failure, &observation)?;
                    match retry {
                        Some(retry) => (self.clock.sleep)(self.retries.pause(number, retry.after)),
                        None => return Err(TranscriptError::Act(failure)),
                    }
                }
            }
        }
        unreachable!("the last try returns")
    }

    fn note(&mut self, kind: Kind, data: &Map<String, Value>, parts: &[(&str, &[u8])]) -> Result<(), TranscriptError> {
        if self.tape.confirm(self.store, kind, data, parts)? {
            return Ok(());
        }
        self.append(kind, data, parts, &Map::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_spent_in_growing_pauses() {
        assert_eq!(Retries::lasting(Duration::ZERO).tries, 1);
        assert_eq!(Retries::lasting(Duration::from_secs(15)).tries, Retries::default().tries);
        // 1 + 2 + 4 + 8 + 16 + 32 seconds, and then nine minutes.
        assert_eq!(Retries::lasting(Duration::from_secs(603)).tries, 16);
        let pauses = |asked: Option<u64>| -> Vec<u64> {
            let asked = asked.map(Duration::from_secs);
            (1..8).map(|failed| Retries::default().pause(failed, asked).as_secs()).collect()
        };
        assert_eq!(pauses(None), [1, 2, 4, 8, 16, 32, 60]);
        assert_eq!(pauses(Some(0)), [0, 0, 0, 0, 16, 32, 60], "it still lasts about as long");
        assert_eq!(pauses(Some(90)), [60; 7]);
        let short = Duration::from_secs(4);
        assert_eq!(
            Retries::lasting(short).pause(1, Some(Duration::from_secs(90))),
            short,
            "no pause outlasts the patience"
        );
    }
}
