//! Events as logs, as events of spans, and as failures.

use std::error::Error;

use datadog::{FlushReport, SignalKind};
use serde_json::json;
use tracing::{Level, debug, error, info, info_span, warn};
use tracing_subscriber::filter::LevelFilter;

use crate::support::{Fixture, named};

#[test]
fn an_event_is_a_log_with_fields_and_ids() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        let _outer = info_span!("outer", user = "ann", step = 1).entered();
        let inner = info_span!("inner", step = 2, cart.items = 3);
        let _entered = inner.enter();
        warn!(target: "shop::stock", amount = 12.5, ok = true, "stock of {} is low", "tea");
        debug!("below the level");
    });
    let [entry] = fixture.agent.logs().try_into().unwrap();
    assert_eq!(entry.message, "stock of tea is low");
    assert_eq!(entry.status.as_deref(), Some("warn"));
    let inner = named(&spans, "inner");
    let thread = std::thread::current().name().map(str::to_owned);
    for (name, value) in [
        ("logger.name", json!("shop::stock")),
        ("logger.thread_name", json!(thread)),
        ("code.file.path", json!(file!())),
        ("amount", json!(12.5)),
        ("ok", json!(true)),
        ("user", json!("ann")),
        ("step", json!(2)),
        ("cart.items", json!(3)),
        ("dd.span_id", json!(inner.span_id.to_string())),
        ("dd.service", json!("shop")),
    ] {
        assert_eq!(entry.attribute(name), Some(&value), "{name}");
    }
    assert!(entry.attribute("code.line.number").is_some());
    let trace_id = entry.attribute("dd.trace_id").unwrap().as_str().unwrap();
    let low = u64::from_str_radix(&trace_id[16..], 16).unwrap();
    assert_eq!(low, inner.trace_id);
}

#[test]
fn the_ids_are_those_of_the_span_that_an_event_names() {
    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        let named = info_span!("named", here = true);
        let _active = info_span!("active").entered();
        info!(parent: &named, "of named");
        {
            let _guard = fixture.client.trace("guard");
            info!("of guard");
        }
        info!(parent: None, "of active, as nothing else is known");
    });
    let logs = fixture.agent.logs();
    let id = |name: &str| json!(named(&spans, name).span_id.to_string());
    assert_eq!(logs[0].attribute("dd.span_id"), Some(&id("named")));
    assert_eq!(logs[0].attribute("here"), Some(&json!(true)));
    assert_eq!(logs[1].attribute("dd.span_id"), Some(&id("guard")));
    assert_eq!(logs.len(), 3);
}

#[test]
fn an_error_marks_its_span_and_says_itself_by_the_standard_names() {
    let fixture = Fixture::new();
    let refused: Box<dyn Error> = "twelve".parse::<u32>().unwrap_err().into();
    let spans = fixture.spans_of(|| {
        let _outer = info_span!("outer").entered();
        let _failed = info_span!("failed").entered();
        error!(error = &*refused, "can't read the order");
        let _text = info_span!(parent: None, "text").entered();
        error!(error = %"too late", "gave up");
        let _message = info_span!(parent: None, "message").entered();
        error!("only a message");
    });
    for (name, message) in [
        ("failed", "invalid digit found in string"),
        ("text", "too late"),
        ("message", "only a message"),
    ] {
        let span = named(&spans, name);
        assert_eq!((span.error, &*span.meta["error.message"]), (1, message));
    }
    assert_eq!(named(&spans, "failed").meta["error.type"], "ParseIntError");
    assert_eq!(named(&spans, "outer").error, 0);
    let entry = &fixture.agent.logs()[0];
    assert_eq!(entry.message, "can't read the order");
    assert_eq!(entry.attribute("error.kind"), Some(&json!("ParseIntError")));
    assert_eq!(
        entry.attribute("error.message"),
        Some(&json!("invalid digit found in string"))
    );
}

#[test]
fn of_several_errors_one_is_the_error_and_all_are_kept() {
    let fixture = Fixture::new();
    let first: Box<dyn Error> = "first cause".into();
    let second: Box<dyn Error> = "second".into();
    let spans = fixture.spans_of(|| {
        drop(info_span!("retried", retry_reason = &*first, n = 1));
        drop(info_span!("both", err = &*second, error = &*first));
        drop(info_span!("texts", error = "text", err = "text2"));
        let later = info_span!("later", err = "text", error = tracing::field::Empty);
        later.record("error", &*second);
        drop(later);
        info!(ignored = &*first, other = &*second, "two others");
        info!(err = &*second, error = &*first, "two errors");
        warn!(error = "text", err = "text2", "two texts");
    });
    let retried = named(&spans, "retried");
    assert_eq!(
        (retried.error, &*retried.meta["retry_reason"]),
        (0, "first cause")
    );
    assert!(!retried.meta.contains_key("error.message"));
    for (name, message, key, other) in [
        ("both", "second", "error", "first cause"),
        ("texts", "text", "err", "text2"),
        ("later", "second", "err", "text"),
    ] {
        let span = named(&spans, name);
        assert_eq!((span.error, &*span.meta["error.message"]), (1, message));
        assert_eq!(span.meta[key], other, "{name}");
    }
    let logs = fixture.agent.logs();
    for (number, attributes) in [
        (0, [("ignored", "first cause"), ("other", "second")]),
        (1, [("error.message", "second"), ("error", "first cause")]),
        (2, [("error.message", "text"), ("err", "text2")]),
    ] {
        for (key, value) in attributes {
            assert_eq!(logs[number].attribute(key), Some(&json!(value)), "{key}");
        }
    }
    assert_eq!(logs[0].attribute("error.message"), None);
    assert_eq!(logs[1].attribute("err"), None);
}

