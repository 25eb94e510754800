//! DogStatsD over the stream socket.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use crate::client::SOON;
use datadog_local_agent::{LocalAgent, Via};

fn connect(agent: &LocalAgent) -> UnixStream {
    let stream = UnixStream::connect(agent.dogstatsd_stream_socket()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn frame(lines: &str) -> Vec<u8> {
    let mut frame = (lines.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(lines.as_bytes());
    frame
}

fn is_closed(stream: &mut UnixStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn frames_arrive_whole_in_pieces_and_together() {
    let agent = LocalAgent::start().unwrap();
    let mut stream = connect(&agent);
    let two = [frame("hits:1|c\nhits:2|c\n"), frame("hits:4|c\n")].concat();
    stream.write_all(&two).unwrap();
    agent.wait_for(SOON, |got| got.datagrams() == 2).unwrap();
    let mut other = connect(&agent);
    for byte in frame("hits:8|c\n") {
        other.write_all(&[byte]).unwrap();
    }
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 15.0)
        .unwrap();
    assert_eq!(agent.datagrams(), 3);
    assert!(agent.metrics().iter().all(|got| got.via == Via::UnixStream));
    drop((stream, other));
    assert!(agent.refusals().is_empty());
}

#[test]
fn a_frame_over_the_buffer_closes_the_connection() {
    let agent = LocalAgent::start().unwrap();
    let mut stream = connect(&agent);
    let line = |length: usize| format!("{}:1|c\n", "n".repeat(length - 5));
    stream.write_all(&frame("hits:1|c\n")).unwrap();
    stream.write_all(&8193u32.to_le_bytes()).unwrap();
    assert!(is_closed(&mut stream));
    assert_eq!(agent.metric_sum("hits"), 1.0);
    assert!(agent.refusals()[0].reason.contains("8193 bytes"));

    // The longest is read, though its name is too long.
    agent.clear();
    connect(&agent).write_all(&frame(&line(8192))).unwrap();
    agent.wait_for(SOON, |got| got.datagrams() == 1).unwrap();
}

#[test]
fn what_ends_too_early_or_is_empty_is_refused() {
    let agent = LocalAgent::start().unwrap();
    let mut stream = connect(&agent);
    stream.write_all(&frame("hits:1|c\n")[..7]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    connect(&agent).write_all(&frame("")).unwrap();
    agent
        .wait_for(SOON, |got| got.refusals().len() == 2)
        .unwrap();
    let reasons: Vec<_> = agent.refusals().into_iter().map(|got| got.reason).collect();
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("within a frame"))
    );
    assert!(reasons.iter().any(|reason| reason.contains("empty")));
}

#[test]
fn a_pause_fills_the_socket_and_loses_nothing() {
    let agent = LocalAgent::start().unwrap();
    let mut stream = connect(&agent);
    stream.write_all(&frame("hits:1|c\n")).unwrap();
    agent.wait_for(SOON, |got| got.datagrams() == 1).unwrap();
    agent.pause_dogstatsd();
    stream.set_nonblocking(true).unwrap();
    let bytes = frame("hits:1|c\n").repeat(1000);
    let mut written = 0;
    let full = loop {
        match stream.write(&bytes[written % bytes.len()..]) {
            Ok(length) => written += length,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    assert_eq!(agent.datagrams(), 1);
    agent.resume_dogstatsd();
    let frames = written / frame("hits:1|c\n").len();
    agent
        .wait_for(SOON, |got| got.datagrams() == 1 + frames as u64)
        .unwrap();
}

#[test]
fn a_stopped_agent_reads_what_came_before_and_hangs_up() {
    let agent = LocalAgent::start().unwrap();
    let mut stream = connect(&agent);
    stream.write_all(&frame("hits:1|c\n").repeat(100)).unwrap();
    agent.stop_listening().unwrap();
    assert_eq!(agent.metric_sum("hits"), 100.0);
    assert!(is_closed(&mut stream));
    assert!(!agent.dogstatsd_stream_socket().exists());
    agent.restart().unwrap();
    connect(&agent).write_all(&frame("hits:1|c\n")).unwrap();
    agent
        .wait_for(SOON, |got| got.metric_sum("hits") == 101.0)
        .unwrap();
}
