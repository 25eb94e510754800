//! Nothing is lost where nothing has to be: a burst, and an agent that restarts. For the exit see `tests/exit.rs`.

use std::thread;

use crate::agent::{SOON, account, over_stream, over_udp, over_unix};
use datadog_local_agent::LocalAgent;
use datadog_metrics::Metrics;
use datadog_transport::Standalone;

type Start = fn(&LocalAgent) -> Standalone<Metrics>;

fn five_million_counts_lose_nothing(start: Start) {
    let agent = LocalAgent::start().unwrap();
    let metrics = start(&agent);
    let hits = metrics.counter("hits", [("by", "handle")]);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..625_000 {
                    hits.increment(1);
                    metrics.count("hits", 1, [("by", "name")]);
                }
            });
        }
    });
    metrics.flush(SOON);
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 5_000_000.0)
        .unwrap();
    let account = account(&metrics);
    assert_eq!(account.delivered, 5_000_000);
    assert!(account.requests < 100, "{} datagrams", account.requests);
}

#[test]
fn five_million_counts_lose_nothing_udp() {
    five_million_counts_lose_nothing(over_udp);
}

#[test]
fn five_million_counts_lose_nothing_unix() {
    five_million_counts_lose_nothing(over_unix);
}

fn a_restart_of_the_agent_loses_nothing(start: Start) {
    let agent = LocalAgent::start().unwrap();
    let metrics = start(&agent);
    let hits = metrics.counter("hits", ());
    let submit = || {
        for _ in 0..1000 {
            hits.increment(1);
            metrics.increment("hits", ());
        }
    };
    submit();
    metrics.flush(SOON);
    // What a UDP socket holds when its server goes is lost, so it has to be read before.
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 2000.0)
        .unwrap();
    agent.stop_listening().unwrap();
    submit();
    metrics.flush(SOON);
    agent.restart().unwrap();
    submit();
    metrics.flush(SOON);
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 6000.0)
        .unwrap();
    assert_eq!(account(&metrics).delivered, 6000);
}

#[test]
fn a_restart_of_the_agent_loses_nothing_udp() {
    a_restart_of_the_agent_loses_nothing(over_udp);
}

#[test]
fn a_restart_of_the_agent_loses_nothing_unix() {
    a_restart_of_the_agent_loses_nothing(over_unix);
}

#[test]
fn a_restart_of_the_agent_loses_nothing_stream() {
    a_restart_of_the_agent_loses_nothing(over_stream);
}
