//! What sampling costs two busy threads, fine enough for parts of a thousand.

use std::sync::Barrier;
use std::{mem, ptr, thread};

use crate::sampler::{Sampler, WALL};
use crate::wall::enter_span;
use crate::work::{process_seconds, thread_seconds, work};

/// For the readers of the table.
pub(crate) const HOW: &str = "The CPU time is that of the busy threads and of the sampler's own. What is added to the busy ones is the median of 2,000 \
     pairs of pieces of work of some 10 ms, one of each with the signal blocked, by the clock of the thread. The sampler's own is \
     what the process used beside them in 3 s, and of one profile in each 60 s, as they are uploaded. What comes once has a row of \
     its own: the debug information is read for the first profile. This program has little of it.";

const THREADS: usize = 2;

/// On each thread.
const PAIRS: usize = 1000;

/// By another machine's clock.
const PIECE_MILLIS: u64 = 15;

/// How long a profile takes in production.
const PERIOD_SECONDS: f64 = 60.0;

pub(crate) fn print(sampler: &str) {
    let own = Own::measure(sampler);
    println!("{}", added(sampler, &own));
    println!("{:+.3} %", own.percent());
    println!("{:.0} ms", 1e3 * own.once);
}

/// What the wall clock adds to the rest, of busy threads in spans.
pub(crate) fn with_wall() -> String {
    added(WALL, &Own::measure(WALL))
}

fn added(sampler: &str, own: &Own) -> String {
    let [low, median, high] = added_percent(sampler).map(|added| added + own.percent());
    format!("{median:+.2} % ({low:+.2} to {high:+.2})")
}

/// The median of what the signals add to the CPU time of the threads, and its 95 % confidence interval.
fn added_percent(sampler: &str) -> [f64; 3] {
    let sampling = Sampler::start(sampler);
    block_signal(true);
    let together = Barrier::new(THREADS);
    let mut added = on_threads(|| {
        let piece = |blocked| {
            // A signal that waited comes now.
            block_signal(blocked);
            // A timer of the process would interrupt only the one that lets it.
            together.wait();
            let before = thread_seconds();
            work(PIECE_MILLIS, 30);
            thread_seconds() - before
        };
        let pair = |first| {
            let (one, other) = (piece(first), piece(!first));
            let (with, without) = if first { (other, one) } else { (one, other) };
            100.0 * (with / without - 1.0)
        };
        (0..PAIRS).map(|at| pair(at % 2 == 0)).collect()
    });
    drop(sampling);
    added.sort_by(f64::total_cmp);
    // How many of so many coins show heads, with 95 %.
    let spread = 1.96 * (added.len() as f64).sqrt() / 2.0;
    let middle = added.len() / 2;
    let spread = spread.ceil() as usize;
    [middle - spread, middle, middle + spread].map(|rank| added[rank])
}

/// What the sampler uses beside the threads that it samples, in seconds of CPU time.
struct Own {
    /// For each second of a busy thread.
    share: f64,
    profile: f64,
    once: f64,
}

impl Own {
    fn measure(sampler: &str) -> Self {
        let start = process_seconds();
        let sampling = Sampler::start(sampler);
        let started = process_seconds();
        let busy = busy_seconds(300);
        let worked = process_seconds();
        sampling.make_profile();
        let reported = process_seconds();
        busy_seconds(50);
        let again = process_seconds();
        sampling.make_profile();
        Self {
            share: (worked - started) / busy - 1.0,
            profile: process_seconds() - again,
            once: (reported - worked) + (started - start),
        }
    }

    /// Of the time of all the busy threads.
    fn percent(&self) -> f64 {
        100.0 * (self.share + self.profile / PERIOD_SECONDS / THREADS as f64)
    }
}

fn busy_seconds(pieces: usize) -> f64 {
    let times = on_threads(|| {
        (0..pieces).for_each(|_| work(PIECE_MILLIS, 30));
        vec![thread_seconds()]
    });
    times.into_iter().sum()
}

fn on_threads(work: impl Fn() -> Vec<f64> + Sync) -> Vec<f64> {
    thread::scope(|scope| {
        let work = || {
            enter_span();
            work()
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let times = threads.into_iter().map(|thread| thread.join().unwrap());
        times.flatten().collect()
    })
}

/// Whether this thread's samples wait.
fn block_signal(blocked: bool) {
    let how = if blocked {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    // SAFETY: zero is a value of the structure's fields; the pointers are to a live one.
    unsafe {
        let mut signals: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut signals);
        libc::sigaddset(&mut signals, libc::SIGPROF);
        libc::pthread_sigmask(how, &signals, ptr::null_mut());
    }
}
