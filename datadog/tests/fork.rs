//! A program that forks while its client has connections. Alone in its binary: the child has only the thread that forked.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the reason"
)]
#![expect(unsafe_code, reason = "the standard library has no fork")]

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

use datadog::{DDClient, DDConfig, DropReason, SignalKind};
use datadog_local_agent::LocalAgent;

const LIMIT: Duration = Duration::from_secs(60);

/// One item of each signal that needs no profiler.
const ITEMS: u64 = 3;

fn make(client: &DDClient, name: &str) {
    client.trace(name.to_owned()).finish();
    client.info(name);
    client.count("work", 1, ());
}

/// What the child does: counts with the client of its parent, ends it, and starts one of its own.
fn child(parents: DDClient) -> Result<(), String> {
    let start = Instant::now();
    let config = parents.config().clone();
    make(&parents, "lost");
    let report = parents.flush(LIMIT);
    let health = parents.health();
    for signal in [SignalKind::Traces, SignalKind::Logs, SignalKind::Metrics] {
        if health.signal(signal).dropped.get(DropReason::Forked) != 1 {
            return Err(format!("{signal}: {health}"));
        }
    }
    if report.complete || report.requests > 0 {
        return Err(format!("the parent's client: {report}"));
    }
    parents.shutdown(LIMIT);
    drop(parents);
    let own = DDClient::new(config).map_err(|error| error.to_string())?;
    make(&own, "child");
    let report = own.flush(LIMIT);
    drop(own);
    match (report.delivered, start.elapsed()) {
        (ITEMS, quick) if quick < LIMIT => Ok(()),
        (_, time) => Err(format!("a client of its own: {report} in {time:?}")),
    }
}

fn fork_with_connections(http: &str, dogstatsd: &str, agent: &LocalAgent) {
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(http)
        .dogstatsd_url(dogstatsd)
        .logs_direct_submission_url(agent.url())
        .api_key("0123456789abcdef0123456789abcdef")
        .agent_timeout(LIMIT)
        .service("shop");
    let client = DDClient::new(config.build().unwrap()).unwrap();
    make(&client, "before");
    assert_eq!(client.flush(LIMIT).delivered, ITEMS);
    let connections = agent.connections();

    // SAFETY: the child uses the allocator, which glibc keeps usable after a fork, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            let outcome = child(client);
            if let Err(text) = &outcome {
                let _ = writeln!(std::io::stderr(), "child: {text}");
            }
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(i32::from(outcome.is_err())) }
        }
        child => {
            assert!(child > 0);
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0, "the child says why on stderr");
        }
    }

    make(&client, "after");
    assert_eq!(client.flush(LIMIT).delivered, ITEMS, "{}", client.health());
    // The child's client made one to the agent and one to the intake. What the child wrote into one of its parent's would have
    // been refused, and what it ended would have to be sent again.
    assert!(agent.connections() >= connections + 2);
    assert_eq!(client.health().total().retries, 0, "{}", client.health());
    agent
        .wait_for(LIMIT, |got| got.metric_sum("work") == 3.0)
        .unwrap();
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    let logs: Vec<_> = agent.logs().into_iter().map(|log| log.message).collect();
    assert_eq!(logs, ["before", "child", "after"]);
    let spans = agent.spans();
    let runtime_ids: Vec<_> = ["before", "child", "after"]
        .iter()
        .map(|name| {
            let mut named = spans.iter().filter(|span| span.name == *name);
            named.next().unwrap().tag("runtime-id").unwrap()
        })
        .collect();
    assert_eq!(spans.len(), 3);
    assert_eq!(runtime_ids[0], runtime_ids[2]);
    assert_eq!(runtime_ids.iter().collect::<BTreeSet<_>>().len(), 2);
}

#[test]
fn a_child_leaves_its_parents_connections_alone_and_makes_its_own() {
    let agent = LocalAgent::start().unwrap();
    fork_with_connections(&agent.url(), &agent.dogstatsd_url(), &agent);
    agent.clear();
    let http = format!("unix://{}", agent.trace_socket().display());
    for socket in [agent.dogstatsd_socket(), agent.dogstatsd_stream_socket()] {
        let dogstatsd = format!("unix://{}", socket.display());
        fork_with_connections(&http, &dogstatsd, &agent);
        agent.clear();
    }
}
