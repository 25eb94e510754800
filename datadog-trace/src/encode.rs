//! Traces as the agent reads them: `POST /v0.4/traces`, MessagePack
//! (datadog-agent: `pkg/proto/pbgo/trace/span.proto`, `pkg/trace/api/api.go`).

mod extras;
mod facts;

use std::process;

use datadog_config::DDConfig;
use datadog_transport::{AgentInfo, Part, Payload};

use crate::batch::{Finished, FinishedSpan};
use crate::msgpack;
use crate::span_data::Extras;
use crate::ticks::TickClock;
use crate::trace::Chunk;
use crate::tracer::span_tags;

/// A payload is closed at this size; the agent refuses 25 MB (dd-trace-go: `ddtrace/tracer/payload.go`).
const PAYLOAD_BYTES: usize = 4_750_000;

/// The head of a list, in the form that is as long for every length.
const HEAD_BYTES: usize = 5;

/// What the agent calls spans without a name (datadog-agent: `pkg/trace/traceutil/normalize`).
const NAMELESS: &str = "unnamed_operation";

/// Baggage that becomes tags of the first span (dd-trace-go: `DD_TRACE_BAGGAGE_TAG_KEYS`).
const BAGGAGE_TAGS: [(&str, &str); 3] = [
    ("user.id", "baggage.user.id"),
    ("session.id", "baggage.session.id"),
    ("account.id", "baggage.account.id"),
];

/// Who gave the span its service.
const SERVICE_SOURCE: &str = "_dd.svc_src";

/// The sampling mechanism "single-span rule" (dd-trace-go: `internal/samplernames/samplernames.go`).
const SINGLE_SPAN_RULE: f64 = 8.0;

/// What the spans of this client carry without being told.
#[derive(Debug)]
pub(crate) struct Encoder {
    clock: TickClock,
    service: String,
    version: Option<String>,
    /// On every span: the configured tags, with `env`.
    span_tags: Vec<(String, String)>,
    /// On the first span of each chunk.
    chunk_tags: Vec<(&'static str, String)>,
    /// Whether the agent takes events as they are.
    native_events: bool,
    /// Services with the names that are sent for them.
    mapping: Vec<(String, String)>,
    /// The value of `_dd.tracer_kr`.
    keep_rate: f64,
}

/// A payload that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    body: Vec<u8>,
    chunks: Vec<Part>,
}

impl Encoder {
    pub(crate) fn new(config: &DDConfig) -> Self {
        let mut chunk_tags = vec![
            ("runtime-id", config.runtime_id().to_owned()),
            ("language", "rust".to_owned()),
        ];
        if let Some(hostname) = config.hostname()
            && config.report_hostname()
        {
            chunk_tags.push(("_dd.hostname", hostname.to_owned()));
        }
        if let Some(tags) = config.process_tags() {
            chunk_tags.push(("_dd.tags.process", tags.to_owned()));
        }
        if config.git_metadata_enabled() {
            let commit = config.git_commit_sha().map(str::to_owned);
            let repository = config.git_repository_url().map(str::to_owned);
            chunk_tags.extend(commit.map(|commit| ("_dd.git.commit.sha", commit)));
            chunk_tags.extend(repository.map(|url| ("_dd.git.repository_url", url)));
        }
        Self {
            clock: TickClock::new(),
            service: config.service().to_owned(),
            version: config.version().map(str::to_owned),
            span_tags: span_tags(config),
            chunk_tags,
            native_events: false,
            mapping: config.service_mapping().to_vec(),
            keep_rate: 1.0,
        }
    }

    /// Takes the part of the spans that were not lost of late.
    pub(crate) fn set_keep_rate(&mut self, rate: f64) {
        self.keep_rate = rate;
    }

    /// Learns what the agent takes.
    pub(crate) fn learn(&mut self, agent: &AgentInfo) {
        self.native_events = agent.span_events;
    }

    /// Sees to it that times are those of the system's clocks.
    pub(crate) fn renew_clock(&mut self) {
        self.clock.renew();
    }

    /// Appends one chunk, its local root first.
    pub(crate) fn add(&self, filling: &mut Filling, chunk: &mut Chunk) {
        if filling.body.is_empty() {
            filling.body.resize(HEAD_BYTES, 0);
        }
        let start = filling.body.len();
        chunk.spans.root_first();
        msgpack::array(&mut filling.body, chunk.spans.len());
        for (at, span) in chunk.spans.spans().enumerate() {
            let first_of = (at == 0).then_some(&*chunk);
            self.span(&mut filling.body, chunk.trace_id as u64, span, first_of);
        }
        filling.chunks.push(Part {
            bytes: start..filling.body.len(),
            items: chunk.spans.len() as u64,
        });
    }

