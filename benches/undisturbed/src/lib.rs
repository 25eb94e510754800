//! Measures while the processor runs at its full speed. On a host that is shared, what others do there slows it to two
//! thirds and less for milliseconds at a time, and a median says more about them than about the work.
//!
//! A loop of plain arithmetic, right before and right after the work, tells: what was measured while it took longer than
//! at best does not count. That goes by the processor only, never by what the work took.

#![expect(clippy::print_stderr, reason = "it is for benches")]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Rounds of the loop: a few microseconds.
const ROUNDS: u64 = 1000;

/// How much longer than at best the loop may take at full speed.
const TOLERANCE: f64 = 1.15;

/// A speed that is not seen for so long is not to be had any more.
const PATIENCE: Duration = Duration::from_secs(10);

/// The shortest time of the loop that was seen, in nanoseconds.
static BEST: AtomicU64 = AtomicU64::new(u64::MAX);

/// Since the last work that was not disturbed: the nanoseconds that were lost, and the least that the loops took.
static LOST: AtomicU64 = AtomicU64::new(0);
static LATELY: AtomicU64 = AtomicU64::new(u64::MAX);

/// What `work` says that it took, measured at full speed. It is done again, each time with what `prepare` gives, until it
/// was not disturbed.
pub fn measured<T>(
    mut prepare: impl FnMut() -> T,
    mut work: impl FnMut(T) -> Duration,
) -> Duration {
    loop {
        let prepared = prepare();
        if let (taken, true) = watched(|| work(prepared)) {
            return taken;
        }
    }
}

/// What `work` gives, and whether the processor ran at full speed, as far as can be seen.
pub fn watched<T>(work: impl FnOnce() -> T) -> (T, bool) {
    let start = Instant::now();
    let before = arithmetic();
    let done = work();
    let after = arithmetic();
    BEST.fetch_min(before.min(after), Ordering::Relaxed);
    let best = BEST.load(Ordering::Relaxed);
    let longer = before.max(after);
    let is_full_speed = longer as f64 <= best as f64 * TOLERANCE;
    if is_full_speed {
        LOST.store(0, Ordering::Relaxed);
        LATELY.store(u64::MAX, Ordering::Relaxed);
    } else {
        lose(start.elapsed(), longer);
    }
    (done, is_full_speed)
}

fn lose(time: Duration, longer: u64) {
    let lately = LATELY.fetch_min(longer, Ordering::Relaxed).min(longer);
    let nanos = time.as_nanos() as u64;
    let lost = LOST.fetch_add(nanos, Ordering::Relaxed) + nanos;
    if u128::from(lost) > PATIENCE.as_nanos() {
        let best = BEST.swap(lately, Ordering::Relaxed);
        LOST.store(0, Ordering::Relaxed);
        let slower = lately as f64 / best as f64;
        eprintln!(
            "the processor is {slower:.2} times slower than before: what comes counts anyway"
        );
    }
}

/// How many nanoseconds a fixed amount of arithmetic takes. It is for several units of a processor at once, as those that
/// share it slow that most.
fn arithmetic() -> u64 {
    let start = Instant::now();
    let mut numbers = [1_u64, 2, 3, 4, 5, 6];
    for _ in 0..ROUNDS {
        for number in &mut numbers {
            *number = number.wrapping_add(0x9E37).rotate_left(7) ^ 0x55;
        }
        black_box(&mut numbers);
    }
    start.elapsed().as_nanos() as u64
}
