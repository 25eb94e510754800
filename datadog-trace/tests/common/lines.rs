//! What this crate logs, kept by the process' logger: for tests that are alone in their binary.

use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;
use serde_json::Value;

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

/// Keeps lines from now on.
pub(crate) fn keep() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Trace);
}

/// The facts in the lines since the last call that begin so.
pub(crate) fn facts(beginning: &str) -> Vec<Value> {
    let lines = std::mem::take(&mut *LINES.0.lock());
    let facts = lines.into_iter().filter_map(|(level, line)| {
        let facts = line.strip_prefix(beginning)?;
        assert_eq!(level, Level::Info);
        Some(serde_json::from_str(facts).unwrap())
    });
    facts.collect()
}
