use std::fmt;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use datadog_local_agent::LogEntry;
use datadog_logs::{Level, Logs, Value};
use datadog_transport::DropReason;
use datadog_transport::context::{self, ActiveSpan};
use serde_json::json;

use crate::support::{SOON, account, body, config_of, hermetic, logs_to, receiver};

#[test]
fn records_of_one_thread_keep_their_own_clients_levels_and_spans() {
    let agent = receiver();
    let clients = ["shop", "bank"].map(|service| {
        let config = config_of(&agent).service(service).build().unwrap();
        (service, Logs::start(&config).unwrap())
    });
    let mut expected = Vec::new();
    for round in 0..24_u64 {
        let (service, logs) = &clients[(round / 3 % 2) as usize];
        let level = [Level::Info, Level::Error][(round % 2) as usize];
        let span_id = round / 6;
        context::replace((span_id > 0).then_some(ActiveSpan {
            trace_id: 9,
            span_id,
            local_root_id: 1,
        }));
        logs.log(level, round.to_string());
        let status = ["info", "error"][(round % 2) as usize];
        let span_id = (span_id > 0).then(|| json!(span_id.to_string()));
        expected.push((round.to_string(), *service, status, span_id));
    }
    context::replace(None);
    for (_, logs) in &clients {
        assert_eq!(logs.flush(SOON).delivered, 12);
    }
    let mut entries = agent.logs();
    entries.sort_by_key(|entry| entry.message.parse::<u64>().unwrap());
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| {
            let span_id = entry.attribute("dd.span_id").cloned();
            let service = entry.service.as_deref().unwrap();
            let status = entry.status.as_deref().unwrap();
            (entry.message.clone(), service, status, span_id)
        })
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_record_arrives_with_everything_that_belongs_to_it() {
    let agent = receiver();
    let config = config_of(&agent).tags([("team", "carts")]).build().unwrap();
    let logs = Logs::start(&config).unwrap();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    logs.log(Level::Warning, "stock is low")
        .with("item.id", 42)
        .with("item.price", 9.5)
        .with("item.name", "a \"b\"\\\n")
        .with("ok", true)
        .with("took", Duration::from_millis(3))
        .with("parts", vec!["x", "y"])
        .with("none", None::<&str>)
        .with("http", Value::map([("status_code", 200)]));
    assert_eq!(logs.flush(SOON).delivered, 1);
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();

    let entry = &agent.logs()[0];
    assert_eq!(entry.message, "stock is low");
    assert_eq!(entry.status.as_deref(), Some("warn"));
    assert_eq!(entry.service.as_deref(), Some("shop"));
    assert_eq!(entry.hostname.as_deref(), Some("box"));
    assert_eq!(entry.ddsource.as_deref(), Some("rust"));
    assert_eq!(
        entry.ddtags.as_deref(),
        Some("env:test,version:1.2,team:carts")
    );
    let timestamp = u128::from(entry.attribute("timestamp").unwrap().as_u64().unwrap());
    assert!((before.as_millis()..=after.as_millis()).contains(&timestamp));
    let attributes = [
        ("item.id", json!(42)),
        ("item.price", json!(9.5)),
        ("item.name", json!("a \"b\"\\\n")),
        ("ok", json!(true)),
        ("took", json!(3_000_000)),
        ("parts", json!(["x", "y"])),
        ("none", json!(null)),
        ("http", json!({"status_code": 200})),
        ("dd.service", json!("shop")),
        ("dd.env", json!("test")),
        ("dd.version", json!("1.2")),
    ];
    for (name, value) in &attributes {
        assert_eq!(entry.attributes.get(*name), Some(value), "{name}");
    }
    assert_eq!(entry.attributes.len(), attributes.len() + 1);
    assert_eq!(account(&logs).delivered, 1);
}

