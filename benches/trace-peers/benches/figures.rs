//! Whole programs, each client in a process of its own: what spans cost at a steady rate, and what becomes of a flood.
//! Prints tables in Markdown.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is what it is for"
)]

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use trace_peers::clients::{self, Client, LARGE, NAMES, NONE, V04};
use trace_peers::sink::Sink;

/// Spans of one trace: a root and its children.
const SPANS: u64 = 10;

const STEADY_SPANS_A_SECOND: u64 = 100_000;
const STEADY_SECONDS: u64 = 5;

/// How often the program wakes to make the next spans. To wake costs the program as much as hundreds of spans.
const TICKS_A_SECOND: u64 = 100;

const FLOOD_TRACES: u64 = 100_000;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match &*args {
        [_, kind, name, address] if kind == "steady" => {
            steady(&*clients::start(name, address.parse().unwrap()));
        }
        [_, kind, name, address] if kind == "flood" => {
            flood(clients::start(name, address.parse().unwrap()));
        }
        [_, wanted @ ..] => {
            let wanted: Vec<&str> = wanted.iter().map(|arg| &**arg).collect();
            let is_name = |arg: &&str| !arg.starts_with('-');
            tables(&wanted.into_iter().filter(is_name).collect::<Vec<_>>());
        }
        [] => {}
    }
}

/// Of all clients, or of those that are wanted.
fn tables(wanted: &[&str]) {
    let is_wanted = |name: &&str| wanted.is_empty() || wanted.contains(name);
    let sink = Sink::start();
    println!(
        "CPU time of the whole process for a span with two tags, at {STEADY_SPANS_A_SECOND} spans a second, made {TICKS_A_SECOND} times a second:\n"
    );
    println!("| client | CPU a span | received | peak memory |\n|---|--:|--:|--:|");
    // What the program itself takes, most of it to sleep and to wake up.
    for name in [NONE].into_iter().chain(NAMES).filter(is_wanted) {
        let answer = run("steady", name, &sink);
        let [cpu, peak] = *answer.split(' ').collect::<Vec<_>>() else {
            panic!("{name}: {answer}");
        };
        let received = match name {
            NONE => String::new(),
            _ => percent(sink.take(), STEADY_SPANS_A_SECOND * STEADY_SECONDS),
        };
        println!("| {name} | {cpu} ns | {received} | {peak} MiB |");
    }
    println!(
        "\n{} spans as fast as one thread makes them, in {FLOOD_TRACES} traces:\n",
        FLOOD_TRACES * SPANS
    );
    println!(
        "| client | received | not received, but counted | spans a second | peak memory |\n|---|--:|--:|--:|--:|"
    );
    let [ours, peers @ ..] = NAMES;
    let all = [ours, V04, LARGE].into_iter().chain(peers);
    for name in all.filter(is_wanted) {
        let answer = run("flood", name, &sink);
        let [rate, peak, counted] = *answer.split(' ').collect::<Vec<_>>() else {
            panic!("{name}: {answer}");
        };
        let received = sink.take();
        let lost = (FLOOD_TRACES * SPANS).saturating_sub(received);
        let counted = match counted.parse::<u64>() {
            Ok(_) if lost == 0 => "nothing was lost".to_owned(),
            Ok(counted) if counted == lost => "all of it".to_owned(),
            Ok(counted) => format!("{counted} of {lost}"),
            Err(_) => "no".to_owned(),
        };
        println!(
            "| {name} | {} | {counted} | {rate} | {peak} MiB |",
            percent(received, FLOOD_TRACES * SPANS)
        );
    }
}

/// Runs a client in a process of its own. What it prints.
fn run(kind: &str, name: &str, sink: &Sink) -> String {
    eprintln!("{kind}: {name}");
    sink.take();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([kind, name, &sink.address.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{kind} {name}: {}", output.status);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", 100.0 * part as f64 / whole as f64)
}

fn steady(client: &dyn Client) {
    const A_TICK: u64 = STEADY_SPANS_A_SECOND / TICKS_A_SECOND / SPANS;
    let (start, cpu) = (Instant::now(), ProcessTime::now());
    for tick in 1..=STEADY_SECONDS * TICKS_A_SECOND {
        for _ in 0..A_TICK {
            client.trace(SPANS - 1, &mut |children| children());
        }
        let next = start + Duration::from_secs(tick) / TICKS_A_SECOND as u32;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    client.flush();
    // For those that can't flush.
    thread::sleep(Duration::from_secs(2));
    let taken = cpu.elapsed().as_nanos() as f64 / (STEADY_SPANS_A_SECOND * STEADY_SECONDS) as f64;
    println!("{taken:.0} {}", peak_mib());
}

fn flood(client: Box<dyn Client>) {
    let start = Instant::now();
    for _ in 0..FLOOD_TRACES {
        client.trace(SPANS - 1, &mut |children| children());
    }
    let rate = (FLOOD_TRACES * SPANS) as f64 / start.elapsed().as_secs_f64();
    let dropped = client.finish();
    let dropped = dropped.map_or_else(|| "-".to_owned(), |dropped| dropped.to_string());
    println!("{rate:.0} {} {dropped}", peak_mib());
}

/// The most memory that this process had.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024
}
