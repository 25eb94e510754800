//! Traces as the agent reads them: MessagePack, in the format of v0.4 or of v1.0.

mod extras;
mod facts;
mod step_down;
mod strings;
mod v04;
mod v1;

use std::process;

use datadog_config::{DDConfig, TraceProtocol};
use datadog_transport::{AgentInfo, Headers, Part, Payload};

pub(crate) use step_down::{is_v1, to_v04};

use self::strings::Strings;
use self::v1::Process;
use crate::batch::FinishedSpan;
use crate::service::Services;
use crate::span_data::Extras;
use crate::ticks::TickClock;
use crate::trace::Chunk;
use crate::tracer::span_tags;

/// A payload is closed at this size; the agent refuses 25 MB (dd-trace-go: `ddtrace/tracer/payload.go`).
const PAYLOAD_BYTES: usize = 4_750_000;

/// What the agent calls spans without a name (datadog-agent: `pkg/trace/traceutil/normalize`).
const NAMELESS: &str = "unnamed_operation";

/// Says that the agent has to compute no statistics.
const COMPUTED_STATS: &str = "Datadog-Client-Computed-Stats";

/// Who gave the span its service.
const SERVICE_SOURCE: &str = "_dd.svc_src";

/// The sampling mechanism "single-span rule" (dd-trace-go: `internal/samplernames/samplernames.go`).
const SINGLE_SPAN_RULE: f64 = 8.0;

/// What the spans of this client carry without being told.
#[derive(Debug)]
pub(crate) struct Encoder {
    clock: TickClock,
    services: Services,
    version: Option<String>,
    /// On every span: the configured tags, with `env`.
    span_tags: Vec<(String, String)>,
    /// On the first span of each chunk.
    chunk_tags: Vec<(&'static str, String)>,
    /// Baggage that becomes tags of the first span; `*` stands for all.
    baggage_tags: Vec<String>,
    /// Whether the agent takes events as they are.
    native_events: bool,
    /// The value of `_dd.tracer_kr`.
    keep_rate: f64,
    /// What v1.0 says of this process once a payload.
    process: Process,
    /// Memory for the next payload's texts. In a box, as it is large to move.
    strings: Box<Strings>,
    /// Memory for the next payload.
    spare: Vec<u8>,
    /// How large the last payload was: the next one need not grow from nothing.
    last_bytes: usize,
    /// The id of this process.
    process_id: u32,
}

/// A payload that is being filled.
#[derive(Debug)]
pub(crate) struct Filling {
    body: Vec<u8>,
    chunks: Vec<Part>,
    format: Format,
}

#[derive(Debug)]
enum Format {
    V04,
    V1 {
        /// Texts that the payload has.
        strings: Box<Strings>,
        /// Where the number of chunks stands in it.
        count_at: usize,
    },
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
            process: Process::new(config, &chunk_tags),
            strings: Box::default(),
            spare: Vec::new(),
            last_bytes: 0,
            process_id: 0,
            clock: TickClock::new(),
            services: Services::new(config),
            version: config.version().map(str::to_owned),
            span_tags: span_tags(config),
            chunk_tags,
            baggage_tags: config.baggage_tag_keys().to_vec(),
            native_events: false,
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

    /// Takes the body of a payload that was sent, as memory for the next one. An empty one has none to give.
    pub(crate) fn reuse(&mut self, mut body: Vec<u8>) {
        if body.capacity() > 0 {
            body.clear();
            self.spare = body;
        }
    }

    /// An empty payload.
    pub(crate) fn start(&mut self, protocol: TraceProtocol) -> Filling {
        self.process_id = process::id();
        let mut body = std::mem::take(&mut self.spare);
        // After a burst, less will do.
        if body.capacity() / 4 > self.last_bytes {
            body = Vec::new();
        }
        let format = if protocol == TraceProtocol::V10 {
            let mut strings = std::mem::take(&mut self.strings);
            strings.clear();
            Format::V1 {
                strings,
                count_at: 0,
            }
        } else {
            Format::V04
        };
        Filling {
            body,
            chunks: Vec::new(),
            format,
        }
    }

