//! Spans that leave their thread: contexts, detached spans, futures, and traces that end in parts.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use common::{LIMIT, assert_balanced, config, named, start};
use datadog_local_agent::{LocalAgent, Span as Received};
use datadog_trace::{FutureExt, Parent, SpanContext, SpanKeys, TagValue, Tracer};
use datadog_transport::{DropReason, context};
use parking_lot::Mutex;

fn parent<'a>(spans: &'a [Received], name: &str) -> Option<&'a str> {
    let id = named(spans, name).parent_id;
    let parent = spans.iter().find(|span| span.span_id == id)?;
    Some(&parent.name)
}

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
struct Pause(bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        let waker = task.waker().clone();
        thread::spawn(move || waker.wake());
        Poll::Pending
    }
}

fn pause() -> Pause {
    Pause(false)
}

#[test]
fn futures_keep_their_spans_apart_under_tokio() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    let request = |at: usize| {
        let tracer = tracer.clone();
        let root = tracer.trace(format!("request {at}"));
        let id = root.span_id();
        let work = async move {
            for step in 0..5 {
                assert_eq!(context::active().unwrap().span_id, id);
                let inner = tracer.trace(format!("step {at}.{step}")).detach();
                let inner_id = inner.span_id();
                let inner_work = async {
                    pause().await;
                    assert_eq!(context::active().unwrap().span_id, inner_id);
                    pause()
                        .in_span(tracer.trace(format!("leaf {at}.{step}")))
                        .await;
                };
                inner_work.in_span(inner).await;
                pause().await;
            }
        };
        work.in_span(root)
    };
    runtime.block_on(async {
        let tasks: Vec<_> = (0..20).map(|at| tokio::spawn(request(at))).collect();
        for task in tasks {
            task.await.unwrap();
            assert_eq!(context::active(), None);
        }
    });
    assert_eq!(tracer.flush(LIMIT).delivered, 20 * 11);
    assert_eq!(agent.traces().len(), 20);
    let spans = agent.spans();
    for at in 0..20 {
        for step in 0..5 {
            let (step, request) = (format!("step {at}.{step}"), format!("request {at}"));
            assert_eq!(parent(&spans, &step), Some(&*request));
            assert_eq!(parent(&spans, &step.replace("step", "leaf")), Some(&*step));
        }
    }
}

/// A small executor on one thread, for futures that are not `Send`.
struct Task {
    index: usize,
    ready: Mutex<SyncSender<usize>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let _ = self.ready.lock().send(self.index);
    }
}

fn run_all(mut futures: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>) {
    let (sender, ready): (_, Receiver<usize>) = sync_channel(1000);
    let mut left = futures.len();
    (0..left).for_each(|index| sender.send(index).unwrap());
    while left > 0 {
        let index = ready.recv().unwrap();
        let task = Task {
            index,
            ready: Mutex::new(sender.clone()),
        };
        let waker = Waker::from(Arc::new(task));
        let polled = futures[index]
            .as_mut()
            .poll(&mut Context::from_waker(&waker));
        left -= usize::from(polled.is_ready());
    }
}

#[test]
fn guards_may_be_held_across_awaits_on_one_thread() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let _outside = tracer.trace("outside");
    let outside = context::active();
    let request = |at: usize| {
        let tracer = &tracer;
        let work = async move {
            let guard = tracer.trace(format!("guard {at}"));
            pause().await;
            assert_eq!(context::active().unwrap().span_id, guard.span_id());
            tracer.traced(format!("leaf {at}"), |_| ());
            pause().await;
        };
        let future = work.in_span(tracer.trace(format!("request {at}")));
        Box::pin(future) as Pin<Box<dyn Future<Output = ()> + '_>>
    };
    run_all((0..10).map(request).collect());
    assert_eq!(context::active(), outside);
    let mut abandoned = request(10);
    let waker = Waker::from(Arc::new(Task {
        index: 0,
        ready: Mutex::new(sync_channel(1).0),
    }));
    assert!(
        abandoned
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(abandoned);
    assert_eq!(context::active(), outside);
    drop(_outside);
    assert_eq!(tracer.flush(LIMIT).delivered, 1 + 10 * 3 + 2);
    let spans = agent.spans();
    for at in 0..10 {
        let name = |kind| format!("{kind} {at}");
        assert_eq!(parent(&spans, &name("request")), Some("outside"));
        assert_eq!(parent(&spans, &name("guard")), Some(&*name("request")));
        assert_eq!(parent(&spans, &name("leaf")), Some(&*name("guard")));
    }
    assert_balanced(&tracer.health());
}

