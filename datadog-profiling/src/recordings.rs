//! What is recorded beside CPU time.

use std::sync::atomic::{AtomicBool, Ordering};

use datadog_config::DDConfig;
use datadog_transport::{context, profiled};

use crate::allocation;
use crate::counted::{Counted, Values};
use crate::sample::SpanIds;
use crate::{lock_waits, panics};

/// Whether it is wanted which spans what is recorded belongs to.
static WITH_SPANS: AtomicBool = AtomicBool::new(true);

/// The span that something belongs to which is recorded now, on this thread.
pub(crate) fn span() -> Option<SpanIds> {
    let span = context::active()?;
    if !WITH_SPANS.load(Ordering::Relaxed) {
        return None;
    }
    profiled::saw(span.local_root_id);
    Some(span.into())
}

/// The recordings of one profiler, as far as its config wants them.
pub(crate) struct Recordings {
    config: DDConfig,
    allocations: Option<allocation::Recording>,
    panics: Option<panics::Recording>,
    locks: Option<lock_waits::Recording>,
}

impl Recordings {
    pub(crate) fn new(config: &DDConfig) -> Self {
        Self {
            config: config.clone(),
            allocations: None,
            panics: None,
            locks: None,
        }
    }

    /// Starts what is not running.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        let with_spans = self.config.profiling_code_hotspots_enabled()
            || self.config.profiling_endpoint_collection_enabled();
        WITH_SPANS.store(with_spans, Ordering::Relaxed);
        if self.config.profiling_exception_enabled() && self.panics.is_none() {
            self.panics = panics::Recording::start();
        }
        if self.config.profiling_lock_enabled() && self.locks.is_none() {
            self.locks = lock_waits::Recording::start();
        }
        if self.config.profiling_allocation_enabled() && self.allocations.is_none() {
            let in_use = self.config.profiling_heap_enabled();
            self.allocations = allocation::Recording::start(in_use)?;
        }
        Ok(())
    }

    /// Adds what was found since the last time. What is in use replaces what was in use then.
    pub(crate) fn drain(&self, found: &mut Vec<Counted>) {
        if let Some(panics) = &self.panics {
            let dropped = panics.drain(found);
            if dropped > 0 {
                log::warn!(target: "datadog", "profiling: {dropped} panics in too many places are not in the profile");
            }
        }
        if let Some(locks) = &self.locks {
            let dropped = locks.drain(found);
            if dropped > 0 {
                log::warn!(target: "datadog", "profiling: {dropped} waits for locks in too many places are not in the profile");
            }
        }
        let Some(allocations) = &self.allocations else {
            return;
        };
        for counted in &mut *found {
            counted.values.leave_in_use();
        }
        allocations.drain(&mut |stack, span, values| {
            found.push(Counted {
                stack,
                thread: "".into(),
                exception: "",
                span,
                values,
            });
        });
        found.retain(|counted| counted.values != Values::default());
    }

    pub(crate) fn stop(&mut self) {
        self.allocations = None;
        self.panics = None;
        self.locks = None;
    }
}
