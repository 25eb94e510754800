//! The program takes our place.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use crate::support::{assert_has, datadog_run, run};

#[test]
fn the_program_is_the_same_process() {
    let child = datadog_run(&["--", "sh", "-c", "echo $$"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id().to_string();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), id);
}

#[test]
fn the_exit_status_is_the_program_s() {
    for local in [&[][..], &["--local"]] {
        for status in ["0", "1", "3", "255"] {
            let exit = format!("exit {status}");
            let arguments = [local, &["--", "sh", "-c", &exit]].concat();
            let (output, ..) = run(&mut datadog_run(&arguments));
            assert_eq!(
                output.status.code().unwrap().to_string(),
                status,
                "{local:?}"
            );
        }
    }
}

#[test]
fn the_signal_that_killed_the_program_is_seen() {
    for local in [&[][..], &["--local"]] {
        // HUP, INT, ABRT, KILL, SEGV, PIPE, TERM
        for signal in [1, 2, 6, 9, 11, 13, 15] {
            let kill = format!("kill -{signal} $$");
            let arguments = [local, &["--", "sh", "-c", &kill]].concat();
            let (output, ..) = run(&mut datadog_run(&arguments));
            assert_eq!(
                output.status.signal(),
                Some(signal),
                "{local:?} {}",
                output.status
            );
        }
    }
}

#[test]
fn what_cant_be_started_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    std::fs::write(&text, "no program").unwrap();
    let text = text.to_str().unwrap();
    for local in [&[][..], &["--local"]] {
        for (program, status, reason) in [
            ("/no/such/program", 127, "No such file or directory"),
            ("no-program-has-this-name", 127, "No such file or directory"),
            (text, 126, "Permission denied"),
            ("/", 126, "Permission denied"),
        ] {
            let (output, stdout, stderr) = run(&mut datadog_run(&[local, &[program]].concat()));
            assert_eq!(output.status.code(), Some(status), "{program} {stderr}");
            assert_eq!(stdout, "");
            assert_has(&stderr, &format!("datadog-run: {program}: {reason}"));
        }
    }
}

#[test]
fn a_bad_command_line_is_explained() {
    for arguments in [
        &[][..],
        &["--local"],
        &["--what", "sh"],
        &["--config", "/none", "sh"],
    ] {
        let (output, stdout, stderr) = run(&mut datadog_run(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout, "");
        assert_has(&stderr, "Try --help.");
    }
}

#[test]
fn help_and_version() {
    let (output, stdout, _) = run(&mut datadog_run(&["--help"]));
    assert!(output.status.success());
    assert_has(&stdout, "Examples:");
    let (output, stdout, _) = run(&mut datadog_run(&["--version"]));
    assert!(output.status.success());
    assert_eq!(
        stdout,
        format!("datadog-run {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn arguments_arrive_as_they_are() {
    let odd = OsStr::from_bytes(b"\xff --local");
    for local in [&[][..], &["--local"]] {
        let mut command = datadog_run(&[local, &["--", "printf", "%s|", "--config", ""]].concat());
        let output = command.arg(odd).output().unwrap();
        assert_eq!(output.stdout, b"--config||\xff --local|", "{local:?}");
    }
}
