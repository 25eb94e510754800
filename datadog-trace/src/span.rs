//! A span, from its start to its end.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use datadog_transport::ErrorReport;

use crate::trace::{SpanData, Trace};
use crate::tracer::Shared;
use crate::{TagValue, active};

/// An open span, active on the thread that started it. It is finished when it is dropped, or by
/// [`Span::finish`]; with tracing off it is empty and costs nothing.
///
/// A span stays on its thread: that is what makes the spans in between its children.
#[must_use = "a span is finished as soon as it is dropped: bind it to a name, such as `_span`"]
pub struct Span {
    open: Option<Box<Open>>,
    /// Not `Send`: the stack of active spans is the thread's own.
    _on_this_thread: PhantomData<*const ()>,
}

struct Open {
    tracer: Arc<Shared>,
    trace: Arc<Trace>,
    data: SpanData,
}

impl Span {
    /// The span of a tracer that is off.
    pub(crate) fn off() -> Self {
        Self {
            open: None,
            _on_this_thread: PhantomData,
        }
    }

    pub(crate) fn start(tracer: &Arc<Shared>, name: Cow<'static, str>) -> Self {
        let tracer_id = tracer.id();
        let parent = active::parent(tracer_id);
        let (trace, span_id, parent_id, service, top_level) = match parent {
            Some(parent) => (
                parent.trace,
                crate::id::span_id(),
                parent.span_id,
                parent.service,
                false,
            ),
            None => {
                let trace = Trace::start(tracer.wide_ids);
                let root_id = trace.local_root_id;
                (trace, root_id, 0, Arc::clone(&tracer.service), true)
            }
        };
        trace.open_span();
        active::enter(active::Parent {
            tracer: tracer_id,
            trace: Arc::clone(&trace),
            span_id,
            service: Arc::clone(&service),
        });
        let data = SpanData {
            trace_id: trace.id,
            span_id,
            parent_id,
            is_local_root: span_id == trace.local_root_id,
            name,
            service,
            top_level,
            resource: None,
            span_type: None,
            start: Instant::now(),
            duration_ns: 0,
            error: false,
            meta: Vec::new(),
            metrics: Vec::new(),
        };
        let open = Box::new(Open {
            tracer: Arc::clone(tracer),
            trace,
            data,
        });
        Self {
            open: Some(open),
            _on_this_thread: PhantomData,
        }
    }

    /// Sets a tag: text and booleans, or a number. A later value of the same key replaces the earlier one.
    pub fn set_tag(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        value: impl Into<TagValue>,
    ) -> &mut Self {
        if let Some(open) = &mut self.open {
            let key = key.into();
            match value.into() {
                TagValue::Text(text) => {
                    open.data.metrics.retain(|(known, _)| *known != key);
                    put(&mut open.data.meta, key, text);
                }
                TagValue::Number(number) => {
                    open.data.meta.retain(|(known, _)| *known != key);
                    put(&mut open.data.metrics, key, number);
                }
            }
        }
        self
    }

    /// Sets what the span worked on, such as `GET /cart/{id}` or a query. The default is the span's name.
    pub fn set_resource(&mut self, resource: impl Into<Cow<'static, str>>) -> &mut Self {
        if let Some(open) = &mut self.open {
            open.data.resource = Some(resource.into());
        }
        self
    }

    /// Sets the kind of work, such as `web`, `sql`, `cache`, `http` or `worker`.
    pub fn set_type(&mut self, span_type: impl Into<Cow<'static, str>>) -> &mut Self {
        if let Some(open) = &mut self.open {
            open.data.span_type = Some(span_type.into());
        }
        self
    }

    /// Sets the service that the span belongs to, which children that start later inherit. The default is the
    /// parent's, and for the first span of a trace the configured one.
    pub fn set_service(&mut self, service: &str) -> &mut Self {
        if let Some(open) = &mut self.open {
            open.data.top_level |= *open.data.service != *service;
            open.data.service = Arc::from(service);
            active::rename_service(open.data.span_id, &open.data.service);
        }
        self
    }

    /// Marks the span as failed, with the error's type, message, and sources.
    pub fn set_error<E: Error + ?Sized>(&mut self, error: &E) -> &mut Self {
        if self.open.is_some() {
            let report = ErrorReport::of(error);
            self.mark_failed(report.kind, report.message, report.stack);
        }
        self
    }

    /// The 128-bit trace id; 0 with tracing off.
    pub fn trace_id(&self) -> u128 {
        self.open.as_ref().map_or(0, |open| open.data.trace_id)
    }

    /// The 64-bit span id; 0 with tracing off.
    pub fn span_id(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.data.span_id)
    }

    /// Finishes the span now, like dropping it.
    pub fn finish(self) {}

    fn mark_failed(&mut self, kind: String, message: String, stack: Option<String>) {
        let Some(open) = &mut self.open else { return };
        open.data.error = true;
        self.set_tag("error.type", kind)
            .set_tag("error.message", message);
        if let Some(stack) = stack {
            self.set_tag("error.stack", stack);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if self.open.is_some() && std::thread::panicking() {
            self.mark_failed(
                "panic".to_owned(),
                "the thread panicked inside this span".to_owned(),
                None,
            );
        }
        let Some(open) = self.open.take() else { return };
        let Open {
            tracer,
            trace,
            mut data,
        } = *open;
        data.duration_ns = u64::try_from(data.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        active::leave(data.span_id);
        if let Some(spans) = trace.finish_span(data) {
            tracer.hand_over(spans);
        }
    }
}

/// Spans have few tags: a scan beats a map.
fn put<T>(tags: &mut Vec<(Cow<'static, str>, T)>, key: Cow<'static, str>, value: T) {
    match tags.iter_mut().find(|(known, _)| *known == key) {
        Some((_, known)) => *known = value,
        None => tags.push((key, value)),
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span")
            .field(
                "name",
                &self.open.as_ref().map_or("", |open| &open.data.name),
            )
            .field("trace_id", &self.trace_id())
            .field("span_id", &self.span_id())
            .finish_non_exhaustive()
    }
}
