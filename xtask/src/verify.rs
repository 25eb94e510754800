//! `cargo xtask verify`: what tests alone don't find. Models of what threads do to each other, undefined behaviour, data races,
//! a profiler that interrupts everything, and other compilers and C libraries.

use std::process::Command;

use crate::{Outcome, stacks, workspace};

/// The unit tests that Miri can run in a few minutes: those without sockets, without questions to the operating system that it
/// can't answer, and without many rounds.
const MIRI: [(&str, &[&str]); 5] = [
    ("transport", &["context::", "queue::"]),
    (
        "metrics",
        &["encode::", "tags::", "slot::", "local::", "registry::"],
    ),
    (
        "trace",
        &[
            "a_payload_knows_nothing",
            "batch::",
            "the_last_value_of_a_key",
            "changes_all_the_time",
        ],
    ),
    (
        "logs",
        &[
            "is_escaped_as_it_has_to_be",
            "are_escaped_at_every_place",
            "a_later_attribute",
            "numbers_read_back",
            "reserved_names",
        ],
    ),
    (
        "profiling",
        &["allocation::allocator", "allocation::live", "protobuf::"],
    ),
];

/// Tests in which threads meet, as arguments of cargo.
const TSAN: [&str; 5] = [
    "--package",
    "datadog-transport",
    "--lib",
    "--test",
    "worker",
];

/// The crates whose tests are run with musl, and their features but for TLS: its cryptography needs C headers of musl.
const MUSL: [(&str, &str); 5] = [
    ("transport", "gzip,otel-context"),
    (
        "metrics",
        "gzip,dogstatsd-compat,metrics-rs,runtime-metrics-tokio",
    ),
    ("logs", "gzip,scrubbing"),
    ("trace", "http,otel-context"),
    ("profiling", "pprof"),
];

/// `args`: one of the tools, else all.
pub(crate) fn run(args: &[String]) -> Outcome {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["loom"] => loom(),
        ["miri"] => miri(),
        ["tsan"] => tsan(),
        ["stress"] => stress(),
        ["stacks"] => stacks::run(),
        ["msrv"] => msrv(),
        ["musl"] => musl(),
        [] => loom()
            .and_then(|()| miri())
            .and_then(|()| tsan())
            .and_then(|()| stress())
            .and_then(|()| stacks::run())
            .and_then(|()| msrv())
            .and_then(|()| musl()),
        _ => Err("takes one of loom, miri, tsan, stress, stacks, msrv, musl".into()),
    }
}

/// Loom tries every order of events in models of the queue, of flush and of shutdown.
pub(crate) fn loom() -> Outcome {
    let mut cargo = workspace::cargo();
    cargo
        .args(["test", "--package", "datadog-transport", "--lib", "model::"])
        .env("RUSTFLAGS", "--cfg datadog_loom");
    succeed(apart(&mut cargo, "loom")?)
}

/// Miri finds undefined behaviour in the encoders, the cells of metrics, the queue and the slot of the active span.
fn miri() -> Outcome {
    for (signal, tests) in MIRI {
        let mut cargo = nightly()?;
        cargo
            .args([
                "miri",
                "test",
                "--package",
                &format!("datadog-{signal}"),
                "--lib",
                "--",
            ])
            .args(tests)
            .env("MIRIFLAGS", "-Zmiri-disable-isolation")
            // A case takes a thousand times as long there.
            .env("PROPTEST_CASES", "4");
        succeed(&mut cargo)?;
    }
    Ok(())
}

/// ThreadSanitizer finds data races in tests with many threads.
fn tsan() -> Outcome {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = nightly()?;
    // With a standard library that is watched too, which takes an explicit target.
    cargo
        .args(["test", "-Zbuild-std", "--target", &target])
        .args(TSAN)
        .env("RUSTFLAGS", "-Zsanitizer=thread")
        // Each takes seconds there, and tests wait for some that come from panics.
        .env("RUST_BACKTRACE", "0");
    succeed(apart(&mut cargo, "tsan")?)
}

/// A minute in which the sampler interrupts all that is dangerous to interrupt. The tests have a short form of it.
fn stress() -> Outcome {
    let mut cargo = workspace::cargo();
    cargo
        .args(["test", "--package", "datadog-profiling", "--lib"])
        .args(["timer::stress", "--", "--nocapture"])
        .env("DATADOG_STRESS_SECONDS", "60");
    succeed(&mut cargo)
}

/// The crates and their tests compile with the oldest Rust that they promise to compile with, which rustup installs.
fn msrv() -> Outcome {
    let version = format!("+{}.0", env!("CARGO_PKG_RUST_VERSION"));
    let toolchain = version.trim_start_matches('+');
    succeed(workspace::command("rustup").args([
        "toolchain",
        "install",
        toolchain,
        "--profile=minimal",
        "--no-self-update",
    ]))?;
    let mut cargo = workspace::command("cargo");
    cargo.args([&version, "check", "--all-features", "--all-targets"]);
    succeed(apart(&mut cargo, "msrv")?)
}

/// The tests in static programs with the C library of Alpine and of containers without a system. They run on this one.
fn musl() -> Outcome {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    succeed(workspace::command("rustup").args(["target", "add", &target]))?;
    for (signal, features) in MUSL {
        let mut cargo = workspace::command("cargo");
        cargo
            .args(["test", "--no-fail-fast", "--target", &target])
            .args(["--package", &format!("datadog-{signal}")])
            .args(["--features", features])
            // For one function of Criterion, which needs no headers of musl.
            .env(format!("CC_{}", target.replace('-', "_")), "cc");
        succeed(apart(&mut cargo, "musl")?)?;
    }
    Ok(())
}

/// A cargo of the nightly toolchain, which Miri and sanitizers need.
fn nightly() -> Outcome<Command> {
    // Not the cargo that runs this: only rustup's knows of toolchains.
    let mut cargo = workspace::command("cargo");
    cargo.arg("+nightly");
    let answer = workspace::command("cargo")
        .args(["+nightly", "miri", "--version"])
        .output()?;
    if !answer.status.success() {
        let fix = "rustup toolchain install nightly --component miri,rust-src";
        return Err(format!("needs the nightly toolchain: {fix}").into());
    }
    Ok(cargo)
}

/// With a target folder of its own: other flags make other builds of everything.
fn apart<'a>(cargo: &'a mut Command, name: &str) -> Outcome<&'a mut Command> {
    Ok(cargo.env(
        "CARGO_TARGET_DIR",
        workspace::scratch()?.with_file_name(name),
    ))
}

fn succeed(cargo: &mut Command) -> Outcome {
    let status = cargo.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{cargo:?}: {status}").into())
    }
}
