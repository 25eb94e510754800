//! A span, from its start to its end.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::SystemTime;

use datadog_transport::ErrorReport;

use crate::context::Inner;
use crate::event::unix_nanos;
use crate::key::SpanKey;
use crate::local::{self, SegmentId};
use crate::propagate::Inject;
use crate::sample::{USER_KEEP, USER_REJECT};
use crate::span_data::SpanData;
use crate::tags::{Key, Tags};
use crate::ticks::Ticks;
use crate::trace::Trace;
use crate::tracer::Shared;
use crate::{DetachedSpan, SpanContext, SpanEvent, SpanKind, SpanLink, TagValue, id, panics};

/// An open span, active on the thread that started it. It is finished when it is dropped, or by
/// [`Span::finish`]; with tracing off it is empty and costs nothing.
///
/// A span stays on its thread: that is what makes the spans in between its children. To move it to another one,
/// [`detach`](Span::detach) it.
#[must_use = "a span is finished as soon as it is dropped: bind it to a name, such as `_span`"]
pub struct Span {
    open: Option<Open>,
    /// Not `Send`: the stack of active spans is the thread's own.
    _on_this_thread: PhantomData<*const ()>,
}

struct Open {
    place: Place,
    /// Without a meaning if the span is lent.
    segment: SegmentId,
    span_id: u64,
    /// Of a detached span that is [lent](Span::lend): it holds its trace, and has no segment.
    lent: Option<Arc<Trace>>,
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

/// Where the facts of an open span are.
pub(crate) enum Place {
    /// With the span.
    Own(Box<SpanData>),
    /// With the trace, whose first span it is: sampling looks at it from whatever thread.
    Root(Arc<Trace>),
}

impl Place {
    /// What the stack of active spans has to know.
    #[inline]
    pub(crate) fn service_and_name(&self) -> (Option<Arc<str>>, Cow<'static, str>) {
        let facts = |data: &SpanData| (data.service.clone(), data.name.clone());
        match self {
            Self::Own(data) => facts(data),
            Self::Root(trace) => trace.with_root(|data| facts(data)).unwrap_or_default(),
        }
    }
}

impl Span {
    /// A span that is empty, as those of a tracer that is off.
    #[inline]
    pub fn none() -> Self {
        Self {
            open: None,
            _on_this_thread: PhantomData,
        }
    }

