//! One exchange from the request that goes out to the reply that is given away, and its way into the recording.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName};
use hyper::{Response, StatusCode};
use serde_json::{Map, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::answer::Refusal;
use super::intake::Taken;
use super::outlet::{Outlet, Piece, broken, drained};
use super::record::Proxy;
use super::tail::Tail;
use super::writer::Job;
use crate::proxy::body::LARGEST;
use crate::proxy::{Aborted, Answered, By, Exchange, Service};

/// Headers that are about one connection, not about the exchange (RFC 9110 §7.6.1).
const HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// How long a stream may stay open after it said that it is over.
const AFTER_END: Duration = Duration::from_secs(5);

/// An exchange under way. One that is dropped before it was kept is recorded as broken off by the recorder.
struct Under<'p> {
    proxy: &'p Proxy,
    exchange: Exchange,
    /// Whether the writer has it.
    is_kept: bool,
    started_us: u64,
    /// Its number among those under way.
    number: u32,
    /// Length of every piece and milliseconds since the one before it, one after the other.
    chunks: Vec<u64>,
    /// Milliseconds from the start to the last piece.
    last_ms: u64,
}

impl Proxy {
    /// Asks the server for the agent, records what came, and answers.
    pub(super) async fn exchange(&self, taken: Taken, mut reply: oneshot::Sender<Response<Outlet>>) {
        let service = taken.service;
        let outgoing = match self.outgoing(&taken) {
            Ok(outgoing) => outgoing,
            Err(refusal) => {
                let _ = reply.send(refusal.response(service));
                return;
            }
        };
        let Taken { head, body, path, parts, .. } = taken;
        let (received, sent) = match outgoing {
            Some(sent) => (Some(body), sent),
            None => (None, body),
        };
        let request = self.request(&parts, service, &path, &sent, received.is_some());
        let mut exchange = Exchange { head, received, sent, reply: Vec::new() };
        let number = self.flight.borrow_mut().takes_off(&exchange);
        exchange.head.arrival = Some(number);
        let mut under = Under {
            proxy: self,
            exchange,
            is_kept: false,
            started_us: self.now(),
            number,
            chunks: Vec::new(),
            last_ms: 0,
        };
        let Some(request) = request else {
            let refusal = Refusal::new(StatusCode::BAD_REQUEST, "bad_target", "the path makes no address of a server");
            return self.answer(under, refusal, service, reply).await;
        };
        let asked = tokio::select! {
            asked = timeout(self.settings.silence, self.client.request(request)) => asked,
            // The agent has gone before anything came.
            () = reply.closed() => {
                under.abort(By::Client, 0);
                let _ = self.keep(under).await;
                return;
            }
        };
        let response = match asked {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let message = format!("the server of {service} cannot be asked: {}", reasons(&error));
                return self
                    .answer(under, Refusal::new(StatusCode::BAD_GATEWAY, "no_upstream", message), service, reply)
                    .await;
            }
            Err(_) => {
                let refusal = Refusal::new(StatusCode::GATEWAY_TIMEOUT, "silent_upstream", self.silent());
                return self.answer(under, refusal, service, reply).await;
            }
        };
        let (parts, body) = response.into_parts();
        under.exchange.head.status = parts.status.as_u16();
        for (name, value) in &parts.headers {
            under.exchange.head.keep_reply(name.as_str(), value.as_bytes());
        }
        if under.exchange.head.method == "HEAD"
            && let Some(length) = parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok())
        {
            // Here it says how long the body of a GET would be, and is no framing.
            under.exchange.head.headers.insert(CONTENT_LENGTH.as_str().into(), length.to_owned());
        }
        self.flight.borrow_mut().head(number, &under.exchange.head);
        let mut headers = forwarded(&parts.headers);
        if parts.status.is_redirection() {
            // Whoever followed it would leave the recording.
            headers.remove(hyper::header::LOCATION);
            self.redirected.set(self.redirected.get() + 1);
        }
        if under.exchange.head.streams() {
            self.stream(under, body, (parts.status, headers), reply).await;
        } else {
            self.whole(under, body, (parts.status, headers), service, reply).await;
        }
    }

    /// Reads a reply to its end, records it, and hands it on.
    async fn whole(
        &self,
        mut under: Under<'_>,
        mut body: Incoming,
        (status, headers): (StatusCode, HeaderMap),
        service: Service,
        mut reply: oneshot::Sender<Response<Outlet>>,
    ) {
        let ended = loop {
            if body.is_end_stream() {
                break Ok(());
            }
            let frame = tokio::select! {
                frame = timeout(self.settings.silence, body.frame()) => frame,
                () = reply.closed() => break Err((By::Client, String::new())),
            };
            match frame {
                Ok(None) => break Ok(()),
                Ok(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        under.exchange.reply.extend_from_slice(data);
                        self.flight.borrow_mut().reply(under.number, data);
                    }
                    if under.exchange.reply.len() > LARGEST {
                        under.exchange.reply.truncate(LARGEST);
                        break Err((By::Server, format!("the reply is larger than {LARGEST} bytes")));
                    }
                }
                Ok(Some(Err(error))) => {
                    break Err((By::Server, format!("the server broke its reply off: {}", reasons(&error))));
                }
                Err(_) => break Err((By::Server, self.silent())),
            }
        };
        let came = under.exchange.reply.len() as u64;
        match ended {
            Ok(()) => {}
            Err((By::Server, message)) => {
                under.abort(By::Server, came);
                let refusal = Refusal::new(StatusCode::BAD_GATEWAY, "broken_reply", message);
                return self.answer(under, refusal, service, reply).await;
            }
            Err((by, _)) => {
                under.abort(by, 0);
                let _ = self.keep(under).await;
                return;
            }
        }
        if reply.is_closed() {
            under.abort(By::Client, 0);
        }
        let bytes = under.exchange.reply.clone();
        let response = match self.keep(under).await {
            Ok(()) => {
                let mut response = Response::new(Outlet::whole(bytes));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                response
            }
            Err(reason) => unrecorded(&reason).response(service),
        };
        let _ = reply.send(response);
    }

    /// Hands the pieces of a reply on as they come, but for its end.
    async fn stream(
        &self,
        mut under: Under<'_>,
        mut body: Incoming,
        (status, mut headers): (StatusCode, HeaderMap),
        reply: oneshot::Sender<Response<Outlet>>,
    ) {
        let (out, outlet) = Outlet::pieces();
        headers.remove(CONTENT_LENGTH);
        let mut response = Response::new(outlet);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        if reply.send(response).is_err() {
            under.abort(By::Client, 0);
            let _ = self.keep(under).await;
            return;
        }
        let is_lines = under.exchange.head.header("content-type").starts_with("application/x-ndjson");
        let (mut tail, mut held, mut given) = (Tail::default(), None, 0_usize);
        let ended = loop {
            let patience = if held.is_some() { AFTER_END } else { self.settings.silence };
            let frame = tokio::select! {
                frame = timeout(patience, body.frame()) => frame,
                () = out.closed() => break Err(By::Client),
            };
            let data = match frame {
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                // What said that it is over is over.
                Ok(Some(Err(_))) | Err(_) if held.is_some() => break Ok(()),
                Ok(None) => break Ok(()),
                Ok(Some(Err(_))) | Err(_) => break Err(By::Server),
            };
            if under.exchange.reply.len() + data.len() > LARGEST {
                break Err(By::Server);
            }
            under.exchange.reply.extend_from_slice(&data);
            self.flight.borrow_mut().reply(under.number, &data);
            let since = self.now().saturating_sub(under.started_us) / 1000;
            under.chunks.extend([data.len() as u64, since.saturating_sub(under.last_ms)]);
            under.last_ms = since;
            if held.is_none() {
                held = tail.find(&under.exchange.reply, is_lines);
            }
            let free = held.unwrap_or(under.exchange.reply.len());
            if free > given {
                let piece: Piece = Ok(Bytes::copy_from_slice(&under.exchange.reply[given..free]));
                given = free;
                if out.send(piece).await.is_err() {
                    break Err(By::Client);
                }
            }
        };
        let rest = Bytes::copy_from_slice(&under.exchange.reply[given..]);
        let came = under.exchange.reply.len() as u64;
        match ended {
            Ok(()) => {}
            Err(By::Client) => under.abort(By::Client, given as u64),
            Err(by) => under.abort(by, came),
        }
        let kept = self.keep(under).await;
        let last = match (ended, kept) {
            (Ok(()), Ok(())) if rest.is_empty() => return,
            (Ok(()), Ok(())) => Ok(rest),
            (_, Err(_)) => broken("the exchange could not be recorded"),
            (Err(_), _) => broken("the server broke its reply off"),
        };
        if last.is_err() {
            drained(&out).await;
        }
        let _ = out.send(last).await;
    }

    /// Records an exchange that the proxy itself answers, because nobody else did, and answers it.
    async fn answer(
        &self,
        mut under: Under<'_>,
        refusal: Refusal,
        service: Service,
        reply: oneshot::Sender<Response<Outlet>>,
    ) {
        if under.exchange.head.aborted.is_none() {
            under.exchange.head.aborted = Some(Aborted { at: 0, by: By::Server });
        }
        let body = String::from_utf8_lossy(&refusal.body(service)).into_owned();
        under.exchange.head.answered = Some(Answered { status: refusal.status.as_u16(), body });
        let response = match self.keep(under).await {
            Ok(()) => refusal.response(service),
            Err(reason) => unrecorded(&reason).response(service),
        };
        let _ = reply.send(response);
    }

    /// Has an exchange written, and waits until it is durable.
    async fn keep(&self, mut under: Under<'_>) -> Result<(), String> {
        let kept = match under.give() {
            Some(written) => written.await.unwrap_or_else(|_| Err("the recording has ended".to_owned())),
            None => Err("the recording has ended".to_owned()),
        };
        self.flight.borrow_mut().lands(under.number);
        kept
    }

    fn now(&self) -> u64 {
        (self.settings.clock.now_us)()
    }

    fn silent(&self) -> String {
        format!("nothing came from the server for {} seconds", self.settings.silence.as_secs())
    }
}

