//! Where threads wait for locks.
//!
//! Not each wait is noted: a thread notes one for each [`MEAN_WAIT`] that it waits, on average and at random, so a long one
//! always and of short ones a few, which count for more. The sums are right, and a lock for which threads wait a million times
//! a second costs little more for it.

use std::cell::Cell;
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use crate::callers::Callers;
use crate::counted::{Counted, Values};
use crate::owner::{Kept, Owner};
use crate::recordings;
use crate::sample::SpanIds;

/// A sample has 2 µs of work.
const MEAN_WAIT: Duration = Duration::from_millis(1);

/// The most places, by stack and thread name, of one upload: 1 MB with 128 calls each.
const MOST_PLACES: usize = 1024;

/// How many sums are told apart by spans in one upload: 1 MB. What comes after that is counted without its span.
const MOST_OF_SPANS: usize = if cfg!(test) { 100 } else { 16_384 };

static OWNER: Owner = Owner::none();
static WAITS: Kept<Waits> = Kept::new();

thread_local! {
    /// The wait in nanoseconds until this thread's next sample; at first the first wait draws it.
    static LEFT: Cell<f64> = const { Cell::new(f64::NAN) };
    /// The state of the random numbers; 0 before the first.
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

#[derive(Default)]
struct Waits {
    places: HashMap<(Box<[usize]>, Box<str>), BySpan>,
    /// How many sums of all places belong to spans.
    of_spans: usize,
    dropped: u64,
}

/// `None` is what belongs to no span.
type BySpan = HashMap<Option<SpanIds>, Sums>;

/// Fractions, because a noted wait stands for several.
#[derive(Default)]
struct Sums {
    count: f64,
    nanos: f64,
}

/// Waits are recorded while this exists.
#[derive(Debug)]
pub(crate) struct Recording(());

impl Recording {
    /// Starts to record. `None` where somebody else of this process does.
    pub(crate) fn start() -> Option<Self> {
        OWNER.take_if(|| WAITS.begin()).then_some(Self(()))
    }

    /// Takes out what was found since the last time, and returns how many samples are not among it.
    pub(crate) fn drain(&self, found: &mut Vec<Counted>) -> u64 {
        let waits = WAITS.take();
        for ((stack, thread), by_span) in waits.places {
            found.extend(by_span.into_iter().map(|(span, sums)| Counted {
                stack: stack.clone(),
                thread: thread.clone(),
                exception: "",
                span,
                values: Values {
                    lock_acquires: sums.count.round() as u64,
                    lock_wait_nanos: sums.nanos.round() as u64,
                    ..Values::default()
                },
            }));
        }
        waits.dropped
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        OWNER.release();
    }
}

/// Takes a lock that was not free.
#[cold]
#[inline(never)]
pub(crate) fn waiting<G>(lock: impl FnOnce() -> G) -> G {
    if !OWNER.is_here() {
        return lock();
    }
    let start = Instant::now();
    let guard = lock();
    count(start.elapsed());
    guard
}

fn count(wait: Duration) {
    let nanos = wait.as_nanos() as f64;
    // A thread that is being torn down notes none.
    let Ok(left) = LEFT.try_with(Cell::get) else {
        return;
    };
    let left = if left.is_nan() { draw() } else { left } - nanos;
    if left >= 0.0 {
        return LEFT.set(left);
    }
    LEFT.set(draw());
    // The chance that a wait of this length is noted. What is noted stands for those that are not.
    let chance = -(-nanos / MEAN_WAIT.as_nanos() as f64).exp_m1();
    if chance > 0.0 {
        record(1.0 / chance, nanos / chance);
    }
}

fn record(count: f64, nanos: f64) {
    let callers = Callers::here();
    let current = thread::current();
    let place = (
        callers.as_slice().into(),
        current.name().unwrap_or_default().into(),
    );
    let span = recordings::span();
    WAITS.with(|waits| waits.add(place, span, Sums { count, nanos }));
}

impl Waits {
    fn add(&mut self, place: (Box<[usize]>, Box<str>), span: Option<SpanIds>, wait: Sums) {
        if self.places.len() >= MOST_PLACES && !self.places.contains_key(&place) {
            self.dropped += 1;
            return;
        }
        let by_span = self.places.entry(place).or_default();
        let is_new = span.is_some() && !by_span.contains_key(&span);
        let has_room = self.of_spans < MOST_OF_SPANS;
        self.of_spans += usize::from(is_new && has_room);
        let sums = by_span.entry(span.filter(|_| !is_new || has_room));
        let sums = sums.or_default();
        sums.count += wait.count;
        sums.nanos += wait.nanos;
    }
}

/// The wait to the next sample, in nanoseconds: the time between the events of a Poisson process.
fn draw() -> f64 {
    let mut state = RANDOM.get();
    if state == 0 {
        // Differs between threads, and between processes.
        let now = Instant::now();
        state = std::hash::BuildHasher::hash_one(
            &std::hash::RandomState::new(),
            (now, thread::current().id()),
        ) | 1;
    }
    // Xorshift (Marsaglia, 2003).
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    RANDOM.set(state);
    // The highest 53 bits, as a number above 0 and up to 1.
    let uniform = ((state >> 11) + 1) as f64 / (1u64 << 53) as f64;
    -uniform.ln() * MEAN_WAIT.as_nanos() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_apart_by_spans_as_far_as_there_is_room() {
        let mut waits = Waits::default();
        let span = |id| Some(SpanIds { id, local_root: 1 });
        let wait = || Sums {
            count: 1.0,
            nanos: 5.0,
        };
        let place = || ([7, 8].into(), "worker".into());
        waits.add(place(), None, wait());
        for id in 1..=2 * MOST_OF_SPANS as u64 {
            waits.add(place(), span(id), wait());
            waits.add(place(), span(1), wait());
        }
        let by_span = &waits.places[&place()];
        let count = |span| by_span.get(&span).map(|sums| sums.count);
        assert_eq!(by_span.len(), MOST_OF_SPANS + 1);
        assert_eq!(count(None), Some(1.0 + MOST_OF_SPANS as f64));
        assert_eq!(count(span(1)), Some(1.0 + 2.0 * MOST_OF_SPANS as f64));
        assert_eq!(count(span(2)), Some(1.0));
        for stack in 0..2 * MOST_PLACES {
            waits.add(([stack].into(), "".into()), None, wait());
        }
        assert_eq!(waits.places.len(), MOST_PLACES);
        assert_eq!(waits.dropped, MOST_PLACES as u64 + 1);
    }

    #[test]
    fn the_sums_are_right_whatever_the_length_of_the_waits() {
        let recording = Recording::start().unwrap();
        for micros in [20, 500, 30_000] {
            let times = 400_000 / micros;
            for _ in 0..times {
                count(Duration::from_micros(micros));
            }
            let mut found = Vec::new();
            assert_eq!(recording.drain(&mut found), 0);
            let sum = |value: fn(&Values) -> u64| {
                found
                    .iter()
                    .map(|counted| value(&counted.values))
                    .sum::<u64>() as f64
            };
            // 400 samples at least, so the standard deviation is 5 % at most.
            let nanos = sum(|values| values.lock_wait_nanos) / (times * micros * 1000) as f64;
            assert!((0.7..1.3).contains(&nanos), "{micros} µs: {nanos}");
            let acquires = sum(|values| values.lock_acquires) / times as f64;
            assert!((0.7..1.3).contains(&acquires), "{micros} µs: {acquires}");
        }
        drop(recording);
        count(Duration::from_secs(1));
        let (lock, other) = (waiting(|| 7), OWNER.is_here());
        assert_eq!((lock, other), (7, false));
    }
}