    /// A child of the active span, or else the first span of a new trace. Almost all names are static, and then they
    /// travel in registers.
    pub(crate) fn start(tracer: &Arc<Shared>, name: &'static str) -> Self {
        let start = Ticks::now();
        let span_id = id::span_id();
        match local::start_child(tracer.id(), name, span_id, start) {
            Some((segment, data)) => Self::open(Place::Own(data), segment, span_id),
            None => Self::start_root(tracer, Cow::Borrowed(name), start, None),
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
        let start = Ticks::now();
        let span_id = id::span_id();
        let data = local::start_detached(tracer.id(), name, span_id, start, key)?;
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
        let start = Ticks::now();
        match &context.0 {
            Inner::Here {
                trace,
                span_id: parent_id,
                service,
            } if Arc::ptr_eq(&trace.tracer, tracer) => {
                let span_id = id::span_id();
                let Some(segment) = local::enter(trace, span_id, service.clone(), name.clone())
                else {
                    return Self::none();
                };
                let mut data = local::memory();
                data.begin(span_id, *parent_id, name, start);
                data.service.clone_from(service);
                Self::open(Place::Own(data), segment, span_id)
            }
            _ => Self::start_root(tracer, name, start, Some(context)),
        }
    }

    fn start_root(
        tracer: &Arc<Shared>,
        name: Cow<'static, str>,
        start: Ticks,
        context: Option<&SpanContext>,
    ) -> Self {
        let upstream = context.map(SpanContext::carried);
        let mut data = local::memory();
        let span_id = id::span_id();
        data.begin(span_id, 0, name.clone(), start);
        let trace = Trace::start(tracer, upstream, data);
        match local::enter(&trace, span_id, None, name) {
            Some(segment) => Self::open(Place::Root(trace), segment, span_id),
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
        match local::enter(trace, span_id, service, name) {
            Some(segment) => Ok(Self::open(place, segment, span_id)),
            None => Err(place),
        }
    }

    fn open(place: Place, segment: SegmentId, span_id: u64) -> Self {
        Self {
            open: Some(Open {
                place,
                segment,
                span_id,
                lent: None,
            }),
            _on_this_thread: PhantomData,
        }
    }

    /// A detached span, to be changed, without making it active.
    pub(crate) fn lend(place: Place, trace: Arc<Trace>, span_id: u64) -> Self {
        Self {
            open: Some(Open {
                place,
                segment: SegmentId::MAX,
                span_id,
                lent: Some(trace),
            }),
            _on_this_thread: PhantomData,
        }
    }

    /// Gives a [lent](Span::lend) span back.
    pub(crate) fn give_back(&mut self) -> Option<(Place, Arc<Trace>)> {
        let open = self.open.take()?;
        Some((open.place, open.lent?))
    }

    /// Sets a tag: text and booleans, or a number. A later value of the same key replaces the earlier one.
    ///
    /// A span has at most 1,000 tags, and 32 MiB of texts. What is beyond that is left out.
    ///
    /// As in the other languages, `manual.keep` and `manual.drop` decide about the trace, `service.name`, `resource.name`
    /// and `span.type` are the span's service, resource and type, `error` marks the span as failed or not, beside a text that
    /// says more than that, and a number as `http.status_code` becomes text.
    #[inline]
    pub fn set_tag<'a>(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        value: impl Into<TagValue<'a>>,
    ) -> &mut Self {
        if self.open.is_some() {
            // Apart, so that what most calls pass goes in registers.
            match (key.into(), value.into()) {
                (key, value) if is_known(&key) => self.set_known(key, &value),
                (key, value @ TagValue::Number(_)) if key == STATUS => self.set_known(key, &value),
                (Cow::Borrowed(key), TagValue::Text(text)) => self.put_text(key, &text),
                (Cow::Borrowed(key), TagValue::Number(number)) => self.put_number(key, number),
                (key, value) => self.put(key, &value),
            }
        }
        self
    }

    /// Sets a number; the same as [`set_tag`](Span::set_tag) with one.
    pub fn set_metric(&mut self, key: impl Into<Cow<'static, str>>, value: f64) -> &mut Self {
        self.set_tag(key, value)
    }

    /// Sets a structured value: a map in MessagePack (<https://msgpack.org>), which is sent as it is. Security
    /// products use it.
    pub fn set_meta_struct(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        map: Vec<u8>,
    ) -> &mut Self {
        let key = key.into();
        self.edit(|data| {
            let structs = &mut data.extras().structs;
            structs.retain(|(known, _)| *known != key);
            structs.push((key, map));
        });
        self
    }

    /// Sets the name of the operation, if that was not known at the start. Metrics that take the name of the active
    /// span, and sampling decisions that were made already, know the one before.
    pub fn set_name(&mut self, name: impl Into<Cow<'static, str>>) -> &mut Self {
        let name = name.into();
        self.edit(|data| data.name = name);
        self
    }

    /// Sets what the span worked on, such as `GET /cart/{id}` or a query. The default is the span's name.
    pub fn set_resource(&mut self, resource: impl Into<Cow<'static, str>>) -> &mut Self {
        let resource = resource.into();
        self.edit(|data| data.resource = Some(resource));
        self
    }

    /// Sets the kind of work, such as `web`, `sql`, `cache`, `http` or `worker`.
    pub fn set_type(&mut self, span_type: impl Into<Cow<'static, str>>) -> &mut Self {
        let span_type = span_type.into();
        self.edit(|data| data.span_type = Some(span_type));
        self
    }

    /// Sets the span's role in a request between services.
    pub fn set_kind(&mut self, kind: SpanKind) -> &mut Self {
        self.set_tag("span.kind", kind.as_str())
    }

    /// Sets the service that the span belongs to, which children that start later inherit. The default is the
    /// parent's, and for the first span of a trace the configured one.
    pub fn set_service(&mut self, service: &str) -> &mut Self {
        let Some(trace) = self.trace() else {
            return self;
        };
        let name: Arc<str> = Arc::from(service);
        let renamed = self.edit(|data| {
            let services = trace.tracer.services();
            let inherited = data.inherited.get_or_insert_with(|| data.service.clone());
            let differs = services.sent(inherited.as_deref()) != services.sent(Some(service));
            data.top_level = data.is_local_root || differs;
            data.service = Some(Arc::clone(&name));
            data.span_id
        });
        if let Some(span_id) = renamed {
            local::rename_service(span_id, &name);
        }
        self
    }

    /// Computes statistics for this span too. They are computed for the first span of each service anyway.
    pub fn set_measured(&mut self) -> &mut Self {
        self.set_tag("_dd.measured", 1)
    }

    /// Marks the span as failed, with the error's type, message, and sources.
    pub fn set_error<E: Error + ?Sized>(&mut self, error: &E) -> &mut Self {
        if self.open.is_some() {
            let report = ErrorReport::of(error);
            self.set_failure(&report.kind, &report.message);
            if let Some(stack) = report.stack {
                self.edit(|data| data.extras().error_stack = Some(stack));
            }
        }
        self
    }

    /// Marks the span as failed where there is no error value: with the kind of the error and what happened, each left
    /// out if it is empty.
    pub fn set_failure(&mut self, kind: &str, message: &str) -> &mut Self {
        self.edit(|data| {
            data.error = true;
            for (key, text) in [("error.type", kind), ("error.message", message)] {
                if !text.is_empty() {
                    data.tags.set_text(key.into(), text);
                }
            }
        });
        self
    }

    /// Links the span to another one that is not its parent.
    pub fn add_link(&mut self, link: SpanLink) -> &mut Self {
        self.edit(|data| data.extras().links.push(link));
        self
    }

    /// Adds something that happened within the span.
    pub fn add_event(&mut self, event: SpanEvent) -> &mut Self {
        self.edit(|data| data.extras().events.push(event));
        self
    }

    /// Sets a value that goes with the trace into every process that it reaches, and that all spans of the trace can
    /// read. It costs header space in every request.
    pub fn set_baggage(&mut self, key: impl Into<String>, value: impl Into<String>) -> &mut Self {
        if let Some(trace) = self.trace() {
            trace.set_baggage(&key.into(), &value.into());
        }
        self
    }

    /// A value of the trace's baggage.
    pub fn baggage(&self, key: &str) -> Option<String> {
        self.trace()?.baggage(key)
    }

    /// All values of the trace's baggage with their keys, in the order in which they were set.
    pub fn baggage_items(&self) -> Vec<(String, String)> {
        self.trace()
            .map_or_else(Vec::new, |trace| trace.baggage_items())
    }

    /// Takes a value out of the trace's baggage, for what is told to other processes from now on.
    pub fn remove_baggage(&mut self, key: &str) -> &mut Self {
        if let Some(trace) = self.trace() {
            trace.remove_baggage(key);
        }
        self
    }

    /// Sets when the span started, if that was not when it was made.
    pub fn set_start_time(&mut self, start: SystemTime) -> &mut Self {
        self.edit(|data| data.extras().start_ns = Some(unix_nanos(start)));
        self
    }

    /// The 128-bit trace id; 0 with tracing off.
    pub fn trace_id(&self) -> u128 {
        self.trace().map_or(0, |trace| trace.id)
    }

    /// The 64-bit span id; 0 with tracing off.
    pub fn span_id(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.span_id)
    }

