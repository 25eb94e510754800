//! The whole crate with its real sampler: this program is sampled, and an agent gets the profile.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_local_agent::{Label, LocalAgent, Pprof};
use datadog_profiling::Profiler;
use datadog_transport::{SignalHealth, SignalKind, Standalone};
use parking_lot::{Mutex, MutexGuard};

const SOON: Duration = Duration::from_secs(20);

/// There is one sampler a process, so the tests take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock()
}

fn config(url: impl Into<String>) -> DDConfig {
    DDConfig::builder()
        .environment([("", "")])
        .service("shop")
        .agent_url(url)
        .build()
        .unwrap()
}

fn health(profiler: &Standalone<Profiler>) -> SignalHealth {
    let health = profiler.health().signal(SignalKind::Profiles);
    assert_eq!(
        health.accepted,
        health.delivered + health.dropped.total() + health.buffered,
        "{health:?}"
    );
    health
}

fn start(config: &DDConfig) -> Standalone<Profiler> {
    let profiler = Profiler::start(config).unwrap();
    start_sampling(&profiler);
    profiler
}

fn start_sampling(profiler: &Profiler) {
    profiler.start_sampling();
    wait_until(|| profiler.is_sampling());
}

fn wait_until(done: impl Fn() -> bool) {
    let limit = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < limit);
        thread::yield_now();
    }
}

/// Works for so much CPU time: three parts in `hot`, one in `cold`.
fn work(time: Duration) {
    let end = cpu_time() + time;
    while cpu_time() < end {
        hot(300_000);
        cold(100_000);
    }
}

/// The CPU time of this thread, which other programs on the machine don't shorten.
fn cpu_time() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos = schedstat.split(' ').next().unwrap();
    Duration::from_nanos(nanos.parse().unwrap())
}

#[inline(never)]
fn hot(rounds: u64) {
    spin(rounds);
}

#[inline(never)]
fn cold(rounds: u64) {
    spin(rounds);
}

#[inline(always)]
fn spin(mut rounds: u64) {
    let mut state = rounds;
    while rounds > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        rounds -= 1;
    }
    black_box(state);
}

/// The part of the CPU time with a function of this name anywhere on the stack.
fn share(pprof: &Pprof, function: &str) -> f64 {
    let all = pprof.sum("cpu-time").unwrap();
    let with: i64 = pprof
        .samples
        .iter()
        .filter(|sample| {
            let mut names = sample.stack.iter().map(|frame| &frame.function);
            names.any(|name| name.ends_with(function))
        })
        .map(|sample| sample.values[1])
        .sum();
    with as f64 / all as f64
}

fn names_the_hot_function(agent: &LocalAgent, config: &DDConfig) {
    let profiler = start(config);
    let worker = thread::Builder::new().name("hot-worker".to_owned());
    worker
        .spawn(|| work(Duration::from_millis(1500)))
        .unwrap()
        .join()
        .unwrap();
    let report = profiler.flush(SOON);
    assert_eq!((report.delivered, report.complete), (1, true), "{report}");
    assert_eq!(agent.refusals().len(), 0, "{:?}", agent.refusals());

    let profiles = agent.profiles();
    let pprof = profiles[0].pprof().unwrap();
    let samples = pprof.sum("cpu-samples").unwrap();
    assert!(samples > 40, "{samples} samples");
    assert_eq!(pprof.sum("cpu-time").unwrap(), samples * 10_101_010);
    let (hot, cold) = (share(pprof, "hot"), share(pprof, "cold"));
    assert!(hot > 0.5, "hot {hot}, cold {cold}");
    assert!(hot < 0.95, "hot {hot}, cold {cold}");
    let threads = pprof.sum_by_label("cpu-samples", "thread name").unwrap();
    let worker = threads[&Label::Text("hot-worker".into())];
    assert!(worker as f64 > 0.7 * samples as f64, "{threads:?}");

    let in_hot = pprof.samples.iter().find(|sample| {
        let frames = &sample.stack;
        frames.iter().any(|frame| frame.function.ends_with("hot"))
    });
    let stack = &in_hot.unwrap().stack;
    let at = |name: &str| {
        stack
            .iter()
            .position(|frame| frame.function.ends_with(name))
    };
    // `spin` is inlined into `hot`, and still a call of its own.
    assert_eq!(at("spin"), Some(0), "{stack:?}");
    assert_eq!(at("hot"), Some(1), "{stack:?}");
    assert_eq!(at("work"), Some(2), "{stack:?}");
    for frame in &stack[..3] {
        assert!(frame.file.ends_with("tests/sampling.rs"), "{frame:?}");
        assert!(frame.line > 0, "{frame:?}");
    }
}

#[test]
fn the_hot_function_arrives_over_tcp() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    names_the_hot_function(&agent, &config(agent.url()));
}

#[test]
fn the_hot_function_arrives_over_a_unix_socket() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let socket = agent.trace_socket().display();
    names_the_hot_function(&agent, &config(format!("unix://{socket}")));
}

#[test]
fn the_hot_function_arrives_at_the_intake_without_an_agent() {
    let _turn = turn();
    let key = "0".repeat(32);
    let intake = LocalAgent::builder().api_key(&*key).start().unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .service("shop")
        // Nothing listens there.
        .agent_url("http://127.0.0.1:9")
        .profiling_agentless(true)
        .profiling_url(intake.url())
        .api_key(key)
        .build()
        .unwrap();
    names_the_hot_function(&intake, &config);
    let uploads = intake.requests();
    assert!(
        uploads
            .iter()
            .all(|upload| upload.path == "/api/v2/profile")
    );
}

