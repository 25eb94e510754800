//! Spans that leave their thread: contexts, detached spans, futures, and traces that end in parts.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::cell::RefCell;
use std::thread;
use std::time::Duration;

use common::{LIMIT, assert_balanced, config, named, parent, start};
use datadog_local_agent::LocalAgent;
use datadog_trace::Span;
use datadog_transport::{DropReason, context};

#[test]
fn children_on_other_threads_are_of_the_same_trace_and_chunk() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let mut root = tracer.trace("root");
    root.set_service("front");
    let context = root.context().unwrap();
    assert_eq!(
        (context.trace_id(), context.span_id()),
        (root.trace_id(), root.span_id())
    );
    thread::scope(|scope| {
        for name in ["one", "two"] {
            let (tracer, context) = (&tracer, &context);
            scope.spawn(move || {
                let _child = tracer.trace_from(context, name);
                tracer.traced(format!("{name}.inner"), |_| ());
            });
        }
    });
    assert_eq!(
        tracer.flush(LIMIT).delivered,
        0,
        "the trace is not at its end"
    );
    root.finish();
    assert_eq!(tracer.flush(LIMIT).delivered, 5);
    let spans = agent.spans();
    assert_eq!(agent.traces().len(), 1);
    assert_eq!(parent(&spans, "one"), Some("root"));
    assert_eq!(parent(&spans, "two"), Some("root"));
    assert_eq!(parent(&spans, "one.inner"), Some("one"));
    assert_eq!(parent(&spans, "two.inner"), Some("two"));
    assert!(spans.iter().all(|span| span.service == "front"));
    assert_eq!(spans[0].name, "root");

    tracer.trace_from(&context, "late").finish();
    assert_eq!(tracer.flush(LIMIT).delivered, 1);
    let late = &agent.traces()[1].spans[0];
    assert_eq!(
        (late.parent_id, late.trace_id),
        (context.span_id(), context.trace_id() as u64)
    );
    assert_eq!(late.metrics["_sampling_priority_v1"], 1.0);
    assert_balanced(&tracer.health());
}

#[test]
fn a_detached_span_goes_on_and_ends_on_another_thread() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let root = tracer.trace("root").detach();
    assert_eq!(context::active(), None);
    tracer.traced("unrelated", |_| ());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut root = root.attach();
            assert_eq!(context::active().unwrap().span_id, root.span_id());
            root.set_tag("thread", "other");
            tracer.traced("child", |_| ());
            let child = tracer.trace("detached child").detach();
            let context = child.context().unwrap();
            scope.spawn(move || child.finish());
            root.finish();
            assert_eq!(context::active(), None);
            assert_ne!(context.span_id(), 0);
        });
    });
    assert_eq!(tracer.flush(LIMIT).delivered, 4);
    let spans = agent.spans();
    assert_eq!(parent(&spans, "unrelated"), None);
    assert_eq!(parent(&spans, "child"), Some("root"));
    assert_eq!(parent(&spans, "detached child"), Some("root"));
    assert_eq!(named(&spans, "root").meta["thread"], "other");
    assert_eq!(agent.traces().len(), 2);
}

#[test]
fn with_tracing_off_everything_is_empty() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()).tracing_enabled(false));
    let span = tracer.trace("nothing");
    assert!(span.context().is_none() && tracer.active_span().is_none());
    let detached = span.detach();
    assert_eq!(
        (detached.span_id(), detached.context().is_none()),
        (0, true)
    );
    detached.attach().finish();
}

/// Waits once, and is woken by another thread.
#[test]
fn a_long_trace_is_sent_in_parts() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(
        config(&agent.url())
            .partial_flush_enabled(true)
            .partial_flush_min_spans(10)
            .tracing_sampling_rules([("shop", "test", 1.0)]),
    );
    let mut root = tracer.trace("root");
    root.set_resource("GET /");
    for at in 0..25 {
        tracer.traced(format!("child {at}"), |span| {
            if at == 7 {
                span.set_service("db");
            }
        });
    }
    assert_eq!(tracer.flush(LIMIT).delivered, 20, "the root is still open");
    root.finish();
    assert_eq!(tracer.flush(LIMIT).delivered, 6);
    let traces = agent.traces();
    let sizes: Vec<usize> = traces.iter().map(|chunk| chunk.spans.len()).collect();
    assert_eq!(sizes, [10, 10, 6]);
    for chunk in &traces {
        let first = &chunk.spans[0];
        assert_eq!(first.metrics["_sampling_priority_v1"], 2.0);
        assert_eq!(first.meta["_dd.p.dm"], "-3");
        assert!(first.meta.contains_key("_dd.p.tid") && first.meta.contains_key("runtime-id"));
        for span in &chunk.spans {
            let top_level = ["root", "child 7"].contains(&&*span.name);
            assert_eq!(
                span.metrics.contains_key("_dd.top_level"),
                top_level,
                "{}",
                span.name
            );
            assert_eq!(
                span.metrics.contains_key("_dd.rule_psr"),
                span.name == "root"
            );
        }
    }
    assert_eq!(traces[2].spans[0].name, "root");
}

#[test]
fn finished_spans_of_unfinished_traces_have_a_bound() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let roots: Vec<_> = (0..100).map(|_| tracer.trace("root").detach()).collect();
    // 20 MB of children wait for their roots, as long as there is room.
    for root in roots.iter().chain(&roots) {
        let context = root.context().unwrap();
        tracer
            .trace_from(&context, "child")
            .set_tag("payload", "x".repeat(100_000));
        // So that the queue, which has a bound of its own, does not fill up on a busy machine.
        tracer.flush(LIMIT);
    }
    let sent = tracer.health().total().delivered;
    assert!(
        (50..180).contains(&sent),
        "a quarter of 30 MiB is for about 75 of 200: {sent}"
    );
    drop(roots);
    tracer.flush(LIMIT);
    assert_eq!(
        tracer.health().total().delivered,
        300,
        "nothing is lost by it"
    );
    assert_balanced(&tracer.health());
}