#[test]
fn datadog_s_standard_attributes_have_their_names_and_units() {
    let agent = receiver();
    let logs = logs_to(&agent);
    let thread = std::thread::Builder::new().name("requests-1".to_owned());
    let logger = logs.get_logger("shop::web");
    let written = thread.spawn(move || {
        logger
            .exception(&fmt::Error)
            .with("duration", Duration::from_micros(1500))
            .with("http.method", "GET")
            .with("http.url", "/cart?id=7")
            .with("http.status_code", 404)
            .with("network.client.ip", "192.0.2.1")
            .with("usr.id", "u-1");
    });
    written.unwrap().join().unwrap();
    logs.flush(SOON);
    let entry = &agent.logs()[0];
    for (path, value) in [
        ("error.kind", json!("core::fmt::Error")),
        ("error.message", json!(fmt::Error.to_string())),
        ("logger.name", json!("shop::web")),
        ("logger.thread_name", json!("requests-1")),
        ("duration", json!(1_500_000)),
        ("http.method", json!("GET")),
        ("http.url", json!("/cart?id=7")),
        ("http.status_code", json!(404)),
        ("network.client.ip", json!("192.0.2.1")),
        ("usr.id", json!("u-1")),
    ] {
        assert_eq!(entry.attribute(path), Some(&value), "{path}");
    }
}

#[test]
fn a_record_carries_the_ids_of_the_span_it_was_written_in() {
    let agent = receiver();
    let logs = logs_to(&agent);
    let span = ActiveSpan {
        trace_id: 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210,
        span_id: u64::MAX,
        local_root_id: 1,
    };
    let outer = context::replace(Some(span));
    logs.log(Level::Info, "inside");
    context::replace(Some(ActiveSpan {
        trace_id: 77,
        ..span
    }));
    logs.log(Level::Info, "inside a trace of 64 bits");
    context::replace(outer);
    logs.log(Level::Info, "outside");
    logs.flush(SOON);

    let [inside, narrow, outside]: [LogEntry; 3] = agent.logs().try_into().unwrap();
    assert_eq!(
        inside.attribute("dd.trace_id"),
        Some(&json!("0123456789abcdeffedcba9876543210"))
    );
    assert_eq!(
        inside.attribute("dd.span_id"),
        Some(&json!("18446744073709551615"))
    );
    assert_eq!(narrow.attribute("dd.trace_id"), Some(&json!("77")));
    assert_eq!(outside.attribute("dd.trace_id"), None);
    assert_eq!(outside.attribute("dd.span_id"), None);
}

#[test]
fn options_narrow_the_trace_id_and_leave_the_correlation_out() {
    let agent = receiver();
    let span = ActiveSpan {
        trace_id: (1 << 64) | 77,
        span_id: 5,
        local_root_id: 5,
    };
    let narrow = config_of(&agent).trace_id_128_bit_logging_enabled(false);
    let without = config_of(&agent).logs_injection(false);
    for config in [narrow, without] {
        let logs = Logs::start(&config.build().unwrap()).unwrap();
        let outer = context::replace(Some(span));
        logs.log(Level::Info, "inside");
        context::replace(outer);
        logs.flush(SOON);
    }
    let [narrow, without]: [LogEntry; 2] = agent.logs().try_into().unwrap();
    assert_eq!(narrow.attribute("dd.trace_id"), Some(&json!("77")));
    assert!(
        without
            .attributes
            .keys()
            .all(|name| !name.starts_with("dd.")),
        "{without:?}"
    );
}

#[test]
fn an_exception_says_what_the_error_says() {
    #[derive(Debug)]
    struct Failed(io::Error);

    impl fmt::Display for Failed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("can't read the cart")
        }
    }

    impl std::error::Error for Failed {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    let agent = receiver();
    let logs = logs_to(&agent);
    let error = Failed(io::Error::other("disk on fire"));
    logs.exception(&error).with("cart.id", 7);
    logs.log(Level::Warning, "trying again").with_error(&error);
    logs.flush(SOON);

    let [exception, warning]: [LogEntry; 2] = agent.logs().try_into().unwrap();
    assert_eq!(exception.message, "can't read the cart");
    assert_eq!(exception.status.as_deref(), Some("error"));
    assert_eq!(exception.attribute("cart.id"), Some(&json!(7)));
    assert_eq!(warning.message, "trying again");
    for entry in [exception, warning] {
        let text = |name: &str| entry.attribute(name).unwrap().as_str().unwrap().to_owned();
        assert!(text("error.kind").ends_with("Failed"));
        assert_eq!(text("error.message"), "can't read the cart");
        assert!(text("error.stack").starts_with("caused by: disk on fire"));
    }
}

