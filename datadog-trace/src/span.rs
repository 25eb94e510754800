//! A span, from its start to its end.

mod facts;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::SystemTime;

use crate::context::Inner;
use crate::event::unix_nanos;
use crate::key::SpanKey;
use crate::local::{self, By, SegmentId};
use crate::place::Place;
use crate::propagate::Inject;
use crate::span_data::SpanData;
use crate::ticks::Ticks;
use crate::trace::Trace;
use crate::tracer::Shared;
use crate::{DetachedSpan, SpanContext, id, panics};

/// An open span, active on the thread that started it. It is finished when it is dropped, or by
/// [`Span::finish`]; with tracing off it is empty and costs nothing.
///
/// A span stays on its thread: that is what makes the spans in between its children. To move it to another one,
/// [`detach`](Span::detach) it.
#[must_use = "a span is finished as soon as it is dropped: bind it to a name, such as `_span`"]
pub struct Span {
    /// Taken out whenever the span is dropped: there is nothing left to look at then.
    open: ManuallyDrop<Option<Open>>,
    /// Not `Send`: the stack of active spans is the thread's own.
    _on_this_thread: PhantomData<*const ()>,
}

enum Open {
    /// Most spans. They travel in registers.
    Own {
        data: Box<SpanData>,
        segment: SegmentId,
    },
    /// The first span of its trace.
    Root {
        trace: Arc<Trace>,
        segment: SegmentId,
    },
    /// A detached span that is [lent](Span::lend): it holds its trace, and has no segment.
    Lent { place: Place, trace: Arc<Trace> },
}

/// What a span that starts is a child of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Parent<'a> {
    /// The span that is active on this thread, if there is one.
    Active,
    /// None: the span is the first of a new trace.
    Root,
    /// A span of this or another thread, or of another process.
    Of(&'a SpanContext),
}

impl Span {
    /// A span that is empty, as those of a tracer that is off.
    #[inline]
    pub fn none() -> Self {
        Self {
            open: ManuallyDrop::new(None),
            _on_this_thread: PhantomData,
        }
    }

    /// A child of the active span, or else the first span of a new trace. Almost all names are static, and then they
    /// travel in registers.
    pub(crate) fn start(tracer: &Arc<Shared>, name: &'static str) -> Self {
        match local::start_child(tracer.id(), name) {
            Some((segment, data)) => Self::open(Open::Own { data, segment }),
            None => Self::start_root(tracer, Cow::Borrowed(name), None),
        }
    }

    /// Gives the span its name, if that is not static.
    pub(crate) fn named(mut self, name: String) -> Self {
        let renamed = self.edit(|data| {
            data.name = Cow::Owned(name.clone());
            data.span_id
        });
        if let Some(span_id) = renamed {
            local::rename(span_id, name);
        }
        self
    }

    /// A child of the active span, if there is one, that is active on no thread.
    pub(crate) fn start_child(
        tracer: &Arc<Shared>,
        name: &'static str,
        key: SpanKey,
    ) -> Option<DetachedSpan> {
        let data = local::start_detached(tracer.id(), name, key)?;
        Some(DetachedSpan::of(Place::Own(data)))
    }

    /// A child of the active span, of another one or of none, that is active on no thread.
    pub(crate) fn start_detached(
        tracer: &Arc<Shared>,
        parent: Parent<'_>,
        name: &'static str,
    ) -> DetachedSpan {
        let context = match parent {
            Parent::Active => match Self::start_child(tracer, name, SpanKey::NONE) {
                Some(span) => return span,
                None => None,
            },
            Parent::Root => None,
            Parent::Of(context) => Some(context),
        };
        let start = Ticks::now();
        let span_id = id::span_id();
        let mut data = local::memory();
        let here = context.and_then(|context| context.here(tracer));
        let parent_id = here.as_ref().map_or(0, |(_, parent_id, _)| *parent_id);
        data.begin(span_id, parent_id, Cow::Borrowed(name), start);
        let place = match here {
            Some((trace, _, service)) => {
                trace.hold();
                data.service = service;
                data.held = Some(trace);
                Place::Own(data)
            }
            None => {
                let trace = Trace::start(tracer, context.map(SpanContext::carried), data);
                trace.hold();
                Place::Root(trace)
            }
        };
        DetachedSpan::of(place)
    }

    /// A child of the span of a context.
    pub(crate) fn start_from(
        tracer: &Arc<Shared>,
        context: &SpanContext,
        name: Cow<'static, str>,
    ) -> Self {
        match &context.0 {
            Inner::Here {
                trace,
                span_id: parent_id,
                service,
            } if Arc::ptr_eq(&trace.tracer, tracer) => {
                let start = Ticks::now();
                let span_id = id::span_id();
                let Some(segment) =
                    local::enter(By::Guard, trace, span_id, service.clone(), name.clone())
                else {
                    return Self::none();
                };
                let mut data = local::memory();
                data.begin(span_id, *parent_id, name, start);
                data.service.clone_from(service);
                Self::open(Open::Own { data, segment })
            }
            _ => Self::start_root(tracer, name, Some(context)),
        }
    }

    fn start_root(
        tracer: &Arc<Shared>,
        name: Cow<'static, str>,
        context: Option<&SpanContext>,
    ) -> Self {
        let start = Ticks::now();
        let upstream = context.map(SpanContext::carried);
        let mut data = local::memory();
        let span_id = id::span_id();
        data.begin(span_id, 0, name.clone(), start);
        let trace = Trace::start(tracer, upstream, data);
        match local::enter(By::Guard, &trace, span_id, None, name) {
            Some(segment) => Self::open(Open::Root { trace, segment }),
            None => Self::none(),
        }
    }