    /// `first_of` is the chunk whose first span it is.
    fn span(
        &self,
        out: &mut Vec<u8>,
        trace_id: u64,
        tagged: FinishedSpan<'_>,
        first_of: Option<&Chunk>,
    ) {
        let span = tagged.span;
        let extras = span.extras.as_deref();
        let fields = 11
            + usize::from(span.span_type.is_some())
            + extras.map_or(0, |extras| extras::fields(extras, self.native_events));
        msgpack::map(out, fields);
        let (start, duration) = self.times(span);
        text(out, "service", self.service_of(span));
        text(out, "name", or_nameless(&span.name));
        text(out, "resource", or_nameless(span.resource()));
        number(out, "trace_id", trace_id);
        number(out, "span_id", span.span_id);
        number(out, "parent_id", span.parent_id);
        number(out, "start", start);
        number(out, "duration", duration);
        number(out, "error", u64::from(span.error));
        if let Some(span_type) = &span.span_type {
            text(out, "type", span_type);
        }
        msgpack::str(out, "meta");
        let mut meta = Pairs::start(out);
        self.meta(&mut meta, tagged, first_of);
        meta.end();
        msgpack::str(out, "metrics");
        let mut metrics = Pairs::start(out);
        self.metrics(&mut metrics, tagged, first_of);
        metrics.end();
        if let Some(extras) = extras {
            extras::write(out, extras, self.native_events);
        }
    }

    /// Start and duration in nanoseconds. Times that the program set beat the clock.
    pub(crate) fn times(&self, span: &Finished) -> (u64, u64) {
        let (clock_start, duration) = self.clock.times(span.start, span.end);
        let set = |time: fn(&Extras) -> Option<u64>| span.extras.as_deref().and_then(time);
        let start = set(|extras| extras.start_ns).unwrap_or(clock_start);
        let end =
            set(|extras| extras.end_ns).unwrap_or_else(|| clock_start.saturating_add(duration));
        (start.max(1), end.saturating_sub(start))
    }

    fn meta(&self, meta: &mut Pairs<'_>, tagged: FinishedSpan<'_>, first_of: Option<&Chunk>) {
        let span = tagged.span;
        for (key, value) in tagged.texts() {
            meta.text(key, value);
        }
        // What the program set itself wins.
        let mut add = |key: &str, value: &str| {
            if !tagged.has_tag(key) {
                meta.text(key, value);
            }
        };
        for (key, value) in &self.span_tags {
            add(key, value);
        }
        if self.service_of(span).eq_ignore_ascii_case(&self.service) {
            if let Some(version) = &self.version {
                add("version", version);
            }
        } else {
            add("_dd.base_service", &self.service);
            add(SERVICE_SOURCE, self.service_source(span));
        }
        if let Some(extras) = span.extras.as_deref() {
            if let Some(stack) = &extras.error_stack {
                add("error.stack", &stack.to_string());
            }
            if let Some(events) = extras::events_tag(extras).filter(|_| !self.native_events) {
                add("events", &events);
            }
        }
        let Some(chunk) = first_of else { return };
        for (key, value) in &self.chunk_tags {
            add(key, value);
        }
        let high_id = (chunk.trace_id >> 64) as u64;
        if high_id != 0 {
            add("_dd.p.tid", &format!("{high_id:016x}"));
        }
        for (key, value) in chunk.propagated_tags() {
            add(key, value);
        }
        if let Some(upstream) = &chunk.upstream {
            if let Some(origin) = &upstream.origin {
                add("_dd.origin", origin);
            }
            if span.is_local_root {
                if let Some(id) = upstream.last_datadog_span {
                    add("_dd.parent_id", &format!("{id:016x}"));
                }
                for (key, tag) in BAGGAGE_TAGS {
                    let items = upstream.baggage.iter();
                    for (_, value) in items.filter(|(known, _)| known == key) {
                        add(tag, value);
                    }
                }
            }
        }
    }

    fn metrics(&self, metrics: &mut Pairs<'_>, tagged: FinishedSpan<'_>, first_of: Option<&Chunk>) {
        let span = tagged.span;
        for (key, value) in tagged.numbers() {
            metrics.number(key, value);
        }
        let mut add = |key: &str, value: f64| {
            if !tagged.has_tag(key) {
                metrics.number(key, value);
            }
        };
        if span.top_level {
            add("_dd.top_level", 1.0);
        }
        if let Some((rate, limit)) = span.extras.as_deref().and_then(|extras| extras.kept_alone) {
            add("_dd.span_sampling.mechanism", SINGLE_SPAN_RULE);
            add("_dd.span_sampling.rule_rate", rate);
            if let Some(limit) = limit {
                add("_dd.span_sampling.max_per_second", limit);
            }
        }
        let Some(chunk) = first_of else { return };
        let decision = &chunk.decision;
        add("process_id", f64::from(process::id()));
        add("_dd.tracer_kr", self.keep_rate);
        // Undecided are only traces whose first span was lost with its thread.
        add(
            "_sampling_priority_v1",
            decision.priority.map_or(1.0, f64::from),
        );
        if span.is_local_root {
            let rates = [
                ("_dd.rule_psr", decision.rule_rate),
                ("_dd.limit_psr", decision.limit_rate),
                ("_dd.agent_psr", decision.agent_rate),
            ];
            for (key, rate) in rates {
                if let Some(rate) = rate {
                    add(key, rate);
                }
            }
        }
    }

