//! What travels with a trace from process to process.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::baggage::Baggage;
use crate::link::SpanLink;
use crate::propagate::PropagationError;
use crate::sample::{Decision, otel};

/// A tag of a trace. The known ones take no memory.
pub(crate) type TraceTag = (Cow<'static, str>, Cow<'static, str>);

/// The tags of a trace. Almost all traces have two: who decided, and the rate.
pub(crate) type TraceTags = SmallVec<[TraceTag; 2]>;

/// What is read from the headers of a request. Each header format knows a part of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Carried {
    /// 0 if there is no trace to go on with, but links or baggage.
    pub(crate) trace_id: u128,
    /// The span that makes the request: the parent of what the receiver starts. 0 if the sender told none.
    pub(crate) span_id: u64,
    pub(crate) priority: Option<i32>,
    /// Where the trace comes from, such as `synthetics` or `rum`.
    pub(crate) origin: Option<String>,
    /// The tags `_dd.p.*` but `_dd.p.tid`, which is the high half of the trace id.
    pub(crate) tags: TraceTags,
    /// The members of `tracestate` that are not Datadog's, as they came.
    pub(crate) tracestate: String,
    /// The last Datadog span before this one, if the sender of the headers was none.
    pub(crate) last_datadog_span: Option<u64>,
    pub(crate) baggage: Baggage,
    /// What was wrong with the tags: the value of `_dd.propagation_error`.
    pub(crate) error: Option<PropagationError>,
    /// Other contexts that came with the same request.
    pub(crate) links: Vec<SpanLink>,
}

/// What is written into the headers of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    pub(crate) priority: Option<i32>,
    pub(crate) origin: Option<&'a str>,
    /// The tags that came from upstream.
    pub(crate) upstream_tags: &'a [TraceTag],
    /// What was decided here, if anything was.
    pub(crate) decision: Option<&'a Decision>,
    /// As [`Carried::tracestate`].
    pub(crate) tracestate: &'a str,
    /// Whether the decision is another one than `tracestate` tells of.
    pub(crate) is_overruled: bool,
    pub(crate) baggage: &'a Baggage,
}

impl<'a> Outgoing<'a> {
    /// Shows the tags `_dd.p.*` but `_dd.p.tid`.
    pub(crate) fn each_tag(&self, show: &mut dyn FnMut(&'a str, &'a str)) {
        for (key, value) in self.upstream_tags {
            if self.decision.is_none_or(|decision| !decision.replaces(key)) {
                show(key, value);
            }
        }
        if let Some(decision) = self.decision {
            decision.tags().for_each(|(key, value)| show(key, value));
        }
    }

    /// The members of `tracestate` that are not Datadog's, as they go on.
    pub(crate) fn others(&self) -> Cow<'a, str> {
        match self.is_overruled {
            true => otel::without_threshold(self.tracestate).into(),
            false => self.tracestate.into(),
        }
    }
}

impl Carried {
    /// The same, to be written into headers again.
    pub(crate) fn outgoing(&self) -> Outgoing<'_> {
        Outgoing {
            trace_id: self.trace_id,
            span_id: self.span_id,
            priority: self.priority,
            origin: self.origin.as_deref(),
            upstream_tags: &self.tags,
            decision: None,
            tracestate: &self.tracestate,
            is_overruled: false,
            baggage: &self.baggage,
        }
    }
}

/// The longest origin that goes on. Those that Datadog's products send have some 20 bytes, and it has to leave room
/// for the other parts of the headers that carry it.
const ORIGIN_BYTES: usize = 128;

/// What came as an origin, if it is one.
pub(crate) fn origin(text: &str) -> Option<&str> {
    (1..=ORIGIN_BYTES).contains(&text.len()).then_some(text)
}

/// A tag as it is kept.
pub(crate) fn trace_tag(key: &str, value: &str) -> TraceTag {
    let key = match key {
        "_dd.p.dm" => "_dd.p.dm".into(),
        "_dd.p.ksr" => "_dd.p.ksr".into(),
        "_dd.p.ts" => "_dd.p.ts".into(),
        _ => key.to_owned().into(),
    };
    let value = match value {
        "-0" => "-0".into(),
        "-1" => "-1".into(),
        "-3" => "-3".into(),
        "-4" => "-4".into(),
        "1" => "1".into(),
        "02" => "02".into(),
        _ => value.to_owned().into(),
    };
    (key, value)
}
