//! The server itself: accepts connections on one thread, with bounds on headers, time and number.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::LocalSet;

use super::outlet::Outlet;

/// Bytes of a request's head.
const HEAD: usize = 64 << 10;
/// Number of its headers.
const HEADERS: usize = 128;
/// The longest time from a request's first byte to the end of its head.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// Connections at the same time; a further one takes the place of the one that is idle for longest, or waits.
const CONNECTIONS: usize = 512;
/// How long an idle connection that is asked to close may take.
const CLOSING: Duration = Duration::from_millis(500);
/// How long exchanges may still run after the end was called: longer than a stream that has said its end may stay open.
const GRACE: Duration = Duration::from_secs(6);
/// How often that is looked at.
const PAUSE: Duration = Duration::from_millis(5);

/// Names by which the proxy may be asked.
#[derive(Debug, Clone, Default)]
pub struct Allowed(pub BTreeSet<String>);

/// The other side of a connection, among the extensions of each of its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Allowed {
    /// Says whether a `Host` header names this proxy: an address, `localhost`, or a name that was allowed. Nobody can
    /// make somebody's browser send such a name for a page of his own.
    pub fn is_allowed(&self, host: &str) -> bool {
        name_of(host)
            .is_some_and(|name| name == "localhost" || name.parse::<IpAddr>().is_ok() || self.0.contains(&name))
    }

    /// Says whether requests may come from pages of an `Origin`: of this machine, or of a name that was allowed. Any
    /// page in a browser can send requests to an address of this machine. What is no page of the web may ask: it has to
    /// be installed first.
    pub fn is_origin_allowed(&self, origin: &str) -> bool {
        let Some((scheme, host)) = origin.split_once("://") else { return false };
        if !["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) {
            return true;
        }
        name_of(host).is_some_and(|name| {
            name == "localhost"
                || name.ends_with(".localhost")
                || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
                || self.0.contains(&name)
        })
    }
}

/// Returns the name or address of `host[:port]`, in lower case.
fn name_of(host: &str) -> Option<String> {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, port)) => (name, port),
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let port = port.strip_prefix(':').unwrap_or(port);
    port.chars().all(|c| c.is_ascii_digit()).then(|| name.to_ascii_lowercase())
}

/// A running proxy.
pub struct Listening<T> {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: std::thread::JoinHandle<T>,
}

impl<T> Listening<T> {
    /// Stops accepting, lets running exchanges come to their end for some seconds, and returns what it was for.
    ///
    /// # Panics
    /// If the proxy did.
    pub fn stop(mut self) -> T {
        drop(self.stop.take());
        self.thread.join().expect("the proxy does not panic")
    }

    /// Waits for it to stop by itself, which it does only on an error.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }
}

