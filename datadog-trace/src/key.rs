//! Keys by which a bridge from another library finds its spans on their thread.

use crate::context::Inner;
use crate::{SpanContext, id, local};

/// The keys of one bridge, told apart from those of others.
#[derive(Debug)]
pub struct SpanKeys(u64);

/// A bridge's own name for an open span. It means something only on threads where the span was started or is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanKey(u64);

impl SpanKeys {
    /// For a new bridge.
    pub fn new() -> Self {
        Self(id::span_id())
    }

    /// The key of the span that the other library knows by `id`.
    #[inline]
    pub fn of(&self, id: u64) -> SpanKey {
        SpanKey(id ^ self.0)
    }
}

impl Default for SpanKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl SpanKey {
    /// Of spans without one.
    pub(crate) const NONE: Self = Self(0);

    /// Makes the span active on this thread if it is the one that was started here last, by
    /// [`Tracer::trace_child`](crate::Tracer::trace_child), and was not active yet. Whether it did so; if not,
    /// [`DetachedSpan::activate_as`](crate::DetachedSpan::activate_as) does it at some more cost.
    #[inline]
    pub fn activate(self) -> bool {
        local::enter_last(self)
    }

    /// Makes a span active on this thread that another one, which has this key and is none of the tracer's, is within;
    /// unless a span of the same trace is active here. Whether it did so.
    pub fn activate_within(self, span: &SpanContext) -> bool {
        match &span.0 {
            Inner::Here {
                trace,
                span_id,
                service,
            } => local::enter_for(self, trace, *span_id, service.clone()),
            Inner::Elsewhere(_) => false,
        }
    }

    /// Undoes the last activation of this thread by this key. Whether there was one.
    #[inline]
    pub fn deactivate(self) -> bool {
        local::exit_key(self)
    }
}
