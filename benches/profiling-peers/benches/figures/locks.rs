//! What a lock that is free costs more than parking_lot's.

use std::hint::black_box;
use std::time::Duration;

use datadog_profiling::Mutex;

use crate::sampler::{OURS, Sampler};
use crate::work::thread_seconds;

const TIMES: u32 = 1 << 23;
const ROUNDS: usize = 15;

/// In nanoseconds, while the waits are recorded: the median of rounds in which both take turns.
pub(crate) fn added_nanos() -> f64 {
    let sampling = Sampler::start(OURS);
    let (ours, theirs) = (Mutex::new(0_u64), parking_lot::Mutex::new(0_u64));
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let ours = nanos(|| *black_box(&ours).lock() += 1);
            ours - nanos(|| *black_box(&theirs).lock() += 1)
        })
        .collect();
    drop(sampling);
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn nanos(lock: impl Fn()) -> f64 {
    let start = thread_seconds();
    (0..TIMES).for_each(|_| lock());
    Duration::from_secs_f64((thread_seconds() - start).max(0.0)).as_nanos() as f64
        / f64::from(TIMES)
}
