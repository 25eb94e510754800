//! Spans that are not bound to a thread, and futures in spans.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::batch::Batch;
use crate::context::Inner;
use crate::key::SpanKey;
use crate::local::{self, Active, By};
use crate::place::Place;
use crate::span_data::SpanData;
use crate::ticks::Ticks;
use crate::trace::Trace;
use crate::{Span, SpanContext, TagValue, panics};

/// An open span that is active on no thread. It is finished when it is dropped, on whatever thread.
#[must_use = "a span is finished as soon as it is dropped: bind it to a name, such as `_span`"]
pub struct DetachedSpan {
    /// What knows its trace: see [`SpanData::held`].
    open: Option<Place>,
}

impl DetachedSpan {
    /// A span that holds `trace`.
    pub(crate) fn new(place: Place, trace: Arc<Trace>) -> Self {
        Self::of(match place {
            Place::Own(mut data) => {
                data.held = Some(trace);
                Place::Own(data)
            }
            root => root,
        })
    }

    #[inline]
    pub(crate) fn of(place: Place) -> Self {
        Self { open: Some(place) }
    }

    /// A span of a tracer that is off.
    pub(crate) fn off() -> Self {
        Self { open: None }
    }

    /// Takes the span out, with the trace that it holds.
    fn take(&mut self) -> Option<(Place, Arc<Trace>)> {
        match self.open.take()? {
            Place::Own(mut data) => {
                let trace = data.held.take()?;
                Some((Place::Own(data), trace))
            }
            Place::Root(trace) => Some((Place::Root(Arc::clone(&trace)), trace)),
        }
    }

    fn trace(&self) -> Option<&Arc<Trace>> {
        match self.open.as_ref()? {
            Place::Own(data) => data.held.as_ref(),
            Place::Root(trace) => Some(trace),
        }
    }

    /// Gives the span its name, if that is not static.
    pub(crate) fn named(mut self, name: String) -> Self {
        self.edit(|span| {
            span.set_name(name);
        });
        self
    }

    /// Makes the span active on this thread.
    pub fn attach(mut self) -> Span {
        self.enter()
    }

    /// Makes the span active on this thread, until [`deactivate`](DetachedSpan::deactivate) is called here, or it ends
    /// here. It may be active on several threads at a time, and on one several times. In a future that is
    /// [in a span](FutureExt::in_span), it is active until the next `.await` at most, as the future may go on elsewhere.
    pub fn activate(&self) {
        self.activate_as(SpanKey::NONE);
    }

    /// Undoes the last [`activate`](DetachedSpan::activate) of this thread.
    pub fn deactivate(&self) {
        if self.open.is_some() {
            local::exit(self.span_id());
        }
    }

    /// Makes the span active on this thread, until [`SpanKey::deactivate`] is called here.
    pub fn activate_as(&self, key: SpanKey) {
        if let (Some(place), Some(trace)) = (&self.open, self.trace()) {
            let (service, name) = place.service_and_name();
            local::enter(By::Hand(key), trace, self.span_id(), service, name);
        }
    }

    /// Changes the span without making it active.
    pub fn edit<T>(&mut self, work: impl FnOnce(&mut Span) -> T) -> T {
        let span = match self.take() {
            Some((place, trace)) => Span::lend(place, trace),
            None => Span::none(),
        };
        let mut lent = Lent { span, owner: self };
        work(&mut lent.span)
    }

    /// Sets tags, of no key that [`Span::set_tag`] takes for more than a tag. For bridges, which know that of their keys: it
    /// costs less than one by one. The last value of a key counts. `tags` must use nothing of this client.
    pub fn set_tags<'a>(&mut self, tags: impl Iterator<Item = (&'static str, TagValue<'a>)>) {
        match &mut self.open {
            Some(Place::Own(data)) => data.tags.set_all(tags),
            Some(Place::Root(trace)) => _ = trace.with_root(|data| data.tags.set_all(tags)),
            None => {}
        }
    }

    /// The span as others see it; `None` with tracing off.
    pub fn context(&self) -> Option<SpanContext> {
        Some(SpanContext(Inner::Here {
            trace: Arc::clone(self.trace()?),
            span_id: self.span_id(),
            service: self.open.as_ref()?.service(),
        }))
    }

    /// The 64-bit span id; 0 with tracing off.
    pub fn span_id(&self) -> u64 {
        self.open.as_ref().map_or(0, Place::span_id)
    }

    /// Whether it is the first span of its trace in this process, whose tags decisions are made by.
    pub fn is_local_root(&self) -> bool {
        matches!(self.open, Some(Place::Root(_)))
    }

    /// Finishes the span now, like dropping it.
    pub fn finish(self) {}

    /// The same with further tags, as for [`set_tags`](Self::set_tags), each of another key that was not set yet. It costs
    /// less than to set them before. `tags` must use nothing of this client, and not panic.
    #[inline]
    pub fn finish_with<'a>(mut self, tags: impl Iterator<Item = (&'static str, TagValue<'a>)>) {
        match self.open.take() {
            Some(Place::Own(data)) => end(data, tags),
            open => {
                self.open = open;
                self.set_tags(tags);
            }
        }
    }

    pub(crate) fn around<F>(self, future: F) -> InSpan<F> {
        InSpan {
            future: Some(future),
            span: self,
            parked: Vec::new(),
        }
    }

    #[inline(never)]
    fn end(&mut self) {
        match self.open.take() {
            Some(Place::Own(data)) => end(data, std::iter::empty()),
            Some(Place::Root(trace)) => {
                if let Some((data, end)) = trace.end_root() {
                    local::finish_detached(trace, data, end, std::iter::empty());
                }
            }
            None => {}
        }
    }

    fn enter(&mut self) -> Span {
        let span_id = self.span_id();
        let Some((place, trace)) = self.take() else {
            return Span::none();
        };
        match Span::enter(place, &trace, span_id) {
            Ok(span) => {
                // This thread's segment holds the trace now.
                trace.release(Batch::default());
                span
            }
            Err(place) => {
                *self = Self::new(place, trace);
                Span::none()
            }
        }
    }
}