    /// Makes a detached span active on this thread.
    ///
    /// # Errors
    ///
    /// Gives the span back while the thread is being torn down.
    pub(crate) fn enter(place: Place, trace: &Arc<Trace>, span_id: u64) -> Result<Self, Place> {
        let (service, name) = place.service_and_name();
        match local::enter(By::Guard, trace, span_id, service, name) {
            Some(segment) => Ok(Self::open(match place {
                Place::Own(data) => Open::Own { data, segment },
                Place::Root(trace) => Open::Root { trace, segment },
            })),
            None => Err(place),
        }
    }

    #[inline]
    fn open(open: Open) -> Self {
        Self {
            open: ManuallyDrop::new(Some(open)),
            _on_this_thread: PhantomData,
        }
    }

    /// A detached span, to be changed, without making it active.
    pub(crate) fn lend(place: Place, trace: Arc<Trace>) -> Self {
        Self::open(Open::Lent { place, trace })
    }

    /// Gives a [lent](Span::lend) span back.
    pub(crate) fn give_back(&mut self) -> Option<(Place, Arc<Trace>)> {
        match self.open.take()? {
            Open::Lent { place, trace } => Some((place, trace)),
            // The program put another one in its place.
            open => {
                *self.open = Some(open);
                None
            }
        }
    }

    /// The 128-bit trace id; 0 with tracing off.
    pub fn trace_id(&self) -> u128 {
        self.trace().map_or(0, |trace| trace.id)
    }

    /// The 64-bit span id; 0 with tracing off.
    pub fn span_id(&self) -> u64 {
        match &*self.open {
            Some(Open::Own { data, .. }) => data.span_id,
            Some(Open::Root { trace, .. }) => trace.local_root_id,
            Some(Open::Lent { place, .. }) => place.span_id(),
            None => 0,
        }
    }

    /// The span as others see it, such as threads that start children of it; `None` with tracing off.
    pub fn context(&self) -> Option<SpanContext> {
        let service = match self.open.as_ref()? {
            Open::Own { data, .. } => data.service.clone(),
            Open::Root { trace, .. } => trace.root_service(),
            Open::Lent { place, .. } => place.service(),
        };
        Some(SpanContext(Inner::Here {
            trace: self.trace()?,
            span_id: self.span_id(),
            service,
        }))
    }

    /// Writes the span into the headers of a request: see [`SpanContext::inject`].
    pub fn inject(&self, headers: &mut impl Inject) {
        if let Some(context) = self.context() {
            context.inject(headers);
        }
    }

    /// Takes the span off this thread, so that it can go on, or be finished, on another one. Spans that start
    /// meanwhile are not its children.
    pub fn detach(mut self) -> DetachedSpan {
        let detached = self.open.take().and_then(|open| match open {
            Open::Own { data, segment } => {
                let trace = local::detach(segment, data.span_id)?;
                Some(DetachedSpan::new(Place::Own(data), trace))
            }
            Open::Root { trace, segment } => {
                let held = local::detach(segment, trace.local_root_id)?;
                Some(DetachedSpan::new(Place::Root(trace), held))
            }
            Open::Lent { place, trace } => Some(DetachedSpan::new(place, trace)),
        });
        detached.unwrap_or_else(DetachedSpan::off)
    }

    /// Finishes the span now, like dropping it.
    #[inline]
    pub fn finish(self) {}

    /// Finishes the span as if it were `end` now.
    pub fn finish_at(mut self, end: SystemTime) {
        self.edit(|data| data.extras().end_ns = Some(unix_nanos(end)));
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(crate) fn trace(&self) -> Option<Arc<Trace>> {
        match self.open.as_ref()? {
            Open::Own { segment, .. } => local::trace(*segment),
            Open::Root { trace, .. } | Open::Lent { trace, .. } => Some(Arc::clone(trace)),
        }
    }

    /// `work` holds the trace's lock: it must call nothing of the program's.
    fn edit<T>(&mut self, work: impl FnOnce(&mut SpanData) -> T) -> Option<T> {
        match self.open.as_mut()? {
            Open::Own { data, .. }
            | Open::Lent {
                place: Place::Own(data),
                ..
            } => Some(work(data)),
            Open::Root { trace, .. } | Open::Lent { trace, .. } => trace.with_root(work),
        }
    }
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if self.open.is_some() {
            self.end();
        }
    }
}

impl Span {
    #[inline(never)]
    fn end(&mut self) {
        match self.open.take() {
            Some(Open::Own { mut data, segment }) => {
                let end = Ticks::now();
                if panics::are_seen() {
                    panics::tell(&mut data);
                }
                local::finish(segment, data, end);
            }
            Some(Open::Root { trace, segment }) => {
                if let Some((data, end)) = trace.end_root() {
                    local::finish(segment, data, end);
                }
            }
            // The program took it away from its owner: it ends as a detached one.
            Some(Open::Lent { place, trace }) => drop(DetachedSpan::new(place, trace)),
            None => {}
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span")
            .field("trace_id", &format_args!("{:032x}", self.trace_id()))
            .field("span_id", &self.span_id())
            .finish_non_exhaustive()
    }
}
