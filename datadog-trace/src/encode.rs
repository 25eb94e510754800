//! Traces as the agent reads them: `POST /v0.4/traces`, MessagePack
//! (datadog-agent: `pkg/proto/pbgo/trace/span.proto`, `pkg/trace/api/api.go`).

use std::process;

use datadog_config::DDConfig;
use datadog_transport::{Clock, Part, Payload};

use crate::msgpack;
use crate::trace::SpanData;

/// A payload is closed at this size; the agent refuses 25 MB (dd-trace-go: `ddtrace/tracer/payload.go`).
const PAYLOAD_BYTES: usize = 4_750_000;

/// The head of a list, in the form that is as long for every length.
const HEAD_BYTES: usize = 5;

/// Sampling priority "automatically kept" (datadog-agent: `pkg/trace/sampler`).
const AUTO_KEEP: f64 = 1.0;

/// Decision maker "default": no rule, rate or user decided (dd-trace-go: `ddtrace/tracer/sampler.go`).
const BY_DEFAULT: &str = "-0";

/// What the spans of this client carry without being told.
#[derive(Debug)]
pub(crate) struct Encoder {
    clock: Clock,
    service: String,
    version: Option<String>,
    /// On every span: the configured tags, with `env`.
    span_tags: Vec<(String, String)>,
    /// On the first span of each chunk.
    chunk_tags: Vec<(&'static str, String)>,
}

/// A payload that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    body: Vec<u8>,
    chunks: Vec<Part>,
}

impl Encoder {
    pub(crate) fn new(config: &DDConfig) -> Self {
        let env = config.env().map(|env| ("env".to_owned(), env.to_owned()));
        let tags = config
            .tags()
            .iter()
            .filter(|(key, _)| key != "env")
            .cloned();
        let mut chunk_tags = vec![
            ("_dd.p.dm", BY_DEFAULT.to_owned()),
            ("runtime-id", config.runtime_id().to_owned()),
            ("language", "rust".to_owned()),
        ];
        if let Some(hostname) = config.hostname()
            && config.report_hostname()
        {
            chunk_tags.push(("_dd.hostname", hostname.to_owned()));
        }
        Self {
            clock: Clock::new(),
            service: config.service().to_owned(),
            version: config.version().map(str::to_owned),
            span_tags: tags.chain(env).collect(),
            chunk_tags,
        }
    }

    /// Appends one trace, its local root first.
    pub(crate) fn add(&self, filling: &mut Filling, mut spans: Vec<SpanData>) {
        if filling.body.is_empty() {
            filling.body.resize(HEAD_BYTES, 0);
        }
        let start = filling.body.len();
        if let Some(root) = spans.iter().position(|span| span.is_local_root) {
            spans.swap(0, root);
        }
        msgpack::array(&mut filling.body, spans.len());
        for (at, span) in spans.iter().enumerate() {
            self.span(&mut filling.body, span, at == 0);
        }
        filling.chunks.push(Part {
            bytes: start..filling.body.len(),
            items: spans.len() as u64,
        });
    }

    fn span(&self, out: &mut Vec<u8>, span: &SpanData, first: bool) {
        msgpack::map(out, 11 + usize::from(span.span_type.is_some()));
        text(out, "service", &span.service);
        text(out, "name", &span.name);
        text(
            out,
            "resource",
            span.resource.as_ref().unwrap_or(&span.name),
        );
        number(out, "trace_id", span.trace_id as u64);
        number(out, "span_id", span.span_id);
        number(out, "parent_id", span.parent_id);
        number(out, "start", self.clock.unix_nanos(span.start));
        number(out, "duration", span.duration_ns);
        number(out, "error", u64::from(span.error));
        if let Some(span_type) = &span.span_type {
            text(out, "type", span_type);
        }
        msgpack::str(out, "meta");
        self.meta(out, span, first);
        msgpack::str(out, "metrics");
        metrics(out, span, first);
    }

    fn meta(&self, out: &mut Vec<u8>, span: &SpanData, first: bool) {
        let ours = *self.service == *span.service;
        let high_id = (span.trace_id >> 64) as u64;
        let high_id = (first && high_id != 0).then(|| format!("{high_id:016x}"));
        let chunk_tags = if first {
            self.chunk_tags.as_slice()
        } else {
            &[]
        };
        let mut extra: Vec<(&str, &str)> = Vec::with_capacity(16);
        extra.extend(self.span_tags.iter().map(|(key, value)| (&**key, &**value)));
        extra.extend(chunk_tags.iter().map(|(key, value)| (*key, &**value)));
        extra.extend(high_id.as_deref().map(|id| ("_dd.p.tid", id)));
        extra.extend((!ours).then_some(("_dd.base_service", &*self.service)));
        extra.extend(
            self.version
                .as_deref()
                .filter(|_| ours)
                .map(|version| ("version", version)),
        );
        // What the program set itself wins.
        extra.retain(|(key, _)| !span.has_tag(key));
        msgpack::map(out, span.meta.len() + extra.len());
        for (key, value) in &span.meta {
            text(out, key, value);
        }
        for (key, value) in extra {
            text(out, key, value);
        }
    }
}

fn metrics(out: &mut Vec<u8>, span: &SpanData, first: bool) {
    let mut extra: Vec<(&str, f64)> = Vec::new();
    if span.top_level {
        extra.push(("_dd.top_level", 1.0));
    }
    if first {
        extra.extend([
            ("_sampling_priority_v1", AUTO_KEEP),
            ("process_id", f64::from(process::id())),
        ]);
    }
    extra.retain(|(key, _)| !span.has_tag(key));
    msgpack::map(out, span.metrics.len() + extra.len());
    let set = span.metrics.iter().map(|(key, value)| (&**key, *value));
    for (key, value) in set.chain(extra) {
        msgpack::str(out, key);
        msgpack::float(out, value);
    }
}

impl Filling {
    pub(crate) fn is_full(&self) -> bool {
        self.body.len() >= PAYLOAD_BYTES
    }

    /// The payload with what was added so far; `None` if that is nothing.
    pub(crate) fn close(self) -> Option<Payload> {
        (!self.chunks.is_empty()).then(|| payload(self.body, self.chunks))
    }
}

/// A list of chunks, whose head gets its place filled in.
fn payload(mut body: Vec<u8>, chunks: Vec<Part>) -> Payload {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    msgpack::array32(&mut head, chunks.len());
    body[..HEAD_BYTES].copy_from_slice(&head);
    let headers = vec![
        ("Content-Type", "application/msgpack".to_owned()),
        ("X-Datadog-Trace-Count", chunks.len().to_string()),
        ("Datadog-Client-Computed-Top-Level", "yes".to_owned()),
        // Without it the agent answers 200 even to what it refuses.
        ("Datadog-Send-Real-Http-Status", "yes".to_owned()),
    ];
    Payload::list(body, headers, chunks, frame)
}

fn frame(chunks: &[(&[u8], u64)]) -> Payload {
    let mut body = vec![0; HEAD_BYTES];
    let mut parts = Vec::with_capacity(chunks.len());
    for (chunk, items) in chunks {
        let start = body.len();
        body.extend_from_slice(chunk);
        parts.push(Part {
            bytes: start..body.len(),
            items: *items,
        });
    }
    payload(body, parts)
}

fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    msgpack::str(out, key);
    msgpack::str(out, value);
}

fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    msgpack::str(out, key);
    msgpack::uint(out, value);
}
