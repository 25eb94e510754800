//! The whole client against strict receivers, over every transport.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the reason"
)]

use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use datadog::{DDClient, DDConfig, DDConfigBuilder, DropReason, Parent, SignalKind};
use datadog_local_agent::{Endpoint, Fault, LocalAgent, Received};

const LIMIT: Duration = Duration::from_secs(20);
const KEY: &str = "0123456789abcdef0123456789abcdef";

fn config(agent: &LocalAgent) -> DDConfigBuilder {
    DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent.url())
        .dogstatsd_url(agent.dogstatsd_url())
        .logs_direct_submission_url(agent.url())
        .api_key(KEY)
        .service("shop")
        .env("test")
        .version("1.2.3")
}

fn over_sockets(agent: &LocalAgent) -> DDConfigBuilder {
    config(agent)
        .agent_url(format!("unix://{}", agent.trace_socket().display()))
        .dogstatsd_url(format!("unix://{}", agent.dogstatsd_socket().display()))
}

fn start(config: DDConfigBuilder) -> DDClient {
    DDClient::new(config.build().unwrap()).unwrap()
}

fn assert_balanced(client: &DDClient) {
    for (signal, health) in client.health().iter() {
        let known = health.delivered + health.dropped.total() + health.buffered;
        assert_eq!(health.accepted, known, "{signal}\n{}", client.health());
    }
}

/// A process has one profiler at a time.
static PROFILER: Mutex<()> = Mutex::new(());

fn only_profiler() -> MutexGuard<'static, ()> {
    PROFILER.lock().unwrap_or_else(PoisonError::into_inner)
}

#[inline(never)]
fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        for number in 0..10_000u64 {
            black_box(number.wrapping_mul(number));
        }
    }
}

/// Works until the profiler, which starts in the background, has a profile to send.
fn work_until_sampled(client: &DDClient) {
    let limit = Instant::now() + LIMIT;
    while client.health().signal(SignalKind::Profiles).accepted == 0 {
        assert!(Instant::now() < limit, "{}", client.health());
        burn(Duration::from_millis(100));
        client.flush_profiles();
    }
}

#[test]
fn all_signals_arrive_and_know_of_each_other() {
    let _profiler = only_profiler();
    let agent = LocalAgent::start().unwrap();
    for config in [config(&agent), over_sockets(&agent)] {
        let client = start(config);
        client.profiling_start();
        let (trace_id, outer_id, inner_id) = {
            let outer = client.trace("outer");
            client.info("from outer").with("answer", 42);
            client.count("visits", 2, [("page", "home")]);
            let inner_id = client.traced("inner", |inner| {
                client.error("from inner");
                client.count("visits", 3, [("page", "home")]);
                client.count("", 1, ());
                client.measure_fn("worked", (), || work_until_sampled(&client));
                inner.span_id()
            });
            (outer.trace_id(), outer.span_id(), inner_id)
        };
        client.warning("from nowhere");
        client.gauge("depth", 1.0, ());
        client.gauge("depth", 7.5, ());
        client.profiling_stop();
        let report = client.flush(LIMIT);
        assert_eq!(report.dropped.total(), 0, "{}", client.health());
        assert!(report.complete, "{report}");
        assert_balanced(&client);

        agent
            .wait_for(LIMIT, |got| got.metric_sum("visits") >= 5.0)
            .unwrap();
        assert_eq!(agent.metric_sum("visits"), 5.0);
        assert_eq!(
            agent.metric_sum("inner.count"),
            1.0,
            "a nameless count takes the span's name"
        );
        assert_eq!(agent.metric_values("depth").last(), Some(&7.5));
        let seconds = agent.metric_values("worked")[0];
        assert!((0.1..LIMIT.as_secs_f64()).contains(&seconds), "{seconds}");
        let logs = agent.logs();
        let log = |message: &str| logs.iter().find(|log| log.message == message).unwrap();
        let ids = |message: &str| {
            let attributes = &log(message).attributes;
            let text = |key: &str| {
                attributes
                    .get(key)
                    .and_then(|id| id.as_str())
                    .map(str::to_owned)
            };
            (text("dd.trace_id"), text("dd.span_id"))
        };
        let hex = format!("{trace_id:032x}");
        assert_eq!(
            ids("from outer"),
            (Some(hex.clone()), Some(outer_id.to_string()))
        );
        assert_eq!(ids("from inner"), (Some(hex), Some(inner_id.to_string())));
        assert_eq!(ids("from nowhere"), (None, None));
        assert_eq!(agent.spans().len(), 2);
        assert!(!agent.profiles().is_empty());
        assert!(agent.refusals().is_empty(), "{:#?}", agent.refusals());
        drop(client);
        agent.clear();
    }
}

