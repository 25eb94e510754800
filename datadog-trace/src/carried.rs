//! What travels with a trace from process to process.

use crate::link::SpanLink;
use crate::propagate::PropagationError;

/// What is written into the headers of a request, and read from them. Each header format knows a part of it.
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
    pub(crate) tags: Vec<(String, String)>,
    /// The members of `tracestate` that are not Datadog's, as they came.
    pub(crate) tracestate: String,
    /// The last Datadog span before this one, if the sender of the headers was none.
    pub(crate) last_datadog_span: Option<u64>,
    pub(crate) baggage: Vec<(String, String)>,
    /// What was wrong with the tags: the value of `_dd.propagation_error`.
    pub(crate) error: Option<PropagationError>,
    /// Other contexts that came with the same request.
    pub(crate) links: Vec<SpanLink>,
}
