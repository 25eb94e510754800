//! Where threads wait for locks.
//!
//! Not each wait is noted: a thread notes one for each [`MEAN_WAIT`] that it waits, on average and at random, so a long one
//! always and of short ones a few, which count for more. The sums are right, and a lock for which threads wait a million times
//! a second costs little more for it.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{mem, thread};

use crate::callers::Callers;
use crate::counted::{Counted, Values};
use crate::owner::Owner;

/// A sample has 2 µs of work.
const MEAN_WAIT: Duration = Duration::from_millis(1);

/// The most places, by stack and thread name, of one upload: 1 MB with 128 calls each.
const MOST_PLACES: usize = 1024;

static OWNER: Owner = Owner::none();
static WAITS: Mutex<Option<Waits>> = Mutex::new(None);

thread_local! {
    /// The wait in nanoseconds until this thread's next sample; at first the first wait draws it.
    static LEFT: Cell<f64> = const { Cell::new(f64::NAN) };
    /// The state of the random numbers; 0 before the first.
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

#[derive(Default)]
struct Waits {
    places: HashMap<(Box<[usize]>, Box<str>), Sums>,
    dropped: u64,
}

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
        OWNER.take().then_some(Self(()))
    }

    /// Takes out what was found since the last time, and returns how many samples are not among it.
    pub(crate) fn drain(&self, found: &mut Vec<Counted>) -> u64 {
        let waits = mem::take(&mut *waits()).unwrap_or_default();
        let places = waits.places.into_iter();
        found.extend(places.map(|((stack, thread), sums)| Counted {
            stack,
            thread,
            exception: "",
            span: None,
            values: Values {
                lock_acquires: sums.count.round() as u64,
                lock_wait_nanos: sums.nanos.round() as u64,
                ..Values::default()
            },
        }));
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
    let mut waits = waits();
    let waits = waits.get_or_insert_default();
    if waits.places.len() < MOST_PLACES || waits.places.contains_key(&place) {
        let sums = waits.places.entry(place).or_default();
        sums.count += count;
        sums.nanos += nanos;
    } else {
        waits.dropped += 1;
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

fn waits() -> MutexGuard<'static, Option<Waits>> {
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

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
