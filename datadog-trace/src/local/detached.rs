//! What a thread does with detached spans: those of bridges start on a thread, are active there or elsewhere, and end.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Active, By, Local, Ready, Segment, SegmentId, enter, fresh, keep, with};
use crate::TagValue;
use crate::key::SpanKey;
use crate::span_data::SpanData;
use crate::ticks::Ticks;
use crate::trace::Trace;

/// Starts a child of the innermost open span of `tracer` that is active nowhere, and holds its trace. `None` if there is no
/// such span, or the thread is being torn down.
pub(crate) fn start_detached(
    tracer: usize,
    name: &'static str,
    key: SpanKey,
) -> Option<Box<SpanData>> {
    with(|local| {
        let parent = local.active.iter().rfind(|open| open.tracer == tracer)?;
        let segment = parent.segment;
        let of_trace = local.segments.get_mut(segment)?.as_mut()?;
        let start = Ticks::now();
        let span_id = local.ids.next();
        let mut data = local.free.pop().unwrap_or_else(fresh);
        data.held = Some(of_trace.take_hold());
        data.begin(span_id, parent.span_id, Cow::Borrowed(name), start);
        if let Some(service) = &parent.service {
            data.service = Some(Arc::clone(service));
            local.prepared = 0;
        } else if key == SpanKey::NONE {
            local.prepared = 0;
        } else {
            // An entry that is not in use has no service.
            let entry = local.active.behind();
            entry.tracer = tracer;
            entry.segment = segment;
            entry.by = By::Hand(key);
            entry.span_id = span_id;
            entry.name = Cow::Borrowed(name);
            local.prepared = local.active.len() + 1;
        }
        Some(data)
    })
    .flatten()
}

/// Makes the span active that was started last, if it has this key and nothing happened since. Whether it did.
pub(crate) fn enter_last(key: SpanKey) -> bool {
    let entered = with(|local| {
        if local.prepared != local.active.len() + 1 {
            return None;
        }
        let entry = local.active.rest().first()?;
        if entry.by != By::Hand(key) {
            return None;
        }
        let (segment, span_id) = (entry.segment, entry.span_id);
        // As long as it has not closed: see `Local::close`.
        local.segments.get_mut(segment)?.as_mut()?.open += 1;
        local.show_above(segment, span_id);
        local.active.advance();
        local.prepared = 0;
        Some(())
    });
    entered.flatten().is_some()
}

/// Makes a span of `trace` active on this thread for another one, called by `key`, unless the thread has others of the
/// trace: those know better what is within them, and are taken off the stack by their ids. Whether it did.
pub(crate) fn enter_for(
    key: SpanKey,
    trace: &Arc<Trace>,
    span_id: u64,
    service: Option<Arc<str>>,
) -> bool {
    let has_others = with(|local| {
        let of_trace = |open: &Active| {
            let segment = local.segments.get(open.segment).and_then(Option::as_ref);
            segment.is_some_and(|segment| Arc::ptr_eq(&segment.trace, trace))
        };
        let mut open = local.active.iter();
        open.any(|open| open.by != By::Hand(key) && of_trace(open))
    });
    has_others == Some(false)
        && enter(By::Hand(key), trace, span_id, service, Cow::Borrowed("")).is_some()
}

/// Takes a span off the stack of this thread that goes on.
pub(crate) fn exit(span_id: u64) {
    let closed = with(|local| {
        let segment = local.leave(span_id)?;
        local.count_down(segment).then_some(segment)
    });
    if let Some(Some(segment)) = closed {
        close(segment);
    }
}

/// The same for one that ended before the program said so, as when it leaves early or panics.
#[cold]
#[inline(never)]
fn exit_ended(span_id: u64) {
    let mut ready = None;
    with(|local| {
        let by_program = |open: &Active| open.is_by_program(span_id);
        while let Some(at) = local.active.iter().rposition(by_program) {
            let segment = local.leave_at(at);
            local.leave_open(segment, &mut ready);
        }
        local.show_top();
    });
    if let Some(ready) = ready {
        ready.go();
    }
}

