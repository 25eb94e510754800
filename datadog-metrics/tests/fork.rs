//! A process that forks. Alone in its binary: the child has only the thread that forked.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(unsafe_code, reason = "the standard library has no fork")]

use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_metrics::{Counter, Metrics};
use datadog_transport::{DropReason, SignalKind, Standalone};

const LIMIT: Duration = Duration::from_secs(20);

fn start(agent: &LocalAgent) -> Standalone<Metrics> {
    let config = DDConfig::builder()
        .environment([("", "")])
        .dogstatsd_url(agent.dogstatsd_url())
        .build()
        .unwrap();
    Metrics::start(&config).unwrap()
}

fn child(agent: &LocalAgent, parents: &Standalone<Metrics>, hits: &Counter) -> Result<(), String> {
    hits.increment(1);
    parents.count("hits", 1, ());
    parents.count("new", 1, ());
    parents.set("users", "ann", ());
    drop(parents.measure("time", ()));
    let health = parents.health().signal(SignalKind::Metrics);
    if health.dropped.get(DropReason::Forked) != 5 {
        return Err(format!("{health:?}"));
    }
    let own = start(agent);
    own.count("hits", 10, ());
    let report = own.flush(LIMIT);
    match report.delivered {
        1 => Ok(()),
        _ => Err(format!("a client of its own: {report}")),
    }
}

#[test]
fn a_child_counts_what_it_can_not_send_and_may_start_a_client_of_its_own() {
    let agent = LocalAgent::start().unwrap();
    let metrics = start(&agent);
    let hits = metrics.counter("hits", ());
    hits.increment(1);
    metrics.count("hits", 1, ());
    // SAFETY: the child uses the allocator, which glibc keeps usable after a fork, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            let outcome = child(&agent, &metrics, &hits);
            if let Err(text) = &outcome {
                use std::io::Write;
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
            assert_eq!(metrics.flush(LIMIT).delivered, 2, "the parent goes on");
            agent
                .wait_for(LIMIT, |got| got.metric_sum("hits") == 12.0)
                .unwrap();
        }
    }
}
