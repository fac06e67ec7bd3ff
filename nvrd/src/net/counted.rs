//! The body of an answer, which tells the listener when it is over and when nobody takes it.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

use super::place::Ticket;

/// A body that ends its request's ticket when it is dropped.
#[derive(Debug)]
pub(super) struct Counted<B> {
    body: Pin<Box<B>>,
    ticket: Ticket,
}

impl<B> Counted<B> {
    pub(super) fn new(body: B, ticket: Ticket) -> Self {
        Self {
            body: Box::pin(body),
            ticket,
        }
    }
}

impl<B: Body> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = self.body.as_mut().poll_frame(context);
        self.ticket
            .given(matches!(polled, Poll::Ready(Some(Ok(_)))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