#[test]
fn a_wrong_api_key_is_counted_and_reported_and_not_tried_again() {
    let agent = LocalAgent::builder()
        .api_key("ffffffffffffffffffffffffffffffff")
        .start()
        .unwrap();
    let client = start(config(&agent));
    client.info("one");
    client.info("two");
    let report = client.flush_logs();
    assert_eq!(
        (
            report.delivered,
            report.dropped.get(DropReason::Refused(403))
        ),
        (0, 2)
    );
    let requests = agent.requests().len();
    assert_eq!(client.flush_logs().requests, 0);
    let health = client.health().signal(SignalKind::Logs);
    assert!(health.last_error.unwrap().message.contains("DD_API_KEY"));
    assert_eq!(agent.requests().len(), requests);
    assert_balanced(&client);
}

#[test]
fn without_any_receiver_the_program_runs_and_ends_in_time_and_the_loss_is_explained() {
    let _profiler = only_profiler();
    let gone = LocalAgent::start().unwrap();
    let config = config(&gone);
    drop(gone);
    let client = start(config);
    client.profiling_start();
    let start = Instant::now();
    for at in 0..1000 {
        client.traced("work", |_| {
            client.count("rounds", 1, ());
            client.debug("round").with("at", at);
        });
    }
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    work_until_sampled(&client);
    let start = Instant::now();
    let report = client.shutdown(LIMIT);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    assert!(report.complete, "{report}");
    let health = client.health();
    for signal in [
        SignalKind::Metrics,
        SignalKind::Logs,
        SignalKind::Traces,
        SignalKind::Profiles,
    ] {
        let health = health.signal(signal);
        assert_eq!(
            (health.buffered, health.delivered),
            (0, 0),
            "{signal}: {health:?}"
        );
        assert!(
            health.dropped.get(DropReason::Shutdown) > 0,
            "{signal}: {health:?}"
        );
        assert!(health.last_error.is_some(), "{signal}: {health:?}");
    }
    assert_balanced(&client);
}

/// Nobody flushes: the worker alone has to come by.
#[test]
fn receivers_that_never_answer_do_not_keep_another_signal_from_arriving() {
    let agent = LocalAgent::start().unwrap();
    agent.fail(Fault::NeverAnswer);
    let client = start(config(&agent).agent_timeout(Duration::from_millis(500)));
    for round in 1..=2 {
        client.trace("in vain").finish();
        client.info("in vain");
        client.count("rounds", 1, ());
        let arrived = |got: &Received| got.metric_sum("rounds") == f64::from(round);
        // The worker waits for the intake once, for 10 s.
        agent.wait_for(LIMIT * 2, arrived).unwrap();
    }
    for signal in [SignalKind::Traces, SignalKind::Logs] {
        let health = client.health().signal(signal);
        assert_eq!(health.buffered, 2, "{signal}: {health:?}");
    }
    assert_eq!(client.health().signal(SignalKind::Metrics).buffered, 0);
    assert_balanced(&client);
    client.shutdown(Duration::ZERO);
}

#[test]
fn the_last_clone_to_be_dropped_delivers_what_is_buffered() {
    let agent = LocalAgent::start().unwrap();
    let client = start(config(&agent));
    let clone = client.clone();
    client.count("jobs", 1, ());
    client.info("done");
    client.trace("job").finish();
    drop(client);
    assert!(agent.spans().is_empty());
    drop(clone);
    agent
        .wait_for(LIMIT, |got| got.metric_sum("jobs") == 1.0)
        .unwrap();
    assert_eq!((agent.logs().len(), agent.spans().len()), (1, 1));
}

