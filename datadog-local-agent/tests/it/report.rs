//! The report over what a small service sends.

use std::net::UdpSocket;

use datadog_local_agent::LocalAgent;
use rmpv::Value;
use serde_json::json;

use crate::client::{self, SOON, TRACE_HEADERS, map, one_chunk, span};
use crate::profiles;

/// Sends a trace of four spans, metrics of all kinds, logs, a profile and something bad.
fn fill(agent: &LocalAgent) {
    let mut client = client::unix(agent);
    let start = 1_700_000_000_000_000_000_u64;
    let at = |milliseconds: u64, long: u64| {
        [
            ("start", Value::from(start + milliseconds * 1_000_000)),
            ("duration", Value::from(long * 1_000_000)),
        ]
    };
    let named = |name: &str, resource: &str, service: &str| {
        [
            ("name", Value::from(name)),
            ("resource", Value::from(resource)),
            ("service", Value::from(service)),
            ("trace_id", Value::from(0x1234_5678_9abc_def0_u64)),
        ]
    };
    let meta = map(&[
        ("env", "prod".into()),
        ("version", "1.2".into()),
        ("_dd.p.tid", "00000000000000ab".into()),
        ("http.method", "POST".into()),
        ("customer", "anna".into()),
    ]);
    let metrics = map(&[("_sampling_priority_v1", 1.into()), ("quantity", 2.into())]);
    let failure = map(&[
        ("events", r#"[{"name":"retry","time_unix_nano":1}]"#.into()),
        ("error.type", "io::Error".into()),
        ("error.message", "connection refused".into()),
        ("error.stack", "a\nb".into()),
    ]);
    let root = [
        &named("web.request", "POST /orders", "shop")[..],
        &at(0, 84),
        &[("meta", meta), ("metrics", metrics)],
    ];
    let plain = ("meta", Value::Nil);
    let query = [
        &named("db.query", "INSERT INTO orders VALUES (?, ?)", "shop-db")[..],
        &at(5, 30),
        std::slice::from_ref(&plain),
    ];
    let mail = [
        &named("mail.send", "mail.send", "shop")[..],
        &at(40, 40),
        &[("error", 1.into()), ("meta", failure)],
    ];
    let socket = [
        &named("connect", "connect", "shop")[..],
        &at(41, 0),
        std::slice::from_ref(&plain),
    ];
    let body = one_chunk(&[
        span(u64::MAX, 0, &root.concat()),
        span(2, u64::MAX, &query.concat()),
        span(4, 3, &socket.concat()),
        span(3, u64::MAX, &mail.concat()),
    ]);
    client.send("POST /v0.4/traces", &TRACE_HEADERS, &body);
    client.send("POST /v0.5/traces", &[], b"");

    let ids = json!({"trace_id": "00000000000000ab123456789abcdef0", "span_id": "3"});
    let entry = |status: &str, message: &str| json!({"message": message, "status": status, "service": "shop", "ddsource": "rust", "hostname": "box"});
    let mut order = entry("info", "order taken");
    order["dd"] = ids.clone();
    order["order"] = json!({"id": 17});
    let mut mail = entry("error", "mail not sent\nwill try again");
    mail["dd"] = ids;
    mail["error"] = json!({"kind": "io::Error", "stack": "a\nb"});
    let logs = json!([entry("debug", "started"), order, mail]).to_string();
    let headers = [("Content-Type", "application/json"), ("DD-API-KEY", "k")];
    client.send("POST /api/v2/logs", &headers, logs.as_bytes());

    profiles::send_good(agent);

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let lines = "orders:1|c|#env:prod,kind:book\norders:2|c|#kind:book,env:prod\norders:1|c|@0.001|#env:prod,kind:car\n\
                 queue.depth:3|g|#env:prod\nqueue.depth:7|g|#env:prod\n\
                 latency:1:2:2:3:3:3:4:4:9|d|#env:prod\npayment:12.5:80|ms|#env:prod\nusers:anna|s|#env:prod\nusers:bob|s|#env:prod\n\
                 _e{7,5}:release|v 1.2|t:success|#env:prod\n_sc|db|2|#env:prod|m:no answer\nbroken\n";
    udp.send_to(lines.as_bytes(), agent.dogstatsd_addr())
        .unwrap();
    agent.wait_for(SOON, |got| got.datagrams() == 1).unwrap();
}

#[test]
fn it_reads_well() {
    let agent = LocalAgent::start().unwrap();
    fill(&agent);
    let report = agent.report().to_string();
    println!("{report}");
    assert_eq!(report, include_str!("report.txt"));
}

#[test]
fn odd_traces_are_shown_too() {
    let agent = LocalAgent::start().unwrap();
    let mut client = client::tcp(&agent);
    // Parents of each other, then one whose parent is elsewhere, then the same again as after a lost answer.
    let circle = [
        span(1, 2, &[("name", "egg".into())]),
        span(2, 1, &[("name", "hen".into())]),
    ];
    let stray = span(3, 99, &[("name", "stray".into())]);
    for body in [
        one_chunk(&circle),
        one_chunk(std::slice::from_ref(&stray)),
        one_chunk(std::slice::from_ref(&stray)),
    ] {
        client.send("POST /v0.4/traces", &TRACE_HEADERS, &body);
    }
    let report = agent.report().to_string();
    for name in ["egg", "hen", "stray"] {
        assert_eq!(report.matches(name).count(), 1, "{report}");
    }
}

#[test]
fn nothing_received_is_a_short_report() {
    let agent = LocalAgent::start().unwrap();
    let report = agent.report().to_string();
    assert!(
        report.starts_with("━━ Requests ━━ 0 requests on 0 connections"),
        "{report}"
    );
    assert!(report.ends_with("nothing was refused\n"), "{report}");
}
