//! One trace of this process, while spans of it are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use datadog_transport::{Aside, profiled as profiles};
use parking_lot::{Mutex, MutexGuard};

use crate::baggage::Baggage;
use crate::batch::Batch;
use crate::carried::Carried;
use crate::profiled;
use crate::propagate::PropagationError;
use crate::sample::Decision;
use crate::span_data::SpanData;
use crate::ticks::Ticks;
use crate::tracer::Shared;
use crate::{TagValue, id, panics};

/// Finished spans don't wait for others of their trace once they occupy so many bytes: in one chunk, more of them would hardly
/// be sent, as the agent refuses 25 MB.
const WAITING_BYTES: usize = 16 << 20;

/// What was wrong with the headers of a trace (dd-trace-go: `ddtrace/tracer/span.go`).
const PROPAGATION_ERROR: &str = "_dd.propagation_error";

/// On a span that is still open: how long it has been, in milliseconds. Statistics leave such spans out
/// (dd-trace-java: `dd-trace-core/src/main/java/datadog/trace/core/DDSpan.java`).
const PARTIAL_VERSION: &str = "_dd.partial_version";

/// On a finished span that was sent before while it was open.
const WAS_LONG_RUNNING: &str = "_dd.was_long_running";

/// What the spans of one trace share. Threads collect their spans of the trace in [segments](crate::local) and bring
/// them here when their last one is finished.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) id: u128,
    pub(crate) local_root_id: u64,
    pub(crate) tracer: Arc<Shared>,
    /// What the process that called this one told.
    pub(crate) upstream: Option<Arc<Carried>>,
    /// After how many finished spans a thread sends its part.
    flush_spans: AtomicUsize,
    /// Segments and detached spans that will still bring something.
    holders: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The first span, while it is open: decisions are made by it, from whatever thread.
    root: Option<Box<SpanData>>,
    /// What segments brought while others still hold the trace: it is set aside for the queue.
    finished: Batch,
    aside: Aside,
    decision: Decision,
    baggage: Baggage,
}

/// Finished spans of one trace on their way to the worker.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) trace_id: u128,
    pub(crate) upstream: Option<Arc<Carried>>,
    pub(crate) decision: Decision,
    pub(crate) spans: Batch,
}

impl Trace {
    /// A trace that starts here, or goes on here, with its first span.
    pub(crate) fn start(
        tracer: &Arc<Shared>,
        upstream: Option<Arc<Carried>>,
        mut root: Box<SpanData>,
    ) -> Arc<Self> {
        let known_id = upstream.as_ref().map_or(0, |upstream| upstream.trace_id);
        let id = match known_id {
            0 if tracer.wide_ids => id::trace_id(),
            0 => id::narrow_trace_id().into(),
            known => known,
        };
        root.trace_id = id;
        if let Some(upstream) = &upstream {
            root.parent_id = upstream.span_id;
            if !upstream.links.is_empty() {
                root.extras().links.clone_from(&upstream.links);
            }
            if let Some(error) = &upstream.error {
                root.tags.set_text(PROPAGATION_ERROR.into(), error);
            }
        }
        root.is_local_root = true;
        root.top_level = true;
        let trace = Arc::new(Self {
            id,
            local_root_id: root.span_id,
            tracer: Arc::clone(tracer),
            flush_spans: AtomicUsize::new(tracer.flush_spans),
            holders: AtomicUsize::new(0),
            state: Mutex::new(State {
                root: Some(root),
                finished: Batch::default(),
                aside: Aside::default(),
                decision: Decision {
                    priority: upstream.as_ref().and_then(|upstream| upstream.priority),
                    ..Decision::default()
                },
                baggage: upstream
                    .as_ref()
                    .map_or_else(Baggage::default, |upstream| upstream.baggage.clone()),
            }),
            upstream,
        });
        if profiles::wants_starts() {
            profiled::started(&trace);
        }
        if let Some(long_running) = &tracer.long_running {
            long_running.watch(&trace);
        }
        trace
    }

