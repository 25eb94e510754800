//! A client and its strict receiver, and what arrived.

use std::time::Duration;

use datadog::{DDClient, DDConfig, DDTracingLayer};
use datadog_local_agent::{LocalAgent, Span};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Fixture {
    pub(crate) agent: LocalAgent,
    pub(crate) client: DDClient,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// With these variables in the environment.
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let agent = LocalAgent::start().unwrap();
        let config = DDConfig::builder()
            .environment(variables.iter().copied())
            .agent_url(agent.url())
            .logs_direct_submission_url(agent.url())
            .api_key("0123456789abcdef0123456789abcdef")
            .service("shop")
            .build()
            .unwrap();
        let client = DDClient::new(config).unwrap();
        Self { agent, client }
    }

    /// A subscriber with the client's layer alone.
    pub(crate) fn subscriber(&self) -> Dispatch {
        self.subscriber_with(|layer| layer)
    }

    pub(crate) fn subscriber_with(
        &self,
        change: impl FnOnce(DDTracingLayer) -> DDTracingLayer,
    ) -> Dispatch {
        Dispatch::new(tracing_subscriber::registry().with(change(self.client.tracing_layer())))
    }

    /// Runs `work` with the client's layer. The spans that arrived.
    pub(crate) fn spans_of(&self, work: impl FnOnce()) -> Vec<Span> {
        tracing::dispatcher::with_default(&self.subscriber(), work);
        self.spans()
    }

    /// The spans that arrived.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let report = self.client.flush(LIMIT);
        assert!(report.complete, "{report:?}");
        assert!(self.agent.refusals().is_empty());
        self.agent.spans()
    }
}

pub(crate) fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans
        .iter()
        .find(|span| span.name == name)
        .unwrap_or_else(|| panic!("no span {name} in {spans:#?}"))
}

/// The name of a span's parent.
pub(crate) fn parent<'a>(spans: &'a [Span], name: &str) -> Option<&'a str> {
    let child = named(spans, name);
    let parent = spans
        .iter()
        .find(|span| span.span_id == child.parent_id && span.trace_id == child.trace_id);
    assert_eq!(
        parent.is_some(),
        child.parent_id != 0,
        "{name} lost its parent"
    );
    Some(&parent?.name)
}
