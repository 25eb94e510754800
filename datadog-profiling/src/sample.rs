//! What a sampler finds, and the sum of it.

use std::collections::HashMap;
use std::time::SystemTime;

use datadog_transport::context::ActiveSpan;
use datadog_transport::profiled::Endpoints;

use crate::counted::Counted;

/// How often a busy thread is sampled in each second of its CPU time. Not a round number, so that it keeps out of
/// step with what programs do by the clock.
pub(crate) const SAMPLES_PER_SECOND: i32 = 99;

/// The CPU time that one sample stands for, in nanoseconds.
pub(crate) const SAMPLE_NANOS: u64 = 1_000_000_000 / SAMPLES_PER_SECOND as u64;

/// What looks at the program's stacks. It is driven by the worker alone. Errors are told to the user as they are.
pub(crate) trait Sampler: Send {
    /// Starts to sample, [`SAMPLES_PER_SECOND`] times in each second of CPU time.
    fn start(&mut self) -> Result<(), String>;

    /// Takes out what was found since the last call or the start. Goes on sampling.
    fn drain(&mut self, take: &mut dyn FnMut(Sample<'_>)) -> Result<(), String>;

    /// Stops. What was not taken out is lost.
    fn stop(&mut self);

    /// Whether it can sample by the wall clock, too.
    fn knows_the_clock(&self) -> bool {
        false
    }
}

/// One stack of one thread, and how often it was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample<'a> {
    /// The return address of each call, the innermost first: one past some byte of the call instruction. So for
    /// the interrupted instruction, one past its first byte.
    pub(crate) stack: &'a [usize],
    /// The thread's name; empty where it has none.
    pub(crate) thread: &'a str,
    /// The system's id of the thread; 0 where the sampler doesn't tell.
    pub(crate) thread_id: u32,
    /// The span that was active on the thread.
    pub(crate) span: Option<SpanIds>,
    /// How often it was seen, by the thread's CPU time.
    pub(crate) count: u64,
    /// How often it was seen by the wall clock, and what that stands for.
    pub(crate) wall_count: u64,
    pub(crate) wall_nanos: u64,
    /// When it was seen, in nanoseconds since the Unix epoch; 0 where that is not wanted.
    pub(crate) time: u64,
}

/// The ids of a span that link a sample to its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SpanIds {
    /// The span's id; 0 where only the endpoint is wanted, which is known by the local root.
    pub(crate) id: u64,
    /// The id of the first span of the trace in this process.
    pub(crate) local_root: u64,
}

impl From<ActiveSpan> for SpanIds {
    fn from(span: ActiveSpan) -> Self {
        Self {
            id: span.span_id,
            local_root: span.local_root_id,
        }
    }
}

impl SpanIds {
    /// As much as is wanted: of `ids`, of `endpoints` or of both.
    pub(crate) fn kept(self, ids: bool, endpoints: bool) -> Option<Self> {
        match (ids, endpoints) {
            (true, _) => Some(self),
            (false, true) => Some(Self { id: 0, ..self }),
            (false, false) => None,
        }
    }
}

/// The sum of samples, by all that they tell.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    counts: HashMap<Key, Counts>,
}

/// See [`Sample`].
#[derive(Debug, Default)]
struct Counts {
    cpu: u64,
    wall: u64,
    wall_nanos: u64,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    stack: Box<[usize]>,
    thread: Box<str>,
    thread_id: u32,
    span: Option<SpanIds>,
    time: u64,
}

/// The samples of one upload.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) samples: Samples,
    /// What was found beside CPU time.
    pub(crate) counted: Vec<Counted>,
    /// What traces told of the local roots that samples were taken of.
    pub(crate) endpoints: Endpoints,
    pub(crate) start: SystemTime,
    /// Not before the start.
    pub(crate) end: SystemTime,
}

impl Samples {
    pub(crate) fn add(&mut self, sample: Sample<'_>) {
        let key = Key {
            stack: sample.stack.into(),
            thread: sample.thread.into(),
            thread_id: sample.thread_id,
            span: sample.span,
            time: sample.time,
        };
        let counts = self.counts.entry(key).or_default();
        counts.cpu += sample.count;
        counts.wall += sample.wall_count;
        counts.wall_nanos += sample.wall_nanos;
    }

    /// The spans that samples were taken in.
    pub(crate) fn spans(&self) -> impl Iterator<Item = SpanIds> {
        self.counts.keys().filter_map(|key| key.span)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Sample<'_>> {
        self.counts.iter().map(|(key, counts)| Sample {
            stack: &key.stack,
            thread: &key.thread,
            thread_id: key.thread_id,
            span: key.span,
            count: counts.cpu,
            wall_count: counts.wall,
            wall_nanos: counts.wall_nanos,
            time: key.time,
        })
    }
}
