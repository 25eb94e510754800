//! The line about the agent that a tracer logs once it was asked. Alone in its binary: a process has one logger.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use common::{LIMIT, config, lines, start};
use datadog_config::DDConfigBuilder;
use datadog_local_agent::LocalAgent;
use serde_json::{Value, json};

/// What a tracer says of its agent until it ends.
fn told(config: DDConfigBuilder) -> Vec<Value> {
    let tracer = start(config);
    // The first of them asks the agent.
    (0..2).for_each(|_| drop(tracer.flush(LIMIT)));
    drop(tracer);
    lines::facts("DATADOG TRACER AGENT ")
}

#[test]
fn a_tracer_says_once_what_its_agent_takes() {
    lines::keep();
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
