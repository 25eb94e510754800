//! Futures in spans.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use common::{LIMIT, assert_balanced, config, named, parent, start};
use datadog_local_agent::LocalAgent;
use datadog_trace::{FutureExt, Parent, Span, SpanContext, Tracer};
use datadog_transport::context;
use parking_lot::Mutex;

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
fn what_a_future_made_active_by_hand_does_not_outlast_its_wait() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let work = || {
        let inner = tracer.trace_detached(Parent::Root, "inner");
        let work = async move {
            inner.activate();
            pause().await;
            inner.deactivate();
        };
        let future: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(work.in_span(tracer.trace("request")));
        future
    };
    let poll = |future: &mut Pin<Box<dyn Future<Output = ()> + Send>>| {
        let mut task = Context::from_waker(Waker::noop());
        future.as_mut().poll(&mut task)
    };
    let (mut moved, mut given_up) = (work(), work());
    assert!(poll(&mut moved).is_pending() && poll(&mut given_up).is_pending());
    assert_eq!(context::active(), None);
    drop(given_up);
    assert_eq!(tracer.flush(LIMIT).delivered, 2);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _other = tracer.trace("other");
            let shown = context::active();
            assert!(poll(&mut moved).is_ready());
            assert_eq!(context::active(), shown);
            tracer.trace("child of the other").finish();
        });
    });
    drop(moved);
    assert_eq!(tracer.flush(LIMIT).delivered, 4);
    assert_eq!(parent(&agent.spans(), "child of the other"), Some("other"));
    assert_balanced(&tracer.health());
}

#[test]
fn spans_that_outlive_what_their_thread_keeps_of_them_arrive() {
    thread_local! {
        static KEPT: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
    }
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let ends = || {
        // The first that is used of a thread's own is dropped last.
        KEPT.with_borrow_mut(|kept| {
            kept.push(Box::new(tracer.trace("detached").detach()));
            let root = tracer.trace("root");
            kept.push(Box::new(tracer.trace("child").detach()));
            root.finish();
            let mut polled = Box::pin(pause().in_span(tracer.trace("polled")));
            let mut task = Context::from_waker(Waker::noop());
            assert!(polled.as_mut().poll(&mut task).is_pending());
            kept.push(Box::new(polled));
            kept.push(Box::new(pause().in_span(tracer.trace("never polled"))));
        });
    };
    thread::scope(|scope| {
        // To be waited for: a scope does not wait for what is dropped at the end of a thread.
        let _ = scope.spawn(ends).join();
    });
    assert_eq!(tracer.flush(LIMIT).delivered, 5);
    assert_balanced(&tracer.health());
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

#[test]
fn a_span_that_ends_while_its_future_waits_is_not_active_afterwards() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let (first, second) = (Cell::new(None), Cell::new(None));
    let work = async {
        first.set(Some(tracer.trace("first")));
        second.set(Some(tracer.trace("second")));
        Pause(false).await;
        tracer.trace("after both").finish();
    };
    let mut work = Box::pin(work.in_span(tracer.trace("outer")));
    let mut task = Context::from_waker(Waker::noop());
    assert!(work.as_mut().poll(&mut task).is_pending());
    drop(first.take());
    let detached = second.take().map(Span::detach);
    assert!(work.as_mut().poll(&mut task).is_ready());
    drop(detached);
    assert_eq!(context::active(), None);
    assert_eq!(tracer.flush(LIMIT).delivered, 4);
    assert_eq!(parent(&agent.spans(), "after both"), Some("outer"));
    assert_balanced(&tracer.health());
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
