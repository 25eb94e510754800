//! `cargo xtask ci`: everything that has to pass before a merge, in the order of the quickest answer.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::servers::IfMissing;
use crate::{Outcome, crates, style, test, verify, workspace};

/// The features with code in the facade; each has to work without the others.
const FEATURES: [&str; 18] = [
    "metrics",
    "logs",
    "tracing",
    "profiling",
    "dogstatsd-compat",
    "metrics-rs",
    "runtime-metrics",
    "runtime-metrics-tokio",
    "tracing-subscriber",
    "tower",
    "axum",
    "actix-web",
    "reqwest",
    "ureq",
    "redis",
    "redis-tokio",
    "tokio-postgres",
    "diesel",
];

pub(crate) fn run() -> Outcome {
    let steps = steps();
    let mut report = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let title = format!("[{}/{}] {}", at + 1, steps.len(), step.name);
        eprintln!("\n{}", style::step(&title));
        let started = Instant::now();
        let outcome = (step.run)();
        if let Err(error) = &outcome {
            eprintln!("{} {}: {error}", style::bad("failed:"), step.name);
        }
        report.push((&step.name, outcome.is_ok(), started.elapsed()));
    }
    conclude(&report)
}

/// Something to do, with its name.
struct Step {
    name: String,
    run: Box<dyn Fn() -> Outcome>,
}

impl Step {
    /// A run of cargo. Its warnings are to be errors.
    fn cargo(arguments: &str) -> Self {
        let owned = arguments.to_owned();
        Self {
            name: format!("cargo {arguments}"),
            run: Box::new(move || {
                let mut cargo = workspace::cargo();
                succeed(
                    cargo
                        .args(owned.split(' '))
                        .env("RUSTDOCFLAGS", "-D warnings"),
                )
            }),
        }
    }
}

fn steps() -> Vec<Step> {
    let mut steps = vec![
        Step::cargo("fmt --all --check"),
        Step::cargo("clippy --workspace --all-targets --all-features -- -D warnings"),
        Step::cargo("doc --workspace --all-features --no-deps"),
        // Clippy for `cargo check` with warnings denied: RUSTFLAGS would build all dependencies again.
        Step::cargo("clippy --package datadog --no-default-features -- -D warnings"),
    ];
    steps.extend(FEATURES.map(|feature| {
        Step::cargo(&format!(
            "clippy --package datadog --no-default-features --features {feature} -- -D warnings"
        ))
    }));
    steps.push(Step {
        name: "few crates".to_owned(),
        run: Box::new(crates::check),
    });
    steps.push(Step {
        name: "cargo xtask verify loom".to_owned(),
        run: Box::new(verify::loom),
    });
    steps.push(Step {
        name: "cargo xtask test".to_owned(),
        run: Box::new(|| test::run(&[], IfMissing::Fail)),
    });
    steps
}

fn succeed(command: &mut Command) -> Outcome {
    let status = command.status()?;
    if status.success() {
        Ok(())
    } else {
        Err(status.to_string().into())
    }
}

fn conclude(report: &[(&String, bool, Duration)]) -> Outcome {
    println!();
    for (name, passed, time) in report {
        let verdict = if *passed {
            style::good("ok    ")
        } else {
            style::bad("FAILED")
        };
        println!("{verdict} {:>6.1} s  {name}", time.as_secs_f64());
    }
    let failed = report.iter().filter(|(_, passed, _)| !passed).count();
    let total: Duration = report.iter().map(|(.., time)| *time).sum();
    let (all, seconds) = (report.len(), total.as_secs_f64());
    if failed > 0 {
        return Err(format!("{failed} of {all} steps failed, {seconds:.0} s").into());
    }
    println!(
        "{} all {all} steps passed, {seconds:.0} s",
        style::good("xtask ci:")
    );
    Ok(())
}
