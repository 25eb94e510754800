//! The body of a response.

use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll};

use datadog_trace::DetachedSpan;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::exchange::Exchange;

pin_project! {
    /// The body of a response, in the span of its request. It has the span until its end.
    #[derive(Debug)]
    pub struct SpanBody<B> {
        #[pin]
        body: B,
        open: Option<(DetachedSpan, Exchange)>,
    }
}

impl<B> SpanBody<B> {
    pub(super) fn new(body: B, open: Option<(DetachedSpan, Exchange)>) -> Self {
        Self { body, open }
    }
}

impl<B> Body for SpanBody<B>
where
    B: Body,
    B::Error: Display,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some((span, exchange)) = this.open.take() else {
            return this.body.poll_frame(task);
        };
        let mut span = span.attach();
        let frame = this.body.as_mut().poll_frame(task);
        let ended = match &frame {
            Poll::Pending => false,
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    exchange.trailed(&mut span, trailers);
                }
                this.body.is_end_stream()
            }
            Poll::Ready(Some(Err(error))) => {
                span.set_failure(std::any::type_name::<B::Error>(), &error.to_string());
                true
            }
        };
        if !ended {
            *this.open = Some((span.detach(), exchange));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Default> Default for SpanBody<B> {
    fn default() -> Self {
        Self::new(B::default(), None)
    }
}
