//! What each thread keeps of its spans, so that a span that starts and ends on one thread takes no lock: the stack of
//! active spans, and the finished ones in a segment for each trace. A thread's segment of a trace opens with its first
//! span there, and is brought to the [trace](Trace) when none of its spans is open any more.

mod detached;
mod outlived;
mod parked;
mod segment;

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use datadog_transport::context::{self, ActiveSpan};

use crate::batch::Batch;
use crate::id::Ids;
use crate::key::SpanKey;
use crate::reused::{Blank, Reused};
use crate::span_data::SpanData;
use crate::ticks::Ticks;
use crate::trace::Trace;

pub(crate) use detached::{enter_for, enter_last, exit, exit_key, finish_detached, start_detached};
pub(crate) use parked::{park_above, unpark};
pub(crate) use segment::SegmentId;
use segment::{Ready, Segment};

/// The most memory that a thread keeps for spans to come: so many spans, none of them larger than so many bytes.
const FREE_SPANS: usize = 64;
const FREE_BYTES: usize = 4_096;

thread_local! {
    static LOCAL: RefCell<Local> = const { RefCell::new(Local::new()) };
}

struct Local {
    /// By [`SegmentId`]; `None` where a new one may go.
    segments: Vec<Option<Segment>>,
    /// What of it is not in use has no services, and no names that take memory.
    active: Reused<Active>,
    /// One more than there are active spans, while the entry behind them is the span that was started last and may be made
    /// active by its key.
    prepared: usize,
    /// Spans that ended while a future kept them off the stack: they don't come back to it.
    ended_parked: Vec<u64>,
    ids: Ids,
    /// Memory of spans, to be used again while it is still in the cache.
    #[expect(clippy::vec_box, reason = "they go in and out one by one")]
    free: Vec<Box<SpanData>>,
}

/// An entry of the stack of active spans: what a child needs to know of its parent.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    /// Which tracer made the span: spans of different clients don't mix.
    tracer: usize,
    segment: SegmentId,
    by: By,
    pub(crate) span_id: u64,
    pub(crate) service: Option<Arc<str>>,
    /// For metrics that take the span's name.
    name: Cow<'static, str>,
}

/// Who made a span active.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum By {
    /// A [`Span`](crate::Span), which stays on its thread.
    Guard,
    /// The program, or a bridge, which calls the span by the key.
    Hand(SpanKey),
}

/// Starts a child of the innermost open span of `tracer`. `None` if there is no such span, or the thread is being torn
/// down.
pub(crate) fn start_child(tracer: usize, name: &'static str) -> Option<(SegmentId, Box<SpanData>)> {
    with(|local| {
        let top = local.active.last()?;
        let parent = if top.tracer == tracer {
            top
        } else {
            innermost(&local.active, tracer)?
        };
        let segment = parent.segment;
        let is_shown = top.segment == segment;
        let start = Ticks::now();
        let span_id = local.ids.next();
        let mut data = local.free.pop().unwrap_or_else(fresh);
        data.begin(span_id, parent.span_id, Cow::Borrowed(name), start);
        // Few have one.
        if parent.service.is_some() {
            data.service.clone_from(&parent.service);
        }
        local.segments.get_mut(segment)?.as_mut()?.open += 1;
        let entry = local.active.next();
        entry.tracer = tracer;
        entry.segment = segment;
        entry.by = By::Guard;
        entry.span_id = span_id;
        entry.name = Cow::Borrowed(name);
        if data.service.is_some() {
            entry.service.clone_from(&data.service);
        }
        if is_shown {
            context::set_span(span_id);
        } else {
            local.show_top();
        }
        Some((segment, data))
    })
    .flatten()
}

/// A random 64-bit span id, never 0. `None` while the thread is being torn down.
pub(crate) fn span_id() -> Option<u64> {
    with(|local| local.ids.next())
}

/// Memory for a span that is no child of this thread.
pub(crate) fn memory() -> Box<SpanData> {
    with(|local| local.free.pop())
        .flatten()
        .unwrap_or_else(fresh)
}

/// New memory for a span. Apart, as it is rarely needed.
#[cold]
#[inline(never)]
fn fresh() -> Box<SpanData> {
    Box::default()
}

/// Makes a span of `trace` the active one of this thread. It adds a holder to the trace if this thread has no segment
/// of it. `None` while the thread is being torn down.
pub(crate) fn enter(
    by: By,
    trace: &Arc<Trace>,
    span_id: u64,
    service: Option<Arc<str>>,
    name: Cow<'static, str>,
) -> Option<SegmentId> {
    with(|local| {
        local.prepared = 0;
        let segment = local.segment_of(trace);
        let entry = local.active.next();
        entry.tracer = trace.tracer.id();
        entry.segment = segment;
        entry.by = by;
        entry.span_id = span_id;
        if service.is_some() {
            entry.service = service;
        }
        entry.name = name;
        context::set(Some(shown(trace, span_id)));
        Some(segment)
    })
    .flatten()
}