/// Starts a thread that serves `listener` with what `make` makes there, and at the end returns what `end` makes of it.
///
/// # Errors
/// A listener that tokio does not take, or a system without threads.
pub(super) fn start<S, F, T>(
    listener: TcpListener,
    make: impl FnOnce() -> S + Send + 'static,
    handle: fn(Rc<S>, Request<Incoming>) -> F,
    end: impl FnOnce(Rc<S>) -> T + Send + 'static,
) -> std::io::Result<Listening<T>>
where
    S: Busy + 'static,
    F: Future<Output = Response<Outlet>> + 'static,
    T: Send + 'static,
{
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let listener = {
        let _guard = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new().name("proxy".into()).spawn(move || {
        let state = Rc::new(make());
        let local = LocalSet::new();
        let (serving, waiting) = (Rc::clone(&state), Rc::clone(&state));
        local.block_on(&runtime, async move {
            let permits = Arc::new(Semaphore::new(CONNECTIONS));
            tokio::select! {
                () = accept(listener, &permits, serving, handle) => {}
                _ = stopped => {}
            }
            let idle = async {
                while waiting.is_busy() {
                    tokio::time::sleep(PAUSE).await;
                }
                // What was free to go leaves.
                tokio::time::sleep(PAUSE).await;
            };
            let _ = tokio::time::timeout(GRACE, idle).await;
        });
        drop(local);
        drop(runtime);
        end(state)
    })?;
    Ok(Listening { address, stop: Some(stop), thread })
}

async fn accept<S, F>(
    listener: tokio::net::TcpListener,
    permits: &Arc<Semaphore>,
    state: Rc<S>,
    handle: fn(Rc<S>, Request<Incoming>) -> F,
) where
    S: 'static,
    F: Future<Output = Response<Outlet>> + 'static,
{
    let open = Rc::new(Open::default());
    loop {
        let permit = match Arc::clone(permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                open.close_idlest();
                let Ok(permit) = Arc::clone(permits).acquire_owned().await else { return };
                permit
            }
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(_) => {
                // Out of file descriptors, mostly: others end meanwhile.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        stream.set_nodelay(true).ok();
        let (state, open) = (Rc::clone(&state), Rc::clone(&open));
        tokio::task::spawn_local(async move {
            let line = open.enter();
            let used = Rc::clone(&line);
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(Peer(peer));
                let using = Using::new(&used);
                let reply = handle(Rc::clone(&state), request);
                async move { Ok::<_, Infallible>(reply.await.map(|outlet| Held { outlet, _using: using })) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_buf_size(HEAD)
                .max_headers(HEADERS)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            // A connection that breaks is the agent's affair; hyper has answered malformed requests itself.
            tokio::select! {
                _ = connection.as_mut() => {}
                () = line.close.notified() => {
                    // A request that comes at this moment is still answered.
                    connection.as_mut().graceful_shutdown();
                    while tokio::time::timeout(CLOSING, connection.as_mut()).await.is_err() && line.users.get() > 0 {}
                }
            }
            open.leave(&line);
            drop(permit);
        });
    }
}

/// The connections that are open, in the order of their last use.
#[derive(Default)]
struct Open {
    lines: RefCell<Vec<Rc<Line>>>,
    clock: Rc<Cell<u64>>,
}

/// One connection.
struct Line {
    /// Requests whose reply has not gone out.
    users: Cell<u32>,
    /// When it was last in use, in uses of all.
    last: Cell<u64>,
    clock: Rc<Cell<u64>>,
    is_closing: Cell<bool>,
    close: Notify,
}

impl Open {
    fn enter(&self) -> Rc<Line> {
        let line = Rc::new(Line {
            users: Cell::new(0),
            last: Cell::new(0),
            clock: Rc::clone(&self.clock),
            is_closing: Cell::new(false),
            close: Notify::new(),
        });
        line.touch();
        self.lines.borrow_mut().push(Rc::clone(&line));
        line
    }

    fn leave(&self, line: &Rc<Line>) {
        self.lines.borrow_mut().retain(|other| !Rc::ptr_eq(other, line));
    }

    /// Has the connection closed that is idle for longest, if any is.
    fn close_idlest(&self) {
        let lines = self.lines.borrow();
        let idle = lines.iter().filter(|line| line.users.get() == 0 && !line.is_closing.get());
        if let Some(line) = idle.min_by_key(|line| line.last.get()) {
            line.is_closing.set(true);
            line.close.notify_one();
        }
    }
}

impl Line {
    fn touch(&self) {
        self.clock.set(self.clock.get() + 1);
        self.last.set(self.clock.get());
    }
}

/// Counts a request until its reply has gone out.
struct Using(Rc<Line>);

impl Using {
    fn new(line: &Rc<Line>) -> Self {
        line.users.set(line.users.get() + 1);
        Self(Rc::clone(line))
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        self.0.users.set(self.0.users.get() - 1);
        self.0.touch();
    }
}

/// A reply's body that keeps its connection in use.
struct Held {
    outlet: Outlet,
    _using: Using,
}

impl Body for Held {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Pin::new(&mut self.get_mut().outlet).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.outlet.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.outlet.size_hint()
    }
}

/// Says whether exchanges are still running.
pub(super) trait Busy {
    fn is_busy(&self) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_that_is_idle_for_longest_gives_way() {
        let open = Open::default();
        let (one, two, three) = (open.enter(), open.enter(), open.enter());
        let busy = Using::new(&one);
        drop(Using::new(&two));
        open.close_idlest();
        assert!(three.is_closing.get() && !two.is_closing.get());
        open.close_idlest();
        assert!(two.is_closing.get() && !one.is_closing.get());
        open.close_idlest();
        assert!(!one.is_closing.get());
        drop(busy);
        open.leave(&one);
        assert_eq!(open.lines.borrow().len(), 2);
    }

    #[test]
    fn only_addresses_localhost_and_allowed_names_are_hosts() {
        let allowed = Allowed(BTreeSet::from(["host.docker.internal".to_owned()]));
        for host in ["localhost", "LocalHost:80", "127.0.0.1:8080", "[::1]:9", "10.0.0.7", "host.docker.internal:1"] {
            assert!(allowed.is_allowed(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", "localhost:x", "[::1"] {
            assert!(!allowed.is_allowed(host), "{host}");
        }
    }

    #[test]
    fn only_pages_of_this_machine_and_of_allowed_names_may_ask() {
        let allowed = Allowed(BTreeSet::from(["ui.example".to_owned()]));
        for origin in [
            "http://localhost:3000",
            "https://127.0.0.1",
            "http://[::1]:9",
            "http://UI.example:8",
            "vscode-webview://a",
        ] {
            assert!(allowed.is_origin_allowed(origin), "{origin}");
        }
        for origin in
            ["", "null", "https://evil.example", "http://localhost.evil.example", "http://10.0.0.7", "HTTP://e"]
        {
            assert!(!allowed.is_origin_allowed(origin), "{origin}");
        }
    }
}
