//! Traces as a strict agent receives them.

mod common;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use common::{LIMIT, assert_balanced, config, named, start, trace_paths, wait_for_info};
use datadog_local_agent::{Endpoint, Fault, LocalAgent, Span};
use datadog_trace::{Tracer, traced};
use datadog_transport::{DropReason, SignalKind, context};

#[test]
fn a_nested_trace_arrives_whole_over_tcp_and_over_a_unix_socket() {
    let agent = LocalAgent::start().unwrap();
    let socket = format!("unix://{}", agent.trace_socket().display());
    for url in [agent.url(), socket] {
        let tracer = start(config(&url));
        let trace_id;
        {
            let mut root = tracer.trace("web.request");
            trace_id = root.trace_id();
            root.set_resource("GET /cart").set_type("web");
            {
                let mut query = tracer.trace("postgres.query");
                query
                    .set_service("carts-db")
                    .set_tag("db.rows", 7)
                    .set_tag("db.cached", false);
                let error = "x".parse::<i32>().unwrap_err();
                query.set_error(&error);
            }
            tracer.traced("render", |span| {
                span.set_tag("template", "cart.html")
                    .set_tag("template", "cart2.html");
            });
        }
        assert_eq!(tracer.flush(LIMIT).delivered, 3, "{:?}", agent.refusals());

        let spans = agent.spans();
        let (root, query, render) = (
            named(&spans, "web.request"),
            named(&spans, "postgres.query"),
            named(&spans, "render"),
        );
        assert_eq!(
            agent.traces()[0].spans[0].name,
            "web.request",
            "the local root comes first"
        );
        assert_eq!(
            (root.parent_id, query.parent_id, render.parent_id),
            (0, root.span_id, root.span_id)
        );
        assert_eq!(root.trace_id_128(), trace_id);
        assert!(spans.iter().all(|span| span.trace_id == trace_id as u64));
        assert_eq!(
            root.meta.get("_dd.p.tid"),
            Some(&format!("{:016x}", (trace_id >> 64) as u64))
        );
        assert_eq!(
            (&*root.service, &*query.service, &*render.service),
            ("shop", "carts-db", "shop")
        );
        assert_eq!(
            (&*root.resource, &*render.resource),
            ("GET /cart", "render")
        );
        assert_eq!(root.type_, "web");
        for span in &spans {
            assert_eq!(span.meta.get("env").map(String::as_str), Some("test"));
            assert_eq!(span.meta.get("team").map(String::as_str), Some("checkout"));
        }
        let version = |span: &Span| span.meta.get("version").cloned();
        assert_eq!(
            (version(root), version(query)),
            (Some("1.2.3".to_owned()), None)
        );
        assert_eq!(
            query.meta.get("_dd.base_service").map(String::as_str),
            Some("shop")
        );
        assert_eq!(root.metrics.get("_sampling_priority_v1"), Some(&1.0));
        assert_eq!(root.meta.get("_dd.p.dm").map(String::as_str), Some("-0"));
        let top_level = |span: &Span| span.metrics.get("_dd.top_level").copied();
        assert_eq!(
            (top_level(root), top_level(query), top_level(render)),
            (Some(1.0), Some(1.0), None)
        );
        assert_eq!(query.metrics.get("db.rows"), Some(&7.0));
        assert_eq!(
            query.meta.get("db.cached").map(String::as_str),
            Some("false")
        );
        assert_eq!(
            render.meta.get("template").map(String::as_str),
            Some("cart2.html")
        );
        assert_eq!((root.error, query.error), (0, 1));
        assert_eq!(query.meta["error.type"], "core::num::error::ParseIntError");
        assert_eq!(query.meta["error.message"], "invalid digit found in string");
        assert!(
            root.start_ns <= query.start_ns
                && query.start_ns + query.duration_ns <= root.start_ns + root.duration_ns
        );
        agent.clear();
    }
}

