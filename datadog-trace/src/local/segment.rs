//! What a thread keeps of one trace, until it leaves the thread.

use std::sync::Arc;

use crate::batch::Batch;
use crate::span_data::SpanData;
use crate::ticks::Ticks;
use crate::trace::Trace;

/// Finished spans of an open trace go on when they occupy so many bytes, few as they may be.
const FLUSH_BYTES: usize = 1 << 20;

/// The spans of one trace on one thread.
pub(super) struct Segment {
    pub(super) trace: Arc<Trace>,
    pub(super) open: usize,
    pub(super) finished: Batch,
    /// Holds the trace for the next detached span.
    pub(super) hold: Option<Arc<Trace>>,
}

/// Which segment of its thread a span belongs to.
pub(crate) type SegmentId = usize;

/// Finished spans that leave the thread.
pub(super) enum Ready {
    /// All of a segment that has no open span.
    All(Arc<Trace>, Batch),
    /// Those of a segment that grew large.
    Part(Arc<Trace>, Batch),
}

impl Ready {
    pub(super) fn go(self) {
        match self {
            Self::All(trace, spans) if spans.is_empty() => trace.leave(),
            Self::All(trace, spans) => trace.release(spans),
            Self::Part(trace, spans) => trace.flush(spans),
        }
    }
}

impl Segment {
    /// Takes a finished span. Only now memory is needed: many segments never see one.
    #[inline(always)]
    pub(super) fn push(&mut self, data: &mut SpanData, end: Ticks) {
        self.finished().push(data, end);
    }

    #[inline]
    pub(super) fn finished(&mut self) -> &mut Batch {
        if self.finished.has_no_memory() {
            self.finished = self.trace.tracer.pool.take();
        }
        &mut self.finished
    }

    /// What is finished, if that is much.
    #[inline]
    pub(super) fn part(&mut self) -> Option<Ready> {
        let many =
            self.finished.len() >= self.trace.flush_spans() || self.finished.bytes() >= FLUSH_BYTES;
        many.then(|| {
            let trace = Arc::clone(&self.trace);
            Ready::Part(trace, std::mem::take(&mut self.finished))
        })
    }
}