#[test]
fn options_decide_what_becomes_of_events() {
    let fixture = Fixture::new();
    let dispatch = fixture.subscriber_with(|layer| {
        layer
            .log_level(LevelFilter::OFF)
            .span_events(true)
            .errors_fail_spans(false)
    });
    tracing::dispatcher::with_default(&dispatch, || {
        let _work = info_span!("work").entered();
        error!(
            tries = 3,
            ratio = 0.5,
            ok = false,
            who = "ann",
            "not that bad"
        );
        for _ in 0..200 {
            debug!("again");
        }
    });
    let spans = fixture.spans();
    assert_eq!(spans[0].error, 0);
    assert!(fixture.agent.logs().is_empty());
    let events: Vec<serde_json::Value> = serde_json::from_str(&spans[0].meta["events"]).unwrap();
    assert_eq!(events.len(), 128, "so many and no more");
    assert_eq!(events[0]["name"], "not that bad");
    let attributes = json!({
        "level": "ERROR", "target": "subscriber::events",
        "tries": 3, "ratio": 0.5, "ok": false, "who": "ann",
    });
    assert_eq!(events[0]["attributes"], attributes);
}

#[test]
fn events_of_spans_from_the_crate_log_have_their_own_targets() {
    let fixture = Fixture::new();
    let subscriber = fixture.subscriber_with(|layer| layer.span_events(true));
    tracing::dispatcher::with_default(&subscriber, || {
        let _work = info_span!("work").entered();
        tracing_log::format_trace(
            &log::Record::builder()
                .level(log::Level::Info)
                .target("shop::stock")
                .module_path(Some("shop::orders"))
                .file(Some("src/orders.rs"))
                .line(Some(12))
                .args(format_args!("low"))
                .build(),
        )
        .unwrap();
    });
    let spans = fixture.spans();
    let events: serde_json::Value = serde_json::from_str(&spans[0].meta["events"]).unwrap();
    assert_eq!(events[0]["name"], "low");
    let attributes = json!({ "level": "INFO", "target": "shop::stock" });
    assert_eq!(events[0]["attributes"], attributes);
}

#[test]
fn what_the_client_says_about_itself_is_never_sent() {
    let fixture = Fixture::new();
    let dispatch = fixture.subscriber_with(|layer| layer.log_level(LevelFilter::TRACE));
    tracing::dispatcher::with_default(&dispatch, || {
        for target in ["datadog", "datadog_transport::http", "datadogs"] {
            tracing_log::format_trace(
                &log::Record::builder()
                    .level(log::Level::Error)
                    .target(target)
                    .module_path(Some("shop::orders"))
                    .file(Some("src/orders.rs"))
                    .line(Some(12))
                    .args(format_args!("from {target}"))
                    .build(),
            )
            .unwrap();
        }
        tracing::event!(target: "datadog::client", Level::ERROR, "own");
    });
    let report: FlushReport = fixture.client.flush(std::time::Duration::from_secs(20));
    assert!(report.complete);
    let [entry] = fixture.agent.logs().try_into().unwrap();
    assert_eq!(entry.message, "from datadogs");
    for (name, value) in [
        ("logger.name", json!("datadogs")),
        ("code.namespace", json!("shop::orders")),
        ("code.file.path", json!("src/orders.rs")),
        ("code.line.number", json!(12)),
    ] {
        assert_eq!(entry.attribute(name), Some(&value), "{name}");
    }
    let health = fixture.client.health().signal(SignalKind::Logs);
    assert_eq!(health.accepted, 1);
}

#[test]
fn a_value_that_logs_while_it_is_written_is_fine() {
    struct Chatty;

    impl std::fmt::Debug for Chatty {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            info!("from within");
            f.write_str("chatty")
        }
    }

    let fixture = Fixture::new();
    let spans = fixture.spans_of(|| {
        let span = info_span!("work", who = ?Chatty, later = tracing::field::Empty).entered();
        span.record("later", tracing::field::debug(Chatty));
        info!(who = ?Chatty, "outer");
    });
    assert_eq!(spans[0].meta["who"], "chatty");
    assert_eq!(spans[0].meta["later"], "chatty");
    let logs = fixture.agent.logs();
    assert!(logs.iter().any(|entry| entry.message == "outer"));
}
