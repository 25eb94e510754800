//! What a span of `tracing` may allocate. Alone in its binary, and alone on its thread.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use datadog::{DDClient, DDConfig};
use datadog_local_agent::LocalAgent;
use tracing::info_span;
use tracing_subscriber::layer::SubscriberExt;

const SPANS: u64 = 1_000;

#[test]
fn a_span_costs_two_allocations_at_most() {
    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url());
    let client = DDClient::new(config.build().unwrap()).unwrap();
    let subscriber = tracing_subscriber::registry().with(client.tracing_layer());
    tracing::subscriber::with_default(subscriber, || {
        let children = || {
            let _root = info_span!("root").entered();
            for number in 0..SPANS {
                let _child = info_span!("child", number, kind = "express", ok = true).entered();
            }
        };
        let roots = || {
            for number in 0..SPANS {
                let _root = info_span!("root", number, kind = "express", ok = true).entered();
            }
        };
        for (what, work) in [("children", &children as &dyn Fn()), ("roots", &roots)] {
            // Once for the memory that is used again.
            work();
            client.flush_traces();
            let made = allocation_counter::measure(work);
            println!("{what}: {made:?}");
            // Lists that grow, and batches that did not come back yet, are a few for all of them.
            let most = 2 * SPANS + SPANS / 4;
            assert!(made.count_total <= most, "{what}: {made:?}");
        }
    });
}
