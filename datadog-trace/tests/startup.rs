//! What a tracer shows of itself when it starts. Alone in its binary: a process has one logger, and one list of files.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{config, lines, start};
use datadog_local_agent::LocalAgent;

/// The lines that say how a tracer is set up, since the last call.
fn told() -> Vec<serde_json::Value> {
    lines::facts("DATADOG TRACER CONFIGURATION ")
}

/// The files in memory by which others find tracers in this process.
fn discovered() -> Vec<PathBuf> {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let paths = open.map(|entry| entry.path());
    let is_one = |path: &PathBuf| {
        fs::read_link(path).is_ok_and(|link| {
            link.to_string_lossy()
                .starts_with("/memfd:datadog-tracer-info-")
        })
    };
    paths.filter(is_one).collect()
}

#[test]
fn a_tracer_says_how_it_is_set_up_and_can_be_found_while_it_lives() {
    lines::keep();
    let agent = LocalAgent::start().unwrap();

    let tracer = start(config(&agent.url()).startup_logs(true));
    let [facts] = told().try_into().unwrap();
    assert_eq!(facts["service"], "shop");
    assert_eq!(facts["agent_url"], agent.url());
    let [file] = discovered().try_into().unwrap();
    let bytes = fs::read(file).unwrap();
    let value = rmpv::decode::read_value(&mut bytes.as_slice()).unwrap();
    let mut fields = value.as_map().unwrap().iter();
    let service = fields.find(|(key, _)| key.as_str() == Some("service_name"));
    assert_eq!(service.unwrap().1.as_str(), Some("shop"));
    drop(tracer);
    assert!(discovered().is_empty());

    let quiet = start(config(&agent.url()).startup_logs(false));
    assert!(told().is_empty());
    assert_eq!(discovered().len(), 1);
    drop(quiet);

    // Without tracing there is no tracer to tell of.
    let off = start(
        config(&agent.url())
            .startup_logs(true)
            .tracing_enabled(false),
    );
    assert!(told().is_empty() && discovered().is_empty());
    drop(off);
}
