//! Spans that are left out: what is within them is within the span that they were started in, on whatever thread. The
//! registry does not know that one if it is none of `tracing`.

use datadog_trace::{SpanContext, SpanKey};
use tracing_core::Subscriber;
use tracing_core::span::{Attributes, Id};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::layer::DDTracingLayer;

/// What the registry keeps of a span that is left out.
struct LeftOut {
    /// Of the layer that left it out: there may be several.
    key: SpanKey,
    within: SpanContext,
}

impl DDTracingLayer {
    /// Notes what a span that is left out is within.
    pub(super) fn leave_out<S>(
        &self,
        attributes: &Attributes<'_>,
        id: &Id,
        context: &Context<'_, S>,
    ) where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let contextual = attributes.is_contextual();
        let active = contextual.then(|| self.tracer.active_span()).flatten();
        let within = active.or_else(|| self.parent(attributes, id, context));
        if let (Some(within), Some(span)) = (within, context.span(id)) {
            let key = self.key(id);
            span.extensions_mut().replace(LeftOut { key, within });
        }
    }

    /// Makes active what a span is within, if it is left out and this thread does not know better. Whether it did.
    pub(super) fn enter_left_out<S>(&self, id: &Id, context: &Context<'_, S>) -> bool
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let within = context.span(id).and_then(|span| self.within(&span));
        within.is_some_and(|within| self.key(id).activate_within(&within))
    }

    /// What a span is within, if it is left out.
    pub(super) fn within<'a, S>(&self, span: &SpanRef<'a, S>) -> Option<SpanContext>
    where
        S: LookupSpan<'a>,
    {
        let extensions = span.extensions();
        let left_out = extensions.get::<LeftOut>()?;
        (left_out.key == self.key(&span.id())).then(|| left_out.within.clone())
    }
}
