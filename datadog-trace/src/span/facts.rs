//! What can be said about an open span.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use datadog_transport::ErrorReport;

use super::{Open, Span};
use crate::event::unix_nanos;
use crate::local;
use crate::place::Place;
use crate::sample::{USER_KEEP, USER_REJECT};
use crate::tags::{Key, Tags};
use crate::{SpanEvent, SpanKind, SpanLink, TagValue};

impl Span {
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
        match self.open.as_mut()? {
            Open::Own { data, .. }
            | Open::Lent {
                place: Place::Own(data),
                ..
            } => Some(&mut data.tags),
            Open::Root { .. } | Open::Lent { .. } => None,
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