    /// What the threads share. `None` in a forked child, where nothing is sent from, if another thread of the parent had it:
    /// nobody gives it back there.
    #[inline]
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        if self.tracer.birthplace.is_here() {
            Some(self.state.lock())
        } else {
            self.state.try_lock()
        }
    }

    /// Changes the first span while it is open.
    pub(crate) fn with_root<T>(&self, work: impl FnOnce(&mut SpanData) -> T) -> Option<T> {
        self.state()?.root.as_deref_mut().map(work)
    }

    /// Notes what was wrong with the headers of a request.
    pub(crate) fn note_error(&self, error: &PropagationError) {
        self.with_root(|root| root.tags.set_text(PROPAGATION_ERROR.into(), error));
    }

    /// The service of the first span, while that is open.
    pub(crate) fn root_service(&self) -> Option<Arc<str>> {
        self.with_root(|root| root.service.clone()).flatten()
    }

    /// Takes the first span because it ends, which is now. The decision is made now at the latest.
    pub(crate) fn end_root(&self) -> Option<(Box<SpanData>, Ticks)> {
        let end = Ticks::now();
        if panics::are_seen() {
            self.with_root(panics::tell);
        }
        let mut state = self.state()?;
        let mut root = state.root.take()?;
        self.tracer.sampler.decide(&mut state.decision, &root);
        drop(state);
        if profiles::is_on() {
            profiled::ended(&mut root);
        }
        Some((root, end))
    }

    /// Keeps or drops the trace because the program says so.
    pub(crate) fn decide_by_user(&self, priority: i32) {
        if let Some(mut state) = self.state() {
            state.decision.by_user(priority);
        }
    }

    /// What is decided so far. Above 0 means kept.
    pub(crate) fn priority(&self) -> Option<i32> {
        self.state()?.decision.priority
    }

    /// Shows the decision, made now at the latest, and the baggage: what other processes are told. `show` holds the
    /// trace's lock: it must call nothing of the program's.
    pub(crate) fn told<T>(&self, show: impl FnOnce(&Decision, &Baggage) -> T) -> T {
        let Some(mut state) = self.state() else {
            return show(&Decision::default(), &Baggage::default());
        };
        let state = &mut *state;
        self.decide(state);
        show(&state.decision, &state.baggage)
    }

    pub(crate) fn set_baggage(&self, key: &str, value: &str) {
        if let Some(mut state) = self.state() {
            state.baggage.set(key, value);
        }
    }

    pub(crate) fn baggage(&self, key: &str) -> Option<String> {
        self.state()?.baggage.get(key).map(str::to_owned)
    }

    pub(crate) fn remove_baggage(&self, key: &str) {
        if let Some(mut state) = self.state() {
            state.baggage.remove(key);
        }
    }

    pub(crate) fn baggage_items(&self) -> Vec<(String, String)> {
        self.state()
            .map_or_else(Vec::new, |state| state.baggage.to_vec())
    }

    /// Counts one more that will bring spans.
    #[inline]
    pub(crate) fn hold(&self) {
        // Nothing is read by this number but itself: spans go through the lock.
        self.holders.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less that will bring spans, and brings none.
    #[inline]
    pub(crate) fn leave(self: &Arc<Self>) {
        let others = |holders| (holders > 1).then(|| holders - 1);
        let left = self
            .holders
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, others);
        if left.is_err() {
            self.release(Batch::default());
        }
    }

    /// The same for one that knows of another holder, which stays.
    #[inline]
    pub(crate) fn leave_to_others(&self) {
        self.holders.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes the spans of a holder that has no more. If it was the last one, or too much has come together, what is
    /// there goes to the worker.
    pub(crate) fn release(self: &Arc<Self>, mut spans: Batch) {
        self.release_by(|finished| {
            if finished.is_empty() {
                std::mem::swap(finished, &mut spans);
            } else {
                finished.append(&mut spans);
            }
        });
        if spans.capacity() > 0 {
            self.tracer.pool.put(spans);
        }
    }

    /// The same for one span, with further tags of keys that it does not have yet.
    pub(crate) fn release_span<'a>(
        self: &Arc<Self>,
        span: &mut SpanData,
        end: Ticks,
        tags: impl Iterator<Item = (&'static str, TagValue<'a>)>,
    ) {
        self.release_by(|finished| {
            if finished.has_no_memory() {
                *finished = self.tracer.pool.take();
            }
            finished.push_with(span, end, tags);
        });
    }

    #[inline]
    fn release_by(self: &Arc<Self>, add: impl FnOnce(&mut Batch)) {
        let Some(mut state) = self.state() else {
            let mut spans = Batch::default();
            add(&mut spans);
            return self.flush(spans);
        };
        let (known, bytes) = (state.finished.len(), state.finished.bytes());
        add(&mut state.finished);
        let spans = (state.finished.len() - known) as u64;
        let bytes = state.finished.bytes() - bytes;
        let is_last = self.holders.fetch_sub(1, Ordering::Relaxed) == 1;
        let stays = !is_last
            && state.finished.len() < self.tracer.flush_spans
            && state.finished.bytes() < WAITING_BYTES
            && self.let_wait(&mut state, known > 0, spans, bytes);
        if !stays {
            self.send(state);
        }
    }

    /// Hands over what waits for others, as the tracer ends.
    pub(crate) fn send_waiting(&self) {
        if let Some(state) = self.state().filter(|state| !state.finished.is_empty()) {
            self.send(state);
        }
    }

    fn send(&self, mut state: MutexGuard<'_, State>) {
        let (spans, aside) = self.take_waiting(&mut state);
        let chunk = self.chunk(&mut state, spans);
        drop(state);
        self.tracer.hand_over(chunk, aside);
    }

    /// Hands spans over before the end of the trace.
    pub(crate) fn flush(&self, spans: Batch) {
        self.flush_spans
            .store(self.tracer.flush_spans, Ordering::Relaxed);
        let chunk = match self.state() {
            Some(mut state) => self.chunk(&mut state, spans),
            None => self.chunk_of(Decision::default(), spans),
        };
        self.tracer.hand_over(chunk, Aside::default());
    }

    #[inline]
    pub(crate) fn flush_spans(&self) -> usize {
        self.flush_spans.load(Ordering::Relaxed)
    }

    /// Hands over what is finished, and the first span as it is now, `age` after its start. Whether the trace is kept:
    /// others are not shown.
    pub(crate) fn report(&self, now: Ticks, age: Duration) -> bool {
        let Some(mut guard) = self.state() else {
            return false;
        };
        let state = &mut *guard;
        self.decide(state);
        if !state.decision.is_kept() {
            return false;
        }
        let (mut spans, aside) = self.take_waiting(state);
        if let Some(root) = &mut state.root {
            let mut so_far = root.so_far();
            let version = age.as_millis() as f64;
            so_far.tags.set_number(PARTIAL_VERSION.into(), version);
            root.tags.set_number(WAS_LONG_RUNNING.into(), 1.0);
            spans.push(&mut so_far, now);
        }
        // The other finished spans are with their threads, which bring them when they finish the next one.
        self.flush_spans.store(1, Ordering::Relaxed);
        let chunk = self.chunk(state, spans);
        drop(guard);
        self.tracer.hand_over(chunk, aside);
        true
    }

    /// Lets spans wait until others of their trace come, if there is room. Whether there is.
    fn let_wait(
        self: &Arc<Self>,
        state: &mut State,
        is_known: bool,
        spans: u64,
        bytes: usize,
    ) -> bool {
        if spans == 0 {
            return true;
        }
        self.tracer.set_aside(&mut state.aside, spans, bytes)
            && (is_known || self.tracer.waiting.insert(self))
    }

    /// Takes what waits.
    fn take_waiting(&self, state: &mut State) -> (Batch, Aside) {
        let aside = std::mem::take(&mut state.aside);
        if !aside.is_empty() {
            self.tracer.waiting.remove(self);
        }
        (std::mem::take(&mut state.finished), aside)
    }

    /// Decides by the first span while it is open, unless something is decided already.
    #[inline]
    fn decide(&self, state: &mut State) {
        if let Some(root) = &state.root {
            self.tracer.sampler.decide(&mut state.decision, root);
        }
    }

    fn chunk(&self, state: &mut State, spans: Batch) -> Chunk {
        self.decide(state);
        self.chunk_of(state.decision.clone(), spans)
    }

    fn chunk_of(&self, decision: Decision, spans: Batch) -> Chunk {
        Chunk {
            trace_id: self.id,
            upstream: self.upstream.clone(),
            decision,
            spans,
        }
    }
}
