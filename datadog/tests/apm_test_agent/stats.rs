//! Trace statistics are those that the agent would compute of the spans.

use std::time::Instant;

use datadog::{DDClient, DropReason};
use serde_json::Value;

use crate::session::{LIMIT, Session};

#[test]
fn statistics_arrive_and_what_is_not_kept_does_not() {
    let Some(session) = Session::start("statistics_arrive_and_what_is_not_kept_does_not") else {
        return;
    };
    for agent_url in session.agent_urls() {
        statistics_arrive(&session, &agent_url);
        session.clear();
    }
}

/// Waits until the client knows that the agent takes statistics: then it leaves out what is not kept.
fn wait_until_computed(client: &DDClient) {
    let started = Instant::now();
    loop {
        drop(client.trace("not.kept"));
        if client.flush(LIMIT).dropped.get(DropReason::Sampled) > 0 {
            return;
        }
        assert!(started.elapsed() < LIMIT, "{}", client.health());
    }
}

fn statistics_arrive(session: &Session, agent_url: &str) {
    let client = session.client(agent_url, |config| config.tracing_sample_rate(0.0));
    wait_until_computed(&client);
    session.clear();
    for number in 0..4 {
        let mut request = client.trace("web.request");
        request
            .set_type("web")
            .set_resource("POST /cart")
            .set_tag("http.status_code", 201)
            .set_tag("http.method", "POST");
        let mut query = client.trace("db.query");
        query
            .set_tag("span.kind", "client")
            .set_tag("db.name", "carts");
        if number == 3 {
            query.set_error(&std::fmt::Error);
        }
    }
    let report = client.flush(LIMIT);
    assert_eq!(
        (report.delivered, report.dropped.total()),
        (2, 6),
        "{report}"
    );

    // The trace with the error, and nothing else.
    let traces = session.traces();
    assert_eq!(traces.len(), 1, "{traces:#?}");
    let requests = session.requests();
    let sent = |path: &str| {
        let mut sent = requests
            .iter()
            .filter(|request| request.url.ends_with(path));
        let one = sent
            .next()
            .unwrap_or_else(|| panic!("nothing to {path}: {requests:?}"));
        assert!(sent.next().is_none(), "more than one to {path}");
        one
    };
    let traces = sent("/v1.0/traces");
    assert_eq!(traces.header("Datadog-Client-Computed-Stats"), "yes");
    // With the one that was waited for.
    assert_eq!(traces.header("Datadog-Client-Dropped-P0-Traces"), "4");
    assert_eq!(traces.header("Datadog-Client-Dropped-P0-Spans"), "7");
    assert_eq!(
        sent("/v0.6/stats").header("Content-Type"),
        "application/msgpack"
    );

    let payloads = session.stats();
    let payload = &payloads[0];
    assert_eq!(payload["Env"], "conformance", "{payload:#}");
    assert_eq!(payload["Version"], "1.2.3");
    let buckets = payload["Stats"].as_array().unwrap();
    let groups: Vec<&Value> = buckets
        .iter()
        .flat_map(|bucket| bucket["Stats"].as_array().unwrap())
        .collect();
    let sum = |name: &str, field: &str| -> u64 {
        let of_name = groups.iter().filter(|group| group["Name"] == name);
        of_name.map(|group| group[field].as_u64().unwrap()).sum()
    };
    for (name, errors, top_level) in [("web.request", 0, 4), ("db.query", 1, 0)] {
        assert_eq!(sum(name, "Hits"), 4, "{payload:#}");
        assert_eq!(sum(name, "Errors"), errors, "{payload:#}");
        assert_eq!(sum(name, "TopLevelHits"), top_level, "{payload:#}");
        assert!(sum(name, "Duration") > 0);
    }
    let request = groups
        .iter()
        .find(|group| group["Name"] == "web.request")
        .unwrap();
    assert_eq!(request["Resource"], "POST /cart");
    assert_eq!(request["HTTPStatusCode"], 201);
    assert_eq!(request["Type"], "web");
    assert_eq!(request["Synthetics"], false);
}