/// Takes a finished span, which is active no more.
#[inline(never)]
pub(crate) fn finish(segment: SegmentId, data: Box<SpanData>, end: Ticks) {
    // Not what the work returns: moving it would take time, though there is mostly none.
    let mut ready = None;
    let mut span = Some(data);
    with(|local| {
        let mut data = span.take()?;
        local.leave_for_good(data.span_id);
        let of_trace = local.segments.get_mut(segment)?.as_mut()?;
        of_trace.push(&mut data, end);
        keep(&mut local.free, data);
        of_trace.open -= 1;
        if of_trace.open == 0 {
            ready = local.close(segment);
        } else if let Some(part) = of_trace.part() {
            ready = Some(part);
        }
        Some(())
    });
    if let Some(ready) = ready {
        ready.go();
    }
    if let Some(data) = span {
        outlived::finish(data, end);
    }
}

/// Takes an open span off this thread: it goes on elsewhere. Its trace, with a holder for the span.
pub(crate) fn detach(segment: SegmentId, span_id: u64) -> Option<Arc<Trace>> {
    let (trace, ready) = with(|local| {
        local.leave_for_good(span_id);
        let of_trace = local.segments.get_mut(segment)?.as_mut()?;
        let trace = Arc::clone(&of_trace.trace);
        trace.hold();
        of_trace.open -= 1;
        let closed = of_trace.open == 0;
        Some((trace, if closed { local.close(segment) } else { None }))
    })??;
    if let Some(ready) = ready {
        ready.go();
    }
    Some(trace)
}

/// Gives an open span its name, which was not known for good when it started.
pub(crate) fn rename(span_id: u64, name: String) {
    for_each_of(span_id, |open| open.name = Cow::Owned(name.clone()));
}

/// Notes that an open span changed its service, which later children inherit.
pub(crate) fn rename_service(span_id: u64, service: &Arc<str>) {
    for_each_of(span_id, |open| open.service = Some(Arc::clone(service)));
}

/// Changes the entries of an open span, which may be active several times.
fn for_each_of(span_id: u64, change: impl FnMut(&mut Active)) {
    with(|local| {
        let open = local.active.iter_mut();
        open.filter(|open| open.span_id == span_id).for_each(change);
    });
}

/// The trace of a segment.
pub(crate) fn trace(segment: SegmentId) -> Option<Arc<Trace>> {
    with(|local| {
        let segment = local.segments.get(segment)?.as_ref()?;
        Some(Arc::clone(&segment.trace))
    })
    .flatten()
}

/// The innermost open span of `tracer` on this thread: its trace, id and service.
pub(crate) fn active(tracer: usize) -> Option<(Arc<Trace>, u64, Option<Arc<str>>)> {
    with(|local| {
        let active = local.active.iter().rfind(|open| open.tracer == tracer)?;
        let segment = local.segments.get(active.segment)?.as_ref()?;
        let trace = Arc::clone(&segment.trace);
        Some((trace, active.span_id, active.service.clone()))
    })
    .flatten()
}

/// Shows the innermost open span of `tracer` on this thread, by its trace and its id. `show` must call nothing of the
/// program's.
pub(crate) fn with_active<T>(tracer: usize, show: impl FnOnce(&Trace, u64) -> T) -> Option<T> {
    with(|local| {
        let active = local.active.iter().rfind(|open| open.tracer == tracer)?;
        let segment = local.segments.get(active.segment)?.as_ref()?;
        Some(show(&segment.trace, active.span_id))
    })
    .flatten()
}

/// The name of the span that is active on this thread, if it is known here.
pub(crate) fn active_name() -> Option<String> {
    let name = with(|local| Some(local.active.last()?.name.to_string()));
    name.flatten().filter(|name| !name.is_empty())
}

/// The innermost open span of `tracer`, where spans of other clients stand above it.
#[cold]
#[inline(never)]
fn innermost(active: &[Active], tracer: usize) -> Option<&Active> {
    active.iter().rfind(|open| open.tracer == tracer)
}

/// Keeps the memory of a span for another.
#[inline]
#[expect(clippy::vec_box, reason = "they go in and out one by one")]
fn keep(free: &mut Vec<Box<SpanData>>, data: Box<SpanData>) {
    if free.len() < FREE_SPANS && data.tags.capacity() <= FREE_BYTES {
        free.push(data);
    }
}