/// The same for the last one with a key. Whether there was one.
pub(crate) fn exit_key(key: SpanKey) -> bool {
    let left = with(|local| {
        let by = By::Hand(key);
        let segment = match local.active.last() {
            Some(top) if top.by == by => local.leave(top.span_id)?,
            _ => local.leave_from_below(by)?,
        };
        Some((segment, local.count_down(segment)))
    });
    match left.flatten() {
        Some((segment, is_over)) => {
            if is_over {
                close(segment);
            }
            true
        }
        None => false,
    }
}

/// Closes a segment that has no open span. Apart, as what it moves is large.
#[inline(never)]
fn close(segment: SegmentId) {
    if let Some(Some(ready)) = with(|local| local.close(segment)) {
        ready.go();
    }
}

/// Takes a finished span that was active nowhere and held its trace, with further tags of other keys than it has.
#[inline]
pub(crate) fn finish_detached<'a>(
    trace: Arc<Trace>,
    data: Box<SpanData>,
    end: Ticks,
    tags: impl Iterator<Item = (&'static str, TagValue<'a>)>,
) {
    // Not what the work returns: moving it would take time, though there is mostly none.
    let mut ready = None;
    let mut span = Some((trace, data, tags));
    let mut still_active = None;
    with(|local| {
        let (held, ..) = span.as_ref()?;
        let mut known = local.segments.iter_mut().flatten();
        let of_trace = known.find(|segment| Arc::ptr_eq(&segment.trace, held))?;
        let (trace, mut data, tags) = span.take()?;
        // With the others of this thread, whose segment holds the trace.
        of_trace.keep_hold(trace);
        of_trace.finished().push_with(&mut data, end, tags);
        let mut open = local.active.iter();
        still_active = open
            .find(|open| open.is_by_program(data.span_id))
            .map(|open| open.span_id);
        if let Some(part) = of_trace.part() {
            ready = Some(part);
        }
        keep(&mut local.free, data);
        Some(())
    });
    if let Some(ready) = ready {
        ready.go();
    }
    if let Some(span_id) = still_active {
        exit_ended(span_id);
    }
    // The others of its trace are elsewhere, or have gone.
    if let Some((trace, mut data, tags)) = span {
        trace.release_span(&mut data, end, tags);
        with(|local| keep(&mut local.free, data));
    }
}

impl Active {
    /// Whether it is this span, made active by the program, which has no key for it.
    fn is_by_program(&self, span_id: u64) -> bool {
        self.span_id == span_id && self.by == By::Hand(SpanKey::NONE)
    }
}

impl Local {
    /// Takes the last entry off the stack that was made by `by` and stands below others.
    #[cold]
    fn leave_from_below(&mut self, by: By) -> Option<SegmentId> {
        let at = self.active.iter().rposition(|open| open.by == by)?;
        Some(self.leave_at(at))
    }

    /// Counts one open span of a segment less. Whether it was the last one: then the segment is to be closed.
    #[inline]
    fn count_down(&mut self, segment: SegmentId) -> bool {
        let Some(Some(of_trace)) = self.segments.get_mut(segment) else {
            return false;
        };
        of_trace.open -= 1;
        of_trace.open == 0
    }

    /// The same for a caller that has the segment closed here.
    pub(super) fn leave_open(&mut self, segment: SegmentId, ready: &mut Option<Ready>) {
        if self.count_down(segment) {
            *ready = self.close(segment);
        }
    }
}

impl Segment {
    /// Holds the trace for a span.
    #[inline]
    fn take_hold(&mut self) -> Arc<Trace> {
        match self.hold.take() {
            Some(held) => held,
            None => {
                self.trace.hold();
                Arc::clone(&self.trace)
            }
        }
    }

    /// Takes back what held the trace for a span that is over, for the next one: counting would take longer than all the
    /// rest. The segment holds the trace, too, so nobody misses that.
    #[inline]
    fn keep_hold(&mut self, held: Arc<Trace>) {
        match self.hold {
            None => self.hold = Some(held),
            Some(_) => held.leave_to_others(),
        }
    }
}