#[test]
fn the_active_span_is_what_the_other_signals_see() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    assert_eq!(context::active(), None);
    let root = tracer.trace("outer");
    let seen = context::active().unwrap();
    assert_eq!(
        (seen.trace_id, seen.span_id, seen.local_root_id),
        (root.trace_id(), root.span_id(), root.span_id())
    );
    let child = tracer.trace("inner");
    let seen = context::active().unwrap();
    assert_eq!(
        (seen.span_id, seen.local_root_id),
        (child.span_id(), root.span_id())
    );
    child.finish();
    assert_eq!(context::active().unwrap().span_id, root.span_id());
    drop(root);
    assert_eq!(context::active(), None);
}

#[test]
fn spans_that_end_out_of_order_keep_their_parents() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let outer = tracer.trace("outer");
    let inner = tracer.trace("inner");
    drop(outer);
    let innermost = tracer.trace("innermost");
    drop(inner);
    drop(innermost);
    assert_eq!(context::active(), None);
    assert_eq!(tracer.flush(LIMIT).delivered, 3);
    let spans = agent.spans();
    assert_eq!(
        named(&spans, "innermost").parent_id,
        named(&spans, "inner").span_id
    );
    assert_eq!(
        agent.traces().len(),
        1,
        "a trace is sent when its last span ends"
    );
}

#[test]
fn each_thread_has_its_own_trace_and_each_client_its_own_spans() {
    let agent = LocalAgent::start().unwrap();
    let (one, other) = (
        start(config(&agent.url())),
        start(config(&agent.url()).service("other")),
    );
    let _outer = one.trace("one.outer");
    other.traced("other.root", |_| ());
    std::thread::scope(|scope| {
        scope.spawn(|| one.traced("one.thread", |_| ()));
    });
    one.traced("one.inner", |_| ());
    drop(_outer);
    one.flush(LIMIT);
    other.flush(LIMIT);
    let spans = agent.spans();
    assert_eq!(named(&spans, "other.root").parent_id, 0);
    assert_eq!(named(&spans, "one.thread").parent_id, 0);
    assert_eq!(
        named(&spans, "one.inner").parent_id,
        named(&spans, "one.outer").span_id
    );
    let traces: HashSet<u64> = spans.iter().map(|span| span.trace_id).collect();
    assert_eq!(traces.len(), 3);
}

#[test]
fn a_panic_marks_the_span_and_goes_on() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        tracer.traced("risky", |_| panic!("this test wants it"))
    }));
    assert!(outcome.is_err());
    tracer.flush(LIMIT);
    let span = &agent.spans()[0];
    assert_eq!((span.error, &*span.meta["error.type"]), (1, "panic"));
}

// In one line: a body that the attribute puts into a block must not be told to have needless braces.
#[rustfmt::skip]
#[deny(unused_braces)]
#[traced(crate = datadog_trace, tracer = tracer)]
fn numbers(tracer: &Tracer) -> impl Iterator<Item = u32> + use<> { 0..3 }

#[test]
fn a_traced_function_of_one_line_compiles_without_warnings() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    assert!(numbers(&tracer).eq(0..3));
    tracer.flush(LIMIT);
    assert_eq!(agent.spans()[0].name, "numbers");
}

#[test]
fn tracing_switched_off_makes_empty_spans() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()).tracing_enabled(false));
    let mut span = tracer.trace("nothing");
    span.set_tag("key", "value");
    assert_eq!(
        (span.trace_id(), span.span_id(), context::active()),
        (0, 0, None)
    );
    drop(span);
    assert_eq!(tracer.flush(LIMIT).delivered, 0);
    assert!(agent.requests().is_empty());
}

#[test]
fn what_the_program_sets_itself_wins_over_what_every_span_carries() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    tracer.traced("manual", |span| {
        span.set_tag("env", "mine")
            .set_tag("_sampling_priority_v1", 2)
            .set_tag("team", 5);
    });
    tracer.flush(LIMIT);
    let span = &agent.spans()[0];
    assert_eq!(
        (&*span.meta["env"], span.metrics["_sampling_priority_v1"]),
        ("mine", 2.0)
    );
    assert_eq!((span.metrics["team"], span.meta.get("team")), (5.0, None));
}

