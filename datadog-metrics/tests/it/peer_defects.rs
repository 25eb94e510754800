//! What other clients were seen to do wrong, each as a test that this one does not.
//!
//! More of it stands elsewhere: allocations of each call (`tests/allocations.rs`; dogstatsd makes 6), the process that
//! forks (`tests/fork.rs`; datadogpy), the exit (`tests/exit.rs`; dogstatsd, cadence, libdd, metrics-exporter-dogstatsd),
//! a burst (`losses.rs`; all that send each call), contexts that are never freed (`registry.rs`; metrics-exporter-dogstatsd), and a
//! connection made anew because a buffer is full (`statsd.rs` of the transport; datadogpy, datadog-go before 4.0).

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crate::agent::{SOON, account, config, flush, only, over_stream, over_udp, over_unix, start};
use datadog_local_agent::{LocalAgent, Metric};
use datadog_metrics::{Event, Metrics, ServiceCheck, Status};
use datadog_transport::Standalone;

/// One value of each kind.
fn one_of_each(metrics: &Metrics) {
    metrics.count("kind.count", 1, ());
    metrics.gauge("kind.gauge", 1.0, ());
    metrics.histogram("kind.histogram", 1.0, ());
    metrics.distribution("kind.distribution", 1.0, ());
    metrics.timing("kind.timing", Duration::from_millis(1), ());
    metrics.set("kind.set", "member", ());
}

/// How many values the server reckons with.
fn weight(metric: &Metric) -> f64 {
    metric.values.len() as f64 / metric.sample_rate
}

/// datadog-go: metrics that it aggregates lose the external data, because another path writes them.
#[test]
fn external_data_stays_with_what_is_aggregated() {
    let agent = LocalAgent::start().unwrap();
    let data = "it-false,cn-web,pu-75a2b6d5";
    let metrics = start(
        config()
            .dogstatsd_url(agent.dogstatsd_url())
            .external_env(data),
    );
    one_of_each(&metrics);
    one_of_each(&metrics);
    for metric in flush(&metrics, &agent, 6) {
        let got = metric.origin.external_env.as_deref();
        assert_eq!(got, Some(data), "{}", metric.name);
    }
}

/// datadog-go: the same tags in another order are another context.
#[test]
fn the_order_of_tags_makes_no_other_context() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    for tags in [
        ["a:1", "b:2", "c"],
        ["c", "b:2", "a:1"],
        ["b:2", "c", "a:1"],
    ] {
        metrics.count("hits", 1, tags);
        metrics.counter("hits", tags).increment(1);
    }
    flush(&metrics, &agent, 1);
    assert_eq!(only(&agent, "hits").values, [6.0]);
}

/// datadog-go: a sample taken between the unlock of the map and the lock of its context may land in a list that the flush
/// has taken already.
#[test]
fn samples_that_meet_a_flush_are_all_sent() {
    const EACH: u64 = 20_000;
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    let kept = metrics.distribution_handle("by.handle", ());
    thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        kept.record(1.0);
                        metrics.distribution("by.name", 1.0, ());
                    }
                })
            })
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            metrics.flush(SOON);
        }
    });
    metrics.flush(SOON);
    assert_eq!(account(&metrics).delivered, 6 * EACH);
    let expected = 3.0 * EACH as f64;
    for name in ["by.handle", "by.name"] {
        let all = |got: &mut dyn Iterator<Item = &Metric>| got.map(weight).sum::<f64>();
        let near = |weight: f64| (weight - expected).abs() < 0.01;
        agent
            .wait_for(SOON, |got| near(all(&mut got.metrics_named(name))))
            .unwrap();
    }
}

/// metrics-exporter-dogstatsd: value and number of updates are two atomics; of a counter that is updated while a flush falls
/// between them, and then idle, the value is taken and never sent.
#[test]
fn a_count_that_meets_a_flush_needs_no_other_to_be_sent() {
    const ROUNDS: u32 = 300;
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    let hits = metrics.counter("hits", ());
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                barrier.wait();
                hits.increment(1);
                barrier.wait();
            }
        });
        for round in 1..=ROUNDS {
            barrier.wait();
            metrics.flush(SOON);
            barrier.wait();
            // The counter is idle from here to the next round.
            metrics.flush(SOON);
            agent
                .wait_for(SOON, |got| got.metric_sum("hits") == f64::from(round))
                .unwrap();
        }
    });
}

