//! Which version of the traces endpoint is used, and what becomes of traces when that changes.

mod common;

use common::{LIMIT, assert_balanced, config, start, trace_paths};
use datadog_config::TraceProtocol;
use datadog_local_agent::{Endpoint, Fault, LocalAgent};
use datadog_trace::Tracer;
use datadog_transport::{DropReason, Standalone};
use serde_json::json;

const V10: &str = "/v1.0/traces";
const V04: &str = "/v0.4/traces";
const V03: &str = "/v0.3/traces";

/// Makes `/info` say which versions there are.
fn list(agent: &LocalAgent, paths: &[&str]) {
    agent.set_info([("endpoints", json!(paths))]);
}

/// A tracer that has read `/info`.
fn start_informed(agent: &LocalAgent) -> Standalone<Tracer> {
    let tracer = start(config(&agent.url()));
    inform(&tracer);
    tracer
}

/// Where nothing waits, a flush reads `/info` if that may have changed.
fn inform(tracer: &Standalone<Tracer>) {
    tracer.flush(LIMIT);
}

fn make(tracer: &Standalone<Tracer>, name: &'static str) {
    tracer.traced(name, |span| {
        span.set_tag("http.method", "GET");
        tracer.traced("child", |_| ());
    });
}

/// That all spans arrived, and each once.
fn assert_all_once(agent: &LocalAgent, tracer: &Standalone<Tracer>, spans: u64) {
    let mut ids: Vec<u64> = agent.spans().iter().map(|span| span.span_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(
        (agent.spans().len() as u64, ids.len() as u64),
        (spans, spans)
    );
    let health = tracer.health();
    assert_eq!(
        (health.total().delivered, health.total().accepted),
        (spans, spans)
    );
    assert_balanced(&health);
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
}

#[test]
fn v10_is_used_where_info_lists_it_and_the_option_allows_it() {
    for (listed, option, path) in [
        (true, None, V10),
        (true, Some(TraceProtocol::V10), V10),
        (true, Some(TraceProtocol::V04), V04),
        (false, None, V04),
    ] {
        let agent = LocalAgent::start().unwrap();
        if listed {
            list(&agent, &[V04, V10]);
        }
        let mut builder = config(&agent.url());
        if let Some(option) = option {
            builder = builder.tracing_protocol(option);
        }
        let tracer = start(builder);
        inform(&tracer);
        make(&tracer, "web.request");
        tracer.flush(LIMIT);
        assert_eq!(trace_paths(&agent), [path], "{listed} {option:?}");
        assert_all_once(&agent, &tracer, 2);
        let spans = agent.spans();
        let root = common::named(&spans, "web.request");
        for (tag, value) in [
            ("language", "rust"),
            ("env", "test"),
            ("version", "1.2.3"),
            ("team", "checkout"),
            ("http.method", "GET"),
            ("_sampling_priority_v1", "1"),
        ] {
            assert_eq!(root.tag(tag).as_deref(), Some(value), "{tag} by {path}");
        }
        assert!(root.tag("runtime-id").is_some() && root.trace_id_high != 0);
    }
}

#[test]
fn agents_that_lose_the_language_in_statistics_of_v10_get_v04_unless_those_are_computed_here() {
    for (version, stats, path) in [
        ("7.72.4", false, V10),
        ("7.73.0", false, V04),
        ("7.78.2-rc.1", false, V04),
        ("7.77.0", true, V10),
        ("7.79.0", false, V10),
        ("7.8.0", false, V10),
        ("exporter-7.77.0", false, V10),
    ] {
        let agent = LocalAgent::start().unwrap();
        agent.set_info([
            ("version", json!(version)),
            ("endpoints", json!([V04, V10, "/v0.6/stats"])),
            ("client_drop_p0s", json!(true)),
        ]);
        let tracer = start(config(&agent.url()).stats_computation_enabled(stats));
        inform(&tracer);
        make(&tracer, "web.request");
        tracer.flush(LIMIT);
        assert_eq!(trace_paths(&agent), [path], "{version} {stats}");
        assert_all_once(&agent, &tracer, 2);
    }
}

#[test]
fn an_agent_that_does_not_take_v10_after_all_gets_the_same_traces_as_v04() {
    for status in [404, 415] {
        let agent = LocalAgent::start().unwrap();
        list(&agent, &[V04, V10]);
        agent.fail_endpoint(Endpoint::TracesV10, Fault::Status(status));
        let tracer = start_informed(&agent);
        for name in ["first", "second"] {
            make(&tracer, name);
            assert!(tracer.flush(LIMIT).complete);
        }
        assert_eq!(trace_paths(&agent), [V10, V04, V04]);
        assert_all_once(&agent, &tracer, 4);
        let total = tracer.health().total();
        assert_eq!((total.requests, total.retries), (3, 1));
        // Once it says something new, it is believed.
        agent.heal();
        agent.set_info([("version", json!("newer"))]);
        make(&tracer, "third");
        tracer.flush(LIMIT);
        inform(&tracer);
        make(&tracer, "fourth");
        tracer.flush(LIMIT);
        assert_eq!(trace_paths(&agent)[3..], [V04, V10]);
        assert_all_once(&agent, &tracer, 8);
    }
}

#[test]
fn an_agent_that_knows_v03_alone_gets_there_by_two_steps() {
    let agent = LocalAgent::start().unwrap();
    list(&agent, &[V10]);
    agent.fail_endpoint(Endpoint::TracesV10, Fault::Status(404));
    agent.fail_endpoint(Endpoint::Traces, Fault::Status(404));
    let tracer = start_informed(&agent);
    make(&tracer, "first");
    tracer.flush(LIMIT);
    assert_eq!(trace_paths(&agent), [V10, V04, V03]);
    assert_all_once(&agent, &tracer, 2);
}

#[test]
fn what_waits_for_v10_goes_to_the_older_agent_in_its_place() {
    let agent = LocalAgent::start().unwrap();
    list(&agent, &[V04, V10]);
    let tracer = start_informed(&agent);
    agent.fail_endpoint(Endpoint::TracesV10, Fault::Status(503));
    for name in ["first", "second", "third"] {
        make(&tracer, name);
        assert_eq!(tracer.flush(LIMIT).delivered, 0);
    }
    assert_eq!(tracer.health().total().buffered, 6);
    assert!(agent.spans().is_empty());
    // It is replaced by one that neither lists v1.0 nor serves it.
    list(&agent, &[V04]);
    agent.heal();
    agent.fail_endpoint(Endpoint::TracesV10, Fault::Status(404));
    assert!(tracer.flush(LIMIT).complete);
    assert_all_once(&agent, &tracer, 6);
    let taken = trace_paths(&agent);
    assert!(
        taken.ends_with(&[V04.to_owned(), V04.to_owned(), V04.to_owned()]),
        "{taken:?}"
    );
    let trace_ids: std::collections::BTreeSet<u128> = agent
        .spans()
        .iter()
        .map(|span| span.trace_id_128())
        .collect();
    assert_eq!(trace_ids.len(), 3);
}

#[test]
fn what_is_too_large_as_v10_is_halved_as_v04() {
    let agent = LocalAgent::start().unwrap();
    list(&agent, &[V04, V10]);
    let tracer = start_informed(&agent);
    agent.fail_next(1, Endpoint::TracesV10, Fault::Status(413));
    agent.fail_next(1, Endpoint::Traces, Fault::Status(413));
    for _ in 0..4 {
        make(&tracer, "one of many");
    }
    assert!(tracer.flush(LIMIT).complete);
    assert_eq!(trace_paths(&agent), [V10, V04, V04, V04]);
    assert_all_once(&agent, &tracer, 8);
    make(&tracer, "small");
    tracer.flush(LIMIT);
    assert_eq!(
        trace_paths(&agent)[4..],
        [V10],
        "it is still the newest that it knows"
    );
    assert_all_once(&agent, &tracer, 10);
}

#[test]
fn a_refusal_of_v10_is_final_and_counted() {
    let agent = LocalAgent::start().unwrap();
    list(&agent, &[V04, V10]);
    let tracer = start_informed(&agent);
    agent.fail_next(1, Endpoint::TracesV10, Fault::Status(400));
    make(&tracer, "refused");
    tracer.flush(LIMIT);
    let total = tracer.health().total();
    assert_eq!(total.dropped.get(DropReason::Refused(400)), 2);
    assert_eq!(trace_paths(&agent), [V10]);
    assert_balanced(&tracer.health());
}
