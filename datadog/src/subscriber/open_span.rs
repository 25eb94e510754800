//! What the registry keeps of a span for the layer.

use datadog_trace::{DetachedSpan, SpanEvent, SpanLink};

use super::callsite::Callsite;
use super::fields::Fields;
use super::http::HttpOptions;
use super::mapping;

/// The most events of one span (OpenTelemetry specification, "Span Limits").
const MOST_EVENTS: u32 = 128;

/// An open span.
#[derive(Debug)]
pub(super) struct OpenSpan {
    pub(super) span: DetachedSpan,
    /// Elsewhere, as that is moved several times.
    pub(super) fields: Box<Fields>,
    events: u32,
    /// Whether the fields become tags when the span ends, which costs less: nobody asks for them before.
    is_plain: bool,
}

impl OpenSpan {
    /// A span that starts. Its fields are not written yet.
    #[inline(always)]
    pub(super) fn new(span: DetachedSpan, fields: Box<Fields>, is_plain: bool) -> Self {
        Self {
            span,
            fields,
            events: 0,
            is_plain,
        }
    }

    /// Writes the fields to the Datadog span.
    #[inline]
    pub(super) fn apply(&mut self, name: &'static str, callsite: Callsite, http: &HttpOptions) {
        if self.is_plain {
            return;
        }
        let fields = &*self.fields;
        if fields.is_empty() && callsite.rule.is_none() {
            return;
        }
        if callsite.is_plain() {
            return self.span.set_tags(fields.tags());
        }
        self.span
            .edit(|span| mapping::apply(span, name, callsite, fields, http));
    }

    pub(super) fn link_to(&mut self, other: &SpanLink) {
        self.span.edit(|span| {
            span.add_link(other.clone());
        });
    }

    /// Adds an event, unless the span has too many.
    pub(super) fn add_event(&mut self, event: impl FnOnce() -> SpanEvent) {
        if self.events < MOST_EVENTS {
            self.events += 1;
            self.span.edit(|span| {
                span.add_event(event());
            });
        }
    }

    #[inline]
    pub(super) fn close(self) {
        if self.is_plain {
            self.span.finish_with(self.fields.tags());
        } else {
            self.span.finish();
        }
        self.fields.give_back();
    }
}