#[inline(never)]
fn allocates() {
    let blocks: Vec<_> = (0..100).map(|size| vec![1_u8; 40 * size]).collect();
    drop(black_box(blocks));
}

#[inline(never)]
fn copies(from: &[u8], to: &mut [u8]) {
    to.copy_from_slice(black_box(from));
    black_box(to);
}

#[inline(never)]
fn asks_the_system() {
    let _ = black_box(std::fs::metadata(black_box("/proc/self/stat")));
    let _ = black_box(std::fs::read(black_box("/proc/self/statm")));
}

#[test]
fn time_in_the_c_library_is_that_of_its_callers() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let profiler = start(&config(agent.url()));
    let worker = thread::Builder::new().name("calls-c".to_owned());
    let worker = worker.spawn(|| {
        let (from, mut to) = (vec![1; 1 << 20], vec![0; 1 << 20]);
        let each = |work: &mut dyn FnMut()| {
            let end = cpu_time() + Duration::from_millis(900);
            while cpu_time() < end {
                (0..20).for_each(|_| work());
            }
        };
        each(&mut allocates);
        each(&mut || copies(&from, &mut to));
        each(&mut asks_the_system);
    });
    worker.unwrap().join().unwrap();
    profiler.flush(SOON);
    let profiles = agent.profiles();
    let pprof = profiles[0].pprof().unwrap();
    let at = pprof.sample_type("cpu-samples").unwrap();
    let name = Label::Text("calls-c".into());
    let own = pprof.samples.iter();
    let own: Vec<_> = own
        .filter(|sample| sample.label("thread name") == Some(&name))
        .collect();
    let with = |names: &[&str]| -> i64 {
        let has = |sample: &&&datadog_local_agent::Sample| {
            names.iter().all(|name| {
                let mut frames = sample.stack.iter();
                frames.any(|frame| frame.function.contains(name))
            })
        };
        own.iter().filter(has).map(|sample| sample.values[at]).sum()
    };
    let all = with(&[]);
    assert!(all > 200, "{all} samples");
    for name in ["allocates", "copies", "asks_the_system"] {
        let found = with(&[name, "thread_start"]);
        assert!(found * 4 > all, "{name}: {found} of {all}");
    }
    let rooted = with(&["thread_start"]);
    assert!(rooted * 100 > all * 95, "{rooted} of {all}");
}

#[test]
fn stops_and_starts_again() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let profiler = start(&config(agent.url()));
    for round in 1..=3 {
        work(Duration::from_millis(200));
        profiler.stop_sampling();
        wait_until(|| !profiler.is_sampling());
        assert_eq!(profiler.flush(SOON).delivered, 1, "round {round}");
        work(Duration::from_millis(100));
        assert_eq!(profiler.flush(SOON).delivered, 0, "it is not sampled");
        start_sampling(&profiler);
    }
    assert_eq!(health(&profiler).last_error, None);
}

#[test]
fn each_profile_has_only_its_own_samples() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let profiler = start(&config(agent.url()));
    for _ in 0..4 {
        work(Duration::from_millis(400));
        profiler.flush(SOON);
    }
    let most = Duration::from_millis(400).as_nanos() as i64;
    let profiles = agent.profiles();
    assert_eq!(profiles.len(), 4);
    for profile in profiles {
        // The work of one round on one thread, that of the worker and of the agent beside it.
        let sum = profile.pprof().unwrap().sum("cpu-time").unwrap();
        assert!((most / 10..most * 3).contains(&sum), "{sum} ns");
    }
}

#[test]
fn the_last_profile_is_uploaded_at_the_end() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let profiler = start(&config(agent.url()));
    work(Duration::from_millis(200));
    drop(profiler);
    assert_eq!(agent.profiles().len(), 1);
}

#[test]
fn a_program_that_is_not_sampled_uploads_nothing() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let profiler = Profiler::start(&config(agent.url())).unwrap();
    work(Duration::from_millis(100));
    assert_eq!(profiler.flush(SOON).requests, 0);
    profiler.shutdown(SOON);
    assert!(!profiler.is_sampling());
    assert_eq!(agent.requests().len(), 0);
    assert_eq!(health(&profiler).accepted, 0);
}

#[test]
fn a_second_profiler_waits_for_the_first() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let first = pprof::ProfilerGuard::new(10).unwrap();
    let second = Profiler::start(&config(agent.url())).unwrap();
    second.start_sampling();
    wait_until(|| health(&second).last_error.is_some());
    let error = health(&second).last_error.unwrap().message;
    assert!(error.contains("another profiler"), "{error}");
    assert!(!second.is_sampling());
    drop(first);
    second.flush(SOON);
    assert!(second.is_sampling());
    work(Duration::from_millis(200));
    assert_eq!(second.flush(SOON).delivered, 1);
}

#[test]
fn no_request_fails_while_its_threads_are_interrupted() {
    let _turn = turn();
    let agent = LocalAgent::start().unwrap();
    let unix = format!("unix://{}", agent.trace_socket().display());
    for url in [agent.url(), unix] {
        agent.clear();
        let profiler = start(&config(url));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        work(Duration::from_millis(10));
                    }
                });
            }
            while health(&profiler).delivered < 25 {
                profiler.flush(SOON);
            }
            done.store(true, Ordering::Relaxed);
        });
        let health = health(&profiler);
        assert_eq!(health.last_error, None);
        assert_eq!(
            (health.requests, health.retries, health.dropped.total()),
            (health.delivered, 0, 0)
        );
        assert_eq!(agent.profiles().len() as u64, health.delivered);
    }
}