    /// Appends one chunk, its local root first.
    pub(crate) fn add(&self, filling: &mut Filling, chunk: &mut Chunk) {
        let Filling {
            body,
            chunks,
            format,
        } = filling;
        if body.is_empty() {
            body.reserve(self.last_bytes + self.last_bytes / 8);
            match format {
                Format::V04 => body.resize(v04::HEAD_BYTES, 0),
                Format::V1 { strings, count_at } => {
                    *count_at = self.process.write(body, strings);
                }
            }
        }
        let start = body.len();
        chunk.spans.root_first();
        match format {
            Format::V04 => self.chunk_v04(body, chunk),
            Format::V1 { strings, .. } => self.chunk_v1(body, strings, chunk),
        }
        chunks.push(Part {
            bytes: start..body.len(),
            items: chunk.spans.len() as u64,
        });
    }

    /// The payload with what was added; `None` if that is nothing. `stats`: whether the statistics of these traces are
    /// computed here.
    pub(crate) fn close(&mut self, filling: Filling, stats: bool) -> Option<Payload> {
        let Filling {
            mut body,
            chunks,
            format,
        } = filling;
        if body.is_empty() {
            self.spare = body;
            if let Format::V1 { strings, .. } = format {
                self.strings = strings;
            }
            return None;
        }
        self.last_bytes = body.len();
        match format {
            Format::V04 => Some(v04::payload(body, chunks, stats)),
            Format::V1 { strings, count_at } => {
                self.strings = strings;
                let place = body.get_mut(count_at..count_at + 4)?;
                let count = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
                place.copy_from_slice(&count.to_be_bytes());
                let items = chunks.iter().map(|chunk| chunk.items).sum();
                Some(Payload::new(body, headers(chunks.len(), stats), items))
            }
        }
    }

    /// Start and duration in nanoseconds. Times that the program set beat the clock.
    pub(crate) fn times(&self, tagged: FinishedSpan<'_>) -> (u64, u64) {
        let span = tagged.span;
        let (clock_start, duration) = self.clock.times(span.start, span.end);
        let set = |time: fn(&Extras) -> Option<u64>| tagged.extras().and_then(time);
        let start = set(|extras| extras.start_ns).unwrap_or(clock_start);
        let end =
            set(|extras| extras.end_ns).unwrap_or_else(|| clock_start.saturating_add(duration));
        (start.max(1), end.saturating_sub(start))
    }

    /// The texts of a span: its own, and those that every span carries, unless the program set them itself.
    fn texts<'a>(&'a self, tagged: FinishedSpan<'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
        let of_service = if self.services.is_own(self.service_of(tagged)) {
            [
                self.version.as_deref().map(|version| ("version", version)),
                None,
            ]
        } else {
            [
                Some(("_dd.base_service", self.services.own())),
                Some((SERVICE_SOURCE, self.service_source(tagged))),
            ]
        };
        let everywhere = self.span_tags.iter();
        let added = everywhere
            .map(|(key, value)| (&**key, &**value))
            .chain(of_service.into_iter().flatten())
            .filter(move |(key, _)| !tagged.has_tag(key));
        tagged.texts().chain(added)
    }

    /// Gives `write` the texts that few spans have: of an error, and of the trace.
    fn more_texts(
        &self,
        tagged: FinishedSpan<'_>,
        first_of: Option<&Chunk>,
        mut write: impl FnMut(&str, &str),
    ) {
        let mut add = |key: &str, value: &str| {
            if !tagged.has_tag(key) {
                write(key, value);
            }
        };
        let extras = tagged.extras();
        if let Some(stack) = extras.and_then(|extras| extras.error_stack.as_ref()) {
            add("error.stack", &stack.to_string());
        }
        let Some(chunk) = first_of else { return };
        for (key, value) in chunk.propagated_tags() {
            add(key, value);
        }
        let Some(upstream) = chunk
            .upstream
            .as_ref()
            .filter(|_| tagged.span.is_local_root)
        else {
            return;
        };
        if let Some(id) = upstream.last_datadog_span {
            add("_dd.parent_id", &format!("{id:016x}"));
        }
        for (key, value) in upstream.baggage.iter() {
            let mut wanted = self.baggage_tags.iter();
            if wanted.any(|wanted| wanted == key || wanted == "*") {
                add(&format!("baggage.{key}"), value);
            }
        }
    }

