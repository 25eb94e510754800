//! The receiver, and clients of it.

use std::time::Duration;

use datadog_config::{DDConfig, DDConfigBuilder};
use datadog_local_agent::{LocalAgent, Metric};
use datadog_metrics::Metrics;
use datadog_transport::{SignalHealth, SignalKind, Standalone};

/// Longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A config that nothing of this process leaks into.
pub(crate) fn config() -> DDConfigBuilder {
    DDConfig::builder().environment([("", "")]).service("shop")
}

pub(crate) fn over_udp(agent: &LocalAgent) -> Standalone<Metrics> {
    start(config().dogstatsd_url(agent.dogstatsd_url()))
}

pub(crate) fn over_unix(agent: &LocalAgent) -> Standalone<Metrics> {
    let path = agent.dogstatsd_socket().display();
    start(config().dogstatsd_url(format!("unixgram://{path}")))
}

pub(crate) fn over_stream(agent: &LocalAgent) -> Standalone<Metrics> {
    let path = agent.dogstatsd_stream_socket().display();
    start(config().dogstatsd_url(format!("unixstream://{path}")))
}

pub(crate) fn start(config: DDConfigBuilder) -> Standalone<Metrics> {
    Metrics::start(&config.build().unwrap()).unwrap()
}

/// The account, which must be right at any time the worker is at rest.
pub(crate) fn account(metrics: &Standalone<Metrics>) -> SignalHealth {
    let health = metrics.health().signal(SignalKind::Metrics);
    assert_eq!(
        health.accepted,
        health.delivered + health.dropped.total() + health.buffered,
        "{health:?}"
    );
    health
}

/// Flushes, and waits until everything flushed arrived.
pub(crate) fn flush(
    metrics: &Standalone<Metrics>,
    agent: &LocalAgent,
    lines: usize,
) -> Vec<Metric> {
    let report = metrics.flush(SOON);
    assert!(report.complete, "{report}");
    agent
        .wait_for(SOON, |got| got.metrics().len() >= lines)
        .unwrap();
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    agent.metrics()
}

/// The only metric of this name.
pub(crate) fn only(agent: &LocalAgent, name: &str) -> Metric {
    let mut named = agent.metrics_named(name);
    assert_eq!(named.len(), 1, "{named:?}");
    named.remove(0)
}
