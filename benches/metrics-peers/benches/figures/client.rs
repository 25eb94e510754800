//! The process that submits: one client, one task. Its answer is one line on its standard output.

use std::io::BufRead;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use cadence::prelude::*;
use cpu_time::ProcessTime;
use libdd_common::tag::Tag;
use libdd_dogstatsd_client::DogStatsDAction;
use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_peers::{Server, cadence, dogstatsd, exporter, libdd, ours};

/// The first argument of such a process.
pub(crate) const FLAG: &str = "--client";

/// What each line of it begins with, as some clients print themselves.
pub(crate) const ANSWER: &str = "answer ";

pub(crate) const NAME: &str = "figures.requests";
const TAGS: [(&str, &str); 3] = [("route", "/cart"), ("method", "get"), ("status", "200")];
const TAG_TEXTS: [&str; 3] = ["route:/cart", "method:get", "status:200"];

/// A program that counts nothing, to compare with.
pub(crate) const NONE: &str = "(none)";

pub(crate) const CLIENTS: [&str; 8] = [
    "datadog",
    "datadog, handle",
    "metrics-exporter-dogstatsd",
    "dogstatsd",
    "dogstatsd batching",
    "cadence buffered",
    "cadence queued",
    "libdd-dogstatsd-client",
];

/// Counts of the burst, at most, and the longest that it may take.
const BURST: u64 = 1_000_000;
const BURST_TIME: Duration = Duration::from_secs(1);

/// Counts before the exit.
pub(crate) const EXIT: u64 = 30_000;

/// Counts before, during and after the time that the agent is away.
pub(crate) const RESTART: u64 = 2000;

/// 100 calls each 3 ms.
const RATE_CALLS: u64 = 100;
const RATE_PAUSE: Duration = Duration::from_millis(3);
const RATE_TIME: Duration = Duration::from_secs(2);

/// Counts one, and returns whether the client took it.
type Count = Box<dyn Fn() -> bool>;

pub(crate) fn run(client: &str, task: &str, server: &str) {
    let count = start(client, &place(server));
    match task {
        "rate" => rate(&count),
        "burst" => burst(&count),
        "exit" => (0..EXIT).for_each(|_| {
            count();
        }),
        "restart" => restart(&count),
        other => panic!("no task {other}"),
    }
    // The client goes with `count`, and the process with `main`.
}

/// How the other process tells where the server is.
pub(crate) fn text(place: &Server) -> String {
    match place {
        Server::Udp(address) => address.to_string(),
        Server::Unix(path) => path.display().to_string(),
        _ => panic!("no such server"),
    }
}

fn place(text: &str) -> Server {
    text.parse()
        .map_or_else(|_| Server::Unix(PathBuf::from(text)), Server::Udp)
}

/// Submits at a steady rate, and tells how many nanoseconds of CPU time a call costs the process.
fn rate(count: &Count) {
    // The first calls make connections and threads.
    count();
    thread::sleep(Duration::from_millis(100));
    let (cpu, start) = (ProcessTime::now(), Instant::now());
    let mut calls = 0;
    while start.elapsed() < RATE_TIME {
        (0..RATE_CALLS).for_each(|_| {
            count();
        });
        calls += RATE_CALLS;
        thread::sleep(RATE_PAUSE);
    }
    println!(
        "{ANSWER}{} {calls}",
        cpu.elapsed().as_nanos() / u128::from(calls)
    );
    wait();
}

/// Submits as fast as it can, and tells how many calls it made, how many of them failed and how many nanoseconds they took. When
/// all arrived, it tells how many KiB of memory the process had at most.
fn burst(count: &Count) {
    let start = Instant::now();
    let (mut calls, mut errors) = (0u64, 0u64);
    while calls < BURST && start.elapsed() < BURST_TIME {
        for _ in 0..1000 {
            errors += u64::from(!count());
        }
        calls += 1000;
    }
    let nanos = start.elapsed().as_nanos();
    println!("{ANSWER}{calls} {errors} {nanos}");
    wait();
    println!("{ANSWER}{}", peak_memory());
}

/// Submits before the agent goes, while it is away, and when it is back.
fn restart(count: &Count) {
    for _ in 0..3 {
        for _ in 0..RESTART {
            count();
        }
        println!("{ANSWER}");
        wait();
    }
}

/// Waits for a line from the other process.
fn wait() {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
}

/// In KiB (proc(5): `VmHWM`).
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

fn start(client: &str, server: &Server) -> Count {
    match client {
        NONE => Box::new(|| true),
        "datadog" => {
            let client = ours(server);
            Box::new(move || {
                client.increment(NAME, TAGS);
                true
            })
        }
        "datadog, handle" => {
            let client = ours(server);
            let counter = client.counter(NAME, TAGS);
            Box::new(move || {
                // Moves the client in, too.
                let _ = &client;
                counter.increment(1);
                true
            })
        }
        "metrics-exporter-dogstatsd" => {
            let client = exporter(server);
            let metadata = Metadata::new("figures", Level::INFO, None);
            Box::new(move || {
                client.register_counter(&key(), &metadata).increment(1);
                true
            })
        }
        "dogstatsd" | "dogstatsd batching" => {
            let client = dogstatsd(server, client == "dogstatsd batching");
            Box::new(move || client.incr(NAME, TAG_TEXTS).is_ok())
        }
        "cadence buffered" | "cadence queued" => {
            let client = cadence(server, client == "cadence queued");
            Box::new(move || {
                let mut line = client.count_with_tags(NAME, 1);
                for (key, value) in &TAGS {
                    line = line.with_tag(key, value);
                }
                line.try_send().is_ok()
            })
        }
        "libdd-dogstatsd-client" => {
            let client = libdd(server);
            let tags: Vec<Tag> = TAGS
                .iter()
                .map(|(key, value)| Tag::new(key, value).unwrap())
                .collect();
            Box::new(move || {
                client.send(vec![DogStatsDAction::Count(NAME, 1, &tags)]);
                true
            })
        }
        other => panic!("no client {other}"),
    }
}

fn key() -> Key {
    let labels: Vec<Label> = TAGS
        .iter()
        .map(|(key, value)| Label::new(key.to_string(), value.to_string()))
        .collect();
    Key::from_parts(NAME.to_owned(), labels)
}
