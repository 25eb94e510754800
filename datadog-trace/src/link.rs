//! Links from a span to others, of any trace.

use std::borrow::Cow;

use crate::SpanContext;

/// A link from a span to another one that is not its parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanLink {
    /// 128-bit id of the trace that is linked to.
    pub trace_id: u128,
    /// 64-bit id of the span that is linked to.
    pub span_id: u64,
    /// Attributes of the link.
    pub attributes: Vec<(Cow<'static, str>, String)>,
    /// W3C trace state of the linked context; empty if there is none.
    pub tracestate: String,
    /// W3C trace flags of the linked context: 1 if its trace is kept. `None` if that is not known.
    pub flags: Option<u8>,
}

impl SpanLink {
    /// A link to the span of a context. Whether its trace is kept is told if that is decided, and of an extracted context the
    /// trace state too (dd-trace-py: `ddtrace/_trace/span.py`, link_span).
    pub fn to(context: &SpanContext) -> Self {
        Self {
            trace_id: context.trace_id(),
            span_id: context.span_id(),
            attributes: Vec::new(),
            tracestate: context.tracestate(),
            flags: context.priority().map(|priority| u8::from(priority > 0)),
        }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(
        mut self,
        key: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        self.attributes.push((key.into(), value.into()));
        self
    }

    /// About how many bytes it occupies.
    pub(crate) fn bytes(&self) -> usize {
        let attributes = self.attributes.iter();
        let attributes: usize = attributes
            .map(|(key, value)| key.len() + value.len() + 48)
            .sum();
        size_of::<Self>() + self.tracestate.len() + attributes
    }
}
