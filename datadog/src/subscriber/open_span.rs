//! What the registry keeps of a span for the layer.

use datadog_trace::{DetachedSpan, SpanEvent, SpanLink};

use super::callsite::Callsite;
use super::fields::Fields;
use super::http::HttpOptions;
use super::mapping;

/// The most events of one span (OpenTelemetry specification, "Span Limits").
const MOST_EVENTS: usize = 128;

/// An open span.
#[derive(Debug)]
pub(super) struct OpenSpan {
    pub(super) span: DetachedSpan,
    /// Elsewhere, as that is moved several times.
    pub(super) fields: Box<Fields>,
    events: usize,
}

impl OpenSpan {
    #[inline]
    pub(super) fn new(span: DetachedSpan, fields: Box<Fields>) -> Self {
        Self {
            span,
            fields,
            events: 0,
        }
    }

    /// Writes the fields to the Datadog span.
    #[inline]
    pub(super) fn apply(&mut self, name: &'static str, callsite: Callsite, http: &HttpOptions) {
        let fields = &*self.fields;
        if fields.is_empty() && callsite.rule.is_none() {
            return;
        }
        if callsite.is_plain {
            let tags = fields.iter();
            let tags = tags.map(|(key, value)| (key, mapping::tag_value(value)));
            return self.span.set_tags(tags);
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

    pub(super) fn close(self) {
        drop(self.span);
        self.fields.give_back();
    }
}
