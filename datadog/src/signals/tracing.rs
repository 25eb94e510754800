//! Traces.

use std::borrow::Cow;

use datadog_trace::{DetachedSpan, Extract, Inject, Parent, Span, SpanContext};
use datadog_transport::{FlushReport, SignalKind};

use crate::DDClient;
use crate::default_client::default_client;

/// Starts a span of the default client; an empty one where there is none. Used by `#[traced]`.
#[doc(hidden)]
#[inline]
pub fn start(name: impl Into<Cow<'static, str>>) -> Span {
    match default_client() {
        Some(client) => client.trace(name),
        None => Span::none(),
    }
}

impl DDClient {
    /// Starts a span, the child of the span that is active on this thread, or else the first of a new trace. It
    /// is active until it is finished or dropped; logs written meanwhile carry its ids.
    #[inline]
    pub fn trace(&self, name: impl Into<Cow<'static, str>>) -> Span {
        self.inner.tracer.trace(name)
    }

    /// Runs `work` in a span. A panic marks the span as failed and goes on; what it said and where needs the hook of
    /// [`fail_spans_on_panic`](datadog_trace::fail_spans_on_panic), which [`patch`](DDClient::patch) of `panic` installs.
    pub fn traced<T>(
        &self,
        name: impl Into<Cow<'static, str>>,
        work: impl FnOnce(&mut Span) -> T,
    ) -> T {
        self.inner.tracer.traced(name, work)
    }

    /// Starts a span, the child of a span of another thread or another process: see [`SpanContext`].
    pub fn trace_from(&self, parent: &SpanContext, name: impl Into<Cow<'static, str>>) -> Span {
        self.inner.tracer.trace_from(parent, name)
    }

    /// Starts a span that is active on no thread, for work that comes and goes on several: it is finished when it is dropped,
    /// on whatever thread.
    pub fn trace_detached(
        &self,
        parent: Parent<'_>,
        name: impl Into<Cow<'static, str>>,
    ) -> DetachedSpan {
        self.inner.tracer.trace_detached(parent, name)
    }

    /// The span that is active on this thread, as others see it.
    pub fn active_span(&self) -> Option<SpanContext> {
        self.inner.tracer.active_span()
    }

    /// Writes the span that is active on this thread into the headers of a request, in the formats of
    /// [`DDConfig::propagation_style_inject`](crate::DDConfig::propagation_style_inject).
    pub fn inject(&self, headers: &mut impl Inject) {
        self.modules().set_messages_used();
        self.inner.tracer.inject(headers);
    }

    /// Reads the trace that a request brings, in the formats of
    /// [`DDConfig::propagation_style_extract`](crate::DDConfig::propagation_style_extract), for
    /// [`trace_from`](DDClient::trace_from).
    pub fn extract(&self, headers: &impl Extract) -> Option<SpanContext> {
        self.modules().set_messages_used();
        self.inner.tracer.extract(headers)
    }

    /// Sends the finished traces that are buffered, and waits at most the shutdown timeout for it.
    pub fn flush_traces(&self) -> FlushReport {
        self.inner
            .transport
            .flush_signal(SignalKind::Traces, self.inner.config.shutdown_timeout())
    }
}
