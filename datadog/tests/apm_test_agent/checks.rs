//! The agent's checks bite: without that, passing them would prove nothing.

use std::time::{Duration, Instant};

use serde_json::json;
use ureq::SendBody;

use crate::session::Session;

/// The checks that `cargo xtask test` switches on (dd-apm-test-agent: `ddapm_test_agent/trace_checks.py`).
pub(crate) const CHECKS: [&str; 5] = [
    "trace_count_header",
    "meta_tracer_version_header",
    "trace_content_length",
    "trace_stall",
    "meta_events_is_valid_json",
];

const JSON: (&str, &str) = ("Content-Type", "application/json");
const VERSION: (&str, &str) = ("Datadog-Meta-Tracer-Version", "1.2.3");
const ONE_TRACE: (&str, &str) = ("X-Datadog-Trace-Count", "1");

#[test]
fn the_agent_refuses_requests_that_fail_its_checks() {
    let Some(session) = Session::start("the_agent_refuses_requests_that_fail_its_checks") else {
        return;
    };
    let good = trace_with_events("[]");
    let two_traces = ("X-Datadog-Trace-Count", "2");
    let bad_events = trace_with_events("no list");
    for (check, headers, body) in [
        (
            "trace_count_header",
            &[JSON, VERSION, two_traces][..],
            &good,
        ),
        ("trace_count_header", &[JSON, VERSION], &good),
        ("meta_tracer_version_header", &[JSON, ONE_TRACE], &good),
        (
            "meta_events_is_valid_json",
            &[JSON, VERSION, ONE_TRACE],
            &bad_events,
        ),
    ] {
        assert_refused(&session, check, session.post_traces(headers, body.as_str()));
    }
    // The same without a flaw passes.
    let (status, text) = session.post_traces(&[JSON, VERSION, ONE_TRACE], good.as_str());
    assert_eq!(status, 200, "{text}");
}

#[test]
fn the_agent_refuses_bodies_of_unknown_length() {
    let Some(session) = Session::start("the_agent_refuses_bodies_of_unknown_length") else {
        return;
    };
    let body = trace_with_events("[]");
    let mut reader = body.as_bytes();
    let (status, text) = session.post_traces(
        &[JSON, VERSION, ONE_TRACE],
        SendBody::from_reader(&mut reader),
    );
    let reason = "Check 'trace_content_length' failed";
    assert!(status == 400 && text.contains(reason), "{status} {text}");
}

#[test]
fn the_agent_can_stall_a_request() {
    let Some(session) = Session::start("the_agent_can_stall_a_request") else {
        return;
    };
    let stall = ("X-Datadog-Test-Stall-Seconds", "0.2");
    let started = Instant::now();
    let (status, text) = session.post_traces(
        &[JSON, VERSION, ONE_TRACE, stall],
        trace_with_events("[]").as_str(),
    );
    assert_eq!(status, 200, "{text}");
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[test]
fn the_agent_refuses_what_is_no_trace() {
    let Some(session) = Session::start("the_agent_refuses_what_is_no_trace") else {
        return;
    };
    let nameless = json!([[{"trace_id": 1, "span_id": 2}]]).to_string();
    let (status, _) = session.post_traces(&[JSON, VERSION, ONE_TRACE], nameless.as_str());
    assert_eq!(status, 400);
}

/// The answer, and what the agent keeps of it, name the check.
fn assert_refused(session: &Session, check: &str, (status, text): (u16, String)) {
    let reason = format!("Check '{check}' failed");
    assert!(
        status == 400 && text.contains(&reason),
        "{check}: {status} {text}"
    );
    let (failed, words) = session.failed_checks();
    assert!(failed && words.contains(&reason), "{check}: {words}");
    session.clear();
}

/// One trace of one span, as JSON, with this text as its events.
fn trace_with_events(events: &str) -> String {
    let span =
        json!({"trace_id": 1, "span_id": 2, "name": "hand.made", "meta": {"events": events}});
    json!([[span]]).to_string()
}
