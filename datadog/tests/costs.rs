//! What delivery costs in memory, allocations, requests and wake-ups. Alone in its binary: it counts allocations.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the reason"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use datadog::{DDClient, DDConfig, DDConfigBuilder, DropReason, SignalKind};
use datadog_local_agent::{Fault, LocalAgent};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);

struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static WORKER_ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "there is no safe way to count allocations")]
// SAFETY: everything is passed on to the system's allocator as it came; what is added allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        if datadog_transport::on_worker() {
            WORKER_ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(place, layout) }
    }
}

/// The tests read counters of the whole process.
fn alone() -> impl Drop {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(agent: &LocalAgent) -> DDClient {
    start_with(config(agent))
}

fn config(agent: &LocalAgent) -> DDConfigBuilder {
    DDConfig::builder()
        .environment([("", "")])
        .agent_url(format!("unix://{}", agent.trace_socket().display()))
        .dogstatsd_url(format!("unix://{}", agent.dogstatsd_socket().display()))
        .logs_direct_submission_url(agent.url())
        .api_key("0123456789abcdef0123456789abcdef")
        .service("shop")
}

fn start_with(config: DDConfigBuilder) -> DDClient {
    let client = DDClient::new(config.build().unwrap()).unwrap();
    // Once it has done something, the worker has its name.
    client.flush(LIMIT);
    client
}

/// How often the client's worker has slept.
fn worker_sleeps() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let status = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
    let mut workers = status.filter(|status| status.starts_with("Name:\tdatadog\n"));
    let worker = workers.next().unwrap();
    assert_eq!(workers.next(), None, "one client, one worker");
    let count = worker
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.unwrap().trim().parse().unwrap()
}

/// What a batch cost the worker.
#[derive(Debug)]
struct Cost {
    /// The least of all batches: others may have been split by a period's end, or made a buffer grow.
    allocations: usize,
    /// Of all batches together.
    sleeps: u64,
    requests: u64,
}

const BATCHES: u64 = 20;

/// Makes and flushes batches of `items` items.
fn cost(client: &DDClient, signal: SignalKind, items: u64, make: fn(&DDClient)) -> Cost {
    let (slept, before) = (worker_sleeps(), client.health().signal(signal));
    let allocations = (0..BATCHES).map(|_| {
        let before = WORKER_ALLOCATIONS.load(Ordering::Relaxed);
        (0..items).for_each(|_| make(client));
        assert!(client.flush(LIMIT).complete);
        WORKER_ALLOCATIONS.load(Ordering::Relaxed) - before
    });
    let allocations = allocations.min().unwrap();
    let after = client.health().signal(signal);
    assert_eq!(after.delivered - before.delivered, BATCHES * items);
    Cost {
        allocations,
        sleeps: worker_sleeps() - slept,
        requests: after.requests - before.requests,
    }
}

#[test]
fn a_batch_is_one_request_on_a_kept_connection_and_its_items_cost_next_to_nothing() {
    let _alone = alone();
    let agent = LocalAgent::start().unwrap();
    let client = start(&agent);
    type Row = (SignalKind, fn(&DDClient), usize, usize);
    // How many allocations a batch of one item and each further item may cost.
    let signals: [Row; 3] = [
        (
            SignalKind::Traces,
            |client| client.trace("work").finish(),
            100,
            7,
        ),
        (SignalKind::Logs, |client| drop(client.info("work")), 70, 0),
        (
            SignalKind::Metrics,
            |client| client.count("work", 1, ()),
            10,
            0,
        ),
    ];
    for (signal, make, first, each) in signals {
        let one = cost(&client, signal, 1, make);
        let many = cost(&client, signal, 500, make);
        println!("{signal}: batches of 1 {one:?}, of 500 {many:?}");
        assert!(one.allocations <= first, "{signal}: {one:?}");
        // Lists of 500 double their size some times until they hold them.
        let most = first + 499 * each + 30;
        assert!(many.allocations <= most, "{signal}: {many:?}");
        for cost in [one, many] {
            // The period may end within a batch and split it.
            assert!(cost.requests <= BATCHES + 5, "{signal}: {cost:?}");
            assert!(cost.sleeps <= BATCHES * 8, "{signal}: {cost:?}");
        }
    }
    assert_eq!(
        agent.connections(),
        2,
        "one to the agent, one to the intake"
    );
}

