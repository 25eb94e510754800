//! The allocator in a program of its own: what it allocates and holds arrives in the profile.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

use std::cell::RefCell;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use datadog_config::DDConfigBuilder;
use datadog_local_agent::{Label, LocalAgent, Pprof};
use datadog_profiling::{
    AllocationFigures, DDConfig, ProfiledAllocator, Profiler, Standalone, allocation_figures,
};
use datadog_transport::context::{self, ActiveSpan};
use parking_lot::{Mutex, MutexGuard};

#[global_allocator]
static ALLOCATOR: ProfiledAllocator = ProfiledAllocator::system();

const SOON: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;

/// There is one sampler a process, so the tests take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock()
}

fn config(agent: &LocalAgent) -> DDConfigBuilder {
    DDConfig::builder()
        .environment([("", "")])
        .service("shop")
        .agent_url(agent.url())
}

fn start(config: DDConfigBuilder) -> Standalone<Profiler> {
    let profiler = Profiler::start(&config.build().unwrap()).unwrap();
    start_sampling(&profiler);
    profiler
}

fn start_sampling(profiler: &Profiler) {
    profiler.start_sampling();
    let limit = Instant::now() + SOON;
    while !profiler.is_sampling() {
        assert!(Instant::now() < limit);
        thread::yield_now();
    }
}

/// Runs `work` on a thread of its own, which is recorded from its first allocation on.
fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().unwrap())
}

#[inline(never)]
fn churns(bytes: usize) {
    for _ in 0..bytes / 10_000 {
        black_box(Vec::<u8>::with_capacity(10_000));
    }
}

#[inline(never)]
#[expect(clippy::vec_box, reason = "many small allocations are wanted")]
fn holds(bytes: usize) -> Vec<Box<[u8; 1000]>> {
    (0..bytes / 1000).map(|_| Box::new([1; 1000])).collect()
}

#[inline(never)]
fn grows(bytes: usize) -> Vec<u8> {
    let mut grown = Vec::with_capacity(1000);
    while grown.len() < bytes {
        grown.extend_from_slice(&[1; 1000]);
    }
    grown
}

/// The sum over the stacks with this function.
fn sum(pprof: &Pprof, kind: &str, function: &str) -> i64 {
    let Some(at) = pprof.sample_type(kind) else {
        return 0;
    };
    let with = pprof.samples.iter().filter(|sample| {
        let mut frames = sample.stack.iter();
        frames.any(|frame| frame.function.ends_with(function))
    });
    with.map(|sample| sample.values[at]).sum()
}

/// Within a quarter: the standard deviation of 200 samples is 7 %.
fn assert_near(estimate: i64, truth: usize) {
    let ratio = estimate as f64 / truth as f64;
    assert!((0.75..1.25).contains(&ratio), "{estimate} of {truth}");
}

