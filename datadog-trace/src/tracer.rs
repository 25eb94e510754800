//! The tracer: where spans start, and where finished traces are handed to the worker.

use std::borrow::Cow;
use std::sync::Arc;

use datadog_config::DDConfig;
use datadog_transport::{Queue, SignalKind, Standalone, TransportBuilder, TransportError};

use crate::Span;
use crate::sink::TraceSink;
use crate::trace::SpanData;

/// The most bytes of finished spans that wait for the worker.
const QUEUE_BYTES: usize = 8 << 20;

/// Starts spans. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Tracer {
    /// `None` with tracing off.
    shared: Option<Arc<Shared>>,
}

/// What a tracer's spans share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) service: Arc<str>,
    /// Whether trace ids have 128 bits.
    pub(crate) wide_ids: bool,
    queue: Arc<Queue<Vec<SpanData>>>,
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
        let agent = transport.agent()?;
        let queue = transport.add(SignalKind::Traces, |seat| {
            let queue = Arc::new(Queue::new(
                QUEUE_BYTES,
                Arc::clone(&seat.account),
                seat.waker,
            ));
            (
                TraceSink::new(&config, agent, Arc::clone(&queue), seat.account),
                queue,
            )
        });
        Ok(Self {
            shared: Some(Arc::new(Shared {
                service: Arc::from(config.service()),
                wide_ids: config.trace_id_128_bit_generation_enabled(),
                queue,
            })),
        })
    }

    /// Starts a span, the child of the span that is active on this thread, or else the first of a new trace. It
    /// is active until it is finished or dropped.
    pub fn trace(&self, name: impl Into<Cow<'static, str>>) -> Span {
        match &self.shared {
            Some(shared) => Span::start(shared, name.into()),
            None => Span::off(),
        }
    }

    /// Runs `work` in a span. A panic marks the span as failed and goes on.
    pub fn traced<T>(
        &self,
        name: impl Into<Cow<'static, str>>,
        work: impl FnOnce(&mut Span) -> T,
    ) -> T {
        work(&mut self.trace(name))
    }
}

impl Shared {
    /// Tells this tracer from others of the process.
    pub(crate) fn id(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self) as usize
    }

    pub(crate) fn hand_over(&self, spans: Vec<SpanData>) {
        let bytes = spans.iter().map(SpanData::bytes).sum();
        let count = spans.len() as u64;
        self.queue.push(spans, count, bytes);
    }
}
