//! What is set once for the whole program: the default client, the logger, the hook for panics.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::panic::{self, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use datadog::{DDClient, DDConfig, PatchStatus};
use datadog_local_agent::LocalAgent;

static PANICS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn what_a_program_sets_once_works_everywhere() {
    // What the program had before, which is called as well.
    panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    let agent = LocalAgent::start().unwrap();
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .dogstatsd_url(agent.dogstatsd_url())
        .logs_direct_submission_url(agent.url())
        .api_key("0123456789abcdef0123456789abcdef")
        .build();
    let client = DDClient::new(config.unwrap()).unwrap();
    datadog::gauge!("queue.depth", 7.0, "queue" => "none"); // there is no default client
    client.log_handler().install().unwrap();
    client.patch(["panic"]);
    assert_eq!(
        client.patch(["log"]).modules()[0].status,
        PatchStatus::Active
    );
    assert!(client.set_default());

    datadog::gauge!("queue.depth", 12.0, "queue" => "mail");
    datadog::distribution!("order.value", 30.5, "shop" => "main");
    datadog::distribution!(client, "order.value", 4.5, "shop" => "main");
    log::info!("sold");
    datadog::client().traced("order", |_| {
        catch_unwind(|| panic!("no tea")).unwrap_err();
    });
    let report = datadog::client().flush(Duration::from_secs(20));
    assert!(report.complete, "{report:?}");

    assert_eq!(agent.metric_values("queue.depth"), [12.0]);
    let mut values = agent.metric_values("order.value");
    values.sort_by(f64::total_cmp);
    assert_eq!(values, [4.5, 30.5]);
    assert!(agent.metrics_named("queue.depth")[0].has_tag("queue:mail"));
    assert_eq!(agent.logs()[0].message, "sold");
    let order = &agent.spans()[0];
    assert_eq!((order.error, &*order.meta["error.message"]), (1, "no tea"));
    assert_eq!(PANICS.load(Ordering::Relaxed), 1, "the hook before");
    assert!(agent.refusals().is_empty());
}
