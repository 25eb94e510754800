//! Waits for locks, in the profile.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use datadog_local_agent::{Label, LocalAgent};
use datadog_profiling::{DDConfig, Mutex, Profiler, RwLock};
use datadog_transport::context::{self, ActiveSpan};

const SOON: Duration = Duration::from_secs(20);

#[inline(never)]
fn waits_for_the_till(till: &Mutex<u64>) {
    *till.lock() += 1;
}

#[inline(never)]
fn reads_the_menu(menu: &RwLock<u64>) -> u64 {
    *menu.read()
}

const HELD: Duration = Duration::from_millis(50);

/// Holds a lock for a while after another thread waits for it.
fn while_held(hold: impl FnOnce(&dyn Fn()), wait: impl FnOnce() + Send) -> Duration {
    thread::scope(|scope| {
        let (told, place) = mpsc::channel();
        let (held, is_held) = mpsc::channel();
        let waiter = scope.spawn(move || {
            is_held.recv().unwrap();
            told.send(fs::read_link("/proc/thread-self").unwrap())
                .unwrap();
            let start = Instant::now();
            wait();
            start.elapsed()
        });
        hold(&|| {
            held.send(()).unwrap();
            let status = Path::new("/proc")
                .join(place.recv().unwrap())
                .join("status");
            while !fs::read_to_string(&status).unwrap().contains("(sleeping)") {
                thread::yield_now();
            }
            thread::sleep(HELD);
        });
        waiter.join().unwrap()
    })
}

#[test]
fn the_profile_shows_who_waited_for_how_long() {
    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .profiling_enabled(true);
    let profiler = Profiler::start(&config.build().unwrap()).unwrap();
    profiler.flush(SOON);
    assert!(profiler.is_sampling());
    agent.clear();

    let (till, menu) = (Mutex::new(0), RwLock::new(7));
    // Nobody waits for these.
    for _ in 0..1000 {
        waits_for_the_till(&till);
        assert_eq!(reads_the_menu(&menu), 7);
    }
    let mut waited = Duration::ZERO;
    for _ in 0..4 {
        waited += while_held(
            |wait| {
                let guard = till.lock();
                wait();
                drop(guard);
            },
            || waits_for_the_till(&till),
        );
    }
    while_held(
        |wait| {
            let guard = menu.write();
            wait();
            drop(guard);
        },
        || {
            context::set(Some(ActiveSpan {
                trace_id: 1,
                span_id: 3,
                local_root_id: 2,
            }));
            assert_eq!(reads_the_menu(&menu), 7);
        },
    );
    profiler.flush(SOON);
    let profiles = agent.profiles();
    let profile = profiles[0].pprof().unwrap();
    let acquires = profile.sample_type("lock-acquire").unwrap();
    let wait = profile.sample_type("lock-acquire-wait").unwrap();
    assert_eq!(profile.sample_types[acquires].unit, "count");
    assert_eq!(profile.sample_types[wait].unit, "nanoseconds");
    let of = |name: &str| {
        let own = profile
            .samples
            .iter()
            .filter(|sample| sample.values[acquires] > 0);
        let own = own.filter(|sample| sample.stack[0].function.ends_with(name));
        own.fold((0, 0), |(count, nanos), sample| {
            (count + sample.values[acquires], nanos + sample.values[wait])
        })
    };
    // Waits of 50 ms are noted always.
    let (count, nanos) = of("waits_for_the_till");
    assert_eq!(count, 4);
    let nanos = Duration::from_nanos(nanos as u64);
    assert!(
        nanos > HELD * 4 * 9 / 10 && nanos <= waited,
        "{nanos:?} of {waited:?}"
    );
    assert_eq!(of("reads_the_menu").0, 1);
    assert_eq!(profile.sum("lock-acquire"), Some(5));
    for (label, id) in [("span id", 3), ("local root span id", 2)] {
        let by_span = profile.sum_by_label("lock-acquire", label).unwrap();
        let waits: Vec<_> = by_span
            .into_iter()
            .filter(|(_, waits)| *waits > 0)
            .collect();
        assert_eq!(waits, [(Label::Number(id), 1)]);
    }
}
