//! What is reported through the `metrics` crate arrives. Alone in its binary: a process has one global recorder.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use datadog_config::DDConfig;
use datadog_local_agent::{LocalAgent, Metric, MetricKind};
use datadog_metrics::{Metrics, Standalone};
use datadog_transport::{DropReason, SignalKind};
use metrics::{counter, describe_counter, gauge, histogram, with_local_recorder};

const SOON: Duration = Duration::from_secs(20);

fn start(agent: &LocalAgent) -> Standalone<Metrics> {
    let config = DDConfig::builder()
        .environment([("", "")])
        .service("shop")
        .dogstatsd_url(agent.dogstatsd_url())
        .build()
        .unwrap();
    Metrics::start(&config).unwrap()
}

/// What arrived, when this many lines did.
fn flush(metrics: &Standalone<Metrics>, agent: &LocalAgent, lines: usize) -> Vec<Metric> {
    assert!(metrics.flush(SOON).complete);
    agent
        .wait_for(SOON, |got| got.metrics().len() >= lines)
        .unwrap();
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    let mut got = agent.metrics();
    got.sort_by(|one, other| one.name.cmp(&other.name));
    got
}

#[test]
fn every_kind_arrives_with_its_labels() {
    let agent = LocalAgent::start().unwrap();
    let metrics = start(&agent);
    let route = String::from("/cart");
    with_local_recorder(&metrics.recorder(), || {
        describe_counter!("a.counter", metrics::Unit::Bytes, "is ignored");
        counter!("a.counter", "route" => "/cart", "method" => "get").increment(2);
        counter!("a.counter", "method" => "get", "route" => route.clone()).increment(3);
        counter!("b.huge").increment(u64::MAX);
        gauge!("c.gauge").set(7.5);
        gauge!("c.gauge").increment(2.0);
        gauge!("c.gauge").decrement(0.5);
        histogram!("d.histogram", "route" => route.clone()).record(0.25);
        histogram!("d.histogram", "route" => "/cart").record_many(4.0, 2);
        histogram!("d.histogram", "route" => "/").record(f64::NAN);
    });
    let got = flush(&metrics, &agent, 4);
    let seen: Vec<_> = got
        .iter()
        .map(|metric| (metric.name.as_str(), metric.kind, metric.values.as_slice()))
        .collect();
    let expected: [(_, _, &[f64]); 4] = [
        ("a.counter", MetricKind::Count, &[5.0]),
        ("b.huge", MetricKind::Count, &[i64::MAX as f64]),
        ("c.gauge", MetricKind::Gauge, &[9.0]),
        ("d.histogram", MetricKind::Distribution, &[0.25, 4.0, 4.0]),
    ];
    assert_eq!(seen, expected);
    assert_eq!(got[0].tags, ["service:shop", "method:get", "route:/cart"]);
    assert_eq!(got[3].tags, ["service:shop", "route:/cart"]);
    let health = metrics.health().signal(SignalKind::Metrics);
    assert_eq!((health.accepted, health.delivered), (10, 9));
    assert_eq!(health.dropped.get(DropReason::Invalid), 1);
}

#[test]
fn absolute_values_grow_for_all_threads_together() {
    let agent = LocalAgent::start().unwrap();
    let metrics = start(&agent);
    let recorder = metrics.recorder();
    let tell = |value| {
        thread::scope(|scope| {
            scope.spawn(|| {
                with_local_recorder(&recorder, || {
                    counter!("bytes", "nic" => "a").absolute(value)
                });
            });
        });
    };
    // The first one is the start, and one that comes late is none.
    [1_000_000, 1_000_010, 1_000_005, 1_000_010, 1_000_100]
        .into_iter()
        .for_each(tell);
    with_local_recorder(&recorder, || {
        counter!("bytes", "nic" => "a").absolute(1_000_107);
        counter!("bytes", "nic" => "b").absolute(3);
    });
    let got = flush(&metrics, &agent, 2);
    let of = |tag: &str| {
        got.iter()
            .find(|metric| metric.has_tag(tag))
            .unwrap()
            .values[0]
    };
    assert_eq!((of("nic:a"), of("nic:b")), (107.0, 0.0));
}

#[test]
fn two_clients_on_one_thread_keep_their_handles_apart() {
    let agents = [(); 2].map(|()| LocalAgent::start().unwrap());
    let metrics = agents.each_ref().map(start);
    let recorders = metrics.each_ref().map(|metrics| metrics.recorder());
    for _ in 0..10 {
        for (recorder, value) in recorders.iter().zip([1, 100]) {
            with_local_recorder(recorder, || {
                counter!("hits", "route" => "/").increment(value);
                let namespaced = format!("hits.{value}");
                counter!(namespaced).increment(1);
            });
        }
    }
    for (at, expected) in [10.0, 1000.0].into_iter().enumerate() {
        flush(&metrics[at], &agents[at], 2);
        assert_eq!(agents[at].metric_sum("hits"), expected);
    }
}

#[test]
fn what_was_used_before_costs_no_allocation() {
    let agent = LocalAgent::start().unwrap();
    let metrics = start(&agent);
    with_local_recorder(&metrics.recorder(), || {
        let kept = counter!("kept");
        let report = || {
            kept.increment(1);
            counter!("counter", "route" => "/cart", "method" => "get").increment(1);
            gauge!("gauge", "route" => "/cart").set(1.0);
            histogram!("histogram", "route" => "/cart").record(1.0);
        };
        assert!(measure(report).count_total > 0, "the counter counts");
        // As many as fit without a move of samples, which may let a vector grow.
        assert_eq!(measure(|| (0..30).for_each(|_| report())).count_total, 0);
    });
}

#[test]
fn the_recorder_of_the_process_is_set_once_and_outlives_the_client() {
    let agent = LocalAgent::start().unwrap();
    let metrics = start(&agent);
    metrics.recorder().install().unwrap();
    let error = metrics.recorder().install().unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");

    thread::spawn(|| counter!("of.all", "thread" => "other").increment(1))
        .join()
        .unwrap();
    counter!("of.all").increment(2);
    flush(&metrics, &agent, 2);
    assert_eq!(agent.metric_sum("of.all"), 3.0);

    metrics.shutdown(SOON);
    counter!("of.all").increment(1);
    gauge!("too.late").set(1.0);
    let health = metrics.health().signal(SignalKind::Metrics);
    assert_eq!(health.dropped.get(DropReason::Shutdown), 2);
    assert_eq!(health.accepted, health.delivered + 2);
}
