//! Each fault over TCP and Unix sockets, stopping and starting again, full buffers, and waiting.

use std::io::ErrorKind;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use datadog_local_agent::{Endpoint, Fault, LocalAgent};

use crate::client::{self, Client, SOON, Socket, TRACE_HEADERS, one_chunk, span};

const LINE: &str = "POST /v0.4/traces";

fn body() -> Vec<u8> {
    one_chunk(&[span(1, 0, &[])])
}

/// Runs a check over both kinds of socket, each with an agent of its own.
fn over_both(check: impl Fn(&LocalAgent, &mut dyn FnMut() -> Client<Box<dyn Socket>>)) {
    let agent = LocalAgent::start().unwrap();
    check(&agent, &mut || client::tcp(&agent).boxed());
    let agent = LocalAgent::start().unwrap();
    check(&agent, &mut || client::unix(&agent).boxed());
}

#[test]
fn a_status_keeps_nothing_until_healed() {
    over_both(|agent, connect| {
        let mut client = connect();
        for status in [400, 403, 404, 408, 413, 500, 503] {
            agent.fail(Fault::Status(status));
            assert_eq!(client.send(LINE, &TRACE_HEADERS, &body()).status, status);
            agent.heal();
        }
        assert!(agent.spans().is_empty());
        assert_eq!(agent.requests()[0].status, Some(400));
        assert_eq!(agent.requests()[0].body, body());
        assert_eq!(client.send(LINE, &TRACE_HEADERS, &body()).status, 200);
        assert_eq!((agent.spans().len(), agent.connections()), (1, 1));
    });
}

#[test]
fn overload_is_hidden_unless_the_real_status_is_asked_for() {
    over_both(|agent, connect| {
        let mut client = connect();
        agent.fail(Fault::RetryAfter(429, 7));
        let hidden = client.send(LINE, &TRACE_HEADERS, &body());
        assert_eq!(hidden.status, 200);
        assert!(hidden.json()["rate_by_service"].is_object());
        let real = ("Datadog-Send-Real-Http-Status", "yes");
        let asking = [&TRACE_HEADERS[..], &[real]].concat();
        let shown = client.send(LINE, &asking, &body());
        assert_eq!(
            (shown.status, shown.header("retry-after")),
            (429, Some("7"))
        );
        let not_asking = [
            &TRACE_HEADERS[..],
            &[("Datadog-Send-Real-Http-Status", "false")],
        ]
        .concat();
        assert_eq!(client.send(LINE, &not_asking, &body()).status, 200);
        assert_eq!(client.send("POST /api/v2/logs", &[], b"").status, 429);
        assert!(agent.spans().is_empty());
    });
}

#[test]
fn a_delay_takes_its_time_and_keeps_the_payload() {
    over_both(|agent, connect| {
        let delay = Duration::from_millis(60);
        agent.fail_next(1, Endpoint::Traces, Fault::Delay(delay));
        let mut client = connect();
        let start = Instant::now();
        assert_eq!(client.send(LINE, &TRACE_HEADERS, &body()).status, 200);
        assert!(start.elapsed() >= delay);
        assert_eq!(agent.spans().len(), 1);
    });
}

#[test]
fn never_answering_holds_the_connection_open() {
    over_both(|agent, connect| {
        agent.fail_next(1, Endpoint::Traces, Fault::NeverAnswer);
        let mut hanging = connect();
        hanging.write(LINE, &with_length(), &body()).unwrap();
        agent
            .wait_for(SOON, |got| got.requests().len() == 1)
            .unwrap();
        // Others are served meanwhile.
        assert_eq!(connect().send(LINE, &TRACE_HEADERS, &body()).status, 200);
        assert_eq!(agent.requests()[0].status, None);
        assert_eq!(agent.spans().len(), 1);
        agent.stop_listening().unwrap();
        let end = hanging.read_answer().unwrap_err();
        assert!(
            matches!(
                end.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
            ),
            "{end}"
        );
    });
}

fn with_length() -> Vec<(&'static str, &'static str)> {
    let length: &'static str = body().len().to_string().leak();
    [&TRACE_HEADERS[..], &[("Content-Length", length)]].concat()
}

#[test]
fn closing_mid_request_answers_nothing_and_keeps_nothing() {
    over_both(|agent, connect| {
        agent.fail_next(1, Endpoint::Traces, Fault::CloseBeforeAnswer);
        let large = vec![0; 1 << 20];
        let end = connect()
            .try_send(LINE, &TRACE_HEADERS, &large)
            .unwrap_err();
        let torn = [
            ErrorKind::UnexpectedEof,
            ErrorKind::ConnectionReset,
            ErrorKind::BrokenPipe,
        ];
        assert!(torn.contains(&end.kind()), "{end}");
        agent
            .wait_for(SOON, |got| got.requests().len() == 1)
            .unwrap();
        let request = &agent.requests()[0];
        assert_eq!(request.status, None);
        assert!(request.body.len() < large.len());
        assert_eq!(connect().send(LINE, &TRACE_HEADERS, &body()).status, 200);
        assert_eq!(agent.spans().len(), 1);
    });
}

