//! Panics in the profile. The hook is the process's, so the test is alone in its program.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use datadog_config::DDConfigBuilder;
use datadog_local_agent::{Label, LocalAgent};
use datadog_profiling::{DDConfig, Profiler, Standalone};

const SOON: Duration = Duration::from_secs(20);

fn start(config: DDConfigBuilder) -> Standalone<Profiler> {
    let profiler = Profiler::start(&config.build().unwrap()).unwrap();
    profiler.start_sampling();
    let limit = Instant::now() + SOON;
    while !profiler.is_sampling() {
        assert!(Instant::now() < limit);
        thread::yield_now();
    }
    profiler
}

#[inline(never)]
fn gives_up() {
    panic!("on purpose");
}

#[inline(never)]
fn looks_too_far(list: &[u8]) -> u8 {
    list[std::hint::black_box(7)]
}

#[test]
fn panics_are_samples_and_other_hooks_are_called_too() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    // Also keeps the output of the test clean.
    panic::set_hook(Box::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    let agent = LocalAgent::start().unwrap();
    let config = || {
        DDConfig::builder()
            .environment([("", "")])
            .service("shop")
            .agent_url(agent.url())
    };
    let profiler = start(config());
    for _ in 0..3 {
        assert!(panic::catch_unwind(gives_up).is_err());
    }
    let worker = thread::Builder::new().name("worker-7".to_owned());
    let worker = worker.spawn(|| looks_too_far(&[1])).unwrap();
    assert!(worker.join().is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    profiler.flush(SOON);

    let profiles = agent.profiles();
    let pprof = profiles[0].pprof().unwrap();
    assert_eq!(pprof.sum("exception-samples"), Some(4));
    let at = pprof.sample_type("exception-samples").unwrap();
    assert_eq!(pprof.sample_types[at].unit, "count");
    let kinds = pprof.sum_by_label("exception-samples", "exception type");
    assert_eq!(kinds.unwrap()[&Label::Text("panic".into())], 4);
    let mut panics: Vec<_> = pprof
        .samples
        .iter()
        .filter(|sample| sample.values[at] > 0)
        .collect();
    panics.sort_by_key(|sample| sample.values[at]);
    let [bound, purpose] = panics[..] else {
        panic!("{panics:?}");
    };
    assert_eq!((bound.values[at], purpose.values[at]), (1, 3));
    let thread = bound.label("thread name").unwrap();
    assert_eq!(*thread, Label::Text("worker-7".into()));
    assert!(
        bound.stack[0].function.ends_with("looks_too_far"),
        "{bound:?}"
    );
    assert!(
        purpose.stack[0].function.ends_with("gives_up"),
        "{purpose:?}"
    );

    drop(profiler);
    agent.clear();
    let profiler = start(config().profiling_exception_enabled(false));
    assert!(panic::catch_unwind(gives_up).is_err());
    profiler.flush(SOON);
    drop(profiler);
    assert_eq!(calls.load(Ordering::Relaxed), 5);
    for profile in agent.profiles() {
        let pprof = profile.pprof().unwrap();
        assert_eq!(pprof.sample_type("exception-samples"), None);
    }
}