#[test]
fn finished_spans_wait_for_others_within_the_memory_that_is_configured() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()).tracing_buffer_bytes(400_000));
    let root = tracer.trace("root").detach();
    let context = root.context().unwrap();
    for (bytes, waiting) in [(60_000, 1), (60_000, 0), (60_000, 1)] {
        let mut child = tracer.trace_from(&context, "child");
        child.set_tag("payload", "x".repeat(bytes));
        child.finish();
        tracer.flush(LIMIT);
        assert_eq!(tracer.health().total().buffered, waiting);
        assert_balanced(&tracer.health());
    }
    root.finish();
    assert_eq!(tracer.flush(LIMIT).delivered, 2);
    let health = tracer.health().total();
    assert_eq!((health.accepted, health.delivered), (4, 4), "{health:?}");
}

#[test]
fn finished_spans_of_a_trace_that_never_ends_are_sent_when_the_tracer_ends() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let open = tracer.traced("root", |_root| {
        (0..3).for_each(|_| tracer.trace("child").finish());
        tracer.trace("open").detach()
    });
    let report = tracer.flush(LIMIT);
    assert_eq!((report.delivered, report.buffered), (0, 4));
    assert_balanced(&tracer.health());
    assert_eq!(tracer.shutdown(LIMIT).delivered, 4);
    assert_eq!(agent.spans().len(), 4);
    assert_balanced(&tracer.health());
    // Children that end now don't wait any more.
    let context = open.context().unwrap();
    tracer.trace_from(&context, "late").finish();
    open.finish();
    let health = tracer.health().total();
    assert_eq!((health.accepted, health.buffered), (6, 0), "{health:?}");
    assert_eq!(health.dropped.get(DropReason::Shutdown), 2);
}

#[test]
fn what_waits_for_others_and_can_not_be_sent_in_the_end_is_counted() {
    let tracer = start(config("http://127.0.0.1:9"));
    let open = tracer.traced("root", |_root| tracer.trace("open").detach());
    assert_eq!(tracer.shutdown(LIMIT).dropped.get(DropReason::Shutdown), 1);
    drop(open);
    assert_balanced(&tracer.health());
}

#[test]
fn a_thread_that_ends_brings_its_finished_spans() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    thread::scope(|scope| {
        scope.spawn(|| {
            std::mem::forget(tracer.trace("forgotten"));
            tracer.traced("finished", |_| ());
        });
    });
    agent
        .wait_for(Duration::from_secs(5), |got| got.spans().count() == 1)
        .unwrap();
    assert_eq!(agent.spans()[0].name, "finished");
    assert_balanced(&tracer.health());
}

#[test]
fn spans_in_thread_locals_end_with_their_thread() {
    thread_local! {
        static OPEN: RefCell<Vec<Span>> = const { RefCell::new(Vec::new()) };
    }
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let other = (*tracer).clone();
    // To be waited for: a scope does not wait for what is dropped at the end of a thread.
    let thread = thread::spawn(move || {
        // Before anything of the tracer's, hence it goes after it.
        OPEN.with_borrow_mut(|open| {
            open.push(other.trace("root"));
            open.push(other.trace("child"));
        });
        other.trace("grandchild").finish();
    });
    thread.join().unwrap();
    assert_eq!(tracer.flush(LIMIT).delivered, 3);
    let spans = agent.spans();
    assert_eq!(parent(&spans, "grandchild"), Some("child"));
    assert_eq!(parent(&spans, "child"), Some("root"));
    assert_balanced(&tracer.health());
}

#[test]
fn every_span_is_accounted_for_whatever_threads_do() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(
        config(&agent.url())
            .partial_flush_enabled(true)
            .partial_flush_min_spans(7),
    );
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let root = tracer.trace("root");
                    let context = root.context().unwrap();
                    let detached = tracer.trace("detached").detach();
                    thread::scope(|inner| {
                        inner.spawn(|| {
                            for _ in 0..10 {
                                let _child = tracer.trace_from(&context, "child");
                                tracer.trace("grandchild").finish();
                            }
                        });
                        inner.spawn(move || detached.finish());
                        (0..10).for_each(|_| tracer.trace("own child").finish());
                    });
                }
            });
        }
    });
    tracer.flush(LIMIT);
    assert_balanced(&tracer.health());
    assert_eq!(tracer.health().total().delivered, 4 * 50 * 32);
    let spans = agent.spans();
    let ids: std::collections::HashSet<u64> = spans.iter().map(|span| span.span_id).collect();
    assert_eq!(ids.len(), 4 * 50 * 32);
    assert!(agent.traces().iter().all(|chunk| chunk.spans.len() < 20));
}

#[test]
fn what_waits_for_others_of_its_trace_is_no_more_than_can_be_sent() {
    const SPANS: u64 = 24;
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()).tracing_buffer_bytes(1 << 28));
    let root = tracer.trace("root");
    let context = root.context().unwrap();
    thread::scope(|scope| {
        for _ in 0..SPANS {
            scope.spawn(|| {
                let mut large = tracer.trace_from(&context, "large");
                large.set_tag("text", "x".repeat((1 << 20) - 4096));
            });
        }
    });
    let sent = tracer.flush(LIMIT).delivered;
    assert!(sent > 0 && sent < SPANS, "{sent}");
    root.finish();
    tracer.flush(LIMIT);
    let health = tracer.health();
    assert_eq!(health.total().delivered, SPANS + 1, "{health}");
    assert_balanced(&health);
}