#[test]
fn a_batch_of_traces_as_v10_costs_no_more() {
    let _alone = alone();
    let agent = LocalAgent::start().unwrap();
    agent.set_info([("endpoints", json!(["/v0.4/traces", "/v1.0/traces"]))]);
    let client = start(&agent);
    let make: fn(&DDClient) = |client| client.trace("work").finish();
    let one = cost(&client, SignalKind::Traces, 1, make);
    let many = cost(&client, SignalKind::Traces, 500, make);
    println!("traces as v1.0: batches of 1 {one:?}, of 500 {many:?}");
    assert!(one.allocations <= 100, "{one:?}");
    assert!(many.allocations <= 100 + 499 + 30, "{many:?}");
    let requests = agent.requests();
    let mut sent = requests.iter().filter(|sent| sent.method == "POST");
    assert!(sent.all(|sent| sent.path == "/v1.0/traces"));
}

/// The size of what the flood consists of.
const TEXT_BYTES: usize = 50_000;

/// Offers far more than fits while nothing listens. Returns the most memory that this took.
fn flood(client: &DDClient, make: impl Fn(&DDClient, &str)) -> usize {
    let text = "x".repeat(TEXT_BYTES);
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    let rounds = (0..20).map(|_| {
        let made = (0..100).map(|_| {
            make(client, &text);
            LIVE_BYTES.load(Ordering::Relaxed)
        });
        let most = made.max().unwrap();
        // Moves what is buffered on to where it waits for the receiver.
        client.flush(Duration::from_secs(5));
        most
    });
    rounds.max().unwrap().saturating_sub(before)
}

#[test]
fn memory_stays_under_its_bound_and_what_it_holds_is_delivered() {
    const MIB: usize = 1 << 20;
    let _alone = alone();
    let agent = LocalAgent::start().unwrap();
    let config = config(&agent)
        .logs_buffer_bytes(12 * MIB)
        .tracing_buffer_bytes(18 * MIB);
    let client = start_with(config);
    agent.stop_listening().unwrap();
    // And a request in the making, whose allocation may be twice its size.
    let logs = flood(&client, |client, text| drop(client.info(text)));
    assert!(logs < (12 + 2 * 5) * MIB, "{logs}");
    let traces = flood(&client, |client, text| {
        client.trace("work").set_tag("text", text);
    });
    assert!(traces < (18 + 2 * 5) * MIB, "{traces}");
    println!("at most {logs} bytes for logs, {traces} bytes for traces");
    for signal in [SignalKind::Logs, SignalKind::Traces] {
        let health = client.health().signal(signal);
        assert_eq!(health.accepted, 2000);
        assert_eq!(health.accepted, health.dropped.total() + health.buffered);
        assert_eq!(
            health.dropped.total(),
            health.dropped.get(DropReason::QueueFull)
        );
        // A full outbox gives up its oldest payload as a whole, so it always keeps its room, two thirds of the smaller
        // bound, less the largest payload (5 MB for logs).
        let kept = 12 * MIB * 2 / 3 - 5_000_000;
        let filled = health.buffered as usize * TEXT_BYTES;
        assert!(filled > kept, "the room is used: {health:?}");
    }
    agent.restart().unwrap();
    let end = Instant::now() + LIMIT;
    while client.flush(LIMIT).buffered > 0 {
        assert!(Instant::now() < end, "{}", client.health());
    }
    let health = client.health();
    let delivered = |signal| health.signal(signal).delivered as usize;
    assert_eq!(agent.logs().len(), delivered(SignalKind::Logs));
    assert_eq!(agent.spans().len(), delivered(SignalKind::Traces));
}

