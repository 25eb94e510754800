//! What a tracer shows of itself when it starts. Alone in its binary: a process has one logger, and one list of files.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{config, start};
use datadog_local_agent::LocalAgent;
use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

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

/// The lines that say how a tracer is set up, as JSON, since the last call.
fn told() -> Vec<serde_json::Value> {
    let lines = std::mem::take(&mut *LINES.0.lock());
    let told = lines.into_iter().filter_map(|(level, line)| {
        let facts = line.strip_prefix("DATADOG TRACER CONFIGURATION ")?;
        assert_eq!(level, Level::Info);
        Some(serde_json::from_str(facts).unwrap())
    });
    told.collect()
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
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Trace);
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
