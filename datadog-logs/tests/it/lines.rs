use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use datadog_logs::{Level, Logs};
use datadog_transport::{DropReason, Standalone};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::support::{SOON, account, hermetic};

fn logs_to(output: &str) -> Standalone<Logs> {
    Logs::start(&hermetic().logs_output(output).build().unwrap()).unwrap()
}

fn messages(lines: &str) -> Vec<String> {
    let message = |line: &str| {
        let entry: Value = serde_json::from_str(line).unwrap();
        assert_eq!(entry["service"], "shop");
        entry["message"].as_str().unwrap().to_owned()
    };
    assert!(lines.is_empty() || lines.ends_with('\n'));
    lines.lines().map(message).collect()
}

fn written(path: &Path) -> Vec<String> {
    messages(&fs::read_to_string(path).unwrap())
}

#[test]
fn a_file_is_appended_to_and_opened_anew_when_it_was_moved() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.json");
    let moved = directory.path().join("shop.json.1");
    fs::write(&path, "").unwrap();
    let logs = logs_to(path.to_str().unwrap());
    logs.log(Level::Info, "first\nof two lines").with("a", 1);
    assert_eq!(logs.flush(SOON).delivered, 1);
    logs.log(Level::Info, "second");
    logs.flush(SOON);
    assert_eq!(written(&path), ["first\nof two lines", "second"]);
    fs::rename(&path, &moved).unwrap();
    logs.log(Level::Info, "third");
    logs.shutdown(SOON);
    assert_eq!(written(&path), ["third"]);
    assert_eq!(written(&moved).len(), 2);
    assert_eq!(account(&logs).delivered, 3);
}

#[test]
fn records_wait_for_a_file_that_can_be_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("later").join("shop.json");
    let logs = logs_to(path.to_str().unwrap());
    logs.log(Level::Info, "patience");
    logs.flush(SOON);
    let health = account(&logs);
    assert_eq!(health.buffered, 1);
    let error = health.last_error.unwrap().message;
    assert!(error.contains("shop.json"), "{error}");
    fs::create_dir(path.parent().unwrap()).unwrap();
    logs.flush(SOON);
    assert_eq!(written(&path), ["patience"]);
    drop(logs);
    assert_eq!(written(&path), ["patience"]);
}

#[test]
fn what_can_t_be_written_is_dropped_at_the_end() {
    let logs = logs_to("/dev/null/shop.json");
    logs.log(Level::Info, "in vain");
    logs.shutdown(SOON);
    assert_eq!(account(&logs).dropped.get(DropReason::Shutdown), 1);
}

fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    BufReader::new(stream)
}

#[test]
fn a_tcp_port_gets_lines_and_a_new_connection_starts_with_a_whole_one() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.set_recv_buffer_size(64 * 1024).unwrap();
    let any_port: SocketAddr = ([127, 0, 0, 1], 0).into();
    listener.bind(&any_port.into()).unwrap();
    listener.listen(8).unwrap();
    let listener = TcpListener::from(listener);
    let logs = logs_to(&format!("tcp://{}", listener.local_addr().unwrap()));
    logs.log(Level::Info, "first");
    assert_eq!(logs.flush(SOON).delivered, 1);
    let mut connection = accept(&listener);
    let mut line = String::new();
    connection.read_line(&mut line).unwrap();
    assert_eq!(messages(&line), ["first"]);

    // More than the buffers of a connection hold: the write stops in the middle of a line.
    let large = "x".repeat(900_000);
    for _ in 0..8 {
        logs.log(Level::Info, &large);
    }
    logs.flush(Duration::from_millis(500));
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        accept(&listener).read_to_string(&mut text).unwrap();
        text
    });
    logs.shutdown(SOON);
    assert_eq!(account(&logs).delivered, 9);
    drop((logs, connection));
    let again = messages(&reader.join().unwrap());
    assert!((1..=8).contains(&again.len()));
    assert!(again.iter().all(|message| *message == large));
}

#[test]
fn a_udp_port_gets_an_entry_a_datagram() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(SOON)).unwrap();
    let logs = logs_to(&format!("udp://{}", receiver.local_addr().unwrap()));
    logs.log(Level::Info, "first");
    logs.log(Level::Info, "x".repeat(9000));
    logs.log(Level::Info, "last");
    logs.flush(SOON);
    for message in ["first", "last"] {
        let mut datagram = [0; 10_000];
        let length = receiver.recv(&mut datagram).unwrap();
        let entry: Value = serde_json::from_slice(&datagram[..length]).unwrap();
        assert_eq!(entry["message"], message);
    }
    let health = account(&logs);
    assert_eq!(health.delivered, 2);
    assert_eq!(health.dropped.get(DropReason::TooLarge), 1);
}
