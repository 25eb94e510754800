//! Spans that are active on no thread, or wherever they are made so.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::thread;

use common::{LIMIT, assert_balanced, config, named, parent, start};
use datadog_local_agent::LocalAgent;
use datadog_trace::{Parent, SpanContext, SpanKeys, TagValue};

#[test]
fn a_detached_span_is_active_wherever_it_is_made_so() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let mut span = tracer.trace_detached(Parent::Active, "bridged");
    assert!(tracer.active_span().is_none());
    span.edit(|span| {
        span.set_tag("early", 1).set_service("cart");
    });
    let alone = tracer.trace_detached(Parent::Root, "alone");
    span.activate();
    thread::scope(|scope| {
        scope.spawn(|| {
            span.activate();
            tracer.trace("elsewhere").finish();
            span.deactivate();
            assert!(tracer.active_span().is_none());
        });
    });
    alone.activate();
    // Out of order, as guards of different values may be dropped.
    let outer = tracer.trace_detached(Parent::Active, "of alone");
    span.deactivate();
    tracer.trace("of alone too").finish();
    alone.deactivate();
    // Twice is fine.
    span.activate();
    span.activate();
    span.deactivate();
    let child = tracer.trace_detached(Parent::Active, "child");
    span.deactivate();
    span.deactivate();
    assert!(tracer.active_span().is_none());
    let context = span.context().unwrap();
    let from = tracer.trace_detached(Parent::Of(&context), "from");
    span.edit(|span| {
        span.set_name("renamed").set_resource("GET /");
    });
    drop((child, outer, from, alone, span));
    tracer.flush(LIMIT);
    let spans = agent.spans();
    for (child, expected) in [
        ("renamed", None),
        ("alone", None),
        ("elsewhere", Some("renamed")),
        ("of alone", Some("alone")),
        ("of alone too", Some("alone")),
        ("child", Some("renamed")),
        ("from", Some("renamed")),
    ] {
        assert_eq!(parent(&spans, child), expected, "{child}");
    }
    let renamed = named(&spans, "renamed");
    assert_eq!((&*renamed.service, &*renamed.resource), ("cart", "GET /"));
    assert_eq!(renamed.metrics["early"], 1.0);
    assert_eq!(spans.len(), 7);
    assert_balanced(&tracer.health());
}

#[test]
fn a_span_that_ends_is_active_no_more() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    tracer.traced("outer", |_outer| {
        for parent in [Parent::Root, Parent::Active] {
            let span = tracer.trace_detached(parent, "left early");
            span.activate();
            span.activate();
            let child = tracer.trace("child");
            drop(span);
            child.finish();
            tracer.trace("next").finish();
        }
    });
    assert!(tracer.active_span().is_none());
    assert_eq!(tracer.flush(LIMIT).delivered, 7);
    let spans = agent.spans();
    let outer = named(&spans, "outer").span_id;
    let mut next = spans.iter().filter(|span| span.name == "next");
    assert!(next.all(|span| span.parent_id == outer));
    assert_balanced(&tracer.health());
}

#[test]
fn a_key_finds_what_was_started_last_or_is_active_here() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let active = || tracer.active_span().map(|span| span.span_id());
    let (keys, others) = (SpanKeys::new(), SpanKeys::default());
    let child = |name, key| tracer.trace_child(name, Some(key)).unwrap();
    assert!(tracer.trace_child("of none", Some(keys.of(1))).is_none());
    let first = tracer.trace_detached(Parent::Active, "first");
    assert!(!keys.of(1).activate(), "it started a trace");
    first.activate_as(keys.of(1));
    let second = child("second", keys.of(2));
    assert!(!keys.of(1).activate() && !others.of(2).activate());
    assert!(keys.of(2).activate());
    assert_eq!(active(), Some(second.span_id()));
    assert!(!keys.of(2).activate(), "it is active already");
    others.of(2).deactivate();
    // Out of order, with a span of another kind in between.
    let third = child("third", keys.of(3));
    let between = tracer.trace("between");
    assert!(!keys.of(3).activate(), "another one started");
    third.activate_as(keys.of(3));
    keys.of(2).deactivate();
    assert_eq!(active(), Some(third.span_id()));
    keys.of(3).deactivate();
    keys.of(3).deactivate();
    assert_eq!(active(), Some(between.span_id()));
    between.finish();
    // With a service it has to be looked for.
    let mut fourth = tracer.trace("fourth");
    fourth.set_service("cart");
    let fifth = child("fifth", keys.of(5));
    assert!(!keys.of(5).activate());
    fifth.activate_as(keys.of(5));
    tracer.trace("sixth").finish();
    keys.of(5).deactivate();
    fourth.finish();
    // The trace that it belongs to has gone from this thread.
    let seventh = child("seventh", keys.of(7));
    keys.of(1).deactivate();
    assert!(!keys.of(7).activate() && active().is_none());
    drop((first, second, third, fifth, seventh));
    tracer.flush(LIMIT);
    let spans = agent.spans();
    for (child, expected) in [
        ("first", None),
        ("second", Some("first")),
        ("third", Some("second")),
        ("between", Some("second")),
        ("fourth", Some("first")),
        ("fifth", Some("fourth")),
        ("sixth", Some("fifth")),
        ("seventh", Some("first")),
    ] {
        assert_eq!(parent(&spans, child), expected, "{child}");
    }
    let of_cart = spans.iter().filter(|span| span.service == "cart").count();
    assert_eq!((spans.len(), of_cart, agent.traces().len()), (8, 3, 1));
    assert_balanced(&tracer.health());
}