#[test]
fn closing_mid_answer_sends_a_head_and_half_a_body() {
    over_both(|agent, connect| {
        agent.fail_next(1, Endpoint::Traces, Fault::CloseMidAnswer);
        let mut client = connect();
        client.write(LINE, &with_length(), &body()).unwrap();
        let mut raw = Vec::new();
        client.read_to_end(&mut raw).unwrap();
        let text = String::from_utf8(raw).unwrap();
        let (head, sent) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let whole = r#"{"rate_by_service":{"service:,env:":1.0}}"#;
        assert_eq!(sent, &whole[..whole.len() / 2]);
        let told = format!("content-length: {}", whole.len());
        assert!(head.contains(&told), "{head}");
        assert_eq!(agent.spans().len(), 1);
    });
}

#[test]
fn garbage_is_neither_json_nor_text() {
    over_both(|agent, connect| {
        agent.fail_endpoint(Endpoint::Traces, Fault::GarbageBody);
        let mut client = connect();
        let answer = client.send(LINE, &TRACE_HEADERS, &body());
        assert_eq!(answer.status, 200);
        assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
        assert!(String::from_utf8(answer.body).is_err());
        assert_eq!(agent.spans().len(), 1);
        // Only this endpoint fails.
        assert!(client.send("GET /info", &[], b"").json()["version"].is_string());
    });
}

#[test]
fn a_client_that_goes_away_is_recorded() {
    let agent = LocalAgent::start().unwrap();
    let mut client = client::tcp(&agent);
    let headers = [&TRACE_HEADERS[..], &[("Content-Length", "1000")]].concat();
    client.write(LINE, &headers, b"only this").unwrap();
    drop(client);
    agent
        .wait_for(SOON, |got| !got.refusals().is_empty())
        .unwrap();
    let refusal = agent.refusals()[0].to_string();
    assert!(refusal.contains("broke off after 9 bytes"), "{refusal}");
    assert_eq!(agent.requests()[0].status, None);
}

