use std::sync::Arc;
use std::sync::Mutex;
use std::thread;

use datadog_logs::DDLogHandler;
use log::{LevelFilter, Log, Metadata, Record, kv};
use serde_json::json;

use crate::support::{SOON, account, logs_to, receiver};

/// Remembers the messages that it is given.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<String>>>);

impl Memory {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Log for Memory {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() != "muted"
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {
        self.0.lock().unwrap().push("flushed".to_owned());
    }
}

fn say(handler: &DDLogHandler, target: &str, level: log::Level, message: &str) {
    handler.log(
        &Record::builder()
            .target(target)
            .level(level)
            .args(format_args!("{message}"))
            .module_path(Some("shop::cart"))
            .file(Some("src/cart.rs"))
            .line(Some(12))
            .build(),
    );
}

#[test]
fn a_line_arrives_with_its_place() {
    let agent = receiver();
    let logs = logs_to(&agent);
    let handler = logs.handler();
    let builder = thread::Builder::new().name("till".to_owned());
    thread::scope(|scope| {
        builder
            .spawn_scoped(scope, || {
                handler.log(
                    &Record::builder()
                        .target("shop::orders")
                        .level(log::Level::Warn)
                        .args(format_args!("{} of {}", 1, "many \"things\""))
                        .module_path(Some("shop::cart"))
                        .file(Some("src/cart.rs"))
                        .line(Some(12))
                        .build(),
                );
            })
            .unwrap();
    });
    logs.flush(SOON);
    let entry = &agent.logs()[0];
    assert_eq!(entry.message, "1 of many \"things\"");
    assert_eq!(entry.status.as_deref(), Some("warn"));
    let expected = [
        ("logger.name", json!("shop::orders")),
        ("logger.thread_name", json!("till")),
        ("code.namespace", json!("shop::cart")),
        ("code.file.path", json!("src/cart.rs")),
        ("code.line.number", json!(12)),
    ];
    for (name, value) in &expected {
        assert_eq!(entry.attributes.get(*name), Some(value), "{name}");
    }
}

#[test]
fn lines_of_the_client_itself_are_not_sent() {
    let agent = receiver();
    let logs = logs_to(&agent);
    let memory = Memory::default();
    let handler = logs.handler().tee(Box::new(memory.clone()));
    let own = [
        "datadog",
        "datadog::client",
        "datadog_transport::outbox",
        "datadog_logs",
    ];
    for target in own {
        say(&handler, target, log::Level::Error, target);
    }
    for target in ["datadogs", "my::datadog", "ureq::run"] {
        say(&handler, target, log::Level::Error, target);
    }
    logs.flush(SOON);
    let sent: Vec<_> = agent
        .logs()
        .into_iter()
        .map(|entry| entry.message)
        .collect();
    assert_eq!(sent, ["datadogs", "my::datadog", "ureq::run"]);
    assert_eq!(memory.lines().len(), 7, "the other logger gets them all");
    assert_eq!(account(&logs).accepted, 3);
}

#[test]
fn levels_filter_what_is_sent_and_the_other_logger_filters_for_itself() {
    let agent = receiver();
    let logs = logs_to(&agent);
    let memory = Memory::default();
    let handler = logs
        .handler()
        .level(LevelFilter::Warn)
        .tee(Box::new(memory.clone()));
    say(&handler, "shop", log::Level::Info, "sent to one");
    say(&handler, "shop", log::Level::Warn, "sent to both");
    say(&handler, "muted", log::Level::Error, "sent");
    handler.flush();
    let metadata = |target, level| Metadata::builder().target(target).level(level).build();
    assert!(handler.enabled(&metadata("shop", log::Level::Info)));
    assert!(!handler.enabled(&metadata("muted", log::Level::Info)));
    // The flush only woke the worker.
    agent.wait_for(SOON, |got| got.logs().len() == 2).unwrap();
    assert_eq!(agent.logs()[0].message, "sent to both");
    assert_eq!(memory.lines(), ["sent to one", "sent to both", "flushed"]);
}

#[test]
fn targets_may_have_levels_of_their_own() {
    let agent = receiver();
    let logs = logs_to(&agent);
    let handler = logs
        .handler()
        .target_level("shop::cart", LevelFilter::Debug)
        .target_level("shop", LevelFilter::Error)
        .target_level("noise", LevelFilter::Off);
    let lines = [
        ("shop", log::Level::Warn, false),
        ("shop", log::Level::Error, true),
        ("shop::cart", log::Level::Debug, true),
        ("shop::cart::line", log::Level::Debug, true),
        ("shop::carton", log::Level::Warn, false),
        ("shopping", log::Level::Info, true),
        ("noise::more", log::Level::Error, false),
    ];
    for (target, level, _) in lines {
        say(&handler, target, level, target);
    }
    logs.flush(SOON);
    let sent: Vec<_> = agent
        .logs()
        .into_iter()
        .map(|entry| entry.message)
        .collect();
    let wanted = lines.iter().filter(|(_, _, wanted)| *wanted);
    assert_eq!(sent, wanted.map(|(target, ..)| *target).collect::<Vec<_>>());
}

#[test]
fn key_values_become_attributes_of_their_types() {
    let agent = receiver();
    let logs = logs_to(&agent);
    let handler = logs.handler();
    let nothing = None::<&str>;
    let pairs: &[(&str, kv::Value<'_>)] = &[
        ("order.id", 42.into()),
        ("debt", (-1).into()),
        ("price", 9.5.into()),
        ("paid", true.into()),
        ("item", "tea \"green\"".into()),
        ("wide", u128::MAX.into()),
        ("shape", kv::Value::from_debug(&nothing)),
        ("service", "mine".into()),
        ("item", "later".into()),
    ];
    handler.log(
        &Record::builder()
            .level(log::Level::Info)
            .args(format_args!("placed"))
            .key_values(&pairs)
            .build(),
    );
    logs.flush(SOON);
    let entry = &agent.logs()[0];
    let expected = [
        ("order.id", json!(42)),
        ("debt", json!(-1)),
        ("price", json!(9.5)),
        ("paid", json!(true)),
        ("item", json!("later")),
        ("wide", json!(u128::MAX.to_string())),
        ("shape", json!("None")),
        ("custom.service", json!("mine")),
    ];
    for (name, value) in &expected {
        assert_eq!(entry.attributes.get(*name), Some(value), "{name}");
    }
    assert_eq!(entry.service.as_deref(), Some("shop"));
}

#[test]
fn a_line_that_logs_while_it_is_displayed_is_fine() {
    struct Chatty<'a>(&'a DDLogHandler);

    impl std::fmt::Display for Chatty<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            say(self.0, "shop", log::Level::Info, "inner");
            f.write_str("outer")
        }
    }

    let agent = receiver();
    let logs = logs_to(&agent);
    let handler = logs.handler();
    handler.log(
        &Record::builder()
            .level(log::Level::Info)
            .args(format_args!("{}", Chatty(&handler)))
            .build(),
    );
    logs.flush(SOON);
    let sent: Vec<_> = agent
        .logs()
        .into_iter()
        .map(|entry| entry.message)
        .collect();
    assert_eq!(sent, ["inner", "outer"]);
}

#[test]
fn a_handler_outlives_its_client() {
    let agent = receiver();
    let logs = logs_to(&agent);
    let handler = logs.handler();
    drop(logs);
    say(&handler, "shop", log::Level::Error, "too late");
    assert!(agent.logs().is_empty());
}
