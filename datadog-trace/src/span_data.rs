//! One span's facts.

use std::borrow::Cow;
use std::sync::Arc;

use datadog_transport::ErrorStack;

use crate::event::SpanEvent;
use crate::link::SpanLink;
use crate::tags::{Key, Tags};
use crate::ticks::Ticks;
use crate::trace::Trace;

/// About what a backtrace occupies until its functions are named.
const BACKTRACE_BYTES: usize = 8 * 1024;

/// An open span's facts. When it ends they go into a [batch](crate::batch::Batch), and the memory is used again.
#[derive(Debug)]
pub(crate) struct SpanData {
    /// The trace, held for the span while it is detached: see [`Trace::hold`].
    pub(crate) held: Option<Arc<Trace>>,
    /// Of the first span of a trace, as sampling goes by it; others leave it as it is.
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    /// 0 for the first span of the trace.
    pub(crate) parent_id: u64,
    /// Whether it is the first span of the trace in this process.
    pub(crate) is_local_root: bool,
    pub(crate) name: Cow<'static, str>,
    /// `None` stands for the configured one.
    pub(crate) service: Option<Arc<str>>,
    /// The parent's service, once the span has one of its own.
    pub(crate) inherited: Option<Option<Arc<str>>>,
    /// Whether the service differs from the parent's: such spans count as requests to their service.
    pub(crate) top_level: bool,
    pub(crate) resource: Option<Cow<'static, str>>,
    pub(crate) span_type: Option<Cow<'static, str>>,
    pub(crate) start: Ticks,
    pub(crate) error: bool,
    pub(crate) tags: Tags,
    /// What few spans have.
    pub(crate) extras: Option<Box<Extras>>,
}

/// What few spans have.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// Nanoseconds since the Unix epoch; beats the clock.
    pub(crate) start_ns: Option<u64>,
    /// Nanoseconds since the Unix epoch; beats the clock.
    pub(crate) end_ns: Option<u64>,
    pub(crate) links: Vec<SpanLink>,
    pub(crate) events: Vec<SpanEvent>,
    /// Becomes the tag `error.stack`.
    pub(crate) error_stack: Option<ErrorStack>,
    /// MessagePack maps by key.
    pub(crate) structs: Vec<(Key, Vec<u8>)>,
    /// If the span is kept although its trace is not: the rule's rate and limit.
    pub(crate) kept_alone: Option<(f64, Option<f64>)>,
}

impl Default for SpanData {
    fn default() -> Self {
        Self {
            held: None,
            trace_id: 0,
            span_id: 0,
            parent_id: 0,
            is_local_root: false,
            name: Cow::Borrowed(""),
            service: None,
            inherited: None,
            top_level: false,
            resource: None,
            span_type: None,
            start: Ticks::default(),
            error: false,
            tags: Tags::default(),
            extras: None,
        }
    }
}

impl SpanData {
    /// Begins a span in memory that another one may have used, which left nothing but its facts of a fixed size.
    #[inline]
    pub(crate) fn begin(
        &mut self,
        span_id: u64,
        parent_id: u64,
        name: Cow<'static, str>,
        start: Ticks,
    ) {
        self.span_id = span_id;
        self.parent_id = parent_id;
        self.is_local_root = false;
        self.name = name;
        self.top_level = false;
        self.start = start;
        self.error = false;
    }

    pub(crate) fn resource(&self) -> &str {
        self.resource.as_ref().unwrap_or(&self.name)
    }

    pub(crate) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// The same as it is now, without what is too costly to tell twice.
    pub(crate) fn so_far(&self) -> Self {
        let extras = self.extras.as_deref().map(|extras| Extras {
            start_ns: extras.start_ns,
            links: extras.links.clone(),
            events: extras.events.clone(),
            structs: extras.structs.clone(),
            ..Extras::default()
        });
        Self {
            held: None,
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_id: self.parent_id,
            is_local_root: self.is_local_root,
            name: self.name.clone(),
            service: self.service.clone(),
            inherited: None,
            top_level: self.top_level,
            resource: self.resource.clone(),
            span_type: self.span_type.clone(),
            start: self.start,
            error: self.error,
            tags: self.tags.clone(),
            extras: extras.map(Box::new),
        }
    }
}

impl Extras {
    /// About how many bytes it occupies.
    pub(crate) fn bytes(&self) -> usize {
        let backtrace = self
            .error_stack
            .as_ref()
            .is_some_and(ErrorStack::has_backtrace);
        size_of::<Self>()
            + if backtrace { BACKTRACE_BYTES } else { 0 }
            + self.links.iter().map(SpanLink::bytes).sum::<usize>()
            + self.events.iter().map(SpanEvent::bytes).sum::<usize>()
            + self
                .structs
                .iter()
                .map(|(key, map)| key.len() + map.len())
                .sum::<usize>()
    }
}
