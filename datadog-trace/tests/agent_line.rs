//! The line about the agent that a tracer logs once it was asked. Alone in its binary: a process has one logger.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use common::{LIMIT, config, start};
use datadog_config::DDConfigBuilder;
use datadog_local_agent::LocalAgent;
use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use serde_json::{Value, json};

static LINES: Lines = Lines(Mutex::new(Vec::new()));

/// Keeps what is logged.
struct Lines(Mutex<Vec<(Level, String)>>);

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.target() == "datadog" {
            let line = (record.level(), record.args().to_string());
            self.0.lock().push(line);
        }
    }

    fn flush(&self) {}
}

/// What a tracer says of its agent until it ends.
fn told(config: DDConfigBuilder) -> Vec<Value> {
    let tracer = start(config);
    // The first of them asks the agent.
    (0..2).for_each(|_| drop(tracer.flush(LIMIT)));
    drop(tracer);
    let lines = std::mem::take(&mut *LINES.0.lock());
    let told = lines.into_iter().filter_map(|(level, line)| {
        let facts = line.strip_prefix("DATADOG TRACER AGENT ")?;
        assert_eq!(level, Level::Info);
        Some(serde_json::from_str(facts).unwrap())
    });
    told.collect()
}

#[test]
fn a_tracer_says_once_what_its_agent_takes() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Info);
    let agent = LocalAgent::start().unwrap();
    agent.set_info([
        ("version", json!("7.77.0")),
        (
            "endpoints",
            json!(["/v0.4/traces", "/v1.0/traces", "/v0.6/stats"]),
        ),
        ("client_drop_p0s", json!(true)),
    ]);
    let [facts] = told(config(&agent.url()).startup_logs(true))
        .try_into()
        .unwrap();
    assert_eq!(facts["agent_url"], agent.url());
    assert_eq!(facts["agent_version"], "7.77.0");
    assert_eq!(facts["trace_protocol"], "1.0");
    assert_eq!(facts["stats_computed_here"], true);
    assert!(facts.get("agent_error").is_none());
    assert!(told(config(&agent.url()).startup_logs(false)).is_empty());
    agent.stop_listening().unwrap();
    let [facts] = told(config(&agent.url()).startup_logs(true))
        .try_into()
        .unwrap();
    assert_eq!(facts["agent_error"], "no answer to /info");
}
