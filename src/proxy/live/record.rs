//! Recording: hands each request on, streams the reply back as it comes, and gives its end away once it is durable.

use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::sync::oneshot;

use super::answer::Refusal;
use super::intake::{self, Taken};
use super::listen::{self, Allowed, Busy, Listening};
use super::outlet::Outlet;
use super::relay::forwarded;
use super::upstream::{self, HttpClient, Upstreams};
use super::writer::{self, Job, WriteError, Written};
use crate::canon::RunId;
use crate::proxy::flight::Flight;
use crate::proxy::{Ending, Header, Secrets, Service, sampling};
use crate::store::Store;
use crate::transcript::{Clock, Roots};

/// What a recording proxy is to do.
pub struct Recording {
    /// Where requests go.
    pub upstreams: Upstreams,
    /// What is written down of the recording as a whole.
    pub header: Header,
    /// Names by which it may be asked.
    pub allowed: Allowed,
    /// What counts as a credential.
    pub secrets: Secrets,
    /// The longest silence of an upstream.
    pub silence: Duration,
    /// The clock.
    pub clock: Clock,
    /// The store's file: beside it stands what is under way.
    pub path: PathBuf,
}

/// What was recorded.
pub struct Recorded {
    /// The store, to be closed.
    pub store: Store,
    /// Roots over everything written.
    pub roots: Roots,
    /// Exchanges that are durable.
    pub exchanges: u32,
    /// Calls that were refused for how they sample, or for what they hold.
    pub refused: Vec<String>,
    /// Where something like a credential was found.
    pub found: Vec<String>,
    /// Where something like a credential was left out of what is stored.
    pub masked: Vec<String>,
    /// Replies that redirected elsewhere, and were not followed.
    pub redirected: u32,
    /// Exchanges that were still under way at the end, kept as far as they came.
    pub cut_off: u32,
    /// The first thing that could not be written.
    pub failed: Option<WriteError>,
}

/// Starts recording into a run that was begun in `store`.
///
/// # Errors
/// A listener or threads that the system does not give.
pub fn record(
    listener: TcpListener,
    store: Store,
    run: RunId,
    settings: Recording,
) -> std::io::Result<Listening<Box<dyn FnOnce(Ending) -> Recorded + Send>>> {
    let (jobs, waiting) = mpsc::channel();
    let begun_us = store.run(run).ok().flatten().map_or(0, |row| row.started_ms.saturating_mul(1000));
    let (header, clock) = (settings.header.clone(), settings.clock);
    let secrets = settings.secrets.clone();
    let writer = std::thread::Builder::new()
        .name("writer".into())
        .spawn(move || writer::write(store, run, &header, clock, &secrets, &waiting))?;
    let last = jobs.clone();
    let flight = Flight::begin(&settings.path, run)?;
    let make = move || Proxy {
        client: upstream::client(),
        begun_us,
        settings,
        jobs,
        flight: RefCell::new(flight),
        running: Cell::new(0),
        refused: RefCell::default(),
        redirected: Cell::new(0),
        cut_off: Cell::new(0),
    };
    listen::start(listener, make, Proxy::handle, move |proxy| {
        let (refused, redirected, cut_off) = (proxy.refused.take(), proxy.redirected.get(), proxy.cut_off.get());
        let flight = Rc::into_inner(proxy).map(|proxy| proxy.flight);
        let finish = move |ending: Ending| {
            let _ = last.send(Job::End(ending));
            let Written { store, roots, exchanges, found, masked, failed } =
                writer.join().expect("the writer does not panic");
            // What was still under way is durable only now.
            drop(flight);
            Recorded { store, roots, exchanges, refused, found, masked, redirected, cut_off, failed }
        };
        Box::new(finish) as Box<dyn FnOnce(Ending) -> Recorded + Send>
    })
}

pub(super) struct Proxy {
    pub(super) client: HttpClient,
    /// When the run was begun: times of exchanges count from there.
    pub(super) begun_us: u64,
    pub(super) settings: Recording,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) flight: RefCell<Flight>,
    running: Cell<u32>,
    refused: RefCell<Vec<String>>,
    pub(super) redirected: Cell<u32>,
    pub(super) cut_off: Cell<u32>,
}

impl Busy for Proxy {
    fn is_busy(&self) -> bool {
        self.running.get() > 0
    }
}

/// Counts an exchange as long as it runs.
struct Running(Rc<Proxy>);

impl Running {
    fn new(proxy: &Rc<Proxy>) -> Self {
        proxy.running.set(proxy.running.get() + 1);
        Self(Rc::clone(proxy))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
    }
}

impl Proxy {
    async fn handle(self: Rc<Self>, request: Request<Incoming>) -> Response<Outlet> {
        let (parts, body) = request.into_parts();
        let service = intake::of(&parts).0;
        if let Err(refusal) = intake::check(&parts, &self.settings.allowed) {
            return refusal.response(service);
        }
        let taken = match intake::take(parts, body, &self.settings.secrets).await {
            Ok(taken) => taken,
            Err((service, refusal)) => return refusal.response(service),
        };
        let (reply, replied) = oneshot::channel();
        let running = Running::new(&self);
        // A task of its own: when the agent leaves, hyper drops this future, and what came so far is recorded still.
        tokio::task::spawn_local(async move {
            let proxy = Rc::clone(&running.0);
            proxy.exchange(taken, reply).await;
            drop(running);
        });
        match replied.await {
            Ok(response) => response,
            Err(_) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "no reply").response(service),
        }
    }

    /// Says what goes to the server in the body's place, if anything.
    pub(super) fn outgoing(&self, taken: &Taken) -> Result<Option<Vec<u8>>, Refusal> {
        let (header, head) = (&self.settings.header, &taken.head);
        if let Some(refusal) = Refusal::by_rules(header, &self.settings.secrets, head, &taken.body) {
            self.refused.borrow_mut().push(refusal.message.clone());
            return Err(refusal);
        }
        Ok(sampling::in_place(header.sampling, header.seed, head, &taken.body))
    }

    pub(super) fn request(
        &self,
        parts: &hyper::http::request::Parts,
        service: Service,
        path: &str,
        sent: &[u8],
        is_rewritten: bool,
    ) -> Option<Request<Full<Bytes>>> {
        let uri = self.settings.upstreams.target(service, path, parts.uri.query())?;
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(sent)));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = uri;
        let mut headers = forwarded(&parts.headers);
        headers.remove(hyper::header::HOST);
        headers.remove(hyper::header::EXPECT);
        headers.remove(CONTENT_LENGTH);
        if is_rewritten {
            headers.remove(CONTENT_ENCODING);
        }
        // Replies are stored as they come, and compressed ones would share nothing with each other.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        *request.headers_mut() = headers;
        Some(request)
    }
}
