//! What the registry keeps of a span for the layer.

use datadog_trace::{DetachedSpan, SpanEvent, SpanLink};
use tracing_core::Metadata;

use super::fields::Fields;
use super::mapping;
use super::rules::Rule;

/// The most events of one span (OpenTelemetry specification, "Span Limits").
const MOST_EVENTS: usize = 128;

/// An open span.
#[derive(Debug)]
pub(super) struct OpenSpan {
    pub(super) span: DetachedSpan,
    pub(super) fields: Fields,
    pub(super) rule: Option<&'static Rule>,
    name: &'static str,
    events: usize,
}

impl OpenSpan {
    pub(super) fn new(
        span: DetachedSpan,
        metadata: &'static Metadata<'static>,
        rule: Option<&'static Rule>,
        fields: Fields,
    ) -> Self {
        let mut open = Self {
            span,
            fields,
            rule,
            name: metadata.name(),
            events: 0,
        };
        open.apply();
        open
    }

    /// Writes the fields to the Datadog span.
    pub(super) fn apply(&mut self) {
        if self.fields.is_empty() && self.rule.is_none() {
            return;
        }
        let (name, rule, fields) = (self.name, self.rule, &self.fields);
        self.span
            .edit(|span| mapping::apply(span, name, rule, fields));
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
