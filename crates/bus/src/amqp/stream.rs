//! The stream that lapin reads from: a socket, TLS or not, behind a [`Sieve`].
//!
//! lapin takes only streams of the type that its runtime connects with, so
//! there is a runtime of that type: tokio's, except for the sockets.

use std::{
    fmt,
    future::{Future, ready},
    io::{self, Read, Write},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use async_rs::{
    Runtime, Tokio,
    traits::Reactor,
    util::{DummyIO, RuntimeParts},
};
use futures_util::{AsyncRead, AsyncWrite, Stream};
use lapin::AsyncTcpStream;

use super::sieve::Sieve;

/// A socket as tokio has it, with TLS or without.
pub(super) type Socket = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;

/// What is read at once.
const READ: usize = 64 * 1024;

/// What lapin runs on.
pub(super) type Kit = RuntimeParts<Tokio, Sieved>;

/// Has to be called within a runtime.
pub(super) fn runtime() -> Runtime<Kit> {
    let tokio = Tokio::current();
    Runtime::new(RuntimeParts::new(tokio.clone(), Sieved(tokio)))
}

/// Tokio, for streams that are made elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Sieved(Tokio);

impl Reactor for Sieved {
    type TcpStream = CleanStream;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// lapin registers nothing.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<DummyIO, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    /// `connect` connects.
    fn tcp_connect_addr(
        &self,
        _: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

/// A stream whose reader gets nothing that stops it.
pub(super) struct CleanStream {
    socket: Socket,
    sieve: Sieve,
    read: Box<[u8]>,
    clean: Vec<u8>,
    /// How much of `clean` was handed out.
    handed: usize,
}

impl CleanStream {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            sieve: Sieve::default(),
            read: vec![0; READ].into(),
            clean: Vec::new(),
            handed: 0,
        }
    }
}

impl AsyncRead for CleanStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            let waiting = this.clean.get(this.handed..).unwrap_or_default();
            if !waiting.is_empty() {
                let count = waiting.len().min(into.len());
                let (to, from) = (into.get_mut(..count), waiting.get(..count));
                if let (Some(to), Some(from)) = (to, from) {
                    to.copy_from_slice(from);
                }
                this.handed += count;
                return Poll::Ready(Ok(count));
            }
            this.clean.clear();
            this.handed = 0;
            match Pin::new(&mut this.socket).poll_read(context, &mut this.read) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(0)),
                Poll::Ready(Ok(count)) => {
                    let arrived = this.read.get(..count).unwrap_or_default();
                    this.sieve.pass(arrived, &mut this.clean);
                }
            }
        }
    }
}

impl AsyncWrite for CleanStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(context)
    }
}

impl fmt::Debug for CleanStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CleanStream").finish_non_exhaustive()
    }
}