/// metrics-exporter-dogstatsd: what it took out of its counters is dropped when the first send fails.
#[test]
fn what_could_not_be_sent_is_sent_later() {
    for start in [over_udp, over_unix, over_stream] {
        let agent = LocalAgent::start().unwrap();
        let metrics = start(&agent);
        agent.stop_listening().unwrap();
        one_of_each(&metrics);
        assert_eq!(metrics.flush(SOON).buffered, 6);
        agent.restart().unwrap();
        assert_eq!(metrics.flush(SOON).delivered, 6);
        agent
            .wait_for(SOON, |got| got.metrics().len() == 6)
            .unwrap();
    }
}

/// metrics-exporter-dogstatsd: the payloads of one flush are spread over the time to the next, so an exit loses them.
#[test]
fn a_flush_leaves_nothing_for_later() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    for number in 0..1000 {
        metrics.increment("hits", [("number", number.to_string())]);
    }
    let report = metrics.flush(SOON);
    assert_eq!((report.delivered, report.buffered), (1000, 0));
}

/// cadence: the `flush` of its queuing sink flushes the sink behind the queue, and what is in the queue stays there.
#[test]
fn a_flush_sends_everything_submitted_before() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    for round in 1..=100 {
        one_of_each(&metrics);
        metrics.count_at("at", 1, std::time::SystemTime::now(), ());
        metrics.event(&Event::new("title", "text"), ());
        metrics.flush(SOON);
        assert_eq!(account(&metrics).delivered, 8 * round);
    }
}

/// libdd: a full queue costs each call an error log and 8 allocations, and loses it.
#[test]
fn a_server_that_takes_nothing_costs_callers_nothing() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    agent.pause_dogstatsd();
    // Fills the server, with other lines than those looked at.
    while account(&metrics).last_error.is_none() {
        for number in 0..1000 {
            metrics.increment("filler", [("number", number.to_string())]);
        }
        metrics.flush(SOON);
    }
    let hits = metrics.counter("hits", ());
    hits.increment(1);
    let cost = allocation_counter::measure(|| (0..100_000).for_each(|_| hits.increment(1)));
    assert_eq!(cost.count_total, 0);
    assert_eq!(account(&metrics).dropped.total(), 0);
    agent.resume_dogstatsd();
    while account(&metrics).buffered > 0 {
        metrics.flush(SOON);
    }
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 100_001.0)
        .unwrap();
}

/// cadence: its meters are of type `m`, which agents don't know.
#[test]
fn every_type_is_one_that_agents_know() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    let url = format!("udp://{}", server.local_addr().unwrap());
    let metrics = start(config().dogstatsd_url(url));
    one_of_each(&metrics);
    metrics.flush(SOON);
    let mut datagram = [0; 2000];
    let length = server.recv(&mut datagram).unwrap();
    let text = std::str::from_utf8(&datagram[..length]).unwrap();
    let types: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split('|').nth(1))
        .collect();
    assert_eq!(types, BTreeSet::from(["c", "d", "g", "h", "ms", "s"]));
}

/// datadogpy: by default a datagram for each line that it flushes.
#[test]
fn lines_share_datagrams() {
    let agent = LocalAgent::start().unwrap();
    for (start, most) in [
        (over_udp as fn(&LocalAgent) -> Standalone<Metrics>, 1432),
        (over_unix, 8192),
        (over_stream, 8192),
    ] {
        agent.clear();
        let metrics = start(&agent);
        for number in 100..600 {
            metrics.increment("hits", [("number", number.to_string())]);
        }
        metrics.flush(SOON);
        agent
            .wait_for(SOON, |got| got.metrics().len() == 500)
            .unwrap();
        let bytes = account(&metrics).bytes;
        assert!(agent.datagrams() <= bytes / (most - 100) + 1);
    }
}

