//! Traces that run for long are shown while they run: what is finished, and their first span as it is so far, which the
//! next such report and in the end the span itself replace. As dd-trace-java does it
//! (`dd-trace-core/src/main/java/datadog/trace/core/LongRunningTracesTracker.java`), but for other open spans, which
//! only their threads know.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use parking_lot::Mutex;

use crate::ticks::Ticks;
use crate::trace::Trace;

/// The most traces that are watched (dd-trace-java: `PendingTraceBuffer.java`).
const MOST_TRACES: usize = 1 << 12;

/// So old, a trace is not shown any more (dd-trace-java: `LongRunningTracesTracker.java`).
const MOST_AGE: Duration = Duration::from_secs(12 * 3600);

/// How long to wait for the list. Not for ever: in a forked child who holds it may not be there.
const PATIENCE: Duration = Duration::from_millis(100);

/// Which traces run, and when to show them.
#[derive(Debug)]
pub(crate) struct LongRunning {
    first_after: Duration,
    then_every: Duration,
    traces: Mutex<Vec<Running>>,
}

#[derive(Debug)]
struct Running {
    trace: Weak<Trace>,
    started: Instant,
    next: Instant,
}

impl LongRunning {
    /// `None` if it is off.
    pub(crate) fn new(config: &DDConfig) -> Option<Self> {
        config.long_running_enabled().then(|| Self {
            first_after: config.long_running_initial_flush_interval(),
            then_every: config.long_running_flush_interval(),
            traces: Mutex::default(),
        })
    }

    /// Watches a trace that starts.
    pub(crate) fn watch(&self, trace: &Arc<Trace>) {
        let started = Instant::now();
        let Some(mut traces) = self.traces.try_lock_for(PATIENCE) else {
            return;
        };
        if traces.len() >= MOST_TRACES {
            traces.retain(|running| running.trace.strong_count() > 0);
        }
        if traces.len() < MOST_TRACES {
            traces.push(Running {
                trace: Arc::downgrade(trace),
                started,
                next: started + self.first_after,
            });
        }
    }

    /// Hands over what is to be shown now.
    pub(crate) fn report(&self, now: Instant) {
        for (trace, age) in self.due(now) {
            if !trace.report(Ticks::now(), age) {
                let gone = Arc::downgrade(&trace);
                let mut traces = self.traces.lock();
                traces.retain(|running| !running.trace.ptr_eq(&gone));
            }
        }
    }

    fn due(&self, now: Instant) -> Vec<(Arc<Trace>, Duration)> {
        let mut due = Vec::new();
        self.traces.lock().retain_mut(|running| {
            let age = now.saturating_duration_since(running.started);
            let Some(trace) = running.trace.upgrade() else {
                return false;
            };
            if age > MOST_AGE {
                return false;
            }
            if now >= running.next {
                running.next = now + self.then_every;
                due.push((trace, age));
            }
            true
        });
        due
    }
}
