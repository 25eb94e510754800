//! Configs that read nothing of this process, and a client of a receiver.

use std::io::Read;
use std::time::Duration;

use datadog_config::{DDConfig, DDConfigBuilder};
use datadog_local_agent::{LocalAgent, Request};
use datadog_logs::Logs;
use datadog_transport::{SignalHealth, SignalKind, Standalone};
use flate2::read::GzDecoder;

/// Long enough for a busy machine; only a failing test waits this long.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

pub(crate) fn hermetic() -> DDConfigBuilder {
    DDConfig::builder()
        .environment([("", ""); 0])
        .service("shop")
        .env("test")
        .version("1.2")
        .hostname("box")
}

pub(crate) fn config_of(agent: &LocalAgent) -> DDConfigBuilder {
    hermetic()
        .api_key(KEY)
        .logs_direct_submission_url(agent.url())
}

pub(crate) fn receiver() -> LocalAgent {
    LocalAgent::builder().api_key(KEY).start().unwrap()
}

pub(crate) fn logs_to(agent: &LocalAgent) -> Standalone<Logs> {
    Logs::start(&config_of(agent).build().unwrap()).unwrap()
}

/// The account, which has to be balanced.
pub(crate) fn account(logs: &Standalone<Logs>) -> SignalHealth {
    let health = logs.health().signal(SignalKind::Logs);
    assert_eq!(
        health.accepted,
        health.delivered + health.dropped.total() + health.buffered,
        "{health:?}"
    );
    health
}

/// The body of a request, unpacked.
pub(crate) fn body(request: &Request) -> Vec<u8> {
    let mut body = Vec::new();
    match request.header("content-encoding") {
        Some(_) => GzDecoder::new(&*request.body)
            .read_to_end(&mut body)
            .unwrap(),
        None => (&*request.body).read_to_end(&mut body).unwrap(),
    };
    body
}
