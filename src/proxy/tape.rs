//! The exchanges of a recording as a replay hands them out: by key and occurrence, and never one that was not recorded.

use std::collections::{BTreeMap, VecDeque};

use super::exchange::{Exchange, ExchangeError};
use super::head::{By, Head};
use super::key::{self, Key};
use super::normalise::Normalise;
use crate::canon::{Blake3, RunId};
use crate::store::{Store, StoredEvent};
use crate::transcript::{Divergence, Kind, REQUEST};

/// Requests that are compared in full when the nearest one is looked for.
const COMPARED: usize = 400;

/// What a replay still has to give.
pub struct Tape {
    run: RunId,
    events: Vec<StoredEvent>,
    normalise: Vec<Normalise>,
    /// Positions of the exchanges not yet given, by key, each in the order in which the requests arrived.
    left: BTreeMap<Blake3, VecDeque<usize>>,
    /// How often each key was recorded.
    recorded: BTreeMap<Blake3, usize>,
    /// The key of each exchange.
    keys: BTreeMap<usize, Blake3>,
    given: u32,
    /// Everything before this position was given.
    from: usize,
    /// The exchange that was read last and not given.
    peeked: Option<(usize, Exchange)>,
}

/// What a tape has for a request.
pub enum Found {
    /// An exchange, with its observation.
    Exchange(Box<Exchange>, String),
    /// Nothing: where the request parts from the nearest recorded one.
    Diverged(Box<Divergence>),
}

impl Tape {
    /// Reads the keys of a run; with `normalise` other than the recording's they are computed anew from the raw bytes.
    ///
    /// # Errors
    /// A store that fails, or holds bytes that are not what their digests say.
    pub fn load(
        store: &Store,
        run: RunId,
        recorded: &[Normalise],
        normalise: &[Normalise],
    ) -> Result<Self, ExchangeError> {
        let events = store.events(run)?;
        let (mut left, mut counts, mut keys) = (BTreeMap::<_, VecDeque<_>>::new(), BTreeMap::new(), BTreeMap::new());
        let mut places = BTreeMap::new();
        for (at, event) in events.iter().enumerate().filter(|(_, event)| event.kind == Kind::Exchange.name()) {
            let key = match event.body(REQUEST) {
                Some(body) if normalise == recorded => body.digest,
                _ => Exchange::of_store(store, run, event)?.key(normalise).digest(),
            };
            left.entry(key).or_default().push_back(at);
            *counts.entry(key).or_default() += 1;
            places.insert(at, places.len());
            keys.insert(at, key);
        }
        // They stand in the order of their ends. Only of equal ones does it matter which one arrived first.
        for queue in left.values_mut().filter(|queue| queue.len() > 1) {
            let mut arrivals = BTreeMap::new();
            for at in queue.iter() {
                let arrival = Exchange::of_store(store, run, &events[*at])?.head.arrival;
                arrivals.insert(*at, arrival.map_or(places[at], |arrival| arrival as usize));
            }
            queue.make_contiguous().sort_by_key(|at| (arrivals[at], *at));
        }
        Ok(Self {
            run,
            events,
            normalise: normalise.to_vec(),
            left,
            recorded: counts,
            keys,
            given: 0,
            from: 0,
            peeked: None,
        })
    }

    /// Returns what keys leave out.
    pub fn normalise(&self) -> &[Normalise] {
        &self.normalise
    }

    /// Returns the number of exchanges that were given.
    pub fn given(&self) -> u32 {
        self.given
    }

    /// Returns how many exchanges there are to give.
    pub fn total(&self) -> usize {
        self.keys.len()
    }

    /// Gives the next exchange that was recorded for this request.
    ///
    /// # Errors
    /// A store that fails, or holds bytes that are not what their digests say: they are never given.
    pub fn take(&mut self, store: &Store, head: &Head, body: &[u8]) -> Result<Found, ExchangeError> {
        // Mostly an agent asks for what comes next, to the byte; only otherwise is there a canonical form to compute.
        if let Some(at) = self.next().filter(|at| self.is_first(*at)) {
            let exchange = self.read(store, at)?;
            let is_same = exchange.head.method == head.method
                && exchange.head.target == head.target
                && exchange.head.service == head.service
                && key::features(&exchange.head).eq(key::features(head))
                && exchange.head.encoding() == head.encoding()
                && exchange.asked() == body
                && !exchange.is_unseen();
            if is_same {
                let digest = self.keys[&at];
                return Ok(self.give(at, digest, exchange));
            }
            self.peeked = Some((at, exchange));
        }
        let key = Key::of(head, body, &self.normalise);
        let digest = key.digest();
        let (at, exchange) = loop {
            let Some(at) = self.left.get(&digest).and_then(|queue| queue.front().copied()) else {
                return Ok(Found::Diverged(Box::new(self.diverged(store, &key, digest)?)));
            };
            let exchange = self.read(store, at)?;
            if !exchange.is_unseen() {
                break (at, exchange);
            }
            self.pass(digest);
        };
        // The digest of the key stands in a column that no signature covers: the key is computed again.
        if exchange.key(&self.normalise).digest() != digest {
            let event = &self.events[at];
            let remark = "the recorded request does not have the key under which it is stored".to_owned();
            return Ok(Found::Diverged(Box::new(Divergence::remark(event.seq, &event.kind, "request", remark))));
        }
        Ok(self.give(at, digest, exchange))
    }

