//! Traces arrive as they were made.

use std::fmt;
use std::time::Instant;

use datadog::config::TraceProtocol;
use datadog::tracing::{SpanEvent, SpanLink};
use serde_json::{Value, json};

use crate::checks::CHECKS;
use crate::session::{LIMIT, Session};

#[test]
fn traces_arrive_whole_over_tcp_and_over_a_unix_socket() {
    let Some(session) = Session::start("traces_arrive_whole_over_tcp_and_over_a_unix_socket")
    else {
        return;
    };
    for agent_url in session.agent_urls() {
        for protocol in [TraceProtocol::V04, TraceProtocol::V10] {
            a_trace_arrives_whole(&session, &agent_url, protocol);
            session.clear();
        }
    }
}

fn a_trace_arrives_whole(session: &Session, agent_url: &str, protocol: TraceProtocol) {
    let client = session.client(agent_url, |config| {
        config
            .tags([("team", "checkout")])
            .tracing_protocol(protocol)
    });
    // Where nothing waits, a flush asks the agent what it takes.
    client.flush(LIMIT);
    let trace_id;
    let span_ids;
    {
        let mut request = client.trace("web.request");
        request
            .set_resource("POST /cart")
            .set_type("web")
            .set_tag("http.method", "POST")
            .set_tag("cart.items", 3);
        let mut checkout = client.trace("cart.checkout");
        checkout
            .set_tag("cart.gift", true)
            .set_tag("span.kind", "client");
        checkout.add_event(
            SpanEvent::new("stock.checked")
                .attribute("shelves", vec![1, 2])
                .attribute("clerk", "alice"),
        );
        checkout.add_link(SpanLink::to(&request.context().unwrap()).attribute("why", "gift"));
        let mut charge = client.trace("payment.charge");
        charge
            .set_service("bank")
            .set_resource("POST /charge")
            .set_error(&CardDeclined(NoMoney));
        trace_id = request.trace_id();
        span_ids = [request.span_id(), checkout.span_id(), charge.span_id()];
    }
    let report = client.flush(LIMIT);
    assert_eq!(
        (report.delivered, report.dropped.total()),
        (3, 0),
        "{report}"
    );

    let traces = session.traces();
    assert_eq!(traces.len(), 1, "{traces:#?}");
    let trace = traces[0].as_array().unwrap();
    assert_eq!(trace.len(), 3, "{trace:#?}");
    let [request, checkout, charge] = span_ids.map(|id| span(trace, id));

    // One trace, whose id has more than 64 bits: the upper half travels as a tag of the first span.
    for span in trace {
        assert_eq!(span["trace_id"], trace_id as u64, "{span:#}");
    }
    assert_ne!(trace_id >> 64, 0);
    let upper_half = format!("{:016x}", (trace_id >> 64) as u64);
    assert_eq!(trace[0]["meta"]["_dd.p.tid"], upper_half);
    assert_eq!(trace[0]["metrics"]["_sampling_priority_v1"], 1.0);
    assert_eq!(&trace[0], request);

    assert_eq!(request["parent_id"], 0);
    assert_eq!(checkout["parent_id"], request["span_id"]);
    assert_eq!(charge["parent_id"], checkout["span_id"]);
    assert_encloses(request, checkout);
    assert_encloses(checkout, charge);

    assert_names(request, "web.request", "POST /cart", "shop");
    assert_names(checkout, "cart.checkout", "cart.checkout", "shop");
    assert_names(charge, "payment.charge", "POST /charge", "bank");
    assert_eq!(request["type"], "web");

    assert_eq!(request["meta"]["http.method"], "POST");
    assert_eq!(request["metrics"]["cart.items"], 3.0);
    assert_eq!(checkout["meta"]["cart.gift"], "true");
    assert_eq!(checkout["meta"]["span.kind"], "client");
    let event = &checkout["span_events"][0];
    assert_eq!(event["name"], "stock.checked");
    assert_eq!(event["attributes"]["clerk"]["string_value"], "alice");
    let shelves = &event["attributes"]["shelves"]["array_value"]["values"];
    assert_eq!(shelves[1]["int_value"], 2, "{event:#}");
    let link = &checkout["span_links"][0];
    assert_eq!(link["span_id"], request["span_id"]);
    assert_eq!(link["trace_id_high"], (trace_id >> 64) as u64);
    assert_eq!(link["attributes"]["why"], "gift");
    for span in trace {
        assert_eq!(span["meta"]["env"], "conformance", "{span:#}");
        assert_eq!(span["meta"]["team"], "checkout", "{span:#}");
    }
    // The version is the configured service's, not that of others.
    assert_eq!(request["meta"]["version"], "1.2.3");
    assert_eq!(checkout["meta"]["version"], "1.2.3");
    assert_eq!(charge["meta"]["version"], Value::Null);
    assert_eq!(charge["meta"]["_dd.base_service"], "shop");

    assert_eq!(
        [request, checkout, charge].map(|span| &span["error"]),
        [0, 0, 1]
    );
    let error_type = charge["meta"]["error.type"].as_str().unwrap();
    assert!(error_type.ends_with("CardDeclined"), "{error_type}");
    assert_eq!(charge["meta"]["error.message"], "the card was declined");
    let error_stack = charge["meta"]["error.stack"].as_str().unwrap();
    assert!(
        error_stack.starts_with("caused by: no money left"),
        "{error_stack}"
    );

    assert_all_checks_passed(session, protocol);
}

