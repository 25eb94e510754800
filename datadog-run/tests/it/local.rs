//! The program beside a local agent.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{DATADOG_RUN, PATH, all_signals, assert_has, datadog_run, run};

#[test]
fn what_the_program_sends_is_reported() {
    let (output, stdout, stderr) = run(&mut datadog_run(&["--local", "--", &all_signals(), "3"]));
    assert_eq!(stdout, "all is sent\n");
    for part in [
        "sends to a local agent: http://127.0.0.1:",
        "shop.order",
        "orders",
        "order taken",
        "POST /v0.4/traces",
        "POST /profiling/v1/input",
        "service:all_signals",
        "nothing was refused",
        "all_signals ended: exit status: 3",
    ] {
        assert_has(&stderr, part);
    }
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn the_report_outlives_a_crash() {
    for (end, message, code, signal) in [
        ("panic", "ended: exit status: 101", Some(101), None),
        ("abort", "ended: signal: 6 (SIGABRT)", None, Some(6)),
    ] {
        let (output, _, stderr) = run(&mut datadog_run(&["--local", &all_signals(), end]));
        assert_has(&stderr, "shop.order");
        assert_has(&stderr, message);
        assert_eq!(
            (output.status.code(), output.status.signal()),
            (code, signal)
        );
        assert!(!output.status.core_dumped());
    }
}

#[test]
fn addresses_of_the_user_are_put_aside_with_a_word() {
    let mut command = datadog_run(&["--local", &all_signals()]);
    command
        .env("DD_TRACE_AGENT_URL", "http://elsewhere:1")
        .env("DD_DOGSTATSD_PORT", "1");
    let (_, _, stderr) = run(&mut command);
    assert_has(
        &stderr,
        "DD_TRACE_AGENT_URL=http://elsewhere:1 (env) is not used because of --local",
    );
    assert_has(
        &stderr,
        "DD_DOGSTATSD_PORT=1 (env) is not used because of --local",
    );
    assert_has(&stderr, "shop.order");
    assert_has(&stderr, "orders");
}

/// A program that has told that it is ready.
fn ready(mut command: Command) -> (Child, impl BufRead) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, output)
}

#[test]
fn a_signal_for_us_alone_is_passed_on() {
    for (name, signal) in [
        ("TERM", Signal::TERM),
        ("INT", Signal::INT),
        ("HUP", Signal::HUP),
        ("USR1", Signal::USR1),
    ] {
        let script =
            format!("trap 'echo got it; exit 7' {name}; echo ready; while :; do sleep 0.02; done");
        let (mut child, mut output) = ready(datadog_run(&["--local", "sh", "-c", &script]));
        kill_process(Pid::from_child(&child), signal).unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "got it\n", "{name}");
        let mut report = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut report)
            .unwrap();
        assert_has(&report, "sh ended: exit status: 7");
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }
}

#[test]
fn a_signal_that_kills_the_program_leaves_the_report() {
    let script = format!("echo ready; exec {} wait", all_signals());
    let (mut child, mut output) = ready(datadog_run(&["--local", "sh", "-c", &script]));
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "all is sent\n");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let mut report = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut report)
        .unwrap();
    assert_has(&report, "shop.order");
    assert_has(&report, "ended: signal: 15 (SIGTERM)");
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}

#[test]
fn a_signal_that_the_program_sends_to_us_all_comes_once() {
    // Its own group, so that it does not reach the tests.
    let script = "n=0; trap 'n=$((n+1))' TERM
        for i in 1 2 3 4 5 6 7 8 9 10; do kill 0; sleep 0.02; done; echo n=$n";
    let mut command = datadog_run(&["--local", "sh", "-c", script]);
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let (_, stdout, _) = run(&mut command);
    assert_eq!(stdout, "n=10\n");
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_ignored_stays_ignored() {
    let script = r#"trap "" HUP; exec "$0" --local -- grep SigIgn /proc/self/status"#;
    let mut command = Command::new("sh");
    command
        .args(["-c", script, DATADOG_RUN])
        .env_clear()
        .env("PATH", PATH);
    let (_, stdout, _) = run(&mut command);
    let mask = stdout.trim().strip_prefix("SigIgn:").unwrap().trim();
    assert_eq!(u64::from_str_radix(mask, 16).unwrap() & 1, 1, "{stdout}");
}
