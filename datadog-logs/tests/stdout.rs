//! The standard output as the receiver: this program runs itself as a child and reads its lines.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(clippy::print_stdout, reason = "what else writes there")]

use std::process::Command;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_logs::{Level, Logs};
use serde_json::Value;

const RECORDS: usize = 2000;

fn main() {
    if std::env::args().any(|argument| argument == "child") {
        child();
    } else {
        every_line_is_an_entry();
        println!("every_line_is_an_entry ... ok");
    }
}

/// Ends without a flush: what is buffered is written when the client is dropped.
fn child() {
    let config = DDConfig::builder()
        .environment([("", ""); 0])
        .service("shop")
        .logs_output("stdout")
        .build()
        .unwrap();
    let logs = Logs::start(&config).unwrap();
    for number in 0..RECORDS {
        logs.log(Level::Info, "to the\nstandard output")
            .with("number", number);
        if number % 500 == 0 {
            println!("a line of the program");
        }
    }
    assert!(logs.flush(Duration::from_secs(10)).complete);
    logs.log(Level::Warning, "the end");
}

fn every_line_is_an_entry() {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).arg("child").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let (own, entries): (Vec<_>, Vec<_>) = lines
        .lines()
        .partition(|line| *line == "a line of the program");
    assert_eq!(own.len(), 4);
    let entries: Vec<Value> = entries
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(entries.len(), RECORDS + 1);
    for (number, entry) in entries[..RECORDS].iter().enumerate() {
        assert_eq!(entry["number"], number);
        assert_eq!(entry["message"], "to the\nstandard output");
    }
    assert_eq!(entries[RECORDS]["status"], "warn");
}
