//! No call allocates once its context is known. Alone in its binary, because it replaces the allocator by one that
//! counts.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::time::Duration;

use allocation_counter::measure;
use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_metrics::Metrics;

#[test]
fn known_contexts_cost_no_allocation() {
    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .dogstatsd_url(agent.dogstatsd_url())
        .build()
        .unwrap();
    let metrics = Metrics::start(&config).unwrap();
    let tags = [("route", "/cart"), ("method", "get"), ("status", "200")];
    let counter = metrics.counter("counter", tags);
    let gauge = metrics.gauge_handle("gauge", tags);
    let distribution = metrics.distribution_handle("distribution", tags);
    let submit = || {
        counter.increment(1);
        gauge.set(1.0);
        metrics.count("count", 1, tags);
        metrics.gauge("gauge", 1.0, ["route:/cart", "method:get"]);
        metrics.timing("timing", Duration::from_millis(1), tags);
        metrics.histogram("histogram", 1.0, tags);
        distribution.record(1.0);
        drop(metrics.measure("timer", tags));
    };
    let first = measure(submit);
    assert!(first.count_total > 0, "the counter counts");
    // As many as fit without a move of samples, which may let a vector grow.
    let again = measure(|| (0..30).for_each(|_| submit()));
    assert_eq!(again.count_total, 0);
    // And few where they are moved: a vector that doubles.
    let many = measure(|| (0..1000).for_each(|_| submit()));
    assert!(many.count_total < 40, "{}", many.count_total);
}
