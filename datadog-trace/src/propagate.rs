//! Traces across processes: headers that are written into requests, and read from them.

mod b3;
mod baggage;
mod carrier;
mod datadog;
pub(crate) mod digits;
mod found;
mod header;
#[cfg(feature = "http")]
mod header_map;
mod lines;
mod split;
mod tracecontext;

use std::borrow::Cow;
use std::sync::Arc;

use datadog_config::{DDConfig, ExtractBehavior, PropagationStyle};

pub use carrier::{Extract, Inject};
use found::Found;
use header::Header;
pub(crate) use lines::HeaderLines;
pub(crate) use tracecontext::state as tracestate;

use crate::carried::{Carried, Outgoing};
use crate::link::SpanLink;

/// Which formats are written and read, and what becomes of what was read.
#[derive(Debug)]
pub(crate) struct Propagation {
    inject: Vec<PropagationStyle>,
    extract: Vec<PropagationStyle>,
    extract_first: bool,
    /// The names of the headers to read.
    names: &'static [&'static str],
    behavior: ExtractBehavior,
    tags_limit: usize,
}

/// Why the tags of a trace could not be read or written: the values of `_dd.propagation_error`.
pub(crate) type PropagationError = Cow<'static, str>;

impl Propagation {
    pub(crate) fn new(config: &DDConfig) -> Self {
        let b3 = [PropagationStyle::B3, PropagationStyle::B3Multi];
        let extract = config.propagation_style_extract();
        let with_b3 = extract.iter().any(|style| b3.contains(style));
        Self {
            inject: unique(config.propagation_style_inject()),
            extract: unique(extract),
            extract_first: config.propagation_extract_first(),
            names: Header::names(with_b3),
            behavior: config.propagation_behavior_extract(),
            tags_limit: config.x_datadog_tags_max_length(),
        }
    }

    /// Writes the headers of all formats.
    pub(crate) fn inject(
        &self,
        outgoing: &Outgoing<'_>,
        lines: &mut HeaderLines,
    ) -> Option<PropagationError> {
        let mut error = None;
        if outgoing.trace_id == 0 || outgoing.span_id == 0 {
            return error;
        }
        for style in &self.inject {
            match style {
                PropagationStyle::Datadog => {
                    error = datadog::inject(outgoing, self.tags_limit, lines);
                }
                PropagationStyle::TraceContext => tracecontext::inject(outgoing, lines),
                PropagationStyle::B3 => b3::inject_single(outgoing, lines),
                PropagationStyle::B3Multi => b3::inject_multi(outgoing, lines),
                PropagationStyle::Baggage => baggage::inject(outgoing.baggage, lines),
                _ => {}
            }
        }
        error
    }

    /// Reads what a request brings. The trace id is 0 if there is no trace to go on with, but links or baggage.
    pub(crate) fn extract(&self, carrier: &impl Extract) -> Option<Arc<Carried>> {
        if self.behavior == ExtractBehavior::Ignore {
            return None;
        }
        let mut found = Found::default();
        if !found.look(carrier, self.names) {
            return None;
        }
        // Filled in where it stays: it is large to move.
        let mut carried = Arc::<Carried>::default();
        let brings = self.extract_found(&found, Arc::get_mut(&mut carried)?);
        brings.then_some(carried)
    }

    /// Whether there is something to go on with.
    fn extract_found(&self, headers: &Found<'_>, carried: &mut Carried) -> bool {
        let found = self.extract_trace(headers, carried);
        if let Some(style) = found
            && self.behavior == ExtractBehavior::Restart
        {
            *carried = Carried {
                links: vec![link(carried, style, "propagation_behavior_extract")],
                ..Carried::default()
            };
        }
        if self.extract.contains(&PropagationStyle::Baggage) {
            carried.baggage = baggage::extract(headers);
        }
        found.is_some() || !carried.baggage.is_empty()
    }

    /// The trace of the first format that brings one, and that format. Others add what they know of it, or links if they
    /// tell of another trace (dd-trace-go: `ddtrace/tracer/textmap.go`).
    fn extract_trace(
        &self,
        headers: &Found<'_>,
        carried: &mut Carried,
    ) -> Option<PropagationStyle> {
        let mut first = None;
        for style in &self.extract {
            if *style == PropagationStyle::Baggage {
                continue;
            }
            if first.is_none() {
                if self.extract_style(*style, headers, carried).is_some() {
                    first = Some(*style);
                    if self.extract_first {
                        break;
                    }
                }
                continue;
            }
            if *style == PropagationStyle::TraceContext
                && let Some(parent) = tracecontext::parent(headers)
                && parent.trace_id == carried.trace_id
            {
                tracecontext::learn(carried, headers, parent);
                continue;
            }
            let mut other = Carried::default();
            if self.extract_style(*style, headers, &mut other).is_some()
                && other.trace_id != carried.trace_id
            {
                carried
                    .links
                    .push(link(&other, *style, "terminated_context"));
            }
        }
        first
    }

    fn extract_style(
        &self,
        style: PropagationStyle,
        headers: &Found<'_>,
        carried: &mut Carried,
    ) -> Option<()> {
        match style {
            PropagationStyle::Datadog => datadog::extract(headers, self.tags_limit, carried),
            PropagationStyle::TraceContext => tracecontext::extract(headers, carried),
            PropagationStyle::B3 => b3::extract_single(headers, carried),
            PropagationStyle::B3Multi => b3::extract_multi(headers, carried),
            _ => None,
        }
    }
}

/// A style that is named several times counts once.
fn unique(styles: &[PropagationStyle]) -> Vec<PropagationStyle> {
    let mut unique = Vec::new();
    for style in styles {
        if !unique.contains(style) {
            unique.push(*style);
        }
    }
    unique
}

#[cold]
fn link(found: &Carried, style: PropagationStyle, reason: &'static str) -> SpanLink {
    SpanLink {
        trace_id: found.trace_id,
        span_id: found.span_id,
        attributes: vec![
            ("reason".into(), reason.to_owned()),
            ("context_headers".into(), style.as_str().to_owned()),
        ],
        tracestate: if style == PropagationStyle::TraceContext {
            tracecontext::state(found)
        } else {
            String::new()
        },
        flags: found.priority.map(|priority| u8::from(priority > 0)),
    }
}

#[cfg(test)]
mod tests;