    /// Gives `write` the numbers of a span, but for the priority of the trace.
    fn numbers(
        &self,
        tagged: FinishedSpan<'_>,
        first_of: Option<&Chunk>,
        mut write: impl FnMut(&str, f64),
    ) {
        let span = tagged.span;
        for (key, value) in tagged.numbers() {
            write(key, value);
        }
        // What the program set itself wins.
        let mut add = |key: &str, value: f64| {
            if !tagged.has_tag(key) {
                write(key, value);
            }
        };
        if span.top_level {
            add("_dd.top_level", 1.0);
        }
        if let Some((rate, limit)) = tagged.extras().and_then(|extras| extras.kept_alone) {
            add("_dd.span_sampling.mechanism", SINGLE_SPAN_RULE);
            add("_dd.span_sampling.rule_rate", rate);
            if let Some(limit) = limit {
                add("_dd.span_sampling.max_per_second", limit);
            }
        }
        let Some(chunk) = first_of else { return };
        let decision = &chunk.decision;
        add("process_id", self.process_id.into());
        add("_dd.tracer_kr", self.keep_rate);
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

    #[inline]
    fn service_of<'a>(&'a self, tagged: FinishedSpan<'a>) -> &'a str {
        self.services.sent(tagged.service())
    }

    /// Where the service of a span comes from, if it is not the configured one
    /// (dd-trace-go: `ddtrace/tracer/span.go`, `instrumentation/instrumentation.go`).
    fn service_source(&self, tagged: FinishedSpan<'_>) -> &'static str {
        if self.services.is_mapped(tagged.service()) {
            "opt.mapping"
        } else {
            "m"
        }
    }
}

impl Chunk {
    /// Undecided are only traces whose first span was lost with its thread.
    fn priority(&self) -> i32 {
        self.decision.priority.unwrap_or(1)
    }

    /// The tags `_dd.p.*` of the trace, but `_dd.p.tid`.
    pub(crate) fn propagated_tags(&self) -> impl Iterator<Item = (&str, &str)> {
        let upstream = self.upstream.iter().flat_map(|upstream| &upstream.tags);
        upstream
            .map(|(key, value)| (&**key, &**value))
            .filter(|(key, _)| !self.decision.replaces(key))
            .chain(self.decision.tags())
    }
}

impl Filling {
    pub(crate) fn is_full(&self) -> bool {
        self.body.len() >= PAYLOAD_BYTES
    }
}

/// The headers of a payload, the same in each format.
fn headers(chunks: usize, stats: bool) -> Headers {
    let mut headers = vec![
        ("Content-Type", "application/msgpack".to_owned()),
        ("X-Datadog-Trace-Count", chunks.to_string()),
        ("Datadog-Client-Computed-Top-Level", "yes".to_owned()),
        // Without it the agent answers 200 even to what it refuses.
        ("Datadog-Send-Real-Http-Status", "yes".to_owned()),
    ];
    // Tells the agent to compute none (datadog-agent: `pkg/trace/api/internal/header/headers.go`).
    if stats {
        headers.push((COMPUTED_STATS, "yes".to_owned()));
    }
    headers
}

fn says_computed_stats(headers: &Headers) -> bool {
    headers.iter().any(|(name, _)| *name == COMPUTED_STATS)
}

/// Whether the statistics of these traces are computed here.
pub(crate) fn has_computed_stats(payload: &Payload) -> bool {
    says_computed_stats(payload.headers())
}

fn or_nameless(name: &str) -> &str {
    if name.is_empty() { NAMELESS } else { name }
}

#[cfg(test)]
mod tests;
