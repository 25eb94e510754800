use datadog_local_agent::Request;
use datadog_logs::Level;
use serde_json::Value;

use crate::support::{SOON, account, body, logs_to, receiver};

fn sizes(requests: &[Request]) -> Vec<usize> {
    let entries = |request: &Request| match serde_json::from_slice(&body(request)).unwrap() {
        Value::Array(entries) => entries.len(),
        other => panic!("expected an array, got {other}"),
    };
    requests.iter().map(entries).collect()
}

#[test]
fn a_request_holds_at_most_1000_entries() {
    for (entries, requests) in [(1000, vec![1000]), (1001, vec![1000, 1])] {
        let agent = receiver();
        let logs = logs_to(&agent);
        for _ in 0..entries {
            logs.log(Level::Info, "x");
        }
        logs.flush(SOON);
        assert_eq!(sizes(&agent.requests()), requests);
        assert_eq!(account(&logs).delivered, entries);
        assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
    }
}

#[test]
fn a_request_holds_at_most_5_mb() {
    let agent = receiver();
    let logs = logs_to(&agent);
    let large = "x".repeat(950_000);
    for _ in 0..8 {
        logs.log(Level::Info, &large);
    }
    logs.flush(SOON);
    let requests = agent.requests();
    // How many there are depends on when the worker wakes up.
    assert!((2..=8).contains(&requests.len()));
    assert!(
        requests
            .iter()
            .all(|request| body(request).len() <= 5_000_000)
    );
    assert_eq!(account(&logs).delivered, 8);
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
}

#[test]
fn an_entry_is_cut_at_1_mb_with_a_mark() {
    let agent = receiver();
    let logs = logs_to(&agent);
    logs.log(Level::Info, "x").with("a", 1);
    logs.flush(SOON);
    // Without the brackets of the array.
    let rest = body(&agent.requests()[0]).len() - 2 - "x".len();
    agent.clear();

    for surplus in [-1_i32, 0, 1, 500_000] {
        let length = (1_000_000 - rest as i32 + surplus) as usize;
        logs.log(Level::Info, "x".repeat(length)).with("a", 1);
        logs.flush(SOON);
        let entry = &agent.logs()[0];
        assert_eq!(entry.attribute("a"), Some(&1.into()));
        let size = body(&agent.requests()[0]).len() - 2;
        if surplus <= 0 {
            assert_eq!(size, (1_000_000 + surplus) as usize);
            assert_eq!(entry.message.len(), length);
        } else {
            assert_eq!(size, 1_000_000);
            assert!(entry.message.ends_with("x...TRUNCATED..."));
        }
        agent.clear();
    }
    assert_eq!(account(&logs).delivered, 5);
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
}

#[test]
fn large_requests_are_compressed_if_the_feature_says_so() {
    let agent = receiver();
    let logs = logs_to(&agent);
    for message in ["short", &"long ".repeat(1000)] {
        logs.log(Level::Info, message);
        logs.flush(SOON);
    }
    let compressed: Vec<_> = agent
        .requests()
        .iter()
        .map(|request| request.header("content-encoding") == Some("gzip"))
        .collect();
    assert_eq!(compressed, [false, cfg!(feature = "gzip")]);
    assert_eq!(agent.logs().len(), 2);
}
