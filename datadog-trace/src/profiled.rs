//! What profiles are told of traces: that a local root was profiled goes into its tags, and its endpoint to the profiler.

use std::sync::{Arc, Weak};

use datadog_transport::profiled;
use parking_lot::Mutex;

use crate::span_data::SpanData;
use crate::trace::Trace;

/// Says that the process was profiled (dd-trace-go: `internal/traceprof/profiler.go`).
const PROFILED: &str = "_dd.profiling.enabled";

/// The types of spans whose resources tell no secrets, as an SQL statement may: web, RPC and those without a type, which
/// are the program's own (dd-trace-go: `spanResourcePIISafe` in `ddtrace/tracer/tracer.go`), and others that stand for
/// requests and jobs.
const SAFE_TYPES: [&str; 8] = [
    "",
    "web",
    "rpc",
    "http",
    "proxy",
    "worker",
    "queue",
    "serverless",
];

/// Local roots that are open, as far as there is room. Most of them end before anybody asks; those that last keep their
/// slots.
static OPEN: [Slot; 1024] = [const { Mutex::new(None) }; 1024];

/// A local root's id, and its trace.
type Slot = Mutex<Option<(u64, Weak<Trace>)>>;

/// Notes that a trace starts, for those who ask for its endpoint before it ends.
#[cold]
pub(crate) fn started(trace: &Arc<Trace>) {
    profiled::started();
    if !profiled::wants_endpoints() {
        return;
    }
    let root = trace.local_root_id;
    // Nobody holds these locks for long, and after a fork nobody may hold them for ever.
    if let Some(mut slot) = slot(root).try_lock() {
        let lasts = |(_, other): &(u64, Weak<Trace>)| other.strong_count() > 0;
        if !slot.as_ref().is_some_and(lasts) {
            *slot = Some((root, Arc::downgrade(trace)));
        }
    }
}

/// Notes that the first span of a trace ends.
#[cold]
pub(crate) fn ended(root: &mut SpanData) {
    root.tags.set_number(PROFILED.into(), 1.0);
    if let Some(endpoint) = endpoint(root) {
        profiled::served(root.span_id, endpoint);
    }
    if let Some(mut slot) = slot(root.span_id).try_lock()
        && slot.as_ref().is_some_and(|(open, _)| *open == root.span_id)
    {
        *slot = None;
    }
}

/// The endpoint of a local root that is open.
pub(crate) fn open_root(id: u64) -> Option<Arc<str>> {
    let trace = match &*slot(id).try_lock()? {
        Some((open, trace)) if *open == id => trace.upgrade()?,
        _ => return None,
    };
    trace
        .with_root(|root| endpoint(root).map(Arc::from))
        .flatten()
}

fn slot(root: u64) -> &'static Slot {
    &OPEN[root as usize % OPEN.len()]
}

fn endpoint(root: &SpanData) -> Option<&str> {
    let span_type = root.span_type.as_deref().unwrap_or_default();
    SAFE_TYPES.contains(&span_type).then(|| root.resource())
}
