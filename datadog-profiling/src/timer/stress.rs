//! Signals as the timers send them, but as fast as the machine can, while the program does what is dangerous to interrupt.
//! `cargo xtask verify stress` does it for a minute.

use std::hint::black_box;
use std::process::{self, Command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{panic, thread};

use datadog_config::DDConfig;
use datadog_transport::context::{self, ActiveSpan};

use crate::sample::{Sample, Sampler};
use crate::sampler::tests::turn;
use crate::timer::TimerSampler;
use crate::timer::engine::Engine;
use crate::timer::sys;

const SHORT: Duration = Duration::from_secs(10);

/// Threads that begin and end together.
const CROWD: usize = 64;

/// Five thousand in a second. The kernel signals at each of its ticks, and says how many periods it counted.
const PERIOD: Duration = Duration::from_micros(200);

/// Some kind of work that stops for so long hangs. On a busy machine one round takes seconds at most.
const STALL: Duration = Duration::from_secs(60);

/// The wall clock looks only at threads that have one.
const SPAN: ActiveSpan = ActiveSpan {
    trace_id: 1,
    span_id: 2,
    local_root_id: 2,
};

/// Kinds of work, each with its thread.
const WORKS: [(&str, fn()); 6] = [
    ("malloc", storm_the_allocator),
    ("dlopen", sys::tests::load_and_unload_a_library),
    ("fork", sys::tests::fork_and_work),
    ("exec", run_a_program),
    ("threads", start_a_crowd),
    ("panic", panic_and_catch),
];

fn storm_the_allocator() {
    for size in [16, 1 << 10, 100_000] {
        let blocks: Vec<_> = (0..32).map(|_| vec![1_u8; size]).collect();
        drop(black_box(blocks));
    }
}

fn run_a_program() {
    assert!(Command::new("true").status().unwrap().success());
}

fn start_a_crowd() {
    thread::scope(|scope| {
        for _ in 0..CROWD {
            scope.spawn(|| {
                Engine::get().signal_this_thread();
                drop(black_box(vec![1_u8; 1 << 14]));
                Engine::get().signal_this_thread();
            });
        }
    });
}

fn panic_and_catch() {
    let caught = panic::catch_unwind(|| {
        Engine::get().signal_this_thread();
        panic!("on purpose");
    });
    assert!(caught.is_err());
}

#[test]
fn nothing_stalls_or_is_unaccounted_for() {
    let _turn = turn();
    let length = option_env!("DATADOG_STRESS_SECONDS").map_or(SHORT, |seconds| {
        Duration::from_secs(seconds.parse().unwrap())
    });
    let engine = Engine::get();
    let counts = || {
        let counts = &engine.counts;
        [
            &counts.signalled,
            &counts.covered,
            &counts.sampled,
            &counts.lost,
        ]
        .map(|count| count.load(Ordering::Acquire))
    };
    let before = counts();
    let config = DDConfig::builder()
        .environment([("", "")])
        .profiling_walltime_enabled(true);
    let mut sampler = TimerSampler::new(&config.build().unwrap());
    sampler.period = PERIOD;
    sampler.start().unwrap();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let end = Instant::now() + length;
    let rounds: [AtomicU64; WORKS.len()] = Default::default();
    let over = AtomicBool::new(false);
    let (mut drained, mut drained_nanos) = (0, 0);
    let mut take = |sample: Sample<'_>| {
        drained += sample.count;
        drained_nanos += sample.wall_nanos;
    };
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for ((_, work), rounds) in WORKS.into_iter().zip(&rounds) {
            workers.push(scope.spawn(move || {
                context::set(Some(SPAN));
                while Instant::now() < end {
                    engine.signal_this_thread();
                    engine.look_at_this_thread();
                    work();
                    engine.signal_this_thread();
                    engine.look_at_this_thread();
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        scope.spawn(|| watch(&rounds, &over));
        while !workers.iter().all(|worker| worker.is_finished()) {
            sampler.drain(&mut take).unwrap();
            thread::yield_now();
        }
        over.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
    });
    panic::set_hook(hook);
    engine.end();
    sampler.drain(&mut take).unwrap();
    let [signalled, covered, sampled, lost] =
        std::array::from_fn(|index| counts()[index] - before[index]);
    let rounds = rounds.map(AtomicU64::into_inner);
    for ((name, _), rounds) in WORKS.into_iter().zip(rounds) {
        println!("{name}: {rounds} rounds");
        assert!(rounds > 10, "{name}: {rounds} rounds");
    }
    println!("{signalled} signals: {sampled} sampled, {covered} of covered threads, {lost} lost");
    let rounds: u64 = rounds.iter().sum();
    assert!(signalled > 2 * rounds, "{signalled} in {rounds} rounds");
    assert_eq!(signalled, covered + sampled + lost);
    assert_eq!(sampled, drained);
    // Six threads that were in spans all the time.
    let waited = Duration::from_nanos(drained_nanos);
    println!("{waited:?} by the wall clock");
    assert!(waited > length * 4, "{waited:?}");
    assert!(waited < length * 8, "{waited:?}");
    // The ring is for a thousandth of this rate.
    assert!(sampled > 10_000, "{sampled} sampled, {lost} lost");
}

/// Ends the process where a kind of work goes on no more.
fn watch(rounds: &[AtomicU64; WORKS.len()], over: &AtomicBool) {
    let mut seen = [(0, Instant::now()); WORKS.len()];
    while !over.load(Ordering::Relaxed) {
        for (((name, _), rounds), (before, since)) in WORKS.into_iter().zip(rounds).zip(&mut seen) {
            let now = rounds.load(Ordering::Relaxed);
            if now != *before {
                (*before, *since) = (now, Instant::now());
            } else if since.elapsed() > STALL {
                eprintln!("stalled: {name}, after {now} rounds");
                process::abort();
            }
        }
        thread::park_timeout(Duration::from_millis(100));
    }
}