#[test]
fn while_a_future_waits_in_another_trace_its_own_is_not_shown() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let outside = tracer.trace("outside");
    let shown = context::active();
    let elsewhere = SpanContext::from_ids(7, 5, Some(true));
    let work = async {
        let _other = tracer.trace_from(&elsewhere, "other");
        pause().await;
        let active = context::active().unwrap();
        assert_eq!((active.trace_id, active.local_root_id), (7, active.span_id));
        tracer.traced("leaf", |_| ());
        assert_eq!(context::active(), Some(active));
    };
    let mut future = Box::pin(work.in_span(tracer.trace("request")));
    let mut poll = || {
        future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    };
    assert!(poll().is_pending());
    assert_eq!(context::active(), shown);
    assert!(poll().is_ready());
    assert_eq!(context::active(), shown);
    outside.finish();
    assert_eq!(context::active(), None);
}

#[test]
fn a_future_that_panics_or_returns_a_span_leaves_the_thread_as_it_was() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let mut failing =
        Box::pin(async { panic!("this test wants it") }.in_span(tracer.trace("panics")));
    let waker = Waker::noop();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        failing.as_mut().poll(&mut Context::from_waker(waker))
    }));
    assert!(outcome.is_err());
    drop(failing);
    assert_eq!(context::active(), None);
    let mut returning = Box::pin(async { tracer.trace("returned") }.in_span(tracer.trace("outer")));
    let Poll::Ready(returned) = returning.as_mut().poll(&mut Context::from_waker(waker)) else {
        panic!("nothing to wait for");
    };
    assert_eq!(context::active().unwrap().span_id, returned.span_id());
    returned.finish();
    assert_eq!(context::active(), None);
    assert_eq!(tracer.flush(LIMIT).delivered, 3);
    let spans = agent.spans();
    assert_eq!(named(&spans, "panics").meta["error.type"], "panic");
    assert_eq!(parent(&spans, "returned"), Some("outer"));
}

/// Tells in a span of its own that it is dropped.
struct Farewell<'a>(&'a Tracer, &'static str);

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        self.0.trace(self.1).finish();
    }
}

#[test]
fn what_a_future_does_while_it_is_given_up_belongs_to_its_span() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let mut task = Context::from_waker(Waker::noop());
    let never_polled = Farewell(&tracer, "never polled");
    let unused = std::future::ready(never_polled).in_span(tracer.trace("unused"));
    let mut request = Box::pin(
        async {
            let _early = Farewell(&tracer, "early");
            let _guard = tracer.trace("guard");
            let _late = Farewell(&tracer, "late");
            std::future::pending::<()>().await;
        }
        .in_span(tracer.trace("request")),
    );
    assert!(request.as_mut().poll(&mut task).is_pending());
    let outside = tracer.trace("outside");
    drop((unused, request));
    assert_eq!(context::active().unwrap().span_id, outside.span_id());
    outside.finish();
    assert_eq!(context::active(), None);
    tracer.flush(LIMIT);
    assert_balanced(&tracer.health());
    assert_eq!(agent.traces().len(), 3);
    let spans = agent.spans();
    for (span, expected) in [
        ("never polled", Some("unused")),
        ("early", Some("request")),
        ("guard", Some("request")),
        ("late", Some("guard")),
        ("outside", None),
    ] {
        assert_eq!(parent(&spans, span), expected, "{span}");
    }
}

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
