//! Results on their way through a span.

use std::future::{Future, poll_fn};
use std::pin::pin;

use datadog_trace::{DetachedSpan, FutureExt, Span};

/// Runs a future in a span, and lets `look` tell the span what came of it.
pub(super) async fn watch<F: Future>(
    span: DetachedSpan,
    future: F,
    look: impl FnOnce(&mut Span, &F::Output),
) -> F::Output {
    let mut future = pin!(future.in_span(span));
    let mut look = Some(look);
    poll_fn(|task| {
        future.as_mut().poll_and(task, |result, mut span| {
            if let Some(look) = look.take() {
                look(&mut span, &result);
            }
            result
        })
    })
    .await
}
