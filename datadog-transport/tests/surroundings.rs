//! What the client does not get from its surroundings: a thread for each look-up of a name, or a proxy for its agent.
//! Without a test harness: it counts the threads of the process, and starts itself in another environment.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the reason"
)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use datadog_config::DDConfig;
use datadog_local_agent::LocalAgent;
use datadog_transport::{Payload, TransportBuilder};

const LIMIT: Duration = Duration::from_secs(20);

fn main() {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("send-to"), Some(agent)) => send_to(&agent),
        _ => {
            posts_to_a_name_start_no_threads();
            only_the_intake_is_behind_the_proxy();
        }
    }
}

fn config(agent: &str) -> DDConfig {
    let config = DDConfig::builder().environment([("", "")]).agent_url(agent);
    config.build().unwrap()
}

fn empty() -> Payload {
    Payload::new(Vec::new(), Vec::new(), 0)
}

fn posts_to_a_name_start_no_threads() {
    let agent = LocalAgent::start().unwrap();
    let port = agent.url().rsplit(':').next().unwrap().to_owned();
    let config = config(&format!("http://localhost:{port}"));
    let client = TransportBuilder::new(&config).agent().unwrap();
    let post = || {
        let answer = client.post("/no/such/endpoint", &empty(), LIMIT).unwrap();
        assert_eq!(answer.status(), 404);
    };
    // The first one looks the name up.
    post();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let before = threads();
            let mut started = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                started.extend(threads().difference(&before).cloned());
            }
            started
        });
        (0..200).for_each(|_| post());
        over.store(true, Ordering::Relaxed);
        assert_eq!(watch.join().unwrap(), BTreeSet::new());
    });
    assert_eq!(agent.connections(), 1);
}

/// The ids of this process's threads.
fn threads() -> BTreeSet<OsString> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    tasks.map(|task| task.unwrap().file_name()).collect()
}

fn only_the_intake_is_behind_the_proxy() {
    let agent = LocalAgent::start().unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let (mut stream, _) = proxy.accept().unwrap();
        let lines = BufReader::new(&stream).lines().map(Result::unwrap);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        stream
            .write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            .unwrap();
        proxy.set_nonblocking(true).unwrap();
        (head.join("\n"), proxy)
    });
    let mut child = Command::new(std::env::current_exe().unwrap());
    for variable in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"] {
        child.env(variable, &url).env(variable.to_lowercase(), &url);
    }
    let status = child
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .args(["send-to", &agent.url()])
        .status()
        .unwrap();
    assert!(status.success());
    let (head, proxy) = asked.join().unwrap();
    assert!(head.starts_with("CONNECT intake.example:80 "), "{head}");
    assert!(proxy.accept().is_err(), "one connection, for the intake");
    // The agent, and an intake on this machine.
    assert_eq!(agent.requests().len(), 2);
}

/// What the child does.
fn send_to(agent: &str) {
    let intake = |url: &str| {
        let config = DDConfig::builder()
            .environment([("", "")])
            .logs_direct_submission_url(url)
            .build()
            .unwrap();
        let url = config.logs_intake_url().unwrap();
        TransportBuilder::new(&config).intake(url).unwrap()
    };
    let refused = intake("http://intake.example").post("/api/v2/logs", &empty(), LIMIT);
    assert!(refused.is_err(), "{refused:?}");
    let local = intake(agent).post("/no/such/endpoint", &empty(), LIMIT);
    assert_eq!(local.unwrap().status(), 404);
    let client = TransportBuilder::new(&config(agent)).agent().unwrap();
    let answer = client.post("/no/such/endpoint", &empty(), LIMIT).unwrap();
    assert_eq!(answer.status(), 404);
}
