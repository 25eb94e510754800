//! The program: its arguments, its lines and its end.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Output, Stdio};

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_datadog-local-agent"))
}

fn run(arguments: &[&str]) -> (Output, String) {
    let output = program().args(arguments).output().unwrap();
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    (output, errors)
}

#[test]
fn what_arrives_is_shown_and_an_interrupt_ends_it_with_the_report() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = program()
        .args(["--http", ":0", "--dogstatsd=127.0.0.1:0", "--sockets"])
        .arg(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
    };
    let http = next();
    let dogstatsd = next();
    assert!(http.contains("http://127.0.0.1:"), "{http}");
    assert!(http.contains(directory.path().to_str().unwrap()), "{http}");
    assert!(next().starts_with("Ctrl-C"));
    assert_eq!(next(), "\n");

    let address = dogstatsd.split_once("udp://").unwrap().1;
    let address = address.split_once(',').unwrap().0;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .send_to(b"a.b:1|c\na.b:2|c\noops\n", address)
        .unwrap();
    let line = next();
    assert!(line.ends_with(" s  2 metrics: a.b\n"), "{line}");
    let line = next();
    assert!(line.contains("✗ DogStatsD over UDP: "), "{line}");

    let process = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &process]).status();
    assert!(sent.unwrap().success());
    let mut report = String::new();
    output.read_to_string(&mut report).unwrap();
    assert!(report.contains("  a.b  count  3\n"), "{report}");
    assert!(child.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn arguments_are_checked() {
    let (output, _) = run(&["--help"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("Usage:"));
    for (arguments, problem) in [
        (
            &["--http", "nowhere"][..],
            "--http nowhere: expected host:port",
        ),
        (&["--dogstatsd"], "--dogstatsd needs a value"),
        (&["--port", "1"], "unknown argument --port"),
    ] {
        let (output, errors) = run(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(errors.contains(problem), "{errors}");
    }
}

#[test]
fn a_taken_port_is_explained() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (output, errors) = run(&["--http", &address, "--dogstatsd", ":0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors.contains(&address)
            && errors.contains("Is a Datadog Agent or another local agent running?"),
        "{errors}"
    );
}