#[test]
fn a_stopped_agent_refuses_and_a_restarted_one_is_the_same() {
    let agent = LocalAgent::start().unwrap();
    let address = agent.url().strip_prefix("http://").unwrap().to_owned();
    let mut old = client::tcp(&agent);
    assert_eq!(old.send("GET /info", &[], b"").status, 200);
    let inode = |path| std::fs::metadata(path).unwrap().ino();
    let before = (inode(agent.trace_socket()), inode(agent.dogstatsd_socket()));
    // A second name keeps the old inodes in being, or their numbers might be given to the new ones.
    for path in [agent.trace_socket(), agent.dogstatsd_socket()] {
        std::fs::hard_link(path, path.with_extension("old")).unwrap();
    }
    let orphan = UnixDatagram::unbound().unwrap();
    orphan.connect(agent.dogstatsd_socket()).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(agent.dogstatsd_addr()).unwrap();

    agent.stop_listening().unwrap();
    agent.stop_listening().unwrap();
    assert!(old.try_send("GET /info", &[], b"").is_err());
    let refused = TcpStream::connect(&address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let missing = UnixStream::connect(agent.trace_socket()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(!agent.dogstatsd_socket().exists());
    udp.send(b"lost:1|c\n").unwrap();
    let refused = udp.send(b"lost:1|c\n").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    agent.restart().unwrap();
    assert_eq!(agent.url(), format!("http://{address}"));
    assert_eq!(client::tcp(&agent).send("GET /info", &[], b"").status, 200);
    assert_eq!(client::unix(&agent).send("GET /info", &[], b"").status, 200);
    let after = (inode(agent.trace_socket()), inode(agent.dogstatsd_socket()));
    assert!(before.0 != after.0 && before.1 != after.1);
    assert!(orphan.send(b"lost:1|c\n").is_err());
    udp.send(b"found:1|c\n").unwrap();
    agent
        .wait_for(SOON, |got| got.metric_sum("found") == 1.0)
        .unwrap();
    assert_eq!(agent.metric_sum("lost"), 0.0);

    // Also without being stopped first.
    agent.restart().unwrap();
    assert_eq!(client::tcp(&agent).send("GET /info", &[], b"").status, 200);
}

#[test]
fn a_paused_unix_socket_fills_up_and_loses_nothing_that_it_took() {
    let agent = LocalAgent::start().unwrap();
    agent.pause_dogstatsd();
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(agent.dogstatsd_socket()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut taken = 0;
    let full = loop {
        match socket.send(b"hits:1|c\n") {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    assert_eq!(agent.datagrams(), 0);
    agent.resume_dogstatsd();
    agent
        .wait_for(SOON, |got| got.datagrams() == taken)
        .unwrap();
    assert_eq!(agent.metric_sum("hits"), taken as f64);
}

#[cfg(target_os = "linux")]
#[test]
fn a_paused_udp_socket_loses_datagrams_and_tells_how_many() {
    let agent = LocalAgent::start().unwrap();
    agent.pause_dogstatsd();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagram = format!("{}\n", ["hits:1|c"; 800].join("\n"));
    let mut sent = 0;
    while agent.lost_datagrams() == 0 {
        for _ in 0..16 {
            socket
                .send_to(datagram.as_bytes(), agent.dogstatsd_addr())
                .unwrap();
        }
        sent += 16;
    }
    let lost = agent.lost_datagrams();
    assert!(lost < sent);
    agent.resume_dogstatsd();
    agent
        .wait_for(SOON, |got| got.datagrams() == sent - lost)
        .unwrap();
    assert_eq!(agent.metric_sum("hits"), ((sent - lost) * 800) as f64);
    agent.restart().unwrap();
    assert_eq!(agent.lost_datagrams(), lost);
}

#[test]
fn a_wait_that_fails_tells_what_did_arrive() {
    let agent = LocalAgent::start().unwrap();
    client::tcp(&agent).send(LINE, &TRACE_HEADERS, &body());
    client::tcp(&agent).send(LINE, &[], b"");
    let error = agent
        .wait_for(Duration::from_millis(20), |got| got.spans().count() == 3)
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("within 20ms"), "{text}");
    assert!(
        text.contains("2 requests on 2 connections") && text.contains("1 spans in 1 trace chunks"),
        "{text}"
    );
    assert!(
        text.contains("POST /v0.4/traces → 415: header Content-Type"),
        "{text}"
    );
    assert_eq!(format!("{error:?}"), text);
    agent.clear();
    assert!(agent.requests().is_empty() && agent.refusals().is_empty());
}

#[test]
fn several_threads_share_an_agent() {
    fn shareable<T: Send + Sync>(_: &T) {}
    let agent = LocalAgent::start().unwrap();
    shareable(&agent);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = client::unix(&agent);
                for _ in 0..25 {
                    client.send(LINE, &TRACE_HEADERS, &body());
                }
                agent
                    .wait_for(SOON, |got| got.spans().count() == 100)
                    .unwrap();
            });
        }
    });
    assert_eq!((agent.connections(), agent.requests().len()), (4, 100));
}

#[test]
fn dropping_ends_everything_at_once() {
    let agent = LocalAgent::start().unwrap();
    agent.fail(Fault::NeverAnswer);
    let mut hanging = client::unix(&agent);
    hanging.write("GET /info", &[], b"").unwrap();
    agent
        .wait_for(SOON, |got| got.requests().len() == 1)
        .unwrap();
    let directory = agent.trace_socket().parent().unwrap().to_owned();
    let start = Instant::now();
    drop(agent);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(!directory.exists());
    assert!(hanging.read_answer().is_err());
}

#[test]
fn a_taken_port_is_an_error_that_says_so() {
    let agent = LocalAgent::start().unwrap();
    let address = agent
        .url()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let error = LocalAgent::builder()
        .http_addr(address)
        .start()
        .unwrap_err();
    assert_eq!(error.reason.kind(), ErrorKind::AddrInUse);
    assert!(
        error
            .to_string()
            .starts_with(&format!("can't listen for HTTP on {address}: "))
    );
    let error = LocalAgent::builder()
        .dogstatsd_addr(agent.dogstatsd_addr())
        .start()
        .unwrap_err();
    assert_eq!(
        error.place,
        format!("DogStatsD on UDP {}", agent.dogstatsd_addr())
    );
}

#[test]
fn sockets_of_a_named_directory_are_replaced_and_removed_but_other_files_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let builder = LocalAgent::builder().socket_dir(directory.path());
    drop(UnixDatagram::bind(directory.path().join("dsd.socket")).unwrap());
    let agent = builder.clone().start().unwrap();
    assert_eq!(agent.trace_socket(), directory.path().join("apm.socket"));
    assert!(agent.dogstatsd_socket().exists());
    drop(agent);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);

    std::fs::write(directory.path().join("apm.socket"), "mine").unwrap();
    let error = builder.start().unwrap_err();
    assert_eq!(error.reason.kind(), ErrorKind::AddrInUse);
    let kept = std::fs::read(directory.path().join("apm.socket")).unwrap();
    assert_eq!(kept, b"mine");
}