#[test]
fn the_profile_shows_who_allocates_and_who_holds() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let profiler = start(config(&agent));
    let before = allocation_figures();
    let held = on_thread(|| {
        churns(400 * MIB);
        holds(100 * MIB)
    });
    profiler.flush(SOON);
    let during = allocation_figures();
    drop(held);
    let after = allocation_figures();
    on_thread(|| churns(MIB));
    profiler.flush(SOON);

    assert_eq!(agent.refusals().len(), 0, "{:?}", agent.refusals());
    let profiles = agent.profiles();
    let (first, second) = (profiles[0].pprof().unwrap(), profiles[1].pprof().unwrap());
    let units: Vec<_> = first
        .sample_types
        .iter()
        .map(|kind| (&*kind.name, &*kind.unit))
        .collect();
    assert_eq!(
        units,
        [
            ("cpu-samples", "count"),
            ("cpu-time", "nanoseconds"),
            ("alloc-samples", "count"),
            ("alloc-space", "bytes"),
            ("inuse-objects", "count"),
            ("inuse-space", "bytes"),
        ]
    );
    assert_near(sum(first, "alloc-space", "churns"), 400 * MIB);
    assert_near(sum(first, "alloc-samples", "churns"), 400 * MIB / 10_000);
    assert_eq!(sum(first, "inuse-space", "churns"), 0);
    assert_near(sum(first, "alloc-space", "holds"), 100 * MIB);
    assert_near(sum(first, "inuse-space", "holds"), 100 * MIB);
    assert_near(sum(first, "inuse-objects", "holds"), 100 * MIB / 1000);
    assert_eq!(sum(second, "inuse-space", "holds"), 0, "it was freed");
    assert!(sum(second, "alloc-space", "churns") < 20 * MIB as i64);

    let in_churns = first.samples.iter().find(|sample| {
        let mut frames = sample.stack.iter();
        sample.values[3] > 0 && frames.any(|frame| frame.function.ends_with("churns"))
    });
    let innermost = &in_churns.unwrap().stack[0].function;
    for machinery in ["ProfiledAllocator", "__rust_alloc", "backtrace", "Callers"] {
        assert!(!innermost.contains(machinery), "{innermost}");
    }

    let allocated = during.allocated_bytes - before.allocated_bytes;
    assert_near(allocated as i64, 500 * MIB);
    let freed = during.in_use_bytes - after.in_use_bytes;
    assert_near(freed as i64, 100 * MIB);
    assert!(during.samples > 500, "{during:?}");
}

#[test]
fn allocations_belong_to_spans_and_what_is_in_use_does_not() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let work = || {
        on_thread(|| {
            for id in [7, 8] {
                context::set(Some(ActiveSpan {
                    trace_id: 1,
                    span_id: id,
                    local_root_id: 10 * id,
                }));
                churns(id as usize * 20 * MIB);
            }
            let held = holds(100 * MIB);
            context::set(None);
            churns(100 * MIB);
            held
        })
    };
    let profiler = start(config(&agent));
    let held = work();
    profiler.flush(SOON);
    let with = agent.profiles();
    drop((held, profiler));
    agent.clear();
    let without = config(&agent)
        .profiling_code_hotspots_enabled(false)
        .profiling_endpoint_collection_enabled(false);
    let profiler = start(without);
    drop(work());
    profiler.flush(SOON);

    let without = agent.profiles();
    let (with, without) = (with[0].pprof().unwrap(), without[0].pprof().unwrap());
    let by = |label, kind| with.sum_by_label(kind, label).unwrap();
    for (label, factor) in [("span id", 1), ("local root span id", 10)] {
        let bytes = by(label, "alloc-space");
        assert_eq!(bytes.len(), 2, "{bytes:?}");
        assert_near(bytes[&Label::Number(7 * factor)], 140 * MIB);
        assert_near(bytes[&Label::Number(8 * factor)], 260 * MIB);
        let in_use = by(label, "inuse-space");
        assert_eq!(in_use.into_values().sum::<i64>(), 0);
    }
    assert_near(sum(with, "inuse-space", "holds"), 100 * MIB);
    assert_near(sum(with, "alloc-space", "churns"), 400 * MIB);
    assert_near(sum(without, "alloc-space", "churns"), 400 * MIB);
    assert_eq!(
        without
            .sum_by_label("alloc-space", "span id")
            .unwrap()
            .len(),
        0
    );
    let rows = |profile: &Pprof| {
        let kind = profile.sample_type("alloc-space").unwrap();
        let rows = profile.samples.iter().filter(|row| {
            let mut frames = row.stack.iter();
            row.values[kind] > 0 && frames.any(|frame| frame.function.ends_with("churns"))
        });
        rows.count()
    };
    assert!(rows(without) < rows(with), "one stack is one row");
}

