//! One trace of this process, while its spans are open.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::id;

/// What the spans of one trace share.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) id: u128,
    pub(crate) local_root_id: u64,
    open: AtomicUsize,
    finished: Mutex<Vec<SpanData>>,
}

/// One span's facts.
#[derive(Debug)]
pub(crate) struct SpanData {
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    /// 0 for the first span of the trace.
    pub(crate) parent_id: u64,
    /// Whether it is the first span of the trace in this process.
    pub(crate) is_local_root: bool,
    pub(crate) name: Cow<'static, str>,
    pub(crate) service: Arc<str>,
    /// Whether the service differs from the parent's: such spans count as requests to their service.
    pub(crate) top_level: bool,
    pub(crate) resource: Option<Cow<'static, str>>,
    pub(crate) span_type: Option<Cow<'static, str>>,
    pub(crate) start: Instant,
    pub(crate) duration_ns: u64,
    pub(crate) error: bool,
    pub(crate) meta: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub(crate) metrics: Vec<(Cow<'static, str>, f64)>,
}

impl Trace {
    /// A trace that starts here, with the id of its first span.
    pub(crate) fn start(wide_id: bool) -> Arc<Self> {
        Arc::new(Self {
            id: if wide_id {
                id::trace_id()
            } else {
                id::span_id().into()
            },
            local_root_id: id::span_id(),
            open: AtomicUsize::new(0),
            finished: Mutex::new(Vec::new()),
        })
    }

    /// Counts a span that starts.
    pub(crate) fn open_span(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a finished span. Returns all spans of the trace if it was the last open one.
    pub(crate) fn finish_span(&self, span: SpanData) -> Option<Vec<SpanData>> {
        let mut finished = self.finished.lock();
        finished.push(span);
        let was_last = self.open.fetch_sub(1, Ordering::AcqRel) == 1;
        was_last.then(|| std::mem::take(&mut *finished))
    }
}

impl SpanData {
    pub(crate) fn has_tag(&self, key: &str) -> bool {
        self.meta.iter().any(|(known, _)| known == key)
            || self.metrics.iter().any(|(known, _)| known == key)
    }

    /// About how many bytes it occupies.
    pub(crate) fn bytes(&self) -> usize {
        let meta: usize = self
            .meta
            .iter()
            .map(|(key, value)| key.len() + value.len() + 48)
            .sum();
        let metrics: usize = self.metrics.iter().map(|(key, _)| key.len() + 32).sum();
        let texts = [
            Some(&self.name),
            self.resource.as_ref(),
            self.span_type.as_ref(),
        ];
        let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
        size_of::<Self>() + meta + metrics + texts
    }
}
