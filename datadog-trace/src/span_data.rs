//! One span's facts.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use crate::event::SpanEvent;
use crate::link::SpanLink;
use crate::tags::{Key, Tags};

/// One span's facts. It is used again for other spans, so its buffers stay.
#[derive(Debug)]
pub(crate) struct SpanData {
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    /// 0 for the first span of the trace.
    pub(crate) parent_id: u64,
    /// Whether it is the first span of the trace in this process.
    pub(crate) is_local_root: bool,
    pub(crate) name: Cow<'static, str>,
    /// `None` stands for the configured one.
    pub(crate) service: Option<Arc<str>>,
    /// Whether the service differs from the parent's: such spans count as requests to their service.
    pub(crate) top_level: bool,
    pub(crate) resource: Option<Cow<'static, str>>,
    pub(crate) span_type: Option<Cow<'static, str>>,
    pub(crate) start: Instant,
    pub(crate) duration_ns: u64,
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
    /// MessagePack maps by key.
    pub(crate) structs: Vec<(Key, Vec<u8>)>,
}

/// Spans are moved by their address: between the thread that makes them, the trace that collects them and the worker.
pub(crate) type Spans = Vec<Box<SpanData>>;

impl SpanData {
    pub(crate) fn new() -> Self {
        Self {
            trace_id: 0,
            span_id: 0,
            parent_id: 0,
            is_local_root: false,
            name: Cow::Borrowed(""),
            service: None,
            top_level: false,
            resource: None,
            span_type: None,
            start: Instant::now(),
            duration_ns: 0,
            error: false,
            tags: Tags::default(),
            extras: None,
        }
    }

    /// Forgets everything that occupies memory of its own, except the buffers of the tags.
    pub(crate) fn clear(&mut self) {
        self.name = Cow::Borrowed("");
        self.service = None;
        self.top_level = false;
        self.resource = None;
        self.span_type = None;
        self.error = false;
        self.tags.clear();
        self.extras = None;
    }

    pub(crate) fn resource(&self) -> &str {
        self.resource.as_ref().unwrap_or(&self.name)
    }

    pub(crate) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    pub(crate) fn end(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.start);
        self.duration_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
    }

    /// About how many bytes it occupies.
    pub(crate) fn bytes(&self) -> usize {
        let owned = |text: &Cow<'static, str>| match text {
            Cow::Borrowed(_) => 0,
            Cow::Owned(text) => text.capacity(),
        };
        let texts = [
            Some(&self.name),
            self.resource.as_ref(),
            self.span_type.as_ref(),
        ];
        size_of::<Self>()
            + self.tags.bytes()
            + texts.into_iter().flatten().map(owned).sum::<usize>()
            + self.extras.as_ref().map_or(0, |extras| extras.bytes())
    }
}

impl Extras {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.links.iter().map(SpanLink::bytes).sum::<usize>()
            + self.events.iter().map(SpanEvent::bytes).sum::<usize>()
            + self
                .structs
                .iter()
                .map(|(key, map)| key.len() + map.len())
                .sum::<usize>()
    }
}
