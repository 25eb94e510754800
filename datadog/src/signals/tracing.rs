//! Traces.

use std::borrow::Cow;

use datadog_trace::Span;
use datadog_transport::{FlushReport, SignalKind};

use crate::DDClient;

impl DDClient {
    /// Starts a span, the child of the span that is active on this thread, or else the first of a new trace. It
    /// is active until it is finished or dropped; logs written meanwhile carry its ids.
    pub fn trace(&self, name: impl Into<Cow<'static, str>>) -> Span {
        self.inner.tracer.trace(name)
    }

    /// Runs `work` in a span. A panic marks the span as failed and goes on.
    pub fn traced<T>(
        &self,
        name: impl Into<Cow<'static, str>>,
        work: impl FnOnce(&mut Span) -> T,
    ) -> T {
        self.inner.tracer.traced(name, work)
    }

    /// Sends the finished traces that are buffered, and waits at most the shutdown timeout for it.
    pub fn flush_traces(&self) -> FlushReport {
        self.inner
            .transport
            .flush_signal(SignalKind::Traces, self.inner.config.shutdown_timeout())
    }
}
