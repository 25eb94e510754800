//! Where finished spans wait because other spans of their traces are still open.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use datadog_transport::Birthplace;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::trace::Trace;

/// Threads that have to do with different traces rarely meet at the same list.
const LISTS: usize = 16;

/// Bytes that lie between two traces in memory, at least.
const TRACE_BITS: u32 = size_of::<Trace>().ilog2();

type List = Mutex<HashMap<usize, Weak<Trace>>>;

/// The traces of one tracer that have such spans, so that they don't stay behind when it ends.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// By where the trace is. Apart, so that what all traces need stays close together.
    lists: Box<[List; LISTS]>,
    closed: AtomicBool,
    birthplace: Birthplace,
}

impl Waiting {
    /// Notes a trace that has such spans. `false` if nothing can wait any more.
    pub(crate) fn insert(&self, trace: &Arc<Trace>) -> bool {
        let place = Arc::as_ptr(trace) as usize;
        let mut list = self.list(place).lock();
        let is_open = !self.closed.load(Ordering::Relaxed);
        if is_open {
            list.insert(place, Arc::downgrade(trace));
        }
        is_open
    }

    /// Forgets a trace that has none any more. In a forked child the list may be locked by a thread that is not there.
    pub(crate) fn remove(&self, trace: &Trace) {
        if self.birthplace.is_here() {
            let place = std::ptr::from_ref(trace) as usize;
            self.list(place).lock().remove(&place);
        }
    }

    /// Lets all of them go on without what they wait for. From now on nothing waits.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        for list in &*self.lists {
            let traces = std::mem::take(&mut *list.lock());
            for trace in traces.values().filter_map(Weak::upgrade) {
                trace.send_waiting();
            }
        }
    }

    fn list(&self, place: usize) -> &List {
        &self.lists[(place >> TRACE_BITS) % LISTS]
    }
}
