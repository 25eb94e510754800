//! The standard output as the receiver: this program runs itself as a child and reads its lines.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what else writes there"
)]

use std::io::{BufRead, BufReader, Seek};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_logs::{Level, Logs};
use datadog_transport::SignalKind;
use serde_json::Value;

const RECORDS: usize = 2000;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("child") => child(),
        Some("stalled-child") => stalled_child(),
        _ => {
            every_line_is_an_entry();
            println!("every_line_is_an_entry ... ok");
            a_reader_that_stops_does_not_stop_the_worker();
            println!("a_reader_that_stops_does_not_stop_the_worker ... ok");
        }
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
    let output = Command::new(&program).arg("child").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    check(&String::from_utf8(output.stdout).unwrap());

    let mut file = tempfile::tempfile().unwrap();
    let stdout = file.try_clone().unwrap();
    let mut child = Command::new(program);
    let status = child.arg("child").stdout(stdout).status();
    assert!(status.unwrap().success());
    file.rewind().unwrap();
    check(&std::io::read_to_string(file).unwrap());
}

fn check(lines: &str) {
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

/// Writes more than a pipe holds, and says on the other output how that ended.
fn stalled_child() {
    let config = DDConfig::builder()
        .environment([("", ""); 0])
        .service("shop")
        .logs_output("stdout")
        .build()
        .unwrap();
    let logs = Logs::start(&config).unwrap();
    for number in 0..RECORDS {
        logs.log(Level::Info, "x".repeat(200))
            .with("number", number);
    }
    let started = Instant::now();
    let report = logs.flush(Duration::from_secs(20));
    let health = logs.health().signal(SignalKind::Logs);
    eprintln!(
        "{} {} {} {}",
        report.complete,
        started.elapsed().as_secs() < 10,
        health.delivered > 0,
        health.delivered + health.buffered == RECORDS as u64
    );
    // Waits for the reader to go on.
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

fn a_reader_that_stops_does_not_stop_the_worker() {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program)
        .arg("stalled-child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    BufReader::new(child.stderr.take().unwrap())
        .read_line(&mut told)
        .unwrap();
    assert_eq!(told, "true true true true\n");
    drop(child.stdin.take());
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let numbers: Vec<u64> = lines
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .map(|entry| entry["number"].as_u64().unwrap())
        .collect();
    assert!(numbers.into_iter().eq(0..RECORDS as u64));
    assert!(child.wait().unwrap().success());
}