    /// The span as others see it, such as threads that start children of it; `None` with tracing off.
    pub fn context(&self) -> Option<SpanContext> {
        let open = self.open.as_ref()?;
        let service = match &open.place {
            Place::Own(data) => data.service.clone(),
            Place::Root(trace) => trace.with_root(|data| data.service.clone()).flatten(),
        };
        Some(SpanContext(Inner::Here {
            trace: self.trace()?,
            span_id: open.span_id,
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
        let detached = self.open.take().and_then(|open| {
            let trace = match open.lent {
                Some(trace) => trace,
                None => local::detach(open.segment, open.span_id)?,
            };
            Some(DetachedSpan::new(open.place, trace))
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
        let open = self.open.as_ref()?;
        match &open.place {
            Place::Own(_) if open.lent.is_some() => open.lent.clone(),
            Place::Own(_) => local::trace(open.segment),
            Place::Root(trace) => Some(Arc::clone(trace)),
        }
    }

    /// `work` holds the trace's lock: it must call nothing of the program's.
    fn edit<T>(&mut self, work: impl FnOnce(&mut SpanData) -> T) -> Option<T> {
        match &mut self.open.as_mut()?.place {
            Place::Own(data) => Some(work(data)),
            Place::Root(trace) => trace.with_root(work),
        }
    }

    #[inline(never)]
    fn put(&mut self, key: Key, value: &TagValue<'_>) {
        self.edit(|data| match value {
            TagValue::Text(text) => data.tags.set_text(key, text),
            TagValue::Number(number) => data.tags.set_number(key, *number),
        });
    }

    fn put_text(&mut self, key: &'static str, text: &str) {
        match self.own_tags() {
            Some(tags) => tags.set_static_text(key, text),
            None => self.put(key.into(), &text.into()),
        }
    }

    fn put_number(&mut self, key: &'static str, number: f64) {
        match self.own_tags() {
            Some(tags) => tags.set_static_number(key, number),
            None => self.put(key.into(), &number.into()),
        }
    }

    /// The tags, unless others look at them from their threads.
    #[inline]
    fn own_tags(&mut self) -> Option<&mut Tags> {
        match &mut self.open.as_mut()?.place {
            Place::Own(data) => Some(&mut data.tags),
            Place::Root(_) => None,
        }
    }

    /// Obeys the keys that are more than tags (dd-trace-go: `ddtrace/tracer/span.go`).
    #[cold]
    fn set_known(&mut self, key: Key, value: &TagValue<'_>) {
        match (&*key, value) {
            ("manual.keep", value) => self.decide(value.is_true().then_some(USER_KEEP)),
            ("manual.drop", value) => self.decide(value.is_true().then_some(USER_REJECT)),
            ("_sampling_priority_v1" | "sampling.priority", TagValue::Number(priority)) => {
                self.decide(Some(*priority as i32));
            }
            ("service.name", TagValue::Text(text)) => {
                self.set_service(text);
            }
            ("resource.name", TagValue::Text(text)) => {
                self.set_resource(text.clone().into_owned());
            }
            ("span.type", TagValue::Text(text)) => {
                self.set_type(text.clone().into_owned());
            }
            ("error", value) => {
                self.edit(|data| data.error = !value.is_false());
                let says_more = !value.is_false() && !value.is_true();
                let said = self.edit(|data| data.tags.text(&key).is_some());
                if says_more || said == Some(true) {
                    self.put(key, value);
                }
            }
            (STATUS, TagValue::Number(status)) => {
                self.put(key, &status.to_string().into());
            }
            _ => self.put(key, value),
        }
    }

    fn decide(&self, priority: Option<i32>) {
        if let (Some(priority), Some(trace)) = (priority, self.trace()) {
            trace.decide_by_user(priority);
        }
    }
}

/// Statistics know it as text only (ddtrace: `ddtrace/_trace/span.py`).
const STATUS: &str = "http.status_code";

/// Whether a key may be more than a tag.
#[inline]
fn is_known(key: &str) -> bool {
    matches!(
        key,
        "manual.keep"
            | "manual.drop"
            | "_sampling_priority_v1"
            | "sampling.priority"
            | "service.name"
            | "resource.name"
            | "span.type"
            | "error"
    )
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
    fn end(&mut self) {
        let end = Ticks::now();
        let panicking = std::thread::panicking();
        if panicking || panics::are_noted() {
            self.edit(|data| panics::tell(data, panicking));
        }
        let Some(open) = self.open.take() else { return };
        let data = match open.place {
            Place::Own(data) => Some(data),
            Place::Root(trace) => trace.end_root(),
        };
        match (data, open.lent) {
            (Some(data), None) => local::finish(open.segment, data, end),
            (Some(data), Some(trace)) => {
                local::finish_detached(trace, data, end, std::iter::empty());
            }
            (None, _) => {}
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
