//! The system calls of the worker for one delivered batch of each signal, as the kernel sees them: counted by strace, and left out where that is
//! missing. Without a test harness: it starts itself under strace.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that unwraps fails with the reason"
)]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use datadog::{DDClient, DDConfig};
use datadog_local_agent::LocalAgent;

/// What has nothing to do with the batch: memory, which the allocator gets as it likes, and sleeping, which depends on who is quicker.
const LEFT_OUT: [&str; 7] = [
    "futex",
    "sched_yield",
    "mmap",
    "munmap",
    "mprotect",
    "madvise",
    "brk",
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "deliver", signal, rounds, agent, dogstatsd] => {
            deliver(signal, rounds.parse().unwrap(), agent, dogstatsd);
        }
        _ => count_all(),
    }
}

/// The program under strace: delivers one small batch a round.
fn deliver(signal: &str, rounds: u32, agent: &str, dogstatsd: &str) {
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(agent)
        .dogstatsd_url(dogstatsd)
        .service("shop");
    let config = match signal {
        "logs" => config
            .logs_direct_submission_url(agent)
            .api_key("0123456789abcdef0123456789abcdef"),
        _ => config,
    };
    let client = DDClient::new(config.build().unwrap()).unwrap();
    for _ in 0..rounds {
        match signal {
            "traces" => drop(client.trace("request")),
            "logs" => drop(client.info("request")),
            _ => client.count("requests", 1, [("route", "/")]),
        }
        let report = match signal {
            "traces" => client.flush_traces(),
            "logs" => client.flush_logs(),
            _ => client.flush_metrics(),
        };
        assert_eq!(report.delivered, 1, "{report:?}");
    }
    // No end of the client: a shutdown has calls of its own.
    std::process::exit(0);
}

fn count_all() {
    if Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        println!("left out: there is no strace to count system calls with");
        return;
    }
    let agent = LocalAgent::start().unwrap();
    let http_unix = format!("unix://{}", agent.trace_socket().display());
    let statsd_unix = format!("unix://{}", agent.dogstatsd_socket().display());
    let (http, statsd) = (agent.url(), agent.dogstatsd_url());
    // A head and a body written, an answer read; the rest asks whether the kept connection is still open, and sets time limits.
    for (http, statsd) in [(&http, &statsd), (&http_unix, &statsd_unix)] {
        let calls = calls_of_a_batch("traces", http, statsd);
        println!("a batch of traces to {http}: {calls:?}");
        assert_eq!(calls.get("sendto"), Some(&2.0), "{calls:?}");
        assert!(calls.values().sum::<f64>() <= 13.0, "{calls:?}");
    }
    let calls = calls_of_a_batch("logs", &http, &statsd);
    println!("a batch of logs to {http}: {calls:?}");
    assert_eq!(calls.get("sendto"), Some(&2.0), "{calls:?}");
    assert!(calls.values().sum::<f64>() <= 13.0, "{calls:?}");
    // One datagram, and one look at whether the socket is still the server's.
    for (statsd, send) in [(&statsd, "sendto"), (&statsd_unix, "write")] {
        let calls = calls_of_a_batch("metrics", &http, statsd);
        println!("a batch of metrics to {statsd}: {calls:?}");
        assert_eq!(calls.get(send), Some(&1.0), "{calls:?}");
        assert!(calls.values().sum::<f64>() <= 2.0, "{calls:?}");
    }
    assert_eq!(agent.refusals(), []);
}

/// The worker's calls for one batch: what ten batches more take, divided by ten.
fn calls_of_a_batch(signal: &str, agent: &str, dogstatsd: &str) -> BTreeMap<String, f64> {
    let few = calls(signal, 10, agent, dogstatsd);
    let more = calls(signal, 20, agent, dogstatsd);
    let difference = more.into_iter().map(|(name, count)| {
        let before = few.get(&name).copied().unwrap_or(0);
        (name, (f64::from(count) - f64::from(before)) / 10.0)
    });
    difference.filter(|(_, count)| *count != 0.0).collect()
}

/// How often the worker of a program with this many batches made each system call.
fn calls(signal: &str, rounds: u32, agent: &str, dogstatsd: &str) -> BTreeMap<String, u32> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let strace = Command::new("strace")
        .args([
            "--follow-forks",
            "--decode-pids=comm",
            "--quiet=all",
            "--output",
        ])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["deliver", signal, &rounds.to_string(), agent, dogstatsd])
        .status();
    assert!(strace.unwrap().success());
    let mut calls = BTreeMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        // `123<datadog> sendto(5, …`; what a switch to another thread cut in two comes back as `<... sendto resumed>`.
        let Some((_, call)) = line.split_once("<datadog> ") else {
            continue;
        };
        let name = call.split('(').next().unwrap();
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if is_name(name) && !LEFT_OUT.contains(&name) {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    assert!(!calls.is_empty());
    calls
}
