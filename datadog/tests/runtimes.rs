//! A client within async runtimes: it starts, flushes, ends and is dropped on their threads as anywhere else.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the reason"
)]

use std::future::pending;
use std::sync::mpsc::channel;
use std::time::Duration;

use datadog::tracing::FutureExt;
use datadog::{DDClient, DDConfig, DropReason, SignalKind};
use datadog_local_agent::{Fault, LocalAgent};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

const LIMIT: Duration = Duration::from_secs(20);

fn client(agent_url: &str, shutdown_timeout: Duration) -> DDClient {
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent_url)
        .service("shop")
        .shutdown_timeout(shutdown_timeout);
    DDClient::new(config.build().unwrap()).unwrap()
}

fn runtimes() -> [Runtime; 2] {
    let several = Builder::new_multi_thread().worker_threads(2).build();
    [
        several.unwrap(),
        Builder::new_current_thread().build().unwrap(),
    ]
}

/// The whole life of a client, with a span in each part of it.
async fn live(agent_url: String) {
    let client = client(&agent_url, LIMIT);
    yield_now().in_span(client.trace("flushed")).await;
    assert_eq!(client.flush(LIMIT).delivered, 1, "{}", client.health());
    yield_now().in_span(client.trace("flushed alone")).await;
    assert_eq!(client.flush_traces().delivered, 1);
    let clone = client.clone();
    yield_now().in_span(clone.trace("dropped")).await;
    drop(client);
    yield_now().await;
    // The last clone goes with this function.
}

#[test]
fn a_client_lives_and_ends_within_a_runtime() {
    for runtime in runtimes() {
        let agent = LocalAgent::start().unwrap();
        // On a thread of the runtime, and on the one that waits for it.
        let tasks = [
            runtime.spawn(live(agent.url())),
            runtime.spawn(live(agent.url())),
        ];
        runtime.block_on(async {
            live(agent.url()).await;
            for task in tasks {
                task.await.unwrap();
            }
        });
        let mut names: Vec<_> = agent.spans().into_iter().map(|span| span.name).collect();
        names.sort();
        let expected = ["dropped", "flushed", "flushed alone"];
        assert_eq!(names, expected.map(|name| [name; 3]).concat());
    }
}

#[test]
fn a_client_that_ends_with_the_runtime_delivers_what_is_buffered() {
    for runtime in runtimes() {
        let agent = LocalAgent::start().unwrap();
        let client = client(&agent.url(), LIMIT);
        let (sender, waits) = channel();
        let task = runtime.spawn(async move {
            client.trace("finished").finish();
            sender.send(()).unwrap();
            pending::<()>().in_span(client.trace("never ready")).await;
        });
        runtime.block_on(yield_now());
        waits.recv_timeout(LIMIT).unwrap();
        drop(runtime);
        assert!(task.is_finished());
        let mut names: Vec<_> = agent.spans().into_iter().map(|span| span.name).collect();
        names.sort();
        assert_eq!(names, ["finished", "never ready"]);
    }
}

#[test]
fn an_agent_that_never_answers_does_not_keep_a_runtime() {
    for runtime in runtimes() {
        let agent = LocalAgent::start().unwrap();
        agent.fail(Fault::NeverAnswer);
        let end = async {
            let client = client(&agent.url(), Duration::from_millis(100));
            client.trace("lost").finish();
            let report = client.flush(Duration::from_millis(100));
            assert_eq!((report.delivered, report.buffered), (0, 1), "{report}");
            client.shutdown(Duration::from_millis(100));
            client
        };
        let client = runtime.block_on(end);
        let traces = client.health().signal(SignalKind::Traces);
        assert_eq!(traces.dropped.get(DropReason::Shutdown), 1, "{traces:?}");
    }
}
