//! The HTTP client against a real server, over TCP and over Unix sockets.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps fails with the reason"
)]

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datadog_config::DDConfig;
use datadog_local_agent::{Endpoint, Fault, LocalAgent};
use datadog_transport::{AgentClient, AgentInfo, Answer, Payload, SendError, TransportBuilder};

const LIMIT: Duration = Duration::from_secs(5);

fn client(url: &str) -> Arc<AgentClient> {
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url(url)
        .build()
        .unwrap();
    TransportBuilder::new(&config).agent().unwrap()
}

/// The same agent, over both of its transports.
fn both(agent: &LocalAgent) -> [Arc<AgentClient>; 2] {
    [
        client(&agent.url()),
        client(&format!("unix://{}", agent.trace_socket().display())),
    ]
}

fn post(client: &AgentClient, limit: Duration) -> Result<Answer, SendError> {
    // An empty list of traces, in MessagePack.
    let payload = Payload::new(
        vec![0x90],
        vec![
            ("Content-Type", "application/msgpack".to_owned()),
            ("X-Datadog-Trace-Count", "0".to_owned()),
            ("Datadog-Send-Real-Http-Status", "yes".to_owned()),
        ],
        0,
    );
    client.post("/v0.4/traces", &payload, limit)
}

#[test]
fn a_hundred_requests_take_one_connection() {
    let agent = LocalAgent::start().unwrap();
    for (at, client) in both(&agent).iter().enumerate() {
        for _ in 0..100 {
            assert_eq!(post(client, LIMIT).unwrap().status(), 200);
        }
        assert_eq!(agent.connections(), at as u64 + 1, "{:?}", agent.refusals());
    }
    let request = &agent.requests()[0];
    assert_eq!(request.header("Datadog-Meta-Lang"), Some("rust"));
    assert_eq!(
        request.header("Datadog-Meta-Tracer-Version"),
        Some(env!("CARGO_PKG_VERSION"))
    );
    let rustc = request.header("Datadog-Meta-Lang-Version").unwrap();
    assert!(rustc.starts_with("1."), "{rustc}");
}

#[test]
fn a_connection_that_the_server_closed_costs_nothing_but_a_new_one() {
    let agent = LocalAgent::start().unwrap();
    for client in both(&agent) {
        assert_eq!(post(&client, LIMIT).unwrap().status(), 200);
        agent.restart().unwrap();
        assert_eq!(post(&client, LIMIT).unwrap().status(), 200);
    }
}

#[test]
fn a_status_counts_even_where_the_rest_of_the_answer_is_missing() {
    let agent = LocalAgent::start().unwrap();
    agent.fail(Fault::CloseMidAnswer);
    for client in both(&agent) {
        let answer = post(&client, LIMIT).unwrap();
        assert_eq!((answer.status(), answer.body()), (200, &b""[..]));
    }
    assert_eq!(agent.requests().len(), 2, "nothing is sent twice");
}

#[test]
fn a_connection_that_breaks_is_reported() {
    let agent = LocalAgent::start().unwrap();
    agent.fail(Fault::CloseBeforeAnswer);
    for client in both(&agent) {
        let error = post(&client, LIMIT).unwrap_err();
        assert!(matches!(error, SendError::Torn(_)), "{error:?}");
    }
}

#[test]
fn a_silent_server_ends_by_the_time_limit() {
    let agent = LocalAgent::start().unwrap();
    agent.fail(Fault::NeverAnswer);
    for client in both(&agent) {
        let start = Instant::now();
        let error = post(&client, Duration::from_millis(100)).unwrap_err();
        assert!(matches!(error, SendError::TimedOut(_)), "{error:?}");
        assert!(start.elapsed() >= Duration::from_millis(100));
        assert!(start.elapsed() < LIMIT);
    }
}

#[test]
fn a_server_that_is_not_there_is_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let missing = format!("unix://{}/no.sock", directory.path().display());
    let gone = {
        let agent = LocalAgent::start().unwrap();
        agent.url()
    };
    for url in [missing, gone] {
        let error = post(&client(&url), LIMIT).unwrap_err();
        let SendError::NotListening(text) = &error else {
            panic!("{url}: {error:?}");
        };
        assert!(text.contains(&url), "{text}");
    }
}

#[test]
fn a_listener_that_never_accepts_ends_by_the_time_limit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("full.sock");
    let listener =
        socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    listener
        .bind(&socket2::SockAddr::unix(&path).unwrap())
        .unwrap();
    listener.listen(0).unwrap();
    // Fills the backlog of one.
    let _waiting = UnixStream::connect(&path).unwrap();
    let start = Instant::now();
    let error = post(
        &client(&format!("unix://{}", path.display())),
        Duration::from_millis(200),
    )
    .unwrap_err();
    assert!(matches!(error, SendError::TimedOut(_)), "{error:?}");
    assert!(start.elapsed() < LIMIT);
}

#[test]
fn a_large_body_arrives_whole() {
    let agent = LocalAgent::start().unwrap();
    for client in both(&agent) {
        let payload = Payload::new(
            vec![b' '; 8 << 20],
            vec![("Content-Type", "text/plain".to_owned())],
            0,
        );
        let answer = client.post("/no/such/endpoint", &payload, LIMIT).unwrap();
        assert_eq!(answer.status(), 404);
    }
    let sizes: Vec<_> = agent
        .requests()
        .iter()
        .map(|request| request.body.len())
        .collect();
    assert_eq!(sizes, [8 << 20, 8 << 20]);
}

#[test]
fn tls_without_the_feature_is_an_error_at_the_start() {
    if cfg!(feature = "tls") {
        return;
    }
    let config = DDConfig::builder()
        .environment([("", "")])
        .agent_url("https://agent.example:8126")
        .build()
        .unwrap();
    let error = TransportBuilder::new(&config)
        .agent()
        .unwrap_err()
        .to_string();
    assert!(error.contains("https://agent.example:8126"), "{error}");
    assert!(error.contains("feature `tls`"), "{error}");
}

#[test]
fn the_agent_is_asked_what_it_can_do_once_and_again_when_its_state_changes() {
    let agent = LocalAgent::start().unwrap();
    let client = client(&agent.url());
    let asked = || {
        agent
            .requests()
            .iter()
            .filter(|request| request.path == "/info")
            .count()
    };
    assert_eq!(client.info().version, None);
    for _ in 0..3 {
        client.refresh_info(LIMIT);
        post(&client, LIMIT).unwrap();
    }
    assert_eq!(asked(), 1);
    assert!(
        client.info().endpoints.contains(&"/v0.4/traces".to_owned()),
        "{:?}",
        client.info()
    );
    assert!(!client.info().client_drop_p0s);

    agent.set_info([("client_drop_p0s", true.into())]);
    assert!(!client.refresh_info(LIMIT), "nothing told it yet");
    post(&client, LIMIT).unwrap();
    assert!(client.refresh_info(LIMIT), "the answer had another state");
    assert!(client.info().client_drop_p0s);
    post(&client, LIMIT).unwrap();
    assert!(!client.refresh_info(LIMIT));
    assert_eq!(asked(), 2);
}

#[test]
fn an_agent_that_knows_no_info_is_an_old_one() {
    let agent = LocalAgent::start().unwrap();
    let client = client(&agent.url());
    agent.fail_endpoint(Endpoint::Info, Fault::Status(404));
    client.refresh_info(LIMIT);
    client.refresh_info(LIMIT);
    assert_eq!(client.info(), AgentInfo::default());
    assert_eq!(agent.requests().len(), 1);
}
