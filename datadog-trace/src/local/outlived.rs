//! Spans that outlive what their thread keeps of them: those in the program's own thread-local variables.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use crate::span_data::SpanData;
use crate::ticks::Ticks;
use crate::trace::Trace;

/// Ids of spans with their traces.
type Spans = Vec<(u64, Arc<Trace>)>;

thread_local! {
    /// The traces of such spans. There is no destructor to run, so it is there until the thread is gone; what the program
    /// leaks it leaks with it.
    static OPEN: ManuallyDrop<RefCell<Spans>> =
        const { ManuallyDrop::new(RefCell::new(Vec::new())) };
}

/// Remembers the trace of an open span.
pub(super) fn keep(span_id: u64, trace: &Arc<Trace>) {
    with(|open| open.push((span_id, Arc::clone(trace))));
}

/// Brings such a span when it ends.
#[cold]
#[inline(never)]
pub(super) fn finish(mut data: Box<SpanData>, end: Ticks) {
    let trace = with(|open| {
        let at = open.iter().position(|(id, _)| *id == data.span_id)?;
        let (_, trace) = open.swap_remove(at);
        if open.is_empty() {
            *open = Vec::new();
        }
        Some(trace)
    });
    if let Some(trace) = trace.flatten() {
        trace.hold();
        trace.release_span(&mut data, end, std::iter::empty());
    }
}

fn with<T>(work: impl FnOnce(&mut Spans) -> T) -> Option<T> {
    OPEN.try_with(|open| Some(work(&mut *open.try_borrow_mut().ok()?)))
        .ok()
        .flatten()
}
