//! Samples carry the resource of the request that they belong to, and traces say that they were profiled.

use std::collections::BTreeMap;

use datadog::DDClient;
use datadog_local_agent::LocalAgent;

use crate::support::{self, LIMIT, VISIBLE, spin};

#[inline(never)]
fn serve() {
    spin(VISIBLE);
}

/// A request that becomes what it is while it runs, with its work in a child.
fn request(client: &DDClient, span_type: &'static str, resource: &'static str) {
    let mut root = client.trace("request");
    root.set_type(span_type);
    client.traced("work", |_| serve());
    root.set_resource(resource);
}

#[test]
fn samples_carry_the_endpoint_of_their_local_root() {
    let _turn = support::turn();
    let agent = LocalAgent::start().unwrap();
    let client = support::profiled(&agent, |config| {
        config.profiling_endpoint_count_enabled(true)
    });
    for _ in 0..2 {
        request(&client, "web", "GET /cart");
        request(&client, "rpc", "Shop/Pay");
        request(&client, "sql", "SELECT 'secret'");
    }
    client.trace("idle").finish();
    // One that is open when the profile is made.
    let mut open = client.trace("request");
    open.set_type("web").set_resource("GET /long");
    serve();
    assert!(client.flush(LIMIT).complete);
    open.finish();
    assert!(client.flush(LIMIT).complete);

    let spans = support::spans(&agent);
    let mut found = BTreeMap::<_, i64>::new();
    for sample in support::samples(&agent) {
        if sample.is_in("serve") {
            let root = &spans[&sample.number("local root span id").unwrap()];
            let expected = (root.type_ != "sql").then_some(&*root.resource);
            assert_eq!(sample.text("trace endpoint"), expected, "{sample:?}");
            *found.entry(root.resource.clone()).or_default() += sample.count;
        }
    }
    let found: Vec<_> = found.into_keys().collect();
    assert_eq!(
        found,
        ["GET /cart", "GET /long", "SELECT 'secret'", "Shop/Pay"]
    );

    let mut counts = BTreeMap::new();
    for profile in agent.profiles() {
        for (endpoint, count) in profile.event.endpoint_counts {
            *counts.entry(endpoint).or_default() += count;
        }
    }
    // The long one is counted in the profile of its end, if there is one.
    let long = counts.remove("GET /long").unwrap_or(1);
    assert_eq!(long, 1);
    let expected = [("GET /cart", 2), ("Shop/Pay", 2), ("idle", 1)];
    assert_eq!(
        counts,
        expected
            .map(|(endpoint, count)| (endpoint.to_owned(), count))
            .into()
    );
}

#[test]
fn endpoints_can_be_left_out() {
    let _turn = support::turn();
    let agent = LocalAgent::start().unwrap();
    let client = support::profiled(&agent, |config| {
        config
            .profiling_endpoint_collection_enabled(false)
            .profiling_endpoint_count_enabled(true)
    });
    request(&client, "web", "GET /cart");
    assert!(client.flush(LIMIT).complete);
    let samples = support::samples(&agent);
    let served: Vec<_> = samples
        .iter()
        .filter(|sample| sample.is_in("serve"))
        .collect();
    assert!(!served.is_empty());
    for sample in served {
        assert!(sample.number("span id").is_some());
        assert_eq!(sample.text("trace endpoint"), None);
    }
    assert!(agent.profiles()[0].event.endpoint_counts.is_empty());
}

#[test]
fn local_roots_say_that_they_were_profiled() {
    let _turn = support::turn();
    let agent = LocalAgent::start().unwrap();
    let client = support::profiled(&agent, |config| config);
    request(&client, "web", "GET /profiled");
    client.profiling_stop();
    assert!(client.flush(LIMIT).complete);
    request(&client, "web", "GET /not-profiled");
    assert!(client.flush(LIMIT).complete);
    let told: Vec<_> = agent
        .spans()
        .into_iter()
        .map(|span| {
            let profiled = span.metrics.get("_dd.profiling.enabled").copied();
            (span.name, span.resource, profiled)
        })
        .collect();
    let told: Vec<_> = told
        .iter()
        .map(|(name, resource, at)| (&**name, &**resource, *at))
        .collect();
    assert_eq!(
        told,
        [
            ("request", "GET /profiled", Some(1.0)),
            ("work", "work", None),
            ("request", "GET /not-profiled", None),
            ("work", "work", None),
        ]
    );
}