#[test]
fn a_span_that_is_active_nowhere_has_the_parent_that_it_is_given() {
    let agent = LocalAgent::start().unwrap();
    let client = start(config(&agent));
    let request = client.trace("request");
    let child = client.trace_detached(Parent::Active, "child");
    let root = client.trace_detached(Parent::Root, "root");
    let context = root.context().unwrap();
    let grandchild = client.trace_detached(Parent::Of(&context), "of");
    assert_eq!(
        client.active_span().unwrap().span_id(),
        request.span_id(),
        "none of them is active"
    );
    let spans = [
        ("child", request.span_id()),
        ("root", 0),
        ("of", root.span_id()),
    ];
    std::thread::spawn(|| drop((child, root, grandchild)))
        .join()
        .unwrap();
    request.finish();
    assert_eq!(client.flush_traces().delivered, 4);
    for (name, parent) in spans {
        let received = agent.spans();
        let span = received.iter().find(|span| span.name == name).unwrap();
        assert_eq!(span.parent_id, parent, "{name}");
    }
}

#[test]
fn handles_that_outlive_the_client_are_harmless_and_counted() {
    let agent = LocalAgent::start().unwrap();
    let client = start(config(&agent));
    let mut span = client.trace("late");
    let handler = client.log_handler();
    client.shutdown(LIMIT);
    span.set_tag("key", 1);
    drop(span);
    client.count("late", 1, ());
    client.info("late");
    log::Log::flush(&handler);
    for signal in [SignalKind::Metrics, SignalKind::Logs, SignalKind::Traces] {
        assert_eq!(
            client
                .health()
                .signal(signal)
                .dropped
                .get(DropReason::Shutdown),
            1,
            "{signal}"
        );
    }
    assert_balanced(&client);
}

#[test]
fn bad_values_from_code_are_errors_and_those_of_the_environment_are_problems() {
    let error = DDConfig::builder()
        .environment([("", "")])
        .agent_url("ftp://x")
        .service("")
        .tracing_port(0)
        .build()
        .unwrap_err();
    let text = error.to_string();
    assert_eq!(error.problems().len(), 3, "{text}");
    for part in [
        "agent_url",
        "ftp://x",
        "service",
        "tracing_port",
        "1 to 65535",
    ] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    let config = DDConfig::builder()
        .environment([
            ("DD_TRACE_AGENT_URL", "ftp://x"),
            ("DD_SERVICE", ""),
            ("DD_TRACE_AGENT_PORT", "0"),
        ])
        .build()
        .unwrap();
    assert!(!config.service().is_empty());
    let problems: Vec<String> = config.problems().iter().map(ToString::to_string).collect();
    assert!(
        problems
            .iter()
            .any(|line| line.contains("DD_TRACE_AGENT_URL=ftp://x")),
        "{problems:?}"
    );
    assert!(
        problems
            .iter()
            .any(|line| line.contains("DD_TRACE_AGENT_PORT=0")),
        "{problems:?}"
    );
    assert_eq!(config.trace_agent().to_string(), "http://localhost:8126");
}

#[test]
fn the_tracers_account_comes_as_metrics() {
    let agent = LocalAgent::start().unwrap();
    let client = start(over_sockets(&agent));
    agent.fail_next(1, Endpoint::Traces, Fault::Status(400));
    for spans in [3, 20] {
        (0..spans).for_each(|_| client.trace("work").finish());
        client.flush(LIMIT);
    }
    let traces = client.health().signal(SignalKind::Traces);
    let refused = traces.dropped.get(DropReason::Refused(400));
    assert_eq!((traces.delivered + refused, traces.buffered), (23, 0));
    assert!(traces.delivered > 0 && refused > 0, "{}", client.health());

    let figures = [
        ("datadog.tracer.spans_finished", traces.accepted),
        ("datadog.tracer.flush.spans.total", traces.delivered),
        ("datadog.tracer.flush_bytes", traces.bytes),
        ("datadog.tracer.api.requests.total", traces.requests),
        ("datadog.tracer.queue.dropped.spans", refused),
    ];
    let told = |got: &Received| {
        let mut figures = figures.iter();
        figures.all(|(name, figure)| got.metric_sum(name) == *figure as f64)
    };
    agent.wait_for(LIMIT, told).unwrap();
    for (name, _) in figures {
        let tags = ["lang:rust", "service:shop", "env:test"];
        let metrics = agent.metrics_named(name);
        let tagged = |tag| metrics.iter().all(|metric| metric.has_tag(tag));
        assert!(tags.into_iter().all(tagged), "{metrics:?}");
    }
    let dropped = agent.metrics_named("datadog.tracer.queue.dropped.spans");
    assert!(dropped[0].has_tag("reason:refused_with_400"), "{dropped:?}");
    assert_eq!(agent.refusals(), []);
    assert_balanced(&client);
}