#[test]
fn what_is_reallocated_is_held_once() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let profiler = start(config(&agent));
    let grown = on_thread(|| (0..16).map(|_| grows(8 * MIB)).collect::<Vec<_>>());
    profiler.flush(SOON);
    let profiles = agent.profiles();
    let pprof = profiles[0].pprof().unwrap();
    let capacity = grown.iter().map(Vec::capacity).sum();
    assert_near(sum(pprof, "inuse-space", "grows"), capacity);
    let allocated = sum(pprof, "alloc-space", "grows");
    assert!(
        allocated > capacity as i64 * 5 / 4,
        "each step is one: {allocated}"
    );
}

#[test]
fn what_another_thread_frees_is_no_longer_held() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let profiler = start(config(&agent));
    let threads = 4;
    let all: Vec<_> = (0..threads)
        .map(|_| on_thread(|| holds(20 * MIB)))
        .collect();
    thread::scope(|scope| {
        for held in all {
            scope.spawn(move || drop(held));
        }
        for _ in 0..threads {
            scope.spawn(|| drop(holds(20 * MIB)));
        }
    });
    profiler.flush(SOON);
    let profiles = agent.profiles();
    let pprof = profiles[0].pprof().unwrap();
    assert_eq!(sum(pprof, "inuse-space", "holds"), 0);
    assert_near(sum(pprof, "alloc-space", "holds"), 160 * MIB);
}

#[test]
fn threads_that_end_are_recorded_to_the_end() {
    struct AllocatesAtTheEnd;
    impl Drop for AllocatesAtTheEnd {
        fn drop(&mut self) {
            churns(50 * MIB);
        }
    }
    thread_local! {
        static LAST: RefCell<Option<AllocatesAtTheEnd>> = const { RefCell::new(None) };
    }
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let profiler = start(config(&agent));
    let ends = thread::spawn(|| LAST.set(Some(AllocatesAtTheEnd)));
    ends.join().unwrap();
    profiler.flush(SOON);
    let profiles = agent.profiles();
    let pprof = profiles[0].pprof().unwrap();
    let churned = sum(pprof, "alloc-space", "churns");
    assert!(churned > 25 * MIB as i64, "{churned}");
}

#[test]
fn nothing_is_recorded_while_the_profiler_is_off() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let profiler = start(config(&agent));
    let held = on_thread(|| holds(20 * MIB));
    profiler.stop_sampling();
    while profiler.is_sampling() {
        thread::yield_now();
    }
    profiler.flush(SOON);
    let before = allocation_figures();
    on_thread(|| churns(50 * MIB));
    drop(held);
    let after = allocation_figures();
    assert_eq!(after.samples, before.samples);
    assert!(after.in_use_bytes < before.in_use_bytes, "freeing is seen");
    start_sampling(&profiler);
    on_thread(|| churns(50 * MIB));
    profiler.flush(SOON);
    let profiles = agent.profiles();
    let pprof = profiles[1].pprof().unwrap();
    assert!(sum(pprof, "alloc-space", "churns") < 100 * MIB as i64);
    assert_eq!(sum(pprof, "inuse-space", "holds"), 0);
}

#[test]
fn the_config_turns_parts_of_it_off() {
    let _turn = turn();
    let work = || drop(on_thread(|| (churns(20 * MIB), holds(20 * MIB))));
    let agent = LocalAgent::start().unwrap();
    let profiler = start(config(&agent).profiling_heap_enabled(false));
    let held = on_thread(|| holds(20 * MIB));
    profiler.flush(SOON);
    drop((held, profiler));
    let profiles = agent.profiles();
    let pprof = profiles[0].pprof().unwrap();
    assert!(sum(pprof, "alloc-space", "holds") > 0);
    assert_eq!(pprof.sample_type("inuse-space"), None);

    agent.clear();
    let before: AllocationFigures = allocation_figures();
    let profiler = start(config(&agent).profiling_allocation_enabled(false));
    work();
    profiler.flush(SOON);
    assert_eq!(allocation_figures().samples, before.samples);
}