#[test]
fn a_wrong_key_is_counted_and_not_tried_again() {
    let agent = receiver();
    let config = config_of(&agent)
        .api_key("ffffffffffffffffffffffffffffffff")
        .build()
        .unwrap();
    let logs = Logs::start(&config).unwrap();
    for _ in 0..3 {
        logs.log(Level::Info, "refused");
    }
    let report = logs.flush(SOON);
    assert!(report.complete);
    assert_eq!(report.dropped.get(DropReason::Refused(403)), 3);
    logs.flush(SOON);
    logs.shutdown(SOON);

    assert_eq!(agent.requests().len(), 1);
    let health = account(&logs);
    assert_eq!(
        (health.accepted, health.buffered, health.retries),
        (3, 0, 0)
    );
    let error = health.last_error.unwrap().message;
    assert!(
        error.contains("403") && error.contains("DD_API_KEY"),
        "{error}"
    );
}

#[test]
fn with_nothing_listening_records_wait_and_are_dropped_at_the_end() {
    let agent = receiver();
    agent.stop_listening().unwrap();
    let logs = logs_to(&agent);
    let start = Instant::now();
    for number in 0..1000 {
        logs.log(Level::Info, "nobody listens")
            .with("number", number);
    }
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "the caller does not wait for the network"
    );
    logs.flush(SOON);
    assert_eq!(account(&logs).buffered, 1000);

    let start = Instant::now();
    logs.shutdown(Duration::from_secs(2));
    assert!(start.elapsed() < Duration::from_secs(2));
    let health = account(&logs);
    assert_eq!(health.dropped.get(DropReason::Shutdown), 1000);
    assert!(health.last_error.is_some());
    logs.log(Level::Info, "too late");
    assert_eq!(account(&logs).dropped.get(DropReason::Shutdown), 1001);
}

#[test]
fn what_could_not_be_sent_arrives_when_the_intake_is_back() {
    let agent = receiver();
    agent.stop_listening().unwrap();
    let logs = logs_to(&agent);
    logs.log(Level::Info, "patience");
    logs.flush(SOON);
    agent.restart().unwrap();
    // No flush: the worker comes back by itself.
    agent.wait_for(SOON, |got| got.logs().len() == 1).unwrap();
    logs.shutdown(SOON);
    assert_eq!(account(&logs).delivered, 1);
}

#[test]
fn without_a_receiver_records_are_counted() {
    let logs = Logs::start(&hermetic().build().unwrap()).unwrap();
    logs.log(Level::Info, "into the void").with("number", 1);
    logs.exception(&fmt::Error);
    let health = account(&logs);
    assert_eq!(health.accepted, 2);
    assert_eq!(health.dropped.get(DropReason::NoReceiver), 2);
}

#[test]
fn records_from_many_threads_all_arrive() {
    let agent = receiver();
    let logs = logs_to(&agent);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let logs = (*logs).clone();
            scope.spawn(move || {
                for number in 0..500 {
                    logs.log(Level::Info, "hello")
                        .with("thread", thread)
                        .with("number", number);
                }
            });
        }
    });
    logs.shutdown(SOON);
    assert_eq!(account(&logs).delivered, 4000);
    for thread in 0..8 {
        let numbers: Vec<u64> = agent
            .logs()
            .iter()
            .filter(|entry| entry.attribute("thread") == Some(&json!(thread)))
            .map(|entry| entry.attribute("number").unwrap().as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..500).collect::<Vec<_>>(), "in order");
    }
}

