//! The body of a reply to an agent: whole, or in pieces as they become free to go.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::mpsc;

/// Pieces that may wait for a slow agent.
const WAITING: usize = 16;

/// A reply's body.
pub(super) enum Outlet {
    Whole(Option<Bytes>),
    Pieces(mpsc::Receiver<Piece>),
}

/// A piece, or the news that no end will come.
pub(super) type Piece = Result<Bytes, io::Error>;

impl Outlet {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }

    pub(super) fn pieces() -> (mpsc::Sender<Piece>, Self) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (sender, Self::Pieces(receiver))
    }
}

/// Waits until everything that was given has gone out: what a connection still holds when it breaks is lost.
pub(super) async fn drained(out: &mpsc::Sender<Piece>) {
    for _ in 0..200 {
        if out.capacity() == WAITING || out.is_closed() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
}

/// Returns the piece that ends a connection in the middle of a reply.
pub(super) fn broken(reason: &'static str) -> Piece {
    Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason))
}

impl Body for Outlet {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(receiver) => receiver.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}