    fn service_of<'a>(&'a self, span: &'a Finished) -> &'a str {
        let service = self.own_service_of(span);
        self.mapped(service).unwrap_or(service)
    }

    fn own_service_of<'a>(&'a self, span: &'a Finished) -> &'a str {
        let own = span.service.as_deref();
        own.filter(|service| !service.is_empty())
            .unwrap_or(&self.service)
    }

    /// The name that is sent in place of another one.
    fn mapped(&self, service: &str) -> Option<&str> {
        let (_, mapped) = self.mapping.iter().find(|(from, _)| from == service)?;
        Some(mapped)
    }

    /// Where the service of a span comes from, if it is not the configured one
    /// (dd-trace-go: `ddtrace/tracer/span.go`, `instrumentation/instrumentation.go`).
    fn service_source(&self, span: &Finished) -> &'static str {
        if self.mapped(self.own_service_of(span)).is_some() {
            "opt.mapping"
        } else {
            "m"
        }
    }
}

impl Chunk {
    /// The tags `_dd.p.*` of the trace, but `_dd.p.tid`.
    pub(crate) fn propagated_tags(&self) -> impl Iterator<Item = (&str, &str)> {
        let upstream = self.upstream.iter().flat_map(|upstream| &upstream.tags);
        upstream
            .map(|(key, value)| (&**key, &**value))
            .filter(|(key, _)| !self.decision.replaces(key))
            .chain(self.decision.tags())
    }
}

/// A map that is being written before its length is known.
struct Pairs<'a> {
    out: &'a mut Vec<u8>,
    head: usize,
    count: u16,
}

impl<'a> Pairs<'a> {
    fn start(out: &'a mut Vec<u8>) -> Self {
        let head = out.len();
        msgpack::map16(out, 0);
        Self {
            out,
            head,
            count: 0,
        }
    }

    fn text(&mut self, key: &str, value: &str) {
        if self.counts() {
            text(self.out, key, value);
        }
    }

    fn number(&mut self, key: &str, value: f64) {
        if self.counts() {
            msgpack::str(self.out, key);
            msgpack::float(self.out, value);
        }
    }

    /// Whether there is room for one more.
    fn counts(&mut self) -> bool {
        let more = self.count < u16::MAX;
        self.count += u16::from(more);
        more
    }

    fn end(self) {
        self.out[self.head + 1..self.head + 3].copy_from_slice(&self.count.to_be_bytes());
    }
}

impl Filling {
    pub(crate) fn is_full(&self) -> bool {
        self.body.len() >= PAYLOAD_BYTES
    }

    /// The payload with what was added so far; `None` if that is nothing. `stats`: whether the statistics of these
    /// traces are computed here.
    pub(crate) fn close(self, stats: bool) -> Option<Payload> {
        (!self.chunks.is_empty()).then(|| payload(self.body, self.chunks, stats))
    }
}

/// A list of chunks, whose head gets its place filled in.
fn payload(mut body: Vec<u8>, chunks: Vec<Part>, stats: bool) -> Payload {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    msgpack::array32(&mut head, chunks.len());
    body[..HEAD_BYTES].copy_from_slice(&head);
    let mut headers = vec![
        ("Content-Type", "application/msgpack".to_owned()),
        ("X-Datadog-Trace-Count", chunks.len().to_string()),
        ("Datadog-Client-Computed-Top-Level", "yes".to_owned()),
        // Without it the agent answers 200 even to what it refuses.
        ("Datadog-Send-Real-Http-Status", "yes".to_owned()),
    ];
    // Tells the agent to compute none (datadog-agent: `pkg/trace/api/internal/header/headers.go`).
    if stats {
        headers.push(("Datadog-Client-Computed-Stats", "yes".to_owned()));
        Payload::list(body, headers, chunks, |chunks| frame(chunks, true))
    } else {
        Payload::list(body, headers, chunks, |chunks| frame(chunks, false))
    }
}

fn frame(chunks: &[(&[u8], u64)], stats: bool) -> Payload {
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
    payload(body, parts, stats)
}

fn or_nameless(name: &str) -> &str {
    if name.is_empty() { NAMELESS } else { name }
}

#[inline(always)]
fn text(out: &mut Vec<u8>, key: &str, value: &str) {
    msgpack::str(out, key);
    msgpack::str(out, value);
}

#[inline(always)]
fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    msgpack::str(out, key);
    msgpack::uint(out, value);
}
