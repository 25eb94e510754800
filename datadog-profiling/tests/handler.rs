//! The signal handler allocates nothing.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_local_agent::{Label, LocalAgent};
use datadog_profiling::Profiler;
use datadog_transport::context::{self, ActiveSpan};

const SOON: Duration = Duration::from_secs(20);

#[inline(never)]
fn deep(calls: u32) -> u64 {
    if calls == 0 {
        let mut state = 1_u64;
        for _ in 0..1_000_000 {
            state ^= state << 13;
            state ^= state >> 7;
        }
        return black_box(state);
    }
    black_box(deep(calls - 1)) + 1
}

#[test]
fn an_interrupted_thread_allocates_nothing() {
    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .profiling_enabled(true)
        .profiling_walltime_enabled(true)
        .build()
        .unwrap();
    let profiler = Profiler::start(&config).unwrap();
    profiler.flush(SOON);
    assert!(profiler.is_sampling());
    agent.clear();

    let worker = thread::Builder::new().name("no-allocation".to_owned());
    let worker = worker.spawn(|| {
        // So that the wall clock interrupts it, too.
        context::set(Some(ActiveSpan {
            trace_id: 1,
            span_id: 2,
            local_root_id: 2,
        }));
        allocation_counter::measure(|| {
            let end = Instant::now() + Duration::from_secs(2);
            let mut calls = 0;
            while Instant::now() < end {
                calls = (calls + 1) % 100;
                black_box(deep(calls));
            }
        })
    });
    let allocated = worker.unwrap().join().unwrap();
    profiler.flush(SOON);
    let profiles = agent.profiles();
    let samples = profiles[0].pprof().unwrap();
    for (kind, least) in [("cpu-samples", 20), ("wall-samples", 5)] {
        let by_thread = samples.sum_by_label(kind, "thread name").unwrap();
        let samples = by_thread[&Label::Text("no-allocation".into())];
        assert!(samples > least, "{kind}: {by_thread:?}");
    }
    assert_eq!(allocated.count_total, 0, "{allocated:?}");
}
