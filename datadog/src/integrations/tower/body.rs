//! The body of a response.

use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll};

use datadog_trace::{DetachedSpan, Span};
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
    pub(in crate::integrations) fn new(body: B, open: Option<(DetachedSpan, Exchange)>) -> Self {
        Self { body, open }
    }

    #[cfg(feature = "actix-web")]
    pub(in crate::integrations) fn inner(&self) -> &B {
        &self.body
    }

    #[cfg(feature = "actix-web")]
    pub(in crate::integrations) fn into_parts(self) -> (B, Option<(DetachedSpan, Exchange)>) {
        (self.body, self.open)
    }

    /// Polls the body in the span; `is_end` tells the span what came, and whether that was the last part.
    pub(in crate::integrations) fn poll_in_span<T>(
        self: Pin<&mut Self>,
        poll: impl FnOnce(Pin<&mut B>) -> Poll<T>,
        is_end: impl FnOnce(&T, Pin<&B>, &mut Span, &Exchange) -> bool,
    ) -> Poll<T> {
        let mut this = self.project();
        let Some((span, exchange)) = this.open.take() else {
            return poll(this.body);
        };
        let mut span = span.attach();
        let part = poll(this.body.as_mut());
        let ended = match &part {
            Poll::Pending => false,
            Poll::Ready(part) => is_end(part, this.body.as_ref(), &mut span, &exchange),
        };
        if !ended {
            *this.open = Some((span.detach(), exchange));
        }
        part
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
        let poll = |body: Pin<&mut B>| body.poll_frame(task);
        self.poll_in_span(poll, |frame, body, span, exchange| match frame {
            None => true,
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    exchange.trailed(span, trailers);
                }
                body.is_end_stream()
            }
            Some(Err(error)) => {
                span.set_failure(std::any::type_name::<B::Error>(), &error.to_string());
                true
            }
        })
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
