//! The way to the head of a response.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use datadog_trace::{InSpan, Span};
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::SpanBody;
use super::exchange::Exchange;

pin_project! {
    /// The response of a service with one of the layers.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        answer: InSpan<F>,
        exchange: Option<Exchange>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(answer: InSpan<F>, exchange: Exchange) -> Self {
        Self {
            answer,
            exchange: Some(exchange),
        }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    E: Display,
{
    type Output = Result<Response<SpanBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let exchange = this.exchange;
        this.answer.poll_and(task, |answer, span| {
            with_body(answer, span, exchange.take())
        })
    }
}

fn with_body<B, E>(
    answer: Result<Response<B>, E>,
    mut span: Span,
    exchange: Option<Exchange>,
) -> Result<Response<SpanBody<B>>, E>
where
    B: Body,
    E: Display,
{
    match (answer, exchange) {
        (Ok(response), Some(mut exchange)) => {
            exchange.answered(&mut span, response.status(), response.headers());
            let more = exchange.lasts_with_body() && !response.body().is_end_stream();
            let open = more.then(|| (span.detach(), exchange));
            Ok(response.map(|body| SpanBody::new(body, open)))
        }
        // Futures are not polled once they are ready.
        (Ok(response), None) => Ok(response.map(|body| SpanBody::new(body, None))),
        (Err(error), _) => {
            span.set_failure(std::any::type_name::<E>(), &error.to_string());
            Err(error)
        }
    }
}