#[test]
fn ids_of_64_bits_and_the_hostname_are_options() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(
        config(&agent.url())
            .trace_id_128_bit_generation_enabled(false)
            .hostname("web-1")
            .report_hostname(true),
    );
    tracer.traced("narrow", |span| {
        assert!(span.trace_id() <= u128::from(u64::MAX))
    });
    tracer.flush(LIMIT);
    let span = &agent.spans()[0];
    assert_eq!(span.meta.get("_dd.p.tid"), None);
    assert_eq!(span.meta["_dd.hostname"], "web-1");
}

#[test]
fn without_an_agent_the_program_runs_at_full_speed_and_the_loss_is_counted() {
    let url = LocalAgent::start().unwrap().url();
    let tracer = start(config(&url));
    let start = Instant::now();
    for _ in 0..1000 {
        tracer.traced("work", |span| {
            span.set_tag("key", "value");
        });
    }
    let report = tracer.shutdown(Duration::from_secs(10));
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(report.dropped.get(DropReason::Shutdown), 1000);
    tracer.traced("late", |_| ());
    let health = tracer.health();
    assert_eq!(health.total().accepted, 1001);
    assert!(
        health
            .total()
            .last_error
            .unwrap()
            .message
            .contains("refused"),
        "{}",
        tracer.health()
    );
    assert_balanced(&tracer.health());
}

#[test]
fn a_busy_agent_gets_the_traces_later() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    agent.fail_next(2, Endpoint::Traces, Fault::Status(429));
    tracer.traced("patient", |_| ());
    assert_eq!(tracer.flush(LIMIT).buffered, 1);
    agent
        .wait_for(LIMIT, |got| got.spans().count() == 1)
        .unwrap();
    tracer.shutdown(LIMIT);
    assert_balanced(&tracer.health());
    assert_eq!(tracer.health().total().delivered, 1);
}

#[test]
fn an_agent_that_is_too_old_for_v04_gets_v03() {
    for (status, unix) in [(404, false), (404, true), (415, false), (415, true)] {
        let agent = LocalAgent::start().unwrap();
        agent.fail_endpoint(Endpoint::Traces, Fault::Status(status));
        let url = if unix {
            format!("unix://{}", agent.trace_socket().display())
        } else {
            agent.url()
        };
        let tracer = start(config(&url));
        wait_for_info(&agent);
        for name in ["first", "second"] {
            tracer.traced(name, |_| ());
            assert_eq!(tracer.flush(LIMIT).buffered, 0);
        }
        let [v03, v04] = ["/v0.3/traces", "/v0.4/traces"];
        assert_eq!(trace_paths(&agent), [v04, v03, v03]);
        let requests = agent.requests();
        let sent: Vec<_> = requests
            .iter()
            .filter(|sent| sent.path != "/info")
            .collect();
        assert_eq!(sent[0].body, sent[1].body, "the same payload");
        assert_eq!(agent.spans().len(), 2);
        let total = tracer.health().total();
        assert_eq!((total.delivered, total.requests, total.retries), (2, 3, 1));
        assert_balanced(&tracer.health());
    }
}

#[test]
fn an_agent_that_knows_no_version_refuses_for_good() {
    let agent = LocalAgent::start().unwrap();
    agent.fail_endpoint(Endpoint::Traces, Fault::Status(404));
    agent.fail_endpoint(Endpoint::TracesV03, Fault::Status(404));
    let tracer = start(config(&agent.url()));
    wait_for_info(&agent);
    tracer.traced("refused", |_| ());
    tracer.flush(LIMIT);
    let refused = tracer.health().total().dropped;
    assert_eq!(refused.get(DropReason::Refused(404)), 1);
    assert_eq!(trace_paths(&agent), ["/v0.4/traces", "/v0.3/traces"]);
    agent.heal();
    tracer.traced("taken", |_| ());
    tracer.flush(LIMIT);
    assert_eq!(tracer.health().total().delivered, 1);
    assert_eq!(trace_paths(&agent)[2..], ["/v0.4/traces"]);
    assert_balanced(&tracer.health());
}

