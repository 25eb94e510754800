//! An agent that is restarted again and again while the program works with all signals.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use datadog::{DDClient, SignalKind};
use datadog_local_agent::LocalAgent;

use crate::subject::{LIMIT, balanced, over_sockets};
use crate::table;

const THREADS: u64 = 4;

/// How long the agent is away each time.
const DOWN: Duration = Duration::from_millis(300);

/// A process has one profiler.
pub(crate) fn only_profiler() -> MutexGuard<'static, ()> {
    static PROFILER: Mutex<()> = Mutex::new(());
    PROFILER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often, in what time, and the name of the table that tells of it.
fn plan() -> (u32, Duration, &'static str) {
    #[expect(
        clippy::disallowed_methods,
        reason = "how `cargo xtask faults --long` says what it wants"
    )]
    let long = std::env::var_os("DATADOG_FAULTS_LONG").is_some();
    if long {
        (20, Duration::from_secs(60), "restarts-long.md")
    } else {
        (10, Duration::from_secs(10), "restarts.md")
    }
}

#[test]
fn an_agent_restarted_under_load_costs_nothing() {
    let _profiler = only_profiler();
    let (restarts, time, table) = plan();
    let agent = LocalAgent::start().unwrap();
    let config = over_sockets(&agent).profiling_upload_period(Duration::from_secs(1));
    let client = DDClient::new(config.build().unwrap()).unwrap();
    client.profiling_start();
    let rounds = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    work(&client, rounds.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        for _ in 0..restarts {
            pause(time / restarts - DOWN);
            agent.stop_listening().unwrap();
            pause(DOWN);
            agent.restart().unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    client.profiling_stop();
    let end = Instant::now() + LIMIT;
    while client.flush(LIMIT).buffered > 0 {
        assert!(Instant::now() < end, "{}", client.health());
    }

    let rounds = rounds.into_inner();
    println!(
        "{restarts} restarts in {time:?}, {rounds} rounds on {THREADS} threads\n{}",
        client.health()
    );
    for (signal, health) in client.health().iter() {
        assert!(balanced(health), "{signal}: {health:?}");
        assert_eq!(health.dropped.total(), 0, "{signal}: {health:?}");
    }
    // What the kernel took is in its buffer or with the agent.
    let metrics = agent.wait_for(LIMIT, |got| got.metric_sum("rounds") >= rounds as f64);
    metrics.unwrap();
    assert_eq!(agent.metric_sum("rounds"), rounds as f64);
    let spans: BTreeSet<_> = agent.spans().iter().map(|span| span.span_id).collect();
    let logs: BTreeSet<_> = agent.logs().into_iter().map(|log| log.message).collect();
    let lost = [
        (SignalKind::Metrics, 0),
        (SignalKind::Logs, rounds - logs.len() as u64),
        (SignalKind::Traces, rounds - spans.len() as u64),
    ];
    for (signal, lost) in lost {
        assert_eq!(lost, 0, "{signal}: {}", client.health());
    }
    let profiles = client.health().signal(SignalKind::Profiles).delivered;
    assert!(agent.profiles().len() as u64 >= profiles && profiles > 0);
    write_table(table, restarts, time);
}

/// One round of what a program does, at most a thousand a second on each thread.
fn work(client: &DDClient, round: u64) {
    client.traced("round", |_| {
        client.count("rounds", 1, ());
        client.info(format!("round {round}"));
    });
    pause(Duration::from_millis(1));
}

fn pause(time: Duration) {
    thread::sleep(time);
}

/// What the asserts above have just shown.
fn write_table(name: &str, restarts: u32, time: Duration) {
    let header = ["signal", "transport", "restarts", "lost", "dropped"].map(str::to_owned);
    let restarts = format!("{restarts} in {} s", time.as_secs());
    let rows = [
        ("metrics", "Unix datagram"),
        ("logs", "TCP"),
        ("traces", "Unix"),
        ("profiles", "Unix"),
    ];
    let rows = rows.map(|(signal, transport)| {
        [signal, transport, &restarts, "0", "0"]
            .map(str::to_owned)
            .to_vec()
    });
    table::write(name, &header, &rows);
}
