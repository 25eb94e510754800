//! The tracer: where spans start, and where finished traces are handed to the worker.

use std::borrow::Cow;
use std::sync::Arc;

use datadog_config::DDConfig;
use datadog_transport::{
    Aside, Birthplace, Outbox, Queue, Room, SignalKind, Standalone, TransportBuilder,
    TransportError,
};

use crate::context::Inner;
use crate::long_running::LongRunning;
use crate::pool::Pool;
use crate::propagate::{Extract, HeaderLines, Inject, Propagation};
use crate::sample::Sampler;
use crate::service::Services;
use crate::sink::TraceSink;
use crate::trace::{Chunk, Trace};
use crate::waiting::Waiting;
use crate::{DetachedSpan, Parent, Span, SpanContext, SpanKey, local, profiled, startup};

/// Without partial flush, a trace is still not allowed to grow without end: it is sent in parts of so many spans.
const LARGEST_CHUNK: usize = 10_000;

/// The worker is woken when so many bytes wait: well below what a payload takes, so that a burst finds it at work.
const WAKING_BYTES: usize = 2 << 20;

/// Starts spans. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Tracer {
    /// `None` with tracing off.
    shared: Option<Arc<Shared>>,
}

/// What a tracer's spans share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Whether trace ids have 128 bits.
    pub(crate) wide_ids: bool,
    /// After how many finished spans a part of a trace is sent.
    pub(crate) flush_spans: usize,
    pub(crate) sampler: Sampler,
    pub(crate) propagation: Propagation,
    #[cfg(feature = "http")]
    pub(crate) http: Arc<crate::http::HttpSettings>,
    pub(crate) waiting: Waiting,
    pub(crate) pool: Pool,
    pub(crate) birthplace: Birthplace,
    /// `None` if it is off.
    pub(crate) long_running: Option<LongRunning>,
    queue: Queue<Chunk>,
    #[cfg(target_os = "linux")]
    _discovery: Option<crate::discovery::Discovery>,
    #[cfg(target_os = "linux")]
    _process_context: Option<crate::process_context::ProcessContext>,
}

impl Tracer {
    /// Starts a tracer with a worker of its own, for a program that uses this crate alone.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub fn start(config: &DDConfig) -> Result<Standalone<Self>, TransportError> {
        Standalone::start(config, Self::join)
    }

    /// Adds the traces signal to a client that is being put together.
    ///
    /// # Errors
    ///
    /// [`TransportError::TlsMissing`] for an `https` agent without the feature `tls`.
    pub fn join(transport: &mut TransportBuilder) -> Result<Self, TransportError> {
        let config = transport.config().clone();
        if !config.tracing_enabled() {
            return Ok(Self { shared: None });
        }
        datadog_transport::context::name_with(local::active_name);
        datadog_transport::profiled::ask_open_roots_with(profiled::open_root);
        startup::log(&config);
        let agent = transport.agent()?;
        let statistics = transport.further_account(SignalKind::Statistics);
        let shared = transport.add(SignalKind::Traces, |seat| {
            let bytes = config.tracing_buffer_bytes();
            let room = Room::new(bytes);
            let outbox =
                Outbox::within(Arc::clone(&room), bytes / 3 * 2, Arc::clone(&seat.account));
            let mark = WAKING_BYTES.min(bytes / 6);
            let queue = Queue::within(room, mark, Arc::clone(&seat.account), seat.waker);
            let shared = Arc::new(Shared::new(&config, queue));
            let sink = TraceSink::new(
                &config,
                agent,
                Arc::clone(&shared),
                outbox,
                seat.account,
                statistics,
            );
            (sink, shared)
        });
        Ok(Self {
            shared: Some(shared),
        })
    }

    /// Starts a span, the child of the span that is active on this thread, or else the first of a new trace. It
    /// is active until it is finished or dropped.
    #[inline]
    pub fn trace(&self, name: impl Into<Cow<'static, str>>) -> Span {
        match &self.shared {
            Some(shared) => match name.into() {
                Cow::Borrowed(name) => Span::start(shared, name),
                Cow::Owned(name) => Span::start(shared, "").named(name),
            },
            None => Span::none(),
        }
    }

    /// Starts a span, the child of a span of another thread or another process. It is active until it is finished
    /// or dropped.
    pub fn trace_from(&self, parent: &SpanContext, name: impl Into<Cow<'static, str>>) -> Span {
        match &self.shared {
            Some(shared) => Span::start_from(shared, parent, name.into()),
            None => Span::none(),
        }
    }

    /// Starts a span that is active on no thread: for bridges from other libraries, whose spans come and go on several
    /// threads.
    pub fn trace_detached(
        &self,
        parent: Parent<'_>,
        name: impl Into<Cow<'static, str>>,
    ) -> DetachedSpan {
        let Some(shared) = &self.shared else {
            return DetachedSpan::off();
        };
        match name.into() {
            Cow::Borrowed(name) => Span::start_detached(shared, parent, name),
            Cow::Owned(name) => {
                let span = Span::start_detached(shared, parent, "");
                span.named(name)
            }
        }
    }

    /// Starts a span that is active on no thread, as [`trace_detached`](Tracer::trace_detached) does: a child of the span
    /// that is active on this one. `None` if there is none. With a `key`, a bridge finds the span by that, too, and
    /// changes neither its name nor its service until it is active: see [`SpanKey::activate`].
    #[inline]
    pub fn trace_child(&self, name: &'static str, key: Option<SpanKey>) -> Option<DetachedSpan> {
        match &self.shared {
            Some(shared) => Span::start_child(shared, name, key.unwrap_or(SpanKey::NONE)),
            None => Some(DetachedSpan::off()),
        }
    }

    /// Whether there are spans at all.
    pub fn is_enabled(&self) -> bool {
        self.shared.is_some()
    }

    /// Reads the trace that a request brings, in the formats of
    /// [`DDConfig::propagation_style_extract`]. The first span of the request starts
    /// [from it](Tracer::trace_from). `None` if the request brings nothing, or is to be ignored.
    pub fn extract(&self, headers: &impl Extract) -> Option<SpanContext> {
        let carried = self.shared.as_ref()?.propagation.extract(headers)?;
        Some(SpanContext(Inner::Elsewhere(carried)))
    }

    /// Writes the span that is active on this thread into the headers of a request, in the formats of
    /// [`DDConfig::propagation_style_inject`]. This decides whether the trace is kept. Without an active span,
    /// nothing is written.
    pub fn inject(&self, headers: &mut impl Inject) {
        let Some(shared) = &self.shared else { return };
        HeaderLines::with(|lines| {
            let write = |trace: &Trace, span_id| trace.write(span_id, lines);
            if local::with_active(shared.id(), write).is_some() {
                lines.set(headers);
            }
        });
    }

    /// Runs `work` in a span. A panic marks the span as failed and goes on; what it said and where needs the hook of
    /// [`fail_spans_on_panic`](crate::fail_spans_on_panic).
    pub fn traced<T>(
        &self,
        name: impl Into<Cow<'static, str>>,
        work: impl FnOnce(&mut Span) -> T,
    ) -> T {
        work(&mut self.trace(name))
    }

    /// The span that is active on this thread, as others see it.
    pub fn active_span(&self) -> Option<SpanContext> {
        let (trace, span_id, service) = local::active(self.shared.as_ref()?.id())?;
        Some(SpanContext(Inner::Here {
            trace,
            span_id,
            service,
        }))
    }
}

