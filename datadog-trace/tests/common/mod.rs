//! What the tests of this crate share.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

pub(crate) mod lines;

use std::time::Duration;

use datadog_config::{DDConfig, DDConfigBuilder};
use datadog_local_agent::{LocalAgent, Received, Span};
use datadog_trace::Tracer;
use datadog_transport::{Health, Standalone};

pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// A config that nothing of the process leaks into.
pub(crate) fn config(url: &str) -> DDConfigBuilder {
    DDConfig::builder()
        .environment([("", "")])
        .agent_url(url)
        .service("shop")
        .env("test")
        .version("1.2.3")
        .tags([("team", "checkout")])
}

pub(crate) fn start(builder: DDConfigBuilder) -> Standalone<Tracer> {
    Tracer::start(&builder.build().unwrap()).unwrap()
}

pub(crate) fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans
        .iter()
        .find(|span| span.name == name)
        .unwrap_or_else(|| panic!("no span {name} in {spans:#?}"))
}

/// The name of the parent.
pub(crate) fn parent<'a>(spans: &'a [Span], name: &str) -> Option<&'a str> {
    let id = named(spans, name).parent_id;
    let parent = spans.iter().find(|span| span.span_id == id)?;
    Some(&parent.name)
}

pub(crate) fn assert_balanced(health: &Health) {
    let total = health.total();
    assert_eq!(
        total.accepted,
        total.delivered + total.dropped.total() + total.buffered,
        "{health}"
    );
}

/// The paths of all requests that brought traces.
pub(crate) fn trace_paths(agent: &LocalAgent) -> Vec<String> {
    let paths = agent.requests().into_iter().map(|request| request.path);
    paths
        .filter(|path| path != "/info" && path != "/v0.6/stats")
        .collect()
}

pub(crate) fn wait_for_info(agent: &LocalAgent) {
    let asked = |got: &Received| got.requests().iter().any(|request| request.path == "/info");
    agent.wait_for(LIMIT, asked).unwrap();
}
