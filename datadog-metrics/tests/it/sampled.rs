//! Values of which callers let a part be taken.

use std::time::Duration;

use crate::agent::{SOON, account, config, only, over_udp, over_unix, start};
use datadog_local_agent::{LocalAgent, Metric, MetricKind};
use datadog_transport::DropReason;

const CALLS: u64 = 40_000;

/// 8 standard deviations from what is expected.
fn is_near(expected: f64, rate: f64, got: f64) -> bool {
    let taken = expected * rate;
    (got - expected).abs() < 8.0 * (taken * (1.0 - rate)).sqrt() / rate
}

/// How many values the server reckons with.
fn weight(metric: &Metric) -> f64 {
    metric.values.len() as f64 / metric.sample_rate
}

#[test]
fn sums_and_numbers_are_right_at_the_server() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_unix(&agent);
    let tags = [("table", "users")];
    let rare = metrics.sampled(0.25);
    let (by_handle, sizes) = (
        rare.counter("by.handle", tags),
        rare.distribution_handle("sizes.by.handle", tags),
    );
    for _ in 0..CALLS {
        rare.count("by.name", 3, tags);
        by_handle.increment(3);
        rare.histogram("sizes", 1.0, tags);
        sizes.record(1.0);
        rare.timing("times", Duration::from_millis(2), tags);
    }
    metrics.flush(SOON);
    let account = account(&metrics);
    assert_eq!(account.accepted, account.delivered);
    assert!(is_near(
        5.0 * CALLS as f64,
        0.25,
        account.accepted as f64 * 4.0
    ));
    let values = |name: &str| -> f64 { agent.metrics_named(name).iter().map(weight).sum() };
    agent
        .wait_for(SOON, |got| {
            got.metrics_named("times").map(weight).sum::<f64>() > 0.9 * CALLS as f64
                && got.metrics_named("by.name").count() > 0
                && got.metrics_named("by.handle").count() > 0
        })
        .unwrap();
    for name in ["by.name", "by.handle"] {
        let sum = agent.metric_sum(name);
        assert!(is_near(CALLS as f64, 0.25, sum / 3.0), "{name}: {sum}");
        for metric in agent.metrics_named(name) {
            assert_eq!(metric.kind, MetricKind::Count);
            assert_eq!(metric.sample_rate, 0.25, "exactly as given");
            assert_eq!(metric.tags, ["service:shop", "table:users"]);
        }
    }
    // These are also beyond what is kept of one context, so both choices are in the rate.
    for name in ["sizes", "sizes.by.handle", "times"] {
        let number = values(name);
        assert!(is_near(CALLS as f64, 0.25, number), "{name}: {number}");
        assert!(agent.metrics_named(name)[0].sample_rate < 0.25);
    }
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
}

#[test]
fn rates_are_told_apart_and_all_and_none_are_exact() {
    let agent = LocalAgent::start().unwrap();
    let metrics = over_udp(&agent);
    let values: Vec<f64> = (0..100).map(f64::from).collect();
    for value in &values {
        metrics.count("hits", 1, ());
        for rate in [1.0, 5.0, f64::NAN] {
            metrics.sampled(rate).increment("hits", ());
            metrics.sampled(rate).decrement("misses", ());
        }
        for rate in [0.0, -1.0] {
            metrics.sampled(rate).increment("hits", ());
        }
        metrics.sampled(1.0).distribution("sizes", *value, ());
    }
    metrics.sampled(1.0).distribution("sizes", f64::NAN, ());
    for rate in [0.5, 0.75] {
        (0..1000).for_each(|_| metrics.sampled(rate).increment("two.rates", ()));
    }
    metrics.flush(SOON);
    agent
        .wait_for(SOON, |got| got.metrics_named("two.rates").count() == 2)
        .unwrap();
    assert_eq!(only(&agent, "hits").values, [400.0]);
    assert_eq!(only(&agent, "misses").values, [-300.0]);
    assert_eq!(only(&agent, "sizes").values, values);
    let mut rates: Vec<f64> = agent
        .metrics_named("two.rates")
        .iter()
        .map(|metric| metric.sample_rate)
        .collect();
    rates.sort_by(f64::total_cmp);
    assert_eq!(rates, [0.5, 0.75]);
    let account = account(&metrics);
    assert_eq!(account.dropped.get(DropReason::Invalid), 1);
}

#[test]
fn without_an_agent_every_value_is_taken() {
    let agent = LocalAgent::start().unwrap();
    let metrics = start(
        config()
            .metrics_agentless(true)
            .metrics_url(agent.url())
            .api_key("0123456789abcdef0123456789abcdef"),
    );
    (0..100).for_each(|_| metrics.sampled(0.01).increment("hits", ()));
    metrics.flush(SOON);
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 100.0)
        .unwrap();
}
