//! Traces, and the v0.4 payload, decoded strictly.
//!
//! The rules are those of the trace-agent's decoder (`datadog-agent: pkg/proto/pbgo/trace/span.go`) and of the checks in
//! the APM test agent (`dd-apm-test-agent: ddapm_test_agent/trace.py`, `trace_checks.py`), and a few that neither
//! has: what an own client would only send by mistake is refused.

use std::collections::{BTreeMap, HashSet};

use rmpv::Value;

use crate::request::{Headers, Refused, Request};
use crate::value::{self, Fields};

/// One trace chunk: spans of one trace that came together, with the headers of their request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TraceChunk {
    /// The spans in the order sent; never empty.
    pub spans: Vec<Span>,
    /// Headers of the request that brought the chunk.
    pub headers: Headers,
}

impl TraceChunk {
    /// The first span whose parent is not in this chunk: the local root, unless the chunk is a partial flush.
    pub fn root(&self) -> Option<&Span> {
        let ids: HashSet<u64> = self.spans.iter().map(|span| span.span_id).collect();
        self.spans
            .iter()
            .find(|span| !ids.contains(&span.parent_id))
    }
}

/// One span as accepted.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// The low 64 bits of the trace id; not zero.
    pub trace_id: u64,
    /// The high 64 bits of the trace id, from the tag `_dd.p.tid` that one span of the chunk carries; else zero.
    pub trace_id_high: u64,
    /// Not zero.
    pub span_id: u64,
    /// Zero for the root of a trace.
    pub parent_id: u64,
    /// Operation name.
    pub name: String,
    /// Service name.
    pub service: String,
    /// Resource name.
    pub resource: String,
    /// Span type, such as `web`; empty when not sent.
    pub type_: String,
    /// Start in nanoseconds since the Unix epoch; above zero.
    pub start_ns: i64,
    /// Duration in nanoseconds; not negative.
    pub duration_ns: i64,
    /// 1 for a span with an error, else 0.
    pub error: i32,
    /// Tags with text values.
    pub meta: BTreeMap<String, String>,
    /// Tags with numbers; all finite.
    pub metrics: BTreeMap<String, f64>,
    /// Tags with structures; each value is a msgpack map.
    pub meta_struct: BTreeMap<String, Vec<u8>>,
    /// Links to other spans.
    pub span_links: Vec<SpanLink>,
    /// Events within the span.
    pub span_events: Vec<SpanEvent>,
}

impl Span {
    /// The whole trace id, both halves.
    pub fn trace_id_128(&self) -> u128 {
        u128::from(self.trace_id_high) << 64 | u128::from(self.trace_id)
    }

    /// The value of a tag: text, or a number as text.
    pub fn tag(&self, key: &str) -> Option<String> {
        let text = self.meta.get(key).cloned();
        text.or_else(|| self.metrics.get(key).map(f64::to_string))
    }
}

/// A link from a span to another span (`datadog-agent: pkg/proto/datadog/trace/span.proto`).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SpanLink {
    /// Low 64 bits of the linked trace id.
    pub trace_id: u64,
    /// High 64 bits of the linked trace id.
    pub trace_id_high: u64,
    /// The linked span.
    pub span_id: u64,
    /// Attributes of the link.
    pub attributes: BTreeMap<String, String>,
    /// W3C trace state.
    pub tracestate: String,
    /// W3C trace flags; bit 31 says that they were set.
    pub flags: u32,
}

/// An event within a span (`datadog-agent: pkg/proto/datadog/trace/span.proto`).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SpanEvent {
    /// Nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// Name of the event.
    pub name: String,
    /// Attributes with their types.
    pub attributes: BTreeMap<String, Attribute>,
}

/// A typed attribute of a [`SpanEvent`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Attribute {
    /// Type 0.
    Text(String),
    /// Type 1.
    Bool(bool),
    /// Type 2.
    Int(i64),
    /// Type 3.
    Double(f64),
    /// Type 4; never an array within an array.
    Array(Vec<Self>),
}

/// Decodes a body into the spans of each chunk.
pub(crate) type Decode = fn(&[u8]) -> Result<Vec<Vec<Span>>, String>;

