//! One good item over each way in.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

use crate::client;
use crate::client::{SOON, TRACE_HEADERS, one_chunk, span};
use datadog_local_agent::{LocalAgent, Transport};

#[test]
fn traces_arrive_over_both_transports() {
    let agent = LocalAgent::start().unwrap();
    let body = one_chunk(&[span(1, 0, &[]), span(2, 1, &[])]);
    let mut tcp = client::tcp(&agent);
    let mut unix = client::unix(&agent);
    for _ in 0..2 {
        let answer = tcp.send("POST /v0.4/traces", &TRACE_HEADERS, &body);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["rate_by_service"]["service:,env:"], 1.0);
    }
    assert_eq!(
        unix.send("PUT /v0.4/traces", &TRACE_HEADERS, &body).status,
        200
    );

    assert_eq!(agent.spans().len(), 6);
    assert_eq!(agent.traces()[0].spans[1].parent_id, 1);
    assert_eq!(agent.connections(), 2);
    let transports: Vec<_> = agent.requests().iter().map(|got| got.transport).collect();
    assert_eq!(
        transports,
        [Transport::Tcp, Transport::Tcp, Transport::Unix]
    );
    assert!(agent.refusals().is_empty());
}

#[test]
fn logs_arrive() {
    let agent = LocalAgent::builder().api_key("k").start().unwrap();
    let headers = [("Content-Type", "application/json"), ("DD-API-KEY", "k")];
    let body = br#"[{"message":"hello","status":"info","dd":{"trace_id":"7"}}]"#;
    let answer = client::tcp(&agent).send("POST /api/v2/logs", &headers, body);
    assert_eq!((answer.status, answer.text().as_str()), (202, "{}"));
    assert_eq!(agent.logs()[0].message, "hello");
    assert_eq!(agent.logs()[0].trace_id(), Some(7));
}

#[test]
fn dogstatsd_arrives_over_both_sockets() {
    let agent = LocalAgent::start().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.send_to(b"hits:2|c|#env:test\nhits:3|c\n", agent.dogstatsd_addr())
        .unwrap();
    let unix = UnixDatagram::unbound().unwrap();
    unix.send_to(b"hits:1|c|@0.5\n", agent.dogstatsd_socket())
        .unwrap();
    agent
        .wait_for(SOON, |got| got.metrics().len() == 3)
        .unwrap();
    assert_eq!(agent.metric_sum("hits"), 7.0);
    assert_eq!(agent.datagrams(), 2);
    assert_eq!(agent.lost_datagrams(), 0);
}
