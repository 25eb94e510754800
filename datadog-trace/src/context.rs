//! A span as others see it: what a child needs, in this process or another one.

use std::fmt;
use std::sync::Arc;

use crate::carried::Carried;
use crate::propagate::Inject;
use crate::sample::{Decision, otel};
use crate::trace::Trace;
use crate::tracer::Shared;

/// The identity of a span, of this process or of the one that sent a request: the parent of spans that
/// [`Tracer::trace_from`](crate::Tracer::trace_from) starts, on any thread. Cheap to clone.
#[derive(Clone)]
pub struct SpanContext(pub(crate) Inner);

#[derive(Clone)]
pub(crate) enum Inner {
    /// A span of this process.
    Here {
        trace: Arc<Trace>,
        span_id: u64,
        service: Option<Arc<str>>,
    },
    /// A span of another process.
    Elsewhere(Arc<Carried>),
}

impl SpanContext {
    /// A context from ids that came by other means than headers. With `kept`, the decision whether the trace is kept
    /// is made already; without it, this process makes it.
    pub fn from_ids(trace_id: u128, span_id: u64, kept: Option<bool>) -> Self {
        Self(Inner::Elsewhere(Arc::new(Carried {
            trace_id,
            span_id,
            priority: kept.map(i32::from),
            ..Carried::default()
        })))
    }

    /// The 128-bit trace id; 0 if a request brought no trace to go on with, but links or baggage.
    pub fn trace_id(&self) -> u128 {
        match &self.0 {
            Inner::Here { trace, .. } => trace.id,
            Inner::Elsewhere(carried) => carried.trace_id,
        }
    }

    /// The 64-bit span id; 0 without a parent.
    pub fn span_id(&self) -> u64 {
        match &self.0 {
            Inner::Here { span_id, .. } => *span_id,
            Inner::Elsewhere(carried) => carried.span_id,
        }
    }

    /// Writes the context of a span of this process into the headers of a request, in the formats of
    /// [`DDConfig::propagation_style_inject`](datadog_config::DDConfig::propagation_style_inject). This decides
    /// whether the trace is kept.
    pub fn inject(&self, headers: &mut impl Inject) {
        if let Inner::Here { trace, span_id, .. } = &self.0 {
            let carried = trace.carried(*span_id);
            if let Some(error) = trace.tracer.propagation.inject(&carried, headers) {
                trace.note_error(&error);
            }
        }
    }

    /// The trace, id and service of a span of `tracer`.
    pub(crate) fn here(&self, tracer: &Arc<Shared>) -> Option<(Arc<Trace>, u64, Option<Arc<str>>)> {
        match &self.0 {
            Inner::Here {
                trace,
                span_id,
                service,
            } if Arc::ptr_eq(&trace.tracer, tracer) => {
                Some((Arc::clone(trace), *span_id, service.clone()))
            }
            _ => None,
        }
    }

    /// Everything about the trace that other processes are told. This decides whether the trace is kept.
    pub(crate) fn carried(&self) -> Arc<Carried> {
        match &self.0 {
            Inner::Here { trace, span_id, .. } => Arc::new(trace.carried(*span_id)),
            Inner::Elsewhere(carried) => Arc::clone(carried),
        }
    }
}

impl Trace {
    fn carried(&self, span_id: u64) -> Carried {
        let (decision, baggage) = self.decide();
        let upstream = self.upstream.as_deref();
        let upstream_tags = upstream.map_or(&[][..], |upstream| &upstream.tags);
        let tags = decision.propagated_tags(upstream_tags);
        Carried {
            trace_id: self.id,
            span_id,
            priority: decision.priority,
            origin: upstream.and_then(|upstream| upstream.origin.clone()),
            tags,
            tracestate: tracestate(self.id as u64, &decision, upstream),
            baggage,
            ..Carried::default()
        }
    }
}

/// Other vendors' state, with OpenTelemetry's sampling member for a decision that was made here.
fn tracestate(trace_id: u64, decision: &Decision, upstream: Option<&Carried>) -> String {
    let others = upstream.map_or("", |upstream| &upstream.tracestate);
    let has_member = others.split(',').any(|member| member.starts_with("ot="));
    let rate = decision.probability.filter(|_| !has_member);
    match rate.and_then(|rate| otel::member(trace_id, rate)) {
        Some(member) if others.is_empty() => member,
        Some(member) => format!("{member},{others}"),
        None => others.to_owned(),
    }
}

impl fmt::Debug for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanContext")
            .field("trace_id", &format_args!("{:032x}", self.trace_id()))
            .field("span_id", &self.span_id())
            .finish_non_exhaustive()
    }
}