#[test]
fn memory_stays_under_its_bound_while_a_receiver_fails() {
    const MIB: usize = 1 << 20;
    let _alone = alone();
    for fault in [
        Fault::NeverAnswer,
        Fault::Status(503),
        Fault::RetryAfter(429, 30),
        Fault::CloseBeforeAnswer,
    ] {
        let agent = LocalAgent::start().unwrap();
        let config = config(&agent)
            .logs_buffer_bytes(6 * MIB)
            .tracing_buffer_bytes(9 * MIB)
            .shutdown_timeout(Duration::from_millis(100));
        let client = start_with(config);
        agent.fail(fault.clone());
        let text = "x".repeat(TEXT_BYTES);
        let before = LIVE_BYTES.load(Ordering::Relaxed);
        let mut most = 0;
        for round in 0..2000 {
            client.info(&text);
            client.trace("work").set_tag("text", text.as_str());
            if round % 50 == 0 {
                client.flush(Duration::from_millis(50));
                // It remembers what was sent to it.
                agent.clear();
            }
            most = most.max(LIVE_BYTES.load(Ordering::Relaxed));
        }
        // The bounds, a request of each in the making, and what the agent was sent meanwhile. Offered: 200 MB.
        let grown = most.saturating_sub(before);
        println!("{fault:?}: at most {grown} bytes");
        assert!(grown < 60 * MIB, "{fault:?}: {grown}");
        client.shutdown(Duration::from_millis(100));
        // On a busy machine, the worker may count what it drops a little later.
        let end = Instant::now() + LIMIT;
        while client.health().total().buffered > 0 {
            assert!(Instant::now() < end, "{fault:?}: {}", client.health());
            std::thread::yield_now();
        }
        for signal in [SignalKind::Logs, SignalKind::Traces] {
            let health = client.health().signal(signal);
            assert_eq!((health.accepted, health.delivered), (2000, 0));
            let lost = [DropReason::QueueFull, DropReason::Shutdown];
            let lost: u64 = lost.map(|reason| health.dropped.get(reason)).iter().sum();
            assert_eq!(lost, 2000, "{fault:?}: {signal}: {health:?}");
        }
    }
}

#[test]
fn metrics_that_nobody_takes_keep_to_their_bounds() {
    const MIB: usize = 1 << 20;
    let _alone = alone();
    for agentless in [false, true] {
        let agent = LocalAgent::start().unwrap();
        let config = config(&agent)
            .metrics_agentless(agentless)
            .metrics_url(agent.url());
        let client = start_with(config);
        agent.stop_listening().unwrap();
        let before = LIVE_BYTES.load(Ordering::Relaxed);
        let mut most = 0;
        for number in 0..100_000_u32 {
            // 100 MB of tags, 24 MB of samples and members.
            let tag = format!("{number:01000}");
            client.count("work", 1, [("tag", &tag)]);
            client.distribution("sizes", 1.0, [("number", &tag[990..])]);
            client.set("users", &tag[900..], ());
            if number % 10_000 == 0 {
                client.flush(Duration::from_millis(50));
            }
            most = most.max(LIVE_BYTES.load(Ordering::Relaxed));
        }
        let grown = most.saturating_sub(before);
        println!("agentless {agentless}: at most {grown} bytes");
        // 16 MiB of texts, 8 MiB of samples and members, the contexts themselves, what the thread remembers; and 16 MiB of requests.
        assert!(grown < 64 * MIB, "{grown}");
        assert!(client.shutdown(LIMIT).complete);
        let health = client.health().signal(SignalKind::Metrics);
        assert_eq!((health.accepted, health.delivered), (300_000, 0));
        assert_eq!(health.dropped.total(), 300_000, "{health:?}");
        assert!(
            health.dropped.get(DropReason::Cardinality) > 0,
            "{health:?}"
        );
    }
}
