//! Backtraces of errors, which `RUST_BACKTRACE` switches on when a process starts: so the test runs itself again.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::process::Command;
use std::time::Duration;

use datadog::{DDClient, DDConfig};
use datadog_local_agent::LocalAgent;

const LIMIT: Duration = Duration::from_secs(30);

#[inline(never)]
fn where_it_happens(client: &DDClient) {
    let error = std::io::Error::other("disk full");
    client.trace("write").set_error(&error);
    client.exception(&error).with("kept", 1);
    client
        .exception(&error)
        .with("error.stack", "the caller's own");
}

#[test]
fn logs_and_spans_carry_backtraces_that_the_worker_names() {
    if Backtrace::capture().status() != BacktraceStatus::Captured {
        let output = Command::new(std::env::current_exe().unwrap())
            .env("RUST_BACKTRACE", "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        return;
    }
    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .dogstatsd_url(agent.dogstatsd_url())
        .logs_direct_submission_url(agent.url())
        .api_key("0123456789abcdef0123456789abcdef")
        .build()
        .unwrap();
    let client = DDClient::new(config).unwrap();
    where_it_happens(&client);
    let health = client.health().total();
    assert_eq!((health.accepted, health.buffered), (3, 3));
    let report = client.flush(LIMIT);
    assert_eq!(
        (report.delivered, report.buffered),
        (3, 0),
        "{}",
        client.health()
    );

    let span = &agent.spans()[0];
    assert!(
        span.meta["error.stack"].contains("where_it_happens"),
        "{span:?}"
    );
    let stacks: Vec<String> = agent
        .logs()
        .iter()
        .map(|log| {
            log.attribute("error.stack")
                .unwrap()
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(stacks.len(), 2);
    assert!(
        stacks
            .iter()
            .any(|stack| stack.contains("where_it_happens")),
        "{stacks:?}"
    );
    assert!(
        stacks.iter().any(|stack| stack == "the caller's own"),
        "{stacks:?}"
    );

    where_it_happens(&client);
    client.shutdown(LIMIT);
    where_it_happens(&client);
    let health = client.health().total();
    assert_eq!(health.accepted, health.delivered + health.dropped.total());
    assert_eq!((health.delivered, health.buffered), (6, 0));
}
