//! What all tests need.

use std::path::PathBuf;
use std::process::{Command, Output};

/// The path of the program under test.
pub(crate) const DATADOG_RUN: &str = env!("CARGO_BIN_EXE_datadog-run");

/// What a program is found by.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// `datadog-run` with these arguments, and nothing of our environment but where programs are.
pub(crate) fn datadog_run(arguments: &[&str]) -> Command {
    // Whoever runs the tests may ignore signals, as nohup does, and that is inherited.
    let mut command = Command::new("/usr/bin/env");
    command
        .args(["--default-signal", DATADOG_RUN])
        .args(arguments)
        .env_clear()
        .env("PATH", PATH);
    command
}

/// The example that sends all signals. `cargo test` builds it, unless it is told to build less.
pub(crate) fn all_signals() -> String {
    let programs = PathBuf::from(DATADOG_RUN);
    let example = programs.parent().unwrap().join("examples/all_signals");
    assert!(
        example.exists(),
        "not built: cargo build --package datadog-run --examples"
    );
    example.to_str().unwrap().to_owned()
}

pub(crate) fn run(command: &mut Command) -> (Output, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

/// Fails with the whole text if `part` is not in it.
#[track_caller]
pub(crate) fn assert_has(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in:\n{text}");
}
