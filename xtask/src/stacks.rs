//! `cargo xtask verify stacks`: whether profiles of a program that is built for production have whole stacks: optimized as one
//! piece, without unwinding.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use datadog_local_agent::{LocalAgent, Sample};
use serde_json::Value;

use crate::{Outcome, workspace};

/// A profile of cargo with `lto = "fat"` and `panic = "abort"`.
const PROFILE: &str = "abort-lto";

const PACKAGE: &str = "datadog-profiling";

/// Samples itself for two seconds.
const EXAMPLE: &str = "profiling_alone";

/// The part of the samples that must lead from the work to where the system starts a program. The rest may have
/// been interrupted in code without unwind tables.
const WHOLE: f64 = 0.95;

pub(crate) fn run() -> Outcome {
    let program = build()?;
    let agent = LocalAgent::start()?;
    let mut command = Command::new(program);
    workspace::remove_datadog_variables(&mut command);
    let status = command.env("DD_TRACE_AGENT_URL", agent.url()).status()?;
    if !status.success() {
        return Err(format!("{EXAMPLE}: {status}").into());
    }
    let profiles = agent.profiles();
    let samples = profiles.iter().filter_map(|profile| profile.pprof());
    let samples: Vec<_> = samples.flat_map(|pprof| &pprof.samples).collect();
    let of = |function: &str| -> Vec<&Sample> {
        let has = |sample: &&Sample| {
            let mut stack = sample.stack.iter();
            stack.any(|frame| frame.function.contains(function))
        };
        samples.iter().copied().filter(has).collect()
    };
    let work = of("count_primes");
    let is_whole = |sample: &&&Sample| {
        let last = sample.stack.last();
        last.is_some_and(|frame| frame.function.contains("start"))
    };
    let whole = work.iter().filter(is_whole).count();
    println!(
        "{} different stacks of the work, {whole} of them whole",
        work.len()
    );
    if work.is_empty() || (whole as f64) < WHOLE * work.len() as f64 {
        let shown = work.iter().take(3);
        let shown: Vec<_> = shown.map(|sample| format!("{:?}", sample.stack)).collect();
        return Err(format!("stacks are cut off:\n{}", shown.join("\n")).into());
    }
    Ok(())
}

fn build() -> Outcome<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo
        .args(["build", "--profile", PROFILE, "--package", PACKAGE])
        .args(["--example", EXAMPLE])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(format!("cargo build: {}", output.status).into());
    }
    let messages = String::from_utf8(output.stdout)?;
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let executable = messages
        .filter(|message: &Value| message["target"]["name"] == EXAMPLE)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.ok_or_else(|| "cargo told of no executable".into())
}
