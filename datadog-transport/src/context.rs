//! The active span of each thread: traces write it; logs, metrics and profiles read it. It works empty.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use crate::{in_spans, thread_context};

/// The ids of the span that is active on a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveSpan {
    /// 128-bit trace id.
    pub trace_id: u128,
    /// 64-bit span id, never 0.
    pub span_id: u64,
    /// Span id of the first span of this trace in this process.
    pub local_root_id: u64,
}

thread_local! {
    // Neither made lazily nor dropped, so that a signal handler may read it at any time of the thread's life.
    static SLOT: Slot = const { Slot::empty() };
}

/// Plain loads and stores, but atomic ones: a profiler's signal handler may read the slot at any instruction of
/// the thread that writes it. A span id of 0 means empty, and is what a half-written slot shows. No other thread
/// reads it, so only the compiler has to keep the order.
struct Slot {
    trace_id_high: AtomicU64,
    trace_id_low: AtomicU64,
    span_id: AtomicU64,
    local_root_id: AtomicU64,
}

/// The span that is active on this thread. A signal handler may ask, too.
#[inline]
pub fn active() -> Option<ActiveSpan> {
    SLOT.try_with(Slot::get).ok().flatten()
}

/// Makes `span` the active one of this thread.
#[inline]
pub fn set(span: Option<ActiveSpan>) {
    // A thread that is being torn down shows none.
    let _ = SLOT.try_with(|slot| slot.set(span));
    in_spans::show(span.is_some());
    thread_context::show_with(|| span);
}

/// Makes another span of the active trace the active one of this thread.
#[inline]
pub fn set_span(span_id: u64) {
    let _ = SLOT.try_with(|slot| slot.span_id.store(span_id, Ordering::Relaxed));
    in_spans::show(true);
    thread_context::show_with(active);
}

/// Makes `span` the active one of this thread and returns the one that was.
pub fn replace(span: Option<ActiveSpan>) -> Option<ActiveSpan> {
    in_spans::show(span.is_some());
    thread_context::show_with(|| span);
    SLOT.try_with(|slot| {
        let previous = slot.get();
        slot.set(span);
        previous
    })
    .ok()
    .flatten()
}

/// What readers of the published spans have to know: attributes of OpenTelemetry's process context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadContext {
    /// `threadlocal.schema_version`.
    pub schema: &'static str,
    /// `threadlocal.attribute_key_map`.
    pub attributes: &'static [&'static str],
}

/// Publishes the active span of each thread from now on, for profilers outside of the process: see
/// [`DDConfig::otel_context_enabled`](datadog_config::DDConfig::otel_context_enabled). `None` where that is impossible; the log says why.
pub fn publish() -> Option<ThreadContext> {
    thread_context::publish()
}

/// Tells the name of the span that is active on the calling thread.
pub type Namer = fn() -> Option<String>;

static NAMER: OnceLock<Namer> = OnceLock::new();

/// Lets other signals ask for the active span's name. For whoever writes the slot; only the first call counts.
///
/// A name is rarely asked for, so spans don't pay for it: it is looked up when it is.
pub fn name_with(namer: Namer) {
    let _ = NAMER.set(namer);
}

/// The name of the span that is active on this thread.
pub fn active_name() -> Option<String> {
    NAMER.get().and_then(|namer| namer())
}

impl Slot {
    const fn empty() -> Self {
        Self {
            trace_id_high: AtomicU64::new(0),
            trace_id_low: AtomicU64::new(0),
            span_id: AtomicU64::new(0),
            local_root_id: AtomicU64::new(0),
        }
    }

    fn get(&self) -> Option<ActiveSpan> {
        let span_id = self.span_id.load(Ordering::Relaxed);
        compiler_fence(Ordering::Acquire);
        (span_id != 0).then(|| ActiveSpan {
            trace_id: u128::from(self.trace_id_high.load(Ordering::Relaxed)) << 64
                | u128::from(self.trace_id_low.load(Ordering::Relaxed)),
            span_id,
            local_root_id: self.local_root_id.load(Ordering::Relaxed),
        })
    }

    #[inline]
    fn set(&self, span: Option<ActiveSpan>) {
        self.span_id.store(0, Ordering::Relaxed);
        if let Some(span) = span {
            compiler_fence(Ordering::SeqCst);
            self.trace_id_high
                .store((span.trace_id >> 64) as u64, Ordering::Relaxed);
            self.trace_id_low
                .store(span.trace_id as u64, Ordering::Relaxed);
            self.local_root_id
                .store(span.local_root_id, Ordering::Relaxed);
            compiler_fence(Ordering::Release);
            self.span_id.store(span.span_id, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_asked_for_where_they_are_kept() {
        assert_eq!(active_name(), None);
        name_with(|| Some("web.request".to_owned()));
        name_with(|| None);
        assert_eq!(active_name().as_deref(), Some("web.request"));
    }

    #[test]
    fn each_thread_has_its_own_slot() {
        let span = ActiveSpan {
            trace_id: (7 << 64) | 9,
            span_id: 3,
            local_root_id: 2,
        };
        assert_eq!(replace(Some(span)), None);
        assert_eq!(active(), Some(span));
        assert_eq!(std::thread::spawn(active).join().unwrap(), None);
        assert_eq!(replace(None), Some(span));
        assert_eq!(active(), None);
    }
}
