//! Problems are logged, each once and on one line. A file of its own: a process has one logger.

use std::sync::Mutex;

use datadog_config::DDConfig;
use log::{LevelFilter, Log, Metadata, Record};

struct Collected(Mutex<Vec<String>>);

static LOGGED: Collected = Collected(Mutex::new(Vec::new()));

impl Log for Collected {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {} {}", record.level(), record.target(), record.args());
        self.0.lock().expect("no other test").push(line);
    }

    fn flush(&self) {}
}

#[test]
fn each_problem_is_logged_once() {
    log::set_logger(&LOGGED).unwrap();
    log::set_max_level(LevelFilter::Trace);

    let variables = [
        ("DD_TRACE_SAMPLE_RATE", "abc"),
        ("DD_SITE", "eu1"),
        ("DD_TRACE_STARTUP_LOGS", "true"),
    ];
    let config = DDConfig::builder().environment(variables).build().unwrap();
    // Neither a look at it nor a clone logs again.
    let _ = (config.clone().problems(), config.describe());

    let logged = LOGGED.0.lock().unwrap();
    assert_eq!(
        logged[..2],
        [
            "WARN datadog DD_SITE=eu1 (env): this site is written datadoghq.eu; using datadoghq.eu from env",
            "WARN datadog DD_TRACE_SAMPLE_RATE=abc (env): expected a number between 0 and 1; not used",
        ]
    );
    assert!(
        logged[2].starts_with("INFO datadog configuration:\ntrace_agent "),
        "{}",
        logged[2]
    );
    assert_eq!(logged.len(), 3);
}