#[test]
fn a_newer_agent_in_the_place_of_an_old_one_gets_v04_again() {
    let sockets = tempfile::tempdir().unwrap();
    let new_agent = || {
        let builder = LocalAgent::builder().socket_dir(sockets.path());
        builder.start().unwrap()
    };
    let old = new_agent();
    old.fail_endpoint(Endpoint::Traces, Fault::Status(404));
    let tracer = start(config(&format!("unix://{}", old.trace_socket().display())));
    wait_for_info(&old);
    tracer.traced("old", |_| ());
    tracer.flush(LIMIT);
    assert_eq!(old.spans().len(), 1);
    drop(old);

    let new = new_agent();
    tracer.traced("between", |_| ());
    tracer.flush(LIMIT);
    wait_for_info(&new);
    tracer.traced("new", |_| ());
    tracer.flush(LIMIT);
    assert_eq!(trace_paths(&new), ["/v0.3/traces", "/v0.4/traces"]);
    assert_eq!(tracer.health().total().delivered, 3);
    assert_balanced(&tracer.health());
}

#[test]
fn a_payload_that_the_agent_finds_too_large_is_halved() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    for _ in 0..5 {
        tracer.traced("one", |_| tracer.traced("two", |_| ()));
    }
    agent.fail_next(2, Endpoint::Traces, Fault::Status(413));
    let report = tracer.flush(LIMIT);
    assert_eq!(
        (report.delivered, report.dropped.total()),
        (10, 0),
        "{:?}",
        agent.refusals()
    );
    let sizes: Vec<_> = agent
        .requests()
        .iter()
        .filter_map(|request| request.header("X-Datadog-Trace-Count").map(str::to_owned))
        .collect();
    assert_eq!(sizes, ["5", "2", "1", "1", "3"]);
    assert_balanced(&tracer.health());
}

#[test]
fn a_number_that_is_none_costs_no_other_span() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    for ratio in [f64::NAN, f64::INFINITY, 0.5] {
        tracer.traced("divide", |span| {
            span.set_tag("ratio", ratio);
        });
    }
    assert_eq!(tracer.flush(LIMIT).delivered, 3, "{:?}", agent.refusals());
    assert_eq!(agent.spans()[0].meta["ratio"], "NaN");
}

#[test]
fn large_spans_of_an_open_trace_are_sent_before_its_end() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let root = tracer.trace("root");
    for _ in 0..50 {
        tracer.traced("child", |span| {
            span.set_tag("payload", "x".repeat(100_000));
        });
        tracer.flush(LIMIT);
    }
    assert!(tracer.health().total().delivered > 30);
    drop(root);
    tracer.flush(LIMIT);
    assert_eq!(tracer.health().total().delivered, 51);
}

#[test]
fn a_flood_stays_within_its_memory_and_is_counted() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    agent.fail(Fault::Status(503));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    tracer.traced("flood", |span| {
                        span.set_tag("payload", "x".repeat(1000));
                    });
                }
            });
        }
    });
    tracer.flush(LIMIT);
    let health = tracer.health().total();
    assert_eq!(health.accepted, 40_000);
    assert!(health.dropped.get(DropReason::QueueFull) > 0, "{health:?}");
    assert_balanced(&tracer.health());
    agent.heal();
    tracer.shutdown(LIMIT);
    let health = tracer.health().total();
    assert_eq!(health.buffered, 0);
    assert_eq!(health.delivered, agent.spans().len() as u64);
    assert_balanced(&tracer.health());
}

#[test]
fn spans_are_buffered_also_while_they_are_encoded() {
    const SPANS: u64 = 5_000;
    let agent = LocalAgent::start().unwrap();
    agent.fail(Fault::NeverAnswer);
    let tracer = start(config(&agent.url()).agent_timeout(Duration::from_millis(200)));
    for _ in 0..SPANS {
        tracer.traced("work", |span| {
            span.set_tag("http.route", "/cart");
        });
    }
    let traces = || tracer.health().signal(SignalKind::Traces);
    // The first request comes after the payload was encoded.
    let mut reads = 0_u64;
    while traces().requests == 0 {
        let health = traces();
        let known = health.delivered + health.dropped.total() + health.buffered;
        // One span may be on its way from one counter to the next.
        assert!(health.accepted <= known + 1, "{health:?}");
        assert!(health.accepted == SPANS, "{health:?}");
        reads += 1;
    }
    assert!(reads > 0);
    tracer.shutdown(Duration::ZERO);
    assert_balanced(&tracer.health());
}
