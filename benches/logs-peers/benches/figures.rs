//! A million records at full speed from one thread: what it took, and what became of them. Prints Markdown.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench ends at the first surprise, and prints its results"
)]

mod clients;

use std::io::{self, Read};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use clients::{
    EXPORTED, MESSAGE, in_a_span, json_subscriber, logs, logs_to, opentelemetry, say,
    say_to_sentry, sentry,
};
use datadog_logs::{Level, Logs};
use datadog_transport::{SignalKind, Standalone};
use opentelemetry_appender_log::OpenTelemetryLogBridge;
use sentry_core::Hub;

const RECORDS: u64 = 1_000_000;
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    println!("\n### {RECORDS} log records from one thread, as fast as it can\n");
    println!(
        "| client, receiver | ns a record, caller | all done after | delivered | dropped, counted | not accounted for | MB/s written |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    let runs: [fn() -> Row; 5] = [
        to_nowhere,
        to_a_port,
        tracing_json,
        opentelemetry_batched,
        sentry_batched,
    ];
    for run in runs {
        let row = run();
        eprintln!("{}: done", row.client);
        println!("{}", row.line());
    }
    println!(
        "\nMB/s are bytes of JSON per second until all was done, where the client counts them."
    );
}

struct Row {
    client: &'static str,
    /// Until the caller was through.
    caller: Duration,
    /// Until nothing was buffered any more.
    all: Duration,
    delivered: u64,
    dropped: u64,
    bytes: Option<u64>,
}

impl Row {
    fn line(&self) -> String {
        let lost = RECORDS as i64 - (self.delivered + self.dropped) as i64;
        let speed = self.bytes.map_or_else(String::new, |bytes| {
            format!("{:.0}", bytes as f64 / self.all.as_secs_f64() / 1e6)
        });
        format!(
            "| {} | {} | {:.2} s | {} | {} | {lost} | {speed} |",
            self.client,
            self.caller.as_nanos() as u64 / RECORDS,
            self.all.as_secs_f64(),
            self.delivered,
            self.dropped,
        )
    }
}

/// Writes the records with a client, then lets `end` wait for what is buffered.
fn measure<C>(name: &'static str, client: C, write: impl Fn(&C, u64), end: impl FnOnce(C)) -> Row {
    EXPORTED.store(0, Ordering::Relaxed);
    let start = Instant::now();
    (0..RECORDS).for_each(|number| write(&client, number));
    let caller = start.elapsed();
    end(client);
    Row {
        client: name,
        caller,
        all: start.elapsed(),
        delivered: EXPORTED.load(Ordering::Relaxed),
        dropped: 0,
        bytes: None,
    }
}

fn ours(name: &'static str, logs: &Standalone<Logs>) -> Row {
    let write = |logs: &&Standalone<Logs>, number: u64| {
        logs.log(Level::Info, MESSAGE)
            .with("order.id", number)
            .with("order.kind", "express")
            .with("ok", true);
    };
    let row = in_a_span(|| {
        measure(name, logs, write, |logs| {
            logs.shutdown(LIMIT);
        })
    });
    let health = logs.health().signal(SignalKind::Logs);
    Row {
        delivered: health.delivered,
        dropped: health.dropped.total(),
        bytes: Some(health.bytes),
        ..row
    }
}

fn to_nowhere() -> Row {
    ours("datadog, to /dev/null", &logs())
}

fn to_a_port() -> Row {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let logs = logs_to(&format!("tcp://{}", listener.local_addr().unwrap()));
    let reader = thread::spawn(move || {
        let mut connection = listener.accept().unwrap().0;
        let mut buffer = vec![0; 1 << 20];
        let mut lines = 0_u64;
        loop {
            match connection.read(&mut buffer).unwrap() {
                0 => return lines,
                read => {
                    lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64
                }
            }
        }
    });
    let row = ours("datadog, to a TCP port that counts lines", &logs);
    drop(logs);
    assert_eq!(
        reader.join().unwrap(),
        row.delivered,
        "delivered is what arrived"
    );
    row
}

fn tracing_json() -> Row {
    let (writer, guard) = tracing_appender::non_blocking(io::sink());
    let lost = writer.error_counter();
    let row = tracing::subscriber::with_default(json_subscriber(writer), || {
        let span = tracing::info_span!("work");
        let _entered = span.enter();
        let write = |_: &_, number| clients::trace(number);
        measure(
            "tracing-subscriber JSON, tracing-appender to a sink",
            guard,
            write,
            drop,
        )
    });
    let dropped = lost.dropped_lines() as u64;
    Row {
        delivered: RECORDS - dropped,
        dropped,
        ..row
    }
}

fn opentelemetry_batched() -> Row {
    let provider = opentelemetry();
    let bridge = OpenTelemetryLogBridge::new(&provider);
    measure(
        "opentelemetry-appender-log, batched to nowhere",
        provider,
        |_, number| say(&bridge, number),
        |provider| provider.shutdown().unwrap(),
    )
}

fn sentry_batched() -> Row {
    let hub = sentry();
    Hub::run(Arc::clone(&hub), || {
        measure(
            "sentry-core logs, batched to a sink",
            hub,
            |_, number| say_to_sentry(number),
            |hub| {
                hub.client().unwrap().close(Some(LIMIT));
            },
        )
    })
}
