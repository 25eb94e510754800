//! Where the facts of an open span are.

use std::borrow::Cow;
use std::sync::Arc;

use crate::span_data::SpanData;
use crate::trace::Trace;

/// Where the facts of an open span are.
pub(crate) enum Place {
    /// With the span.
    Own(Box<SpanData>),
    /// With the trace, whose first span it is: sampling looks at it from whatever thread.
    Root(Arc<Trace>),
}

impl Place {
    pub(crate) fn span_id(&self) -> u64 {
        match self {
            Self::Own(data) => data.span_id,
            Self::Root(trace) => trace.local_root_id,
        }
    }

    pub(crate) fn service(&self) -> Option<Arc<str>> {
        match self {
            Self::Own(data) => data.service.clone(),
            Self::Root(trace) => trace.root_service(),
        }
    }

    /// What the stack of active spans has to know.
    #[inline]
    pub(crate) fn service_and_name(&self) -> (Option<Arc<str>>, Cow<'static, str>) {
        let facts = |data: &SpanData| (data.service.clone(), data.name.clone());
        match self {
            Self::Own(data) => facts(data),
            Self::Root(trace) => trace.with_root(|data| facts(data)).unwrap_or_default(),
        }
    }
}
