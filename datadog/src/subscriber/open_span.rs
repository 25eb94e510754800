//! What the registry keeps of a span for the layer.

use datadog_trace::{DetachedSpan, SpanEvent, SpanLink};

use super::callsite::Callsite;
use super::fields::Fields;
use super::http::HttpOptions;
use super::mapping::{self, Failure};

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
    /// What the fields say of a failure, which later ones may take back.
    failure: Failure,
    /// Whether something else than the fields told a failure.
    is_failed: bool,
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
            failure: Failure::default(),
            is_failed: false,
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
        let (was_told, is_failed) = (self.failure.is_told, self.is_failed);
        self.failure = self.span.edit(|span| {
            let failure = mapping::apply(span, name, callsite, fields, http);
            if was_told && !failure.is_told && !is_failed {
                span.set_tag("error", false);
            }
            failure
        });
    }

    /// Marks the span as failed, whatever its fields say later.
    pub(super) fn fail(&mut self, kind: &str, message: &str) {
        self.is_failed = true;
        self.span.edit(|span| _ = span.set_failure(kind, message));
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
    pub(super) fn close(mut self) {
        if self.is_plain {
            self.span.finish_with(self.fields.tags());
        } else {
            if let Some(status) = self.failure.status {
                self.span
                    .edit(|span| _ = span.set_tag("error.status", status));
            }
            self.span.finish();
        }
        self.fields.give_back();
    }
}
