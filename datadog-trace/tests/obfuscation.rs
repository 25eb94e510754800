//! What tags must not tell, where the agent says so.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{LIMIT, config, named, start};
use datadog_config::TraceProtocol;
use datadog_local_agent::{LocalAgent, Span};
use datadog_trace::{EventValue, SpanEvent};
use serde_json::{Value, json};

const URL: &str = "http://me:secret@shop/cart/17?card=4111111111111111";
const CARD: &str = "4111 1111 1111 1111";

/// What an agent with this `/info` gets.
fn sent<const N: usize>(info: [(&str, Value); N], protocol: TraceProtocol) -> Vec<Span> {
    let agent = LocalAgent::start().unwrap();
    agent.set_info([("endpoints", json!(["/v0.4/traces", "/v1.0/traces"]))]);
    agent.set_info(info);
    let tracer = start(config(&agent.url()).tracing_protocol(protocol));
    tracer.flush(LIMIT);
    {
        let mut web = tracer.trace("web");
        web.set_type("web").set_resource("GET /cart/?");
        for key in ["http.url", "other.url"] {
            web.set_tag(key, URL);
        }
        for key in ["card", "card.id", "account_id", "_card"] {
            web.set_tag(key, CARD);
        }
        let event = SpanEvent::new("paid").attribute("number", 4_111_111_111_111_111_i64);
        let cards = vec![CARD.into(), EventValue::Bool(true)];
        web.add_event(event.attribute("cards", EventValue::List(cards)));
        let mut job = tracer.trace("job");
        job.set_tag("http.url", URL);
    }
    tracer.flush(LIMIT);
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    agent.spans()
}

fn rules(rules: Value) -> (&'static str, Value) {
    ("config", json!({"obfuscation": rules}))
}

#[test]
fn tags_are_hidden_as_the_agent_says() {
    let asked = rules(json!({
        "http": {"remove_query_string": true},
        "credit_cards": {"enabled": true, "luhn": true, "keep_values": ["card.id"]},
    }));
    for protocol in [TraceProtocol::V04, TraceProtocol::V10] {
        let spans = sent([("obfuscation_version", json!(1)), asked.clone()], protocol);
        let web = named(&spans, "web");
        assert_eq!(web.meta["http.url"], "http://shop/cart/17?");
        assert_eq!(web.meta["other.url"], URL);
        assert_eq!(web.meta["card"], "?");
        for key in ["card.id", "account_id", "_card"] {
            assert_eq!(web.meta[key], CARD, "{key}");
        }
        let events = format!("{:?}{:?}", web.span_events, web.meta.get("events"));
        assert!(!events.contains("4111"), "{events}");
        assert_eq!(named(&spans, "job").meta["http.url"], URL);
    }
}

#[test]
fn statements_and_commands_leave_the_process_without_their_values() {
    let statement = "SELECT a FROM t WHERE b = 'secret'";
    let hidden = "SELECT a FROM t WHERE b = ?";
    for (version, is_hidden) in [(1, true), (0, false), (2, false)] {
        for protocol in [TraceProtocol::V04, TraceProtocol::V10] {
            let agent = LocalAgent::start().unwrap();
            agent.set_info([
                ("endpoints", json!(["/v0.4/traces", "/v1.0/traces"])),
                ("obfuscation_version", json!(version)),
            ]);
            let tracer = start(config(&agent.url()).tracing_protocol(protocol));
            tracer.flush(LIMIT);
            let cases = [
                ("sql", statement, hidden),
                ("cassandra", statement, hidden),
                ("sql", "SELECT 'secret", "'Non-parsable SQL query"),
                ("redis", "SET a secret\nGET secret", "SET\nGET"),
                ("web", statement, statement),
            ];
            tracer.traced("root", |_root| {
                for (at, (span_type, resource, _)) in cases.iter().enumerate() {
                    let mut span = tracer.trace(at.to_string());
                    span.set_type(*span_type).set_resource(*resource);
                    for key in ["sql.query", "other"] {
                        span.set_tag(key, statement);
                    }
                }
            });
            tracer.flush(LIMIT);
            assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
            let spans = agent.spans();
            for (at, (span_type, resource, sent)) in cases.iter().enumerate() {
                let span = named(&spans, &at.to_string());
                let expected = if is_hidden { sent } else { resource };
                assert_eq!(span.resource, *expected, "{span_type}, version {version}");
                let is_sql = matches!(*span_type, "sql" | "cassandra");
                let query = if is_hidden && is_sql {
                    hidden
                } else {
                    statement
                };
                assert_eq!(
                    span.meta["sql.query"], query,
                    "{span_type}, version {version}"
                );
                assert_eq!(span.meta["other"], statement);
            }
        }
    }
}

#[test]
fn nothing_is_hidden_that_the_agent_does_not_speak_of() {
    let cards = rules(json!({"credit_cards": {"enabled": true}}));
    let spans = sent([cards], TraceProtocol::V04);
    let web = named(&spans, "web");
    assert_eq!((&*web.meta["http.url"], &*web.meta["card"]), (URL, CARD));
    let off = rules(json!({"credit_cards": {"enabled": false}}));
    let spans = sent([("obfuscation_version", json!(1)), off], TraceProtocol::V04);
    let web = named(&spans, "web");
    assert_eq!(web.meta["http.url"], URL.replace("me:secret@", ""));
    assert_eq!(web.meta["card"], CARD);
    let spans = sent([("obfuscation_version", json!(1))], TraceProtocol::V04);
    assert_eq!(named(&spans, "web").meta["http.url"], URL);
}