impl Drop for DetachedSpan {
    #[inline]
    fn drop(&mut self) {
        if self.open.is_some() {
            self.end();
        }
    }
}

/// Ends a span that is not the first of its trace. As [`Span::finish`] does, but most of that is for other spans.
#[inline]
fn end<'a>(mut data: Box<SpanData>, tags: impl Iterator<Item = (&'static str, TagValue<'a>)>) {
    let Some(trace) = data.held.take() else {
        return;
    };
    let end = Ticks::now();
    if panics::are_seen() {
        panics::tell(&mut data);
    }
    local::finish_detached(trace, data, end, tags);
}

/// Brings a span back, even from a panic.
struct Lent<'a> {
    span: Span,
    owner: &'a mut DetachedSpan,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let back = self.span.give_back();
        if let Some((place, trace)) = back {
            *self.owner = DetachedSpan::new(place, trace);
        }
    }
}

impl From<Span> for DetachedSpan {
    fn from(span: Span) -> Self {
        span.detach()
    }
}

impl fmt::Debug for DetachedSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetachedSpan")
            .field("span_id", &self.span_id())
            .finish_non_exhaustive()
    }
}

/// Futures in spans.
pub trait FutureExt: Future + Sized {
    /// Makes `span` active whenever the future runs, on whatever thread, and finishes it when the future ends or is
    /// dropped.
    ///
    /// In an `async` block that moves between threads, a [`Span`] can't have a name, as it stays on its thread.
    /// Give it to `in_span` at once, or [detach](Span::detach) it first:
    ///
    /// ```
    /// # use datadog_trace::{FutureExt, Tracer};
    /// # async fn load() {}
    /// # fn is_send(future: impl Future + Send) {}
    /// # fn page(tracer: Tracer) {
    /// is_send(async move {
    ///     load().in_span(tracer.trace("page.load")).await;
    ///     let span = {
    ///         let mut span = tracer.trace("page.load");
    ///         span.set_tag("page", 2);
    ///         span.detach()
    ///     };
    ///     load().in_span(span).await;
    /// });
    /// # }
    /// ```
    fn in_span(self, span: impl Into<DetachedSpan>) -> InSpan<Self> {
        span.into().around(self)
    }
}

impl<F: Future> FutureExt for F {}

pin_project! {
    /// A future in a span: see [`FutureExt::in_span`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct InSpan<F> {
        // There until it is dropped in its span.
        #[pin]
        future: Option<F>,
        span: DetachedSpan,
        // Spans that the future keeps open while it waits. Guards are bound to their thread, and then so is the future.
        parked: Vec<Active>,
    }

    /// What a future that is given up does in its `Drop`s belongs to its span too, as with `Instrumented` of the crate
    /// `tracing`.
    impl<F> PinnedDrop for InSpan<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.span.open.is_some() {
                let span = this.span.enter();
                local::unpark(this.parked);
                this.future.set(None);
                local::park_above(span.span_id());
            }
        }
    }
}

impl<F: Future> Future for InSpan<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<F::Output> {
        self.poll_and(task, |result, _span| result)
    }
}

impl<F: Future> InSpan<F> {
    /// Polls the future, and once it is ready passes its result on with the span, which is still active and has not ended: for
    /// middleware, which tells the span what came of it, or lets it go on.
    pub fn poll_and<T>(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        then: impl FnOnce(F::Output, Span) -> T,
    ) -> Poll<T> {
        let this = self.project();
        let Some(future) = this.future.as_pin_mut() else {
            return Poll::Pending; // Nobody polls what is dropped.
        };
        let span = this.span.enter();
        local::unpark(this.parked);
        match future.poll(task) {
            Poll::Ready(result) => Poll::Ready(then(result, span)),
            Poll::Pending => {
                *this.parked = local::park_above(span.span_id());
                // Where it could not be entered, it never left.
                if span.is_open() {
                    *this.span = span.detach();
                }
                Poll::Pending
            }
        }
    }
}