#[test]
fn values_of_sensitive_keys_are_not_sent() {
    let agent = receiver();
    let logs = logs_to(&agent);
    let logger = logs.get_logger("shop").with("db.password", "hunter2");
    logger
        .info("signed in")
        .with("Api-Key", vec!["hunter2"])
        .with("user", Value::map([("name", "ann"), ("passwd", "hunter2")]))
        .with("tokens", 3);
    logs.flush(SOON);
    let body = String::from_utf8(body(&agent.requests()[0])).unwrap();
    assert!(!body.contains("hunter2"), "{body}");
    let entry = &agent.logs()[0];
    assert_eq!(entry.attribute("db.password"), Some(&json!("[redacted]")));
    assert_eq!(
        entry.attribute("user"),
        Some(&json!({"name": "ann", "passwd": "[redacted]"}))
    );
    assert_eq!(entry.attribute("tokens"), Some(&json!(3)));

    let config = config_of(&agent).logs_redacted_keys(["name"]);
    let logs = Logs::start(&config.build().unwrap()).unwrap();
    logs.log(Level::Info, "other names")
        .with("password", "sent")
        .with("user.name", "hidden");
    logs.flush(SOON);
    let entry = &agent.logs()[1];
    assert_eq!(entry.attribute("password"), Some(&json!("sent")));
    assert_eq!(entry.attribute("user.name"), Some(&json!("[redacted]")));
}

#[test]
fn what_is_left_out_on_purpose_is_counted() {
    let agent = receiver();
    let config = config_of(&agent)
        .logs_sample_rates([("debug", 0.0), ("warn", 0.5)])
        .logs_rate_limits([("info", 10.0)]);
    let logs = Logs::start(&config.build().unwrap()).unwrap();
    let start = Instant::now();
    for _ in 0..1000 {
        logs.log(Level::Debug, "none");
        logs.log(Level::Info, "some");
        logs.log(Level::Warning, "half");
        logs.log(Level::Error, "all");
    }
    let seconds = start.elapsed().as_secs() as usize + 2;
    logs.flush(SOON);
    let health = account(&logs);
    let got = agent.logs();
    let arrived = |message: &str| got.iter().filter(|entry| entry.message == message).count();
    assert_eq!((arrived("none"), arrived("all")), (0, 1000));
    assert!((10..=10 * seconds).contains(&arrived("some")));
    assert!((350..650).contains(&arrived("half")));
    assert_eq!(health.accepted, 4000);
    assert_eq!(
        health.dropped.get(DropReason::Sampled) as usize,
        1000 + 1000 - arrived("half")
    );
    assert_eq!(
        health.dropped.get(DropReason::RateLimited) as usize,
        1000 - arrived("some")
    );
}

#[test]
fn a_line_of_text_can_say_which_trace_it_belongs_to() {
    let logs = Logs::start(&hermetic().build().unwrap()).unwrap();
    assert_eq!(
        logs.correlation().to_string(),
        "dd.service=shop dd.env=test dd.version=1.2 dd.trace_id=0 dd.span_id=0"
    );
    let span = ActiveSpan {
        trace_id: (0xab << 64) | 0xcd,
        span_id: 7,
        local_root_id: 7,
    };
    let outer = context::replace(Some(span));
    let whole = logs.correlation().to_string();
    let narrow = hermetic().trace_id_128_bit_logging_enabled(false);
    let narrow = Logs::start(&narrow.build().unwrap()).unwrap();
    let off = hermetic().logs_injection(false).build().unwrap();
    let off = Logs::start(&off).unwrap();
    assert!(whole.ends_with(" dd.trace_id=00000000000000ab00000000000000cd dd.span_id=7"));
    assert!(
        narrow
            .correlation()
            .to_string()
            .ends_with(" dd.trace_id=205 dd.span_id=7")
    );
    assert_eq!(off.correlation().to_string(), "");
    context::replace(outer);
}