impl Local {
    const fn new() -> Self {
        Self {
            ids: Ids::none(),
            segments: Vec::new(),
            active: Reused::new(),
            prepared: 0,
            ended_parked: Vec::new(),
            free: Vec::new(),
        }
    }

    fn segment_of(&mut self, trace: &Arc<Trace>) -> SegmentId {
        let known = self
            .segments
            .iter_mut()
            .enumerate()
            .find_map(|(id, segment)| {
                let segment = segment.as_mut()?;
                Arc::ptr_eq(&segment.trace, trace).then_some((id, segment))
            });
        if let Some((id, segment)) = known {
            segment.open += 1;
            return id;
        }
        trace.hold();
        let segment = Some(Segment {
            trace: Arc::clone(trace),
            open: 1,
            finished: Batch::default(),
            hold: None,
        });
        match self.segments.iter().position(Option::is_none) {
            Some(id) => {
                self.segments[id] = segment;
                id
            }
            None => {
                self.segments.push(segment);
                self.segments.len() - 1
            }
        }
    }

    fn close(&mut self, segment: SegmentId) -> Option<Ready> {
        let Segment {
            trace,
            finished,
            hold,
            ..
        } = self.segments.get_mut(segment)?.take()?;
        if let Some(held) = hold {
            held.leave_to_others();
        }
        self.prepared = 0;
        Some(Ready::All(trace, finished))
    }

    /// Removes a span from the stack. The segment that it belongs to.
    #[inline]
    fn leave(&mut self, span_id: u64) -> Option<SegmentId> {
        let top = self.active.last_mut()?;
        let segment = top.segment;
        if top.span_id != span_id {
            return self.leave_from_within(span_id);
        }
        top.forget();
        self.active.forget_last();
        match self.active.last() {
            // Of the trace that is shown already.
            Some(below) if below.segment == segment => context::set_span(below.span_id),
            _ => self.show_top(),
        }
        Some(segment)
    }

    #[cold]
    fn leave_from_within(&mut self, span_id: u64) -> Option<SegmentId> {
        let at = self
            .active
            .iter()
            .rposition(|open| open.span_id == span_id)?;
        Some(self.leave_at(at))
    }

    /// The same for one that stands below others.
    #[cold]
    fn leave_at(&mut self, at: usize) -> SegmentId {
        let segment = self.active[at].segment;
        self.active[at..].rotate_left(1);
        if let Some(left) = self.active.last_mut() {
            left.forget();
        }
        self.active.forget_last();
        segment
    }

    #[inline(never)]
    fn show_top(&self) {
        let top = self.active.last();
        context::set(top.and_then(|open| self.shown(open.segment, open.span_id)));
    }

    /// Shows a span that is going to stand above the others.
    #[inline]
    fn show_above(&self, segment: SegmentId, span_id: u64) {
        match self.active.last() {
            // Of the trace that is shown already.
            Some(below) if below.segment == segment => context::set_span(span_id),
            _ => context::set(self.shown(segment, span_id)),
        }
    }

    fn shown(&self, segment: SegmentId, span_id: u64) -> Option<ActiveSpan> {
        let segment = self.segments.get(segment)?.as_ref()?;
        Some(shown(&segment.trace, span_id))
    }
}

/// A thread that ends brings what it has. Spans that are still open end apart.
impl Drop for Local {
    fn drop(&mut self) {
        for open in self.active.iter().filter(|open| open.by == By::Guard) {
            if let Some(Some(segment)) = self.segments.get(open.segment) {
                outlived::keep(open.span_id, &segment.trace);
            }
        }
        for segment in self.segments.drain(..).flatten() {
            if let Some(held) = segment.hold {
                held.leave_to_others();
            }
            segment.trace.release(segment.finished);
        }
    }
}

impl Blank for Active {
    const BLANK: Self = Self {
        tracer: 0,
        segment: 0,
        by: By::Guard,
        span_id: 0,
        service: None,
        name: Cow::Borrowed(""),
    };
}

impl Active {
    /// Gives up what it owns.
    #[inline]
    fn forget(&mut self) {
        self.by = By::Guard;
        if self.service.is_some() {
            self.service = None;
        }
        if matches!(self.name, Cow::Owned(_)) {
            self.name = Cow::Borrowed("");
        }
    }
}

fn shown(trace: &Trace, span_id: u64) -> ActiveSpan {
    ActiveSpan {
        trace_id: trace.id,
        span_id,
        local_root_id: trace.local_root_id,
    }
}

/// `None` while the thread is being torn down, or from within itself.
fn with<T>(work: impl FnOnce(&mut Local) -> T) -> Option<T> {
    LOCAL
        .try_with(|local| Some(work(&mut *local.try_borrow_mut().ok()?)))
        .ok()
        .flatten()
}
