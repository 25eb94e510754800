//! Traces that are shown while they run.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{LIMIT, assert_balanced, config, start};
use datadog_config::DDConfigBuilder;
use datadog_local_agent::{LocalAgent, Received, Span};
use serde_json::json;

/// The first time and every time after it: the worker looks once a second.
const SOON: Duration = Duration::from_millis(10);

fn shown(config: DDConfigBuilder) -> DDConfigBuilder {
    config
        .long_running_enabled(true)
        .long_running_initial_flush_interval(SOON)
        .long_running_flush_interval(SOON)
}

fn wait_for_span(agent: &LocalAgent, wanted: impl Fn(&Span) -> bool) {
    let arrived = |got: &Received| {
        let chunks = got.traces().iter();
        chunks.flat_map(|chunk| &chunk.spans).any(&wanted)
    };
    agent.wait_for(LIMIT * 4, arrived).unwrap();
}

fn version(span: &Span) -> Option<f64> {
    span.metrics.get("_dd.partial_version").copied()
}

#[test]
fn a_trace_that_runs_is_shown_as_it_is_so_far() {
    let agent = LocalAgent::start().unwrap();
    agent.set_info([("client_drop_p0s", json!(true))]);
    let tracer = start(shown(config(&agent.url())));
    tracer.flush(LIMIT);
    let mut root = tracer.trace("job");
    root.set_resource("nightly").set_tag("step", 1);
    tracer.trace("first child").finish();
    wait_for_span(&agent, |span| version(span).is_some());
    root.set_tag("step", 2);
    // What is finished goes with its thread's next span.
    tracer.trace("second child").finish();
    wait_for_span(&agent, |span| span.name == "second child");
    wait_for_span(&agent, |span| {
        version(span).is_some() && span.metrics["step"] == 2.0
    });
    root.finish();
    tracer.flush(LIMIT);

    let spans = agent.spans();
    let of_job = spans.iter().filter(|span| span.name == "job");
    let (shown, finished): (Vec<_>, Vec<_>) = of_job.partition(|span| version(span).is_some());
    assert!(shown.len() >= 2, "{shown:#?}");
    for pair in shown.windows(2) {
        assert!(version(pair[0]) < version(pair[1]));
        assert!(pair[0].duration_ns < pair[1].duration_ns);
    }
    let [finished] = finished[..] else {
        panic!("the span itself comes once: {finished:#?}");
    };
    assert_eq!(finished.metrics["_dd.was_long_running"], 1.0);
    assert_eq!(
        (finished.metrics["step"], &*finished.resource),
        (2.0, "nightly")
    );
    for span in &shown {
        assert_eq!(span.span_id, finished.span_id);
        // The clock is adjusted meanwhile.
        assert!(span.start_ns.abs_diff(finished.start_ns) < 10_000_000);
        assert!(span.duration_ns <= finished.duration_ns);
        assert_eq!(&*span.resource, "nightly");
    }
    let children = spans.iter().filter(|span| span.name.ends_with("child"));
    let children: Vec<_> = children
        .map(|child| {
            (
                child.parent_id,
                child.metrics.contains_key("_dd.was_long_running"),
            )
        })
        .collect();
    assert_eq!(children, [(finished.span_id, false); 2]);
    // Statistics count the span once.
    let hits: u64 = agent.stats_groups().iter().map(|group| group.hits).sum();
    assert_eq!(hits, 1);
    assert_balanced(&tracer.health());
}

#[test]
fn a_trace_is_shown_also_by_a_program_that_flushes_all_the_time() {
    let agent = LocalAgent::start().unwrap();
    agent.set_info([("client_drop_p0s", json!(true))]);
    let tracer = start(shown(config(&agent.url())));
    tracer.flush(LIMIT);
    let root = tracer.trace("job");
    let start = Instant::now();
    while !agent.spans().iter().any(|span| version(span).is_some()) {
        assert!(start.elapsed() < LIMIT * 4, "it is not shown");
        thread::sleep(Duration::from_millis(20));
        tracer.flush(LIMIT);
    }
    root.finish();
    tracer.flush(LIMIT);
    assert_balanced(&tracer.health());
}

#[test]
fn traces_that_are_not_kept_and_agents_that_dont_take_it_are_left_alone() {
    for (rate, takes) in [(0.0, true), (1.0, false)] {
        let agent = LocalAgent::start().unwrap();
        agent.set_info([("long_running_spans", json!(takes))]);
        let tracer = start(shown(config(&agent.url())).tracing_sample_rate(rate));
        tracer.flush(LIMIT);
        let root = tracer.trace("job");
        // What arrives without a flush, arrives after the worker looked what runs.
        for count in 1..=2 {
            thread::scope(|scope| {
                scope.spawn(|| tracer.trace("other").finish());
            });
            let arrived = |got: &Received| got.traces().len() == count;
            agent.wait_for(LIMIT * 4, arrived).unwrap();
        }
        root.finish();
        tracer.flush(LIMIT);
        let spans = agent.spans();
        assert!(
            spans.iter().all(|span| version(span).is_none()),
            "{spans:#?}"
        );
        let of_job = spans.iter().find(|span| span.name == "job").unwrap();
        assert!(!of_job.metrics.contains_key("_dd.was_long_running"));
    }
}
