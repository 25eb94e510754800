//! Metrics in a span. Alone in its binary, because the name of the active span is asked for in one place of the process.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::cell::Cell;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_metrics::Metrics;
use datadog_transport::{DropReason, SignalKind, context};

thread_local! {
    static SPAN: Cell<Option<&'static str>> = const { Cell::new(None) };
}

#[test]
fn a_count_without_a_name_takes_that_of_the_span() {
    context::name_with(|| SPAN.get().map(str::to_owned));
    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .service("shop")
        .env("prod")
        .dogstatsd_url(agent.dogstatsd_url())
        .build()
        .unwrap();
    let metrics = Metrics::start(&config).unwrap();
    SPAN.set(Some("web.request"));
    metrics.count("", 2, [("route", "/cart")]);
    metrics.increment("", [("route", "/cart")]);
    SPAN.set(Some("db.query"));
    metrics.count("", 5, ());
    SPAN.set(None);
    metrics.count("", 7, ());

    metrics.flush(Duration::from_secs(20));
    agent
        .wait_for(Duration::from_secs(20), |got| got.metrics().len() == 2)
        .unwrap();
    assert_eq!(agent.metric_sum("web.request.count"), 3.0);
    assert_eq!(agent.metric_sum("db.query.count"), 5.0);
    let tags = &agent.metrics_named("web.request.count")[0].tags;
    assert_eq!(*tags, ["service:shop", "env:prod", "route:/cart"]);
    let health = metrics.health().signal(SignalKind::Metrics);
    assert_eq!(health.dropped.get(DropReason::Invalid), 1);
}
