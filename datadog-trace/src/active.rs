//! The stack of open spans on each thread. Its top is the parent of the next span, and what
//! [`datadog_transport::context`] shows to the other signals.

use std::cell::RefCell;
use std::sync::Arc;

use datadog_transport::context::{self, ActiveSpan};

use crate::trace::Trace;

/// What a child needs to know of its parent.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    /// Which tracer made the span: spans of different clients don't mix.
    pub(crate) tracer: usize,
    pub(crate) trace: Arc<Trace>,
    pub(crate) span_id: u64,
    pub(crate) service: Arc<str>,
}

thread_local! {
    static STACK: RefCell<Vec<Parent>> = const { RefCell::new(Vec::new()) };
}

/// The innermost open span of `tracer` on this thread.
pub(crate) fn parent(tracer: usize) -> Option<Parent> {
    with_stack(|stack| {
        stack
            .iter()
            .rev()
            .find(|open| open.tracer == tracer)
            .cloned()
    })
    .flatten()
}

/// Makes a span the active one of this thread.
pub(crate) fn enter(span: Parent) {
    with_stack(|stack| {
        stack.push(span);
        show_top(stack);
    });
}

/// Takes a span off the stack, wherever it is.
pub(crate) fn leave(span_id: u64) {
    with_stack(|stack| {
        if let Some(at) = stack.iter().rposition(|open| open.span_id == span_id) {
            stack.remove(at);
            show_top(stack);
        }
    });
}

/// Notes that an open span changed its service, which later children inherit.
pub(crate) fn rename_service(span_id: u64, service: &Arc<str>) {
    with_stack(|stack| {
        if let Some(open) = stack.iter_mut().rfind(|open| open.span_id == span_id) {
            open.service = Arc::clone(service);
        }
    });
}

fn show_top(stack: &[Parent]) {
    context::replace(stack.last().map(|top| ActiveSpan {
        trace_id: top.trace.id,
        span_id: top.span_id,
        local_root_id: top.trace.local_root_id,
    }));
}

/// `None` while the thread is being torn down.
fn with_stack<T>(work: impl FnOnce(&mut Vec<Parent>) -> T) -> Option<T> {
    STACK.try_with(|stack| work(&mut stack.borrow_mut())).ok()
}