/// Checks the headers and decodes the body of a request that brings traces.
pub(crate) fn decode(request: &Request, chunks: Decode) -> Result<Vec<TraceChunk>, Refused> {
    let content_type = request.header("content-type").unwrap_or("(none)");
    if content_type != "application/msgpack" {
        let reason =
            format!("header Content-Type: expected application/msgpack, got {content_type}");
        return Err(Refused::new(415, reason));
    }
    if request.header("content-length").is_none() {
        return Err(Refused::bad(
            "header Content-Length is missing (a chunked body is not accepted)",
        ));
    }
    if request.header("datadog-meta-tracer-version").is_none() {
        return Err(Refused::bad(
            "header Datadog-Meta-Tracer-Version is missing",
        ));
    }
    let chunks = chunks(&request.body).map_err(Refused::bad)?;
    check_count(request.header("x-datadog-trace-count"), chunks.len()).map_err(Refused::bad)?;
    let with_headers = |spans| TraceChunk {
        spans,
        headers: request.headers.clone(),
    };
    Ok(chunks.into_iter().map(with_headers).collect())
}

fn check_count(header: Option<&str>, chunks: usize) -> Result<(), String> {
    let Some(text) = header else {
        return Err("header X-Datadog-Trace-Count is missing".to_owned());
    };
    match text.parse::<usize>() {
        Ok(count) if count == chunks => Ok(()),
        Ok(count) => Err(format!(
            "header X-Datadog-Trace-Count says {count}, but the body has {chunks} trace chunks"
        )),
        Err(_) => Err(format!(
            "header X-Datadog-Trace-Count: expected a non-negative integer, got `{text}`"
        )),
    }
}

/// Decodes the body of a `/v0.4/traces` or `/v0.3/traces` request.
pub(crate) fn chunks(body: &[u8]) -> Result<Vec<Vec<Span>>, String> {
    let chunks = value::msgpack(body)?;
    value::list(chunks, "trace chunks")?
        .into_iter()
        .enumerate()
        .map(|(at, value)| chunk(value).map_err(|reason| format!("chunk {at}{reason}")))
        .collect()
}

fn chunk(value: Value) -> Result<Vec<Span>, String> {
    let values = value::list(value, "spans").map_err(|reason| format!(": {reason}"))?;
    let mut spans = Vec::with_capacity(values.len());
    for (at, value) in values.into_iter().enumerate() {
        spans.push(span(value).map_err(|reason| format!(", span {at}: {reason}"))?);
    }
    share_trace_id(&mut spans).map_err(|reason| format!(": {reason}"))?;
    Ok(spans)
}

/// Checks that the spans are of one trace, with no span twice, and gives each the high half of the trace id.
pub(crate) fn share_trace_id(spans: &mut [Span]) -> Result<(), String> {
    let Some(trace_id) = spans.first().map(|span| span.trace_id) else {
        return Err("it has no spans".to_owned());
    };
    let mut ids = HashSet::new();
    let mut high: Option<(usize, u64)> = None;
    for (at, span) in spans.iter().enumerate() {
        let other = span.trace_id;
        if other != trace_id {
            return Err(format!(
                "span {at} has trace id {other}, span 0 has {trace_id}: a chunk holds one trace"
            ));
        }
        if !ids.insert(span.span_id) {
            return Err(format!("span id {} comes twice", span.span_id));
        }
        let Some(text) = span.meta.get("_dd.p.tid") else {
            continue;
        };
        let own = high_half(text)
            .ok_or_else(|| format!("span {at}: meta `_dd.p.tid`: expected 16 lower-case hexadecimal digits, got `{text}`"))?;
        match high {
            Some((first, known)) if known != own => {
                return Err(format!(
                    "span {at}: meta `_dd.p.tid` differs from that of span {first}"
                ));
            }
            _ => high = Some((at, own)),
        }
    }
    for span in spans {
        span.trace_id_high = high.map_or(0, |(_, high)| high);
    }
    Ok(())
}

fn high_half(text: &str) -> Option<u64> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 16 || !text.bytes().all(hex) {
        return None;
    }
    u64::from_str_radix(text, 16).ok()
}

