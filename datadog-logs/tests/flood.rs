//! A flood of records that nobody takes. A binary of its own, because it measures the memory of the whole process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_local_agent::{Endpoint, Fault, LocalAgent};
use datadog_logs::{Level, Logs};
use datadog_transport::{DropReason, SignalKind};

const THREADS: u64 = 8;
const RECORDS: u64 = 40_000;

/// 8 MB of records, 16 MB of requests, and as much again for what the allocator keeps and for the receiver.
const MOST_BYTES: u64 = 48_000_000;

#[test]
fn a_flood_keeps_memory_bounded_and_the_callers_running() {
    let agent = LocalAgent::start().unwrap();
    agent.fail_endpoint(Endpoint::Logs, Fault::NeverAnswer);
    let config = DDConfig::builder()
        .environment([("", ""); 0])
        .api_key("0123456789abcdef0123456789abcdef")
        .logs_direct_submission_url(agent.url())
        .build()
        .unwrap();
    let logs = Logs::start(&config).unwrap();
    let message = "x".repeat(300);
    let before = resident_bytes();
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..RECORDS {
                    logs.log(Level::Info, &message).with("number", number);
                }
            });
        }
    });
    let elapsed = start.elapsed();
    let grown = resident_bytes().saturating_sub(before);
    // Made: about 150 MB.
    assert!(grown < MOST_BYTES, "{grown} bytes");
    // One request alone is waited for longer.
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");

    let start = Instant::now();
    let mut report = logs.shutdown(Duration::from_millis(500));
    assert!(start.elapsed() < Duration::from_secs(2));
    // A worker that gets no processor has not counted all of it yet.
    while !report.complete {
        report = logs.shutdown(Duration::from_secs(1));
    }
    let health = logs.health().signal(SignalKind::Logs);
    assert_eq!(health.accepted, THREADS * RECORDS);
    assert_eq!(
        health.accepted,
        health.delivered + health.dropped.total() + health.buffered
    );
    assert_eq!((health.delivered, health.buffered), (0, 0));
    assert!(health.dropped.get(DropReason::QueueFull) > health.accepted / 2);
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}
