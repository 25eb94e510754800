//! A client and its strict receiver, and what arrived.

use std::net::SocketAddr;
use std::time::Duration;

use datadog::{DDClient, DDConfig, DDConfigBuilder};
use datadog_local_agent::{LocalAgent, Span};

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Fixture {
    pub(crate) agent: LocalAgent,
    pub(crate) client: DDClient,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(|config| config)
    }

    pub(crate) fn with(change: impl FnOnce(DDConfigBuilder) -> DDConfigBuilder) -> Self {
        let agent = LocalAgent::start().unwrap();
        let config = DDConfig::builder()
            .environment([("", "")])
            .agent_url(agent.url())
            .dogstatsd_url(agent.dogstatsd_url())
            .logs_direct_submission_url(agent.url())
            .api_key("0123456789abcdef0123456789abcdef")
            .service("shop");
        let client = DDClient::new(change(config).build().unwrap()).unwrap();
        Self { agent, client }
    }

    /// The spans, once so many have arrived. Other threads may still be about to finish the last ones; the client sends those
    /// by itself.
    pub(crate) fn spans(&self, count: usize) -> Vec<Span> {
        self.client.flush(LIMIT);
        self.agent
            .wait_for(LIMIT, |got| got.spans().count() >= count)
            .unwrap();
        let spans = self.agent.spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        assert!(self.agent.refusals().is_empty());
        spans
    }
}

pub(crate) fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found
        .next()
        .unwrap_or_else(|| panic!("no span {name} in {spans:#?}"));
    assert_eq!(found.count(), 0, "several spans {name} in {spans:#?}");
    span
}

/// The spans of a name, as they began.
pub(crate) fn in_order<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    let mut found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    found.sort_by_key(|span| span.start_ns);
    found
}

/// Whether a span is a child of another.
#[track_caller]
pub(crate) fn assert_child(child: &Span, parent: &Span) {
    assert_eq!(
        (child.trace_id_128(), child.parent_id),
        (parent.trace_id_128(), parent.span_id),
        "{child:#?} is no child of {parent:#?}"
    );
}

/// The values of tags, `-` for those that are not there.
pub(crate) fn tags<const N: usize>(span: &Span, keys: [&str; N]) -> [String; N] {
    keys.map(|key| span.tag(key).unwrap_or_else(|| "-".to_owned()))
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Serves a router on a free port, for as long as the runtime lives.
pub(crate) fn serve(runtime: &tokio::runtime::Runtime, router: axum::Router) -> SocketAddr {
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = listener.local_addr().unwrap();
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    runtime.spawn(async move { axum::serve(listener, router).await });
    address
}
