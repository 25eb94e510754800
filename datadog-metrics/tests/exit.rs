//! A process that leaves `main`. With a `main` of its own, because the test starts itself as that process.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::process::Command;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_metrics::Metrics;

const COUNTS: u32 = 30_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, child, url] if child == "--child" => leave_main(url),
        _ => everything_arrives_from_a_process_that_leaves_main(),
    }
}

/// The child: the client is dropped at the end of `main`, and nothing waits.
fn leave_main(url: &str) {
    let config = DDConfig::builder()
        .environment([("", "")])
        .dogstatsd_url(url)
        .build()
        .unwrap();
    let metrics = Metrics::start(&config).unwrap();
    let hits = metrics.counter("hits", ());
    for _ in 0..COUNTS / 2 {
        hits.increment(1);
        metrics.increment("hits", [("by", "name")]);
    }
    metrics.event(&datadog_metrics::Event::new("the end", ""), ());
}

fn everything_arrives_from_a_process_that_leaves_main() {
    let agent = LocalAgent::start().unwrap();
    let unix = |scheme, path: &std::path::Path| format!("{scheme}://{}", path.display());
    for url in [
        agent.dogstatsd_url(),
        unix("unixgram", agent.dogstatsd_socket()),
        unix("unixstream", agent.dogstatsd_stream_socket()),
    ] {
        agent.clear();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--child", &url])
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        assert!(child.stdout.is_empty(), "{child:?}");
        // The child is gone: what it sent is in the agent's sockets.
        agent
            .wait_for(Duration::from_secs(20), |got| {
                got.metric_sum("hits") == f64::from(COUNTS) && got.events().len() == 1
            })
            .unwrap();
    }
}
