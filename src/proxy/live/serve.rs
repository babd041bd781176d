//! Replaying: answers from the store alone. There is no client here to ask anybody else with.

use std::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde_json::Value;

use super::answer::{Refusal, own};
use super::intake;
use super::listen::{self, Allowed, Busy, Listening};
use super::outlet::{Outlet, broken, drained};
use crate::proxy::{By, Exchange, ExchangeError, Found, Header, Secrets, Service, Tape};
use crate::store::Store;
use crate::transcript::Divergence;

/// How long a reply that the agent itself cut off stays open.
const OPEN: Duration = Duration::from_secs(30);

/// What a replaying proxy is to do.
pub struct Replaying {
    /// The store.
    pub store: Store,
    /// What it has to give.
    pub tape: Tape,
    /// Names by which it may be asked.
    pub allowed: Allowed,
    /// What the recording was begun with: what its rules refused is refused again.
    pub header: Header,
    /// What counts as a credential.
    pub secrets: Secrets,
    /// Whether streams come as slowly as they were recorded.
    pub pace: bool,
}

/// What a replay came to.
pub struct Replayed {
    /// Exchanges that were given.
    pub given: u32,
    /// Exchanges that were there to give.
    pub total: usize,
    /// The first request that was not recorded; or what was recorded and not asked for.
    pub divergence: Option<Divergence>,
    /// What was wrong with the recording itself.
    pub damage: Option<ExchangeError>,
}

/// Starts answering from the store.
///
/// # Errors
/// A listener or threads that the system does not give.
pub fn serve(listener: TcpListener, settings: Replaying) -> std::io::Result<Listening<Replayed>> {
    let make = move || Proxy {
        allowed: settings.allowed,
        secrets: settings.secrets,
        pace: settings.pace,
        state: RefCell::new(State {
            store: settings.store,
            tape: settings.tape,
            header: settings.header,
            divergence: None,
            damage: None,
        }),
    };
    listen::start(listener, make, Proxy::handle, |proxy| {
        let mut state = proxy.state.borrow_mut();
        let rest =
            if state.divergence.is_none() && state.damage.is_none() { state.tape.rest(&state.store) } else { None };
        Replayed {
            given: state.tape.given(),
            total: state.tape.total(),
            divergence: state.divergence.take().or(rest),
            damage: state.damage.take(),
        }
    })
}

struct Proxy {
    allowed: Allowed,
    secrets: Secrets,
    pace: bool,
    state: RefCell<State>,
}

impl Busy for Proxy {
    fn is_busy(&self) -> bool {
        false
    }
}

struct State {
    store: Store,
    tape: Tape,
    header: Header,
    divergence: Option<Divergence>,
    damage: Option<ExchangeError>,
}

impl Proxy {
    async fn handle(self: Rc<Self>, request: Request<Incoming>) -> Response<Outlet> {
        let (parts, body) = request.into_parts();
        let service = intake::of(&parts).0;
        if let Err(refusal) = intake::check(&parts, &self.allowed) {
            return refusal.response(service);
        }
        let taken = match intake::take(parts, body, &self.secrets).await {
            Ok(taken) => taken,
            Err((service, refusal)) => return refusal.response(service),
        };
        let found = self.state.borrow_mut().find(&self.secrets, &taken.head, &taken.body);
        match found {
            Ok((exchange, observation)) => self.reply(*exchange, &observation, service),
            Err(refusal) => refusal.response(service),
        }
    }

    fn reply(&self, exchange: Exchange, observation: &str, service: Service) -> Response<Outlet> {
        let Exchange { head, reply, .. } = exchange;
        let aborted = head.aborted.as_ref().map(|aborted| aborted.by);
        if let Some(answered) = head.answered {
            let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::BAD_GATEWAY);
            return own(status, answered.body.into_bytes());
        }
        if matches!(aborted, Some(By::Server | By::Recorder)) && !head.streams() {
            // The agent got nothing then that could be given again.
            let message = "no whole reply came when this was recorded";
            return Refusal::new(StatusCode::BAD_GATEWAY, "no_upstream", message).response(service);
        }
        let status = StatusCode::from_u16(head.status).unwrap_or(StatusCode::OK);
        let outlet = if self.pace && head.streams() || aborted.is_some() {
            let seen = head.aborted.as_ref().map_or(reply.len(), |aborted| (aborted.at as usize).min(reply.len()));
            let chunks = if self.pace { chunks(observation) } else { Vec::new() };
            in_pieces(reply[..seen].to_vec(), chunks, aborted)
        } else {
            Outlet::whole(reply)
        };
        let mut response = Response::new(outlet);
        *response.status_mut() = status;
        for (name, value) in &head.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

impl State {
    fn find(
        &mut self,
        secrets: &Secrets,
        head: &crate::proxy::Head,
        body: &[u8],
    ) -> Result<(Box<Exchange>, String), Refusal> {
        let diverged = |divergence: &Divergence| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "replay_diverged",
                format!("the replay diverged; {}", divergence.without_diff()),
            )
        };
        if let Some(divergence) = &self.divergence {
            let message = format!("the replay diverged before this request; {}", divergence.without_diff());
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "replay_diverged", message));
        }
        let damaged = |error: &ExchangeError| {
            Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "recording_damaged",
                format!("the recording is damaged: {error}"),
            )
        };
        if let Some(error) = &self.damage {
            return Err(damaged(error));
        }
        if let Some(refusal) = Refusal::by_rules(&self.header, secrets, head, body) {
            return Err(refusal);
        }
        match self.tape.take(&self.store, head, body) {
            Ok(Found::Exchange(exchange, observation)) => Ok((exchange, observation)),
            Ok(Found::Diverged(divergence)) => {
                let refusal = diverged(&divergence);
                self.divergence = Some(*divergence);
                Err(refusal)
            }
            Err(error) => {
                let refusal = damaged(&error);
                self.damage = Some(error);
                Err(refusal)
            }
        }
    }
}

/// Reads lengths of a stream's pieces and the pauses before them.
fn chunks(observation: &str) -> Vec<(usize, u64)> {
    let value: Value = serde_json::from_str(observation).unwrap_or_default();
    let numbers: Vec<u64> =
        value["chunks"].as_array().into_iter().flatten().map(|number| number.as_u64().unwrap_or(0)).collect();
    numbers.chunks_exact(2).map(|pair| (pair[0] as usize, pair[1])).collect()
}

/// Sends a reply as it once came, and breaks off where it broke off.
fn in_pieces(reply: Vec<u8>, chunks: Vec<(usize, u64)>, aborted: Option<By>) -> Outlet {
    let (out, outlet) = Outlet::pieces();
    tokio::task::spawn_local(async move {
        let mut rest = Bytes::from(reply);
        for (length, pause) in chunks {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let piece = rest.split_to(length.min(rest.len()));
            if !piece.is_empty() && out.send(Ok(piece)).await.is_err() {
                return;
            }
        }
        if !rest.is_empty() && out.send(Ok(rest)).await.is_err() {
            return;
        }
        match aborted {
            None => {}
            Some(By::Client) => {
                // The agent left by itself then, and does so again.
                let _ = tokio::time::timeout(OPEN, out.closed()).await;
            }
            Some(_) => {
                drained(&out).await;
                let _ = out.send(broken("the recorded reply breaks off here")).await;
            }
        }
    });
    outlet
}