impl Under<'_> {
    fn abort(&mut self, by: By, at: u64) {
        self.exchange.head.aborted = Some(Aborted { at, by });
    }

    /// Gives the exchange to the writer; nothing if that has gone.
    fn give(&mut self) -> Option<oneshot::Receiver<Result<(), String>>> {
        let mut observation = Map::new();
        let elapsed = self.proxy.now().saturating_sub(self.started_us);
        observation.insert("t".into(), json!([self.started_us.saturating_sub(self.proxy.begun_us) / 1000, elapsed]));
        if !self.chunks.is_empty() {
            observation.insert("chunks".into(), json!(self.chunks));
        }
        let (told, written) = oneshot::channel();
        self.is_kept = true;
        let exchange = Box::new(std::mem::take(&mut self.exchange));
        self.proxy.jobs.send(Job::Exchange(exchange, observation, told)).ok().map(|()| written)
    }
}

impl Drop for Under<'_> {
    /// The recording ends while the exchange is under way: what came so far is kept, and says so.
    fn drop(&mut self) {
        if !self.is_kept {
            self.abort(By::Recorder, self.exchange.reply.len() as u64);
            self.proxy.cut_off.set(self.proxy.cut_off.get() + 1);
            // The writer is told before its end is; nobody waits for its answer.
            let _ = self.give();
        }
    }
}

fn unrecorded(reason: &str) -> Refusal {
    let message = format!("the exchange could not be recorded, so it did not happen: {reason}");
    Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "not_recorded", message)
}

/// Returns the headers that are about the exchange and not about one connection.
pub(super) fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(hyper::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let is_kept = |name: &HeaderName| !HOP.contains(&name.as_str()) && !named.iter().any(|hop| hop == name.as_str());
    headers.iter().filter(|(name, _)| is_kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Returns an error with what caused it.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
