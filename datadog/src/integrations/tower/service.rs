//! A service with one of the layers.

use std::fmt::Display;
use std::task::{Context, Poll};

use datadog_trace::{FutureExt, Span};
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::SpanBody;
use super::exchange::Exchange;
use super::future::ResponseFuture;

/// A layer: how the span of a request starts.
pub(super) trait Start {
    fn start<B>(&self, request: &mut Request<B>) -> (Span, Exchange);
}

/// A service with a [`ServerLayer`](super::ServerLayer) or a [`ClientLayer`](super::ClientLayer).
#[derive(Clone, Debug)]
pub struct SpanService<S, L> {
    inner: S,
    layer: L,
}

impl<S, L> SpanService<S, L> {
    pub(super) fn new(inner: S, layer: L) -> Self {
        Self { inner, layer }
    }
}

impl<S, L, B, R> Service<Request<B>> for SpanService<S, L>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Display,
    L: Start,
    R: Body,
    R::Error: Display,
{
    type Response = Response<SpanBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let (span, exchange) = self.layer.start(&mut request);
        let answer = self.inner.call(request);
        ResponseFuture::new(answer.in_span(span), exchange)
    }
}