fn span(value: Value) -> Result<Span, String> {
    let mut fields = Fields::of(value)?;
    let span = Span {
        trace_id: fields.required("trace_id", value::id)?,
        trace_id_high: 0,
        span_id: fields.required("span_id", value::id)?,
        parent_id: fields.optional("parent_id", value::unsigned)?,
        name: fields.required("name", value::filled)?,
        service: fields.required("service", value::filled)?,
        resource: fields.required("resource", value::filled)?,
        type_: fields.optional("type", value::text)?,
        start_ns: fields.required("start", value::positive)?,
        duration_ns: fields.required("duration", value::not_negative)?,
        error: fields.optional("error", error_mark)?,
        meta: fields.optional("meta", |value| value::map(value, value::text))?,
        metrics: fields.optional("metrics", |value| value::map(value, value::number))?,
        meta_struct: fields
            .optional("meta_struct", |value| value::map(value, value::packed_map))?,
        span_links: fields
            .optional("span_links", |value| value::each(value, "span links", link))?,
        span_events: fields.optional("span_events", |value| {
            value::each(value, "span events", event)
        })?,
    };
    fields.none_left()?;
    check_events_tag(&span)?;
    Ok(span)
}

fn error_mark(value: Value) -> Result<i32, String> {
    match value.as_i64() {
        Some(0) => Ok(0),
        Some(1) => Ok(1),
        _ => Err(format!("expected 0 or 1, got {}", value::kind(&value))),
    }
}

/// Span events may come as a JSON array in the tag `events` (`dd-apm-test-agent`: check `meta_events_is_valid_json`).
pub(crate) fn check_events_tag(span: &Span) -> Result<(), String> {
    let Some(text) = span.meta.get("events") else {
        return Ok(());
    };
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Array(_)) => Ok(()),
        Ok(_) => Err("meta `events`: expected a JSON array".to_owned()),
        Err(error) => Err(format!(
            "meta `events`: expected a JSON array, but it is not JSON: {error}"
        )),
    }
}

fn link(value: Value) -> Result<SpanLink, String> {
    let mut fields = Fields::of(value)?;
    let link = SpanLink {
        trace_id: fields.required("trace_id", value::id)?,
        trace_id_high: fields.optional("trace_id_high", value::unsigned)?,
        span_id: fields.required("span_id", value::id)?,
        attributes: fields.optional("attributes", |value| value::map(value, value::text))?,
        tracestate: fields.optional("tracestate", value::text)?,
        flags: fields.optional("flags", value::unsigned_32)?,
    };
    fields.none_left()?;
    Ok(link)
}

fn event(value: Value) -> Result<SpanEvent, String> {
    let mut fields = Fields::of(value)?;
    let event = SpanEvent {
        time_unix_nano: fields.required("time_unix_nano", value::unsigned)?,
        name: fields.required("name", value::filled)?,
        attributes: fields.optional("attributes", |value| {
            value::map(value, |value| attribute(value, true))
        })?,
    };
    fields.none_left()?;
    Ok(event)
}

/// An attribute is a map with its type's number and one field of that type.
fn attribute(value: Value, array_allowed: bool) -> Result<Attribute, String> {
    let mut fields = Fields::of(value)?;
    let attribute = match fields.required("type", value::unsigned)? {
        0 => Attribute::Text(fields.required("string_value", value::text)?),
        1 => Attribute::Bool(fields.required("bool_value", value::boolean)?),
        2 => Attribute::Int(fields.required("int_value", value::signed)?),
        3 => Attribute::Double(fields.required("double_value", value::number)?),
        4 if array_allowed => Attribute::Array(fields.required("array_value", array)?),
        other => {
            return Err(format!(
                "field `type`: {other} is not an attribute type here"
            ));
        }
    };
    fields.none_left()?;
    Ok(attribute)
}

fn array(value: Value) -> Result<Vec<Attribute>, String> {
    let mut fields = Fields::of(value)?;
    let values = fields.optional("values", |value| {
        value::each(value, "values", |value| attribute(value, false))
    })?;
    fields.none_left()?;
    Ok(values)
}
