//! The default client where none was set: whatever uses it says nothing.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::sync::Mutex;
use std::time::Duration;

use datadog::{DDClient, DDConfig};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.target(), record.args());
        LINES.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

fn lines() -> Vec<String> {
    std::mem::take(&mut LINES.lock().unwrap())
}

#[test]
fn a_client_that_is_off_is_silent() {
    log::set_logger(&Lines).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let off = datadog::client();
    drop(off.info("nothing"));
    off.gauge("nothing", 1.0, ());
    off.trace("nothing").finish();
    off.flush(Duration::from_millis(1));
    assert_eq!(lines(), [""; 0]);

    // Of one that starts it is said.
    let config = DDConfig::builder().environment([("", "")]).build();
    let client = DDClient::new(config.unwrap()).unwrap();
    let told = lines();
    let is_told = told
        .iter()
        .any(|line| line.starts_with("datadog logs have no receiver"));
    assert!(is_told, "{told:?}");
    client.shutdown(Duration::ZERO);
}