#[test]
fn a_key_makes_a_span_active_that_another_library_s_is_within() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let active = || tracer.active_span().map(|span| span.span_id());
    let keys = SpanKeys::new();
    let request = tracer.trace_detached(Parent::Root, "request");
    let context = request.context().unwrap();
    assert!(
        !keys
            .of(1)
            .activate_within(&SpanContext::from_ids(1, 2, None))
    );
    let other = tracer.trace("other");
    assert!(
        keys.of(1).activate_within(&context),
        "another trace is active"
    );
    assert!(keys.of(1).activate_within(&context), "twice");
    assert_eq!(active(), Some(request.span_id()));
    assert!(!keys.of(2).activate_within(&context), "its trace is active");
    keys.of(2).deactivate();
    // Its own key, and out of order.
    request.activate_as(keys.of(3));
    keys.of(1).deactivate();
    keys.of(1).deactivate();
    assert_eq!(active(), Some(request.span_id()));
    keys.of(3).deactivate();
    assert_eq!(active(), Some(other.span_id()));
    other.finish();
    drop(request);
    // A trace that is over goes on.
    assert!(keys.of(1).activate_within(&context));
    tracer.trace("late").finish();
    keys.of(1).deactivate();
    assert_eq!(active(), None);
    tracer.flush(LIMIT);
    let spans = agent.spans();
    assert_eq!(parent(&spans, "late"), Some("request"));
    assert_eq!((spans.len(), agent.traces().len()), (3, 3));
    assert_balanced(&tracer.health());
}

#[test]
fn a_trace_waits_for_detached_children_however_many_ended_before() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let root = tracer.trace("root");
    let child = || tracer.trace_detached(Parent::Active, "child");
    drop(child());
    let (late, early) = (child(), child());
    drop(early);
    drop((child(), child()));
    root.finish();
    tracer.flush(LIMIT);
    assert!(agent.spans().is_empty(), "one is still open");
    thread::scope(|scope| _ = scope.spawn(|| drop(late)));
    tracer.flush(LIMIT);
    assert_eq!((agent.spans().len(), agent.traces().len()), (6, 1));
    assert_balanced(&tracer.health());
}

#[test]
fn tags_at_the_end_are_tags_as_any() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let tags = || {
        let ratio = ("ratio", TagValue::from(f64::INFINITY));
        [("route", "/cart".into()), ("items", 3.into()), ratio].into_iter()
    };
    let root = tracer.trace_detached(Parent::Active, "root");
    root.activate();
    let mut child = tracer.trace_detached(Parent::Active, "child");
    child.edit(|span| {
        span.set_tag("early", "yes")
            .set_resource("GET /".to_owned());
    });
    child.finish_with(tags());
    root.deactivate();
    // Its parent's segment is not there any more.
    let context = root.context().unwrap();
    tracer
        .trace_detached(Parent::Of(&context), "late")
        .finish_with(tags());
    root.finish_with(tags());
    tracer.flush(LIMIT);
    let spans = agent.spans();
    for name in ["root", "child", "late"] {
        let span = named(&spans, name);
        assert_eq!(
            (&*span.meta["route"], span.metrics["items"]),
            ("/cart", 3.0)
        );
        assert_eq!(span.meta["ratio"], "inf", "{name}");
    }
    let child = named(&spans, "child");
    assert_eq!((&*child.meta["early"], &*child.resource), ("yes", "GET /"));
    assert_eq!((spans.len(), agent.traces().len()), (3, 1));
}

#[test]
fn many_detached_spans_of_one_trace_go_in_parts() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()).partial_flush_min_spans(10));
    let root = tracer.trace("root");
    for _ in 0..25 {
        drop(tracer.trace_detached(Parent::Active, "step"));
    }
    tracer.flush(LIMIT);
    assert_eq!(agent.spans().len(), 20);
    root.finish();
    tracer.flush(LIMIT);
    assert_eq!(agent.spans().len(), 26);
}