/// dogstatsd: a host's name is looked up for each metric, at 9 system calls.
#[test]
fn a_name_is_looked_up_once() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    let port = server.local_addr().unwrap().port();
    let metrics = start(config().dogstatsd_url(format!("udp://localhost:{port}")));
    let senders: BTreeSet<_> = (0..10)
        .map(|_| {
            metrics.increment("hits", ());
            metrics.flush(SOON);
            server.recv_from(&mut [0; 2000]).unwrap().1
        })
        .collect();
    // Each look-up makes a socket, as connecting does.
    assert_eq!(senders.len(), 1);
}

/// dogstatsd: where the agent's socket is missing, it binds the agent's path itself, and the agent can't start.
#[test]
fn the_agents_path_is_never_bound() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dsd.socket");
    for scheme in ["unix", "unixgram", "unixstream"] {
        let metrics = start(config().dogstatsd_url(format!("{scheme}://{}", path.display())));
        metrics.increment("hits", ());
        assert_eq!(metrics.flush(SOON).buffered, 1);
        assert!(!path.exists());
        let report = metrics.shutdown(SOON);
        assert_eq!(report.dropped.total(), 1);
    }
    let agent = UnixDatagram::bind(&path).unwrap();
    agent.set_read_timeout(Some(SOON)).unwrap();
    let metrics = start(config().dogstatsd_url(format!("unix://{}", path.display())));
    metrics.increment("hits", ());
    metrics.flush(SOON);
    agent.recv(&mut [0; 100]).unwrap();
}

/// dogstatsd, and most others in part: a newline in a name, a tag or a text begins a line of its own.
#[test]
fn a_newline_begins_no_other_line() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_udp(&agent);
    let evil = "x\nevil:1|c\n";
    let tags = [(evil, evil)];
    metrics.count(evil, 1, tags);
    metrics.namespaced(evil).gauge(evil, 1.0, tags);
    metrics.set("set", evil, [evil]);
    metrics.distribution("distribution", 1.0, [evil]);
    metrics.count_at(evil, 1, std::time::SystemTime::now(), tags);
    let event = Event::new(evil, evil)
        .hostname(evil)
        .aggregation_key(evil)
        .source_type(evil);
    metrics.event(&event, tags);
    let check = ServiceCheck::new(evil, Status::Ok)
        .hostname(evil)
        .message(evil);
    metrics.service_check(&check, tags);
    metrics.flush(SOON);
    agent
        .wait_for(SOON, |got| {
            got.metrics().len() == 5 && got.events().len() == 1 && got.service_checks().len() == 1
        })
        .unwrap();
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    assert!(agent.metrics_named("evil").is_empty());
}

/// dogstatsd: over a Unix socket, every call fails for ever once the agent was restarted. datadog-go drops the payload
/// that shows it.
#[test]
fn a_restarted_agent_is_found_again() {
    for start in [over_udp, over_unix, over_stream] {
        let agent = LocalAgent::start().unwrap();
        let metrics = start(&agent);
        for round in 1..=5 {
            metrics.increment("hits", ());
            assert_eq!(metrics.flush(SOON).delivered, 1);
            agent
                .wait_for(SOON, |got| got.metric_sum("hits") == f64::from(round))
                .unwrap();
            agent.restart().unwrap();
        }
    }
}

/// dogstatsd: over a Unix socket, a call fails with `EAGAIN` when the agent is slower than the callers.
#[test]
fn a_slow_agent_gets_everything() {
    for start in [over_unix, over_stream] {
        let agent = LocalAgent::start().unwrap();
        let metrics = start(&agent);
        agent.pause_dogstatsd();
        let submit = |times| {
            for _ in 0..times {
                for number in 0..18_000 {
                    metrics.increment("hits", [("number", number.to_string())]);
                }
            }
        };
        submit(1);
        assert!(metrics.flush(SOON).buffered > 0);
        submit(2);
        agent.resume_dogstatsd();
        while account(&metrics).buffered > 0 {
            metrics.flush(SOON);
        }
        agent
            .wait_for(SOON, |got| got.metric_sum("hits") == 54_000.0)
            .unwrap();
        assert_eq!(account(&metrics).dropped.total(), 0);
    }
}