/// Until the client knows better, events are a text among the tags, and that is what the agent's check is about.
#[test]
fn events_arrive_as_text_where_the_agent_is_not_known_yet() {
    let Some(session) = Session::start("events_arrive_as_text_where_the_agent_is_not_known_yet")
    else {
        return;
    };
    for agent_url in session.agent_urls() {
        let started = Instant::now();
        let span = loop {
            let span = a_span_with_events(&session, &agent_url);
            if span["span_events"].is_null() {
                break span;
            }
            // A slow machine gave the client the time to ask.
            assert!(started.elapsed() < LIMIT, "{span:#}");
            session.clear();
        };
        let events = span["meta"]["events"].as_str().unwrap();
        let events: Value = serde_json::from_str(events).unwrap();
        assert_eq!(events[0]["name"], "stock \"checked\"", "{span:#}");
        let attributes =
            json!({"shelves": [1, 2], "clerk": "al\u{7}ice", "part": 0.5, "full": true});
        assert_eq!(events[0]["attributes"], attributes);
        assert!(events[0]["time_unix_nano"].as_u64() >= span["start"].as_u64());
        assert_eq!(events[1]["name"], "sold");
        assert_all_checks_passed(&session, TraceProtocol::V04);
        session.clear();
    }
}

/// The first span of a client.
fn a_span_with_events(session: &Session, agent_url: &str) -> Value {
    let client = session.client(agent_url, |config| config);
    let mut span = client.trace("web.request");
    span.add_event(
        SpanEvent::new("stock \"checked\"")
            .attribute("shelves", vec![1, 2])
            .attribute("clerk", "al\u{7}ice")
            .attribute("part", 0.5)
            .attribute("full", true),
    );
    span.add_event(SpanEvent::new("sold"));
    span.finish();
    assert_eq!(client.flush(LIMIT).delivered, 1, "{}", client.health());
    session.traces()[0][0].clone()
}

fn assert_all_checks_passed(session: &Session, protocol: TraceProtocol) {
    let (failed, words) = session.failed_checks();
    assert!(!failed, "{words}");
    let counts = session.check_counts();
    for check in CHECKS {
        let count = &counts[check];
        assert!(
            count["Passed_Checks"].as_u64() > Some(0),
            "{check} was not done: {counts}"
        );
        assert_eq!(count["Failed_Checks"], 0, "{check}: {counts}");
    }
    let mut requests = session.requests();
    requests.retain(|request| !request.url.ends_with("/v0.6/stats"));
    assert_eq!(requests.len(), 1, "one request is enough: {requests:?}");
    let path = format!("/v{protocol}/traces");
    assert!(requests[0].url.ends_with(&path), "{requests:?}");
    assert_eq!(requests[0].header("Datadog-Meta-Lang"), "rust");
}

fn span(trace: &[Value], id: u64) -> &Value {
    let span = trace.iter().find(|span| span["span_id"] == id);
    span.unwrap_or_else(|| panic!("no span {id} in {trace:#?}"))
}

fn assert_names(span: &Value, name: &str, resource: &str, service: &str) {
    let names = [&span["name"], &span["resource"], &span["service"]];
    assert_eq!(names, [name, resource, service]);
}

/// The inner span's time is within the outer span's.
fn assert_encloses(outer: &Value, inner: &Value) {
    let times = |span: &Value| {
        let [start, duration] = ["start", "duration"].map(|key| span[key].as_u64().unwrap());
        (start, start + duration)
    };
    let ((outer_start, outer_end), (inner_start, inner_end)) = (times(outer), times(inner));
    assert!(inner_start < inner_end, "{inner:#}");
    assert!(
        outer_start <= inner_start && inner_end <= outer_end,
        "{outer:#} {inner:#}"
    );
}

#[derive(Debug)]
struct CardDeclined(NoMoney);

#[derive(Debug)]
struct NoMoney;

impl fmt::Display for CardDeclined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the card was declined")
    }
}

impl fmt::Display for NoMoney {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no money left")
    }
}

impl std::error::Error for CardDeclined {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl std::error::Error for NoMoney {}
