//! The rates in the agent's answers are followed.

use datadog::DDClient;
use datadog::config::TraceProtocol;
use serde_json::Value;

use crate::session::{LIMIT, Session};

#[test]
fn the_rates_of_the_agent_are_followed_over_each_protocol() {
    let Some(session) = Session::start("the_rates_of_the_agent_are_followed_over_each_protocol")
    else {
        return;
    };
    for protocol in [TraceProtocol::V04, TraceProtocol::V10] {
        rates_are_followed(&session, protocol);
    }
}

fn rates_are_followed(session: &Session, protocol: TraceProtocol) {
    session.begin(&[
        ("service:,env:", 1.0),
        ("service:shop,env:conformance", 0.5),
        ("service:mail,env:conformance", 0.0),
    ]);
    let [agent_url, _] = session.agent_urls();
    // Without statistics, what is not kept is sent too.
    let client = session.client(&agent_url, |config| {
        config
            .tracing_protocol(protocol)
            .stats_computation_enabled(false)
    });
    // Where nothing waits, a flush asks the agent what it takes.
    client.flush(LIMIT);
    make(&client, "before", "shop", 1);
    make(&client, "of.shop", "shop", 100);
    make(&client, "of.mail", "mail", 1);
    make(&client, "of.bank", "bank", 1);

    let spans = spans(session);
    assert_eq!(spans.len(), 103);
    for span in &spans {
        let rate = match span["name"].as_str().unwrap() {
            // The first answer tells the rates.
            "before" => None,
            "of.shop" => Some(0.5),
            "of.mail" => Some(0.0),
            _ => Some(1.0),
        };
        assert_follows(span, rate, protocol);
    }

    session.begin(&[("service:shop,env:conformance", 0.0)]);
    make(&client, "until.told", "shop", 10);
    make(&client, "changed", "shop", 10);
    let spans = self::spans(session);
    assert_eq!(spans.len(), 20);
    for span in &spans {
        let rate = if span["name"] == "changed" { 0.0 } else { 0.5 };
        assert_follows(span, Some(rate), protocol);
    }
    let path = format!("/v{protocol}/traces");
    for request in session.requests() {
        assert!(request.url.ends_with(&path), "{request:?}");
    }
}

/// Makes traces of one span, and sends them.
fn make(client: &DDClient, name: &'static str, service: &str, count: u64) {
    for _ in 0..count {
        client.trace(name).set_service(service);
    }
    assert_eq!(client.flush(LIMIT).delivered, count);
}

fn spans(session: &Session) -> Vec<Value> {
    let traces = session.traces();
    let spans = traces.iter().flat_map(|trace| trace.as_array().unwrap());
    spans.cloned().collect()
}

/// The trace is kept if the rate says so of its id, and its first span says why.
fn assert_follows(span: &Value, rate: Option<f64>, protocol: TraceProtocol) {
    let id = span["trace_id"].as_u64().unwrap();
    // Knuth's factor, the same in all clients of Datadog (dd-trace-go: `ddtrace/tracer/sampler.go`).
    let hash = id.wrapping_mul(1_111_111_111_111_111_111);
    let kept = rate.is_none_or(|rate| rate > 0.0 && hash <= (rate * u64::MAX as f64) as u64);
    let priority = if kept { 1.0 } else { 0.0 };
    let (texts, numbers) = (&span["meta"], &span["metrics"]);
    assert_eq!(numbers["_sampling_priority_v1"], priority, "{span:#}");
    assert_eq!(numbers["_dd.agent_psr"].as_f64(), rate, "{span:#}");
    let maker = match (kept, rate, protocol) {
        (false, ..) => None,
        (true, Some(_), _) => Some("-1"),
        (true, None, TraceProtocol::V04) => Some("-0"),
        // The agent reads 0 as none (dd-apm-test-agent: `ddapm_test_agent/trace.py`).
        (true, None, _) => None,
    };
    assert_eq!(texts["_dd.p.dm"].as_str(), maker, "{span:#}");
    let rate = rate.map(|rate| rate.to_string());
    assert_eq!(texts["_dd.p.ksr"].as_str(), rate.as_deref(), "{span:#}");
}
