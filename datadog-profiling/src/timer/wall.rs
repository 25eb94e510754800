//! The clock on the wall: interrupts threads that are within spans, whether they work or wait.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use datadog_transport::in_spans;

use crate::timer::engine::Tag;
use crate::timer::signal;
use crate::timer::sys;

/// From one look to the next: 11 in a second, so that it keeps out of step with what programs do by the clock.
const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / 11);

/// The most threads that are interrupted at a look. Each takes some 40 µs if it waits, so together 0.4 % of a core.
const MOST_AT_ONCE: usize = 8;

/// Threads are interrupted while this exists.
pub(super) struct Wall {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wall {
    /// # Errors
    ///
    /// Where the system forbids to signal a thread, or to make one.
    pub(super) fn start(round: u32) -> Result<Self, String> {
        let tag = Tag {
            round,
            thread: None,
        };
        // Nothing is owed for this one.
        signal::send(sys::thread_id(), tag.number()).map_err(|error| reason(&error))?;
        in_spans::follow();
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let thread = thread::Builder::new().name("datadog-wall".to_owned());
        let thread = thread.spawn(move || {
            signal::block_other_signals();
            look_until(&is_over, tag.number());
        });
        Ok(Self {
            over,
            thread: Some(thread.map_err(|error| reason(&error))?),
        })
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It only panics with the process.
            let _ = thread.join();
        }
    }
}

fn reason(error: &io::Error) -> String {
    format!("the system allows no samples by the wall clock: {error}")
}

fn look_until(over: &AtomicBool, tag: u64) {
    let random = RandomState::new();
    let mut last = Instant::now();
    let mut threads = Vec::new();
    while !over.load(Ordering::Acquire) {
        thread::park_timeout(PERIOD);
        let now = Instant::now();
        let nanos = (now - std::mem::replace(&mut last, now)).as_nanos() as u64;
        threads.clear();
        threads.extend(in_spans::all());
        let first = random.hash_one(now) as usize;
        for thread in chosen(&threads, first) {
            // Each stands for those that are not chosen, too.
            thread.owe(nanos * threads.len() as u64 / threads.len().min(MOST_AT_ONCE) as u64);
            // It may have ended meanwhile.
            let _ = signal::send(thread.id(), tag);
        }
    }
}

/// At most [`MOST_AT_ONCE`] of them, from any first one on, so that each has the same chance.
fn chosen<T: Copy>(threads: &[T], first: usize) -> impl Iterator<Item = T> {
    let first = first.checked_rem(threads.len()).unwrap_or(0);
    let all = threads.iter().cycle().skip(first);
    all.take(threads.len().min(MOST_AT_ONCE)).copied()
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use datadog_config::DDConfig;
    use datadog_transport::context::{self, ActiveSpan};

    use super::*;
    use crate::sample::Sampler;
    use crate::sampler::tests::turn;
    use crate::symbol::Symbols;
    use crate::timer::TimerSampler;
    use crate::timer::engine::Engine;

    /// Works while signals wait, that come together then.
    #[inline(never)]
    fn work_and_let_them_come() {
        signal::tests::block_signal(true);
        // The first one: beside it, the system lets only those of timers wait.
        Engine::get().look_at_this_thread();
        for number in 0..5_000_000_u64 {
            black_box(number);
        }
        signal::tests::block_signal(false);
    }

    #[test]
    fn signals_that_come_together_show_what_they_interrupt() {
        let _turn = turn();
        let config = DDConfig::builder()
            .environment([("", "")])
            .profiling_walltime_enabled(true);
        let mut sampler = TimerSampler::new(&config.build().unwrap());
        sampler.start().unwrap();
        let thread = thread::Builder::new().name("together".to_owned());
        let thread = thread.spawn(|| {
            context::set(Some(ActiveSpan {
                trace_id: 1,
                span_id: 2,
                local_root_id: 2,
            }));
            (0..30).for_each(|_| work_and_let_them_come());
        });
        thread.unwrap().join().unwrap();
        let (mut all, mut known) = ([0; 2], [0; 2]);
        let mut symbols = Symbols::default();
        let take = &mut |sample: crate::sample::Sample<'_>| {
            let mut calls = sample.stack.iter();
            let is_known = calls.any(|call| {
                let mut symbols = symbols.at(*call).iter();
                symbols.any(|symbol| symbol.name.ends_with("work_and_let_them_come"))
            });
            if sample.thread == "together" {
                for (at, count) in [sample.count, sample.wall_count].into_iter().enumerate() {
                    all[at] += count;
                    known[at] += if is_known { count } else { 0 };
                }
            }
        };
        sampler.drain(take).unwrap();
        for (all, known) in all.into_iter().zip(known) {
            assert!(all >= 30, "{all} samples");
            assert!(known * 10 > all * 9, "{known} of {all}");
        }
    }

    #[test]
    fn each_thread_has_the_same_chance() {
        assert_eq!(chosen::<u8>(&[], 7).count(), 0);
        for count in [1, MOST_AT_ONCE, MOST_AT_ONCE + 1, 5 * MOST_AT_ONCE] {
            let threads: Vec<_> = (0..count).collect();
            let mut times = vec![0; count];
            for first in 0..3 * count {
                let mut chosen: Vec<_> = chosen(&threads, first).collect();
                chosen.iter().for_each(|thread| times[*thread] += 1);
                chosen.sort_unstable();
                chosen.dedup();
                assert_eq!(chosen.len(), count.min(MOST_AT_ONCE), "none twice");
            }
            assert_eq!(times, vec![3 * count.min(MOST_AT_ONCE); count]);
        }
    }
}
