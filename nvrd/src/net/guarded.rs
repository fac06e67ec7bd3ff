//! A socket that knows its place: it ends when it is told to, and when its client takes nothing for too long.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::place::Place;

/// Keeps the place as long as the connection lives, whoever holds it: an upgraded one leaves the listener's hands.
pub(super) struct Guarded<T> {
    inner: T,
    place: Arc<Place>,
    stall_time: Duration,
    /// Runs while the client takes nothing of what it is sent.
    blocked: Option<Pin<Box<Sleep>>>,
    /// Ends when the connection has to; gone once it did.
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<T> Guarded<T> {
    pub(super) fn new(inner: T, place: Arc<Place>, stall_time: Duration) -> Self {
        let cut = place.cut();
        Self {
            inner,
            place,
            stall_time,
            blocked: None,
            cut: Some(Box::pin(async move { cut.wait().await })),
        }
    }

    fn check_cut(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let waits = |cut: &mut Pin<Box<dyn Future<Output = ()> + Send>>| {
            cut.as_mut().poll(context).is_pending()
        };
        if self.cut.as_mut().is_some_and(waits) {
            return Ok(());
        }
        self.cut = None;
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    /// What a write came to; one that waits too long is an error.
    fn judge<R>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            if self.blocked.take().is_some() {
                self.place.blocked(false);
            }
            return written;
        }
        let (place, stall_time) = (&self.place, self.stall_time);
        let blocked = self.blocked.get_or_insert_with(|| {
            place.blocked(true);
            Box::pin(tokio::time::sleep(stall_time))
        });
        ready!(blocked.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guarded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_cut(context)?;
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.place.heard();
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guarded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_cut(context)?;
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_cut(context)?;
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket keeps nothing back, so this says nothing about the client.
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