    /// Says whether it is the first of those with its key.
    fn is_first(&self, at: usize) -> bool {
        self.left.get(&self.keys[&at]).and_then(VecDeque::front) == Some(&at)
    }

    /// Returns the first exchange that was not given yet.
    fn next(&mut self) -> Option<usize> {
        let is_left = |at: &usize| self.left.get(&self.keys[at]).is_some_and(|queue| queue.contains(at));
        let found = self.keys.range(self.from..).map(|(at, _)| *at).find(is_left);
        self.from = found.unwrap_or(usize::MAX);
        found
    }

    fn read(&mut self, store: &Store, at: usize) -> Result<Exchange, ExchangeError> {
        match self.peeked.take() {
            Some((peeked, exchange)) if peeked == at => Ok(exchange),
            _ => Exchange::of_store(store, self.run, &self.events[at]),
        }
    }

    fn give(&mut self, at: usize, digest: Blake3, exchange: Exchange) -> Found {
        if let Some(queue) = self.left.get_mut(&digest) {
            queue.retain(|left| *left != at);
        }
        self.given += 1;
        Found::Exchange(Box::new(exchange), self.events[at].observation.clone())
    }

    fn pass(&mut self, digest: Blake3) {
        if let Some(queue) = self.left.get_mut(&digest) {
            queue.pop_front();
        }
    }

    /// Says what was recorded and not asked for; a reply that the agent never saw need not be, nor one that was under
    /// way when the recording ended.
    pub fn rest(&self, store: &Store) -> Option<Divergence> {
        let is_seen = |at: &usize| {
            let exchange = Exchange::of_store(store, self.run, &self.events[*at]);
            let is_cut =
                |exchange: &Exchange| exchange.head.aborted.as_ref().is_some_and(|aborted| aborted.by == By::Recorder);
            exchange.map_or(true, |exchange| !exchange.is_unseen() && !is_cut(&exchange))
        };
        let mut left: Vec<usize> = self.left.values().flatten().copied().filter(is_seen).collect();
        left.sort_unstable();
        let event = &self.events[*left.first()?];
        let remark = match left.len() {
            1 => "the recording holds this exchange, the replay has ended without asking for it".to_owned(),
            count => format!("the recording holds {count} exchanges from here on that the replay has not asked for"),
        };
        Some(Divergence::remark(event.seq, &event.kind, "end", remark))
    }

    fn diverged(&self, store: &Store, key: &Key, digest: Blake3) -> Result<Divergence, ExchangeError> {
        let kind = Kind::Exchange.name();
        if let Some(count) = self.recorded.get(&digest) {
            let last = self.keys.iter().rfind(|(_, key)| **key == digest).map_or(0, |(at, _)| self.events[*at].seq);
            let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
            let remark = format!("this request was recorded {times}, and the replay makes it once more");
            return Ok(Divergence::remark(last, kind, "request", remark));
        }
        // Those that are still to come first, in order; then those that were given already.
        let mut candidates: Vec<(bool, usize)> = self
            .keys
            .iter()
            .map(|(at, key)| (!self.left.get(key).is_some_and(|queue| queue.contains(at)), *at))
            .collect();
        candidates.sort_unstable();
        let mut best: Option<(usize, usize, Vec<u8>)> = None;
        for (_, at) in candidates.into_iter().take(COMPARED) {
            let recorded = Exchange::of_store(store, self.run, &self.events[at])?.key(&self.normalise);
            let score = likeness(recorded.bytes(), key.bytes());
            if best.as_ref().is_none_or(|(most, ..)| score > *most) {
                best = Some((score, at, recorded.bytes().to_vec()));
            }
        }
        Ok(match best {
            Some((_, at, recorded)) => {
                Divergence::of_bytes(self.events[at].seq, kind, "request", &recorded, key.bytes())
            }
            None => Divergence::remark(0, kind, "request", "the recording holds no exchange at all".into()),
        })
    }
}

/// Counts the bytes that two requests have in common at their beginnings and ends.
fn likeness(a: &[u8], b: &[u8]) -> usize {
    let prefix = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let suffix = a[prefix..].iter().rev().zip(b[prefix..].iter().rev()).take_while(|(a, b)| a == b).count();
    prefix + suffix
}
