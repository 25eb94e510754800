//! A span as others see it: what a child needs, in this process or another one.

use std::fmt;
use std::sync::Arc;

use crate::baggage::Baggage;
use crate::carried::{Carried, Outgoing, TraceTags, trace_tag};
use crate::propagate::{HeaderLines, Inject, tracestate};
use crate::sample::Decision;
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

    /// A value of the trace's baggage; of an extracted context, one that the request brings.
    pub fn baggage(&self, key: &str) -> Option<String> {
        match &self.0 {
            Inner::Here { trace, .. } => trace.baggage(key),
            Inner::Elsewhere(carried) => carried.baggage.get(key).map(str::to_owned),
        }
    }

    /// All values of the trace's baggage with their keys.
    pub fn baggage_items(&self) -> Vec<(String, String)> {
        match &self.0 {
            Inner::Here { trace, .. } => trace.baggage_items(),
            Inner::Elsewhere(carried) => carried.baggage.to_vec(),
        }
    }

    /// Writes the context of a span of this process into the headers of a request, in the formats of
    /// [`DDConfig::propagation_style_inject`](datadog_config::DDConfig::propagation_style_inject). This decides
    /// whether the trace is kept.
    pub fn inject(&self, headers: &mut impl Inject) {
        if let Inner::Here { trace, span_id, .. } = &self.0 {
            trace.inject(*span_id, headers);
        }
    }

    /// What is decided about the trace so far. This decides nothing.
    pub(crate) fn priority(&self) -> Option<i32> {
        match &self.0 {
            Inner::Here { trace, .. } => trace.priority(),
            Inner::Elsewhere(carried) => carried.priority,
        }
    }

    /// The value of `tracestate` for a context that was extracted; empty for others.
    pub(crate) fn tracestate(&self) -> String {
        match &self.0 {
            Inner::Elsewhere(carried) if carried.priority.is_some() => tracestate(carried),
            Inner::Elsewhere(carried) => carried.tracestate.clone(),
            Inner::Here { .. } => String::new(),
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
    /// Writes the context of a span of the trace into the headers of a request.
    pub(crate) fn inject(&self, span_id: u64, headers: &mut impl Inject) {
        HeaderLines::with(|lines| {
            self.write(span_id, lines);
            lines.set(headers);
        });
    }

    /// Writes the headers of a span of the trace, still without a request.
    pub(crate) fn write(&self, span_id: u64, lines: &mut HeaderLines) {
        let propagation = &self.tracer.propagation;
        let error = self.told(|decision, baggage| {
            propagation.inject(&self.outgoing(span_id, decision, baggage), lines)
        });
        if let Some(error) = error {
            self.note_error(&error);
        }
    }

    fn carried(&self, span_id: u64) -> Carried {
        self.told(|decision, baggage| {
            let outgoing = self.outgoing(span_id, decision, baggage);
            let mut tags = TraceTags::new();
            outgoing.each_tag(&mut |key, value| tags.push(trace_tag(key, value)));
            Carried {
                trace_id: self.id,
                span_id,
                priority: decision.priority,
                origin: outgoing.origin.map(str::to_owned),
                tags,
                tracestate: outgoing.others().into_owned(),
                baggage: baggage.clone(),
                ..Carried::default()
            }
        })
    }

    fn outgoing<'a>(
        &'a self,
        span_id: u64,
        decision: &'a Decision,
        baggage: &'a Baggage,
    ) -> Outgoing<'a> {
        let upstream = self.upstream.as_deref();
        Outgoing {
            trace_id: self.id,
            span_id,
            priority: decision.priority,
            origin: upstream.and_then(|upstream| upstream.origin.as_deref()),
            upstream_tags: upstream.map_or(&[], |upstream| &upstream.tags),
            decision: Some(decision),
            tracestate: upstream.map_or("", |upstream| &upstream.tracestate),
            is_overruled: upstream.is_some_and(|upstream| decision.overrules(upstream.priority)),
            baggage,
        }
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