impl Shared {
    fn new(config: &DDConfig, queue: Queue<Chunk>) -> Self {
        Self {
            wide_ids: config.trace_id_128_bit_generation_enabled(),
            flush_spans: if config.partial_flush_enabled() {
                config.partial_flush_min_spans()
            } else {
                LARGEST_CHUNK
            },
            sampler: Sampler::new(config),
            propagation: Propagation::new(config),
            #[cfg(feature = "http")]
            http: Arc::new(crate::http::HttpSettings::new(config)),
            waiting: Waiting::default(),
            pool: Pool::new(),
            birthplace: Birthplace::here(),
            long_running: LongRunning::new(config),
            queue,
            #[cfg(target_os = "linux")]
            _discovery: crate::discovery::Discovery::publish(config),
            #[cfg(target_os = "linux")]
            _process_context: crate::process_context::ProcessContext::publish(config),
        }
    }

    /// Tells this tracer from others of the process.
    pub(crate) fn id(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self) as usize
    }

    /// The names of services.
    pub(crate) fn services(&self) -> &Services {
        self.sampler.services()
    }

    /// Of the spans of the chunk, those that waited for others were set aside.
    pub(crate) fn hand_over(&self, mut chunk: Chunk, aside: Aside) {
        if chunk.spans.is_empty() {
            return;
        }
        self.sampler
            .mark_single_spans(&chunk.decision, &mut chunk.spans);
        let bytes = chunk.spans.bytes();
        let count = chunk.spans.len() as u64;
        // What there is no room for leaves its memory at least, which is wanted at once.
        if let Some(refused) = self.queue.push_with(chunk, count, bytes, aside) {
            self.pool.put(refused.spans);
        }
    }

    /// Sets spans of so many bytes aside that wait for others, if there is room.
    pub(crate) fn set_aside(&self, aside: &mut Aside, spans: u64, bytes: usize) -> bool {
        self.queue.set_aside(aside, spans, bytes)
    }

    /// The worker's end of the queue.
    pub(crate) fn next_chunk(&self) -> Option<Chunk> {
        self.queue.pop().map(|(chunk, _)| chunk)
    }

    pub(crate) fn close(&self) {
        self.waiting.close();
        self.queue.close();
    }
}

/// The configured tags that every span has, with `env`.
pub(crate) fn span_tags(config: &DDConfig) -> Vec<(String, String)> {
    let env = config.env().map(|env| ("env".to_owned(), env.to_owned()));
    // Those of git have tags of their own (dd-trace-go: `internal/gitmetadata.go`).
    let elsewhere = ["env", "git.commit.sha", "git.repository_url"];
    let tags = config.tags().iter();
    let tags = tags.filter(|(key, _)| !elsewhere.contains(&&**key));
    tags.cloned().chain(env).collect()
}
