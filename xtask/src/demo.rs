//! `cargo xtask demo`: the example program against a local agent, and what arrived there.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use datadog_local_agent::{LocalAgent, Received};
use serde_json::Value;

use crate::{Outcome, flamegraph, style, workspace};

const EXAMPLE: &str = "comprehensive";

/// The local agent checks it as the intake does.
const API_KEY: &str = "a-key-made-up-for-the-demo";

/// The line of the example that is shown last starts so.
const TOTALS: &str = "totals: ";

/// How long what was sent over UDP may take to arrive.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(5);

/// `picture`: where to write a flame graph.
pub(crate) fn run(picture: Option<&Path>) -> Outcome {
    eprintln!("{} datadog/examples/{EXAMPLE}.rs", style::step("building"));
    let program = build_example()?;
    let agent = LocalAgent::builder().api_key(API_KEY).start()?;
    eprintln!(
        "{} it against a local agent: {} {}",
        style::step("running"),
        agent.url(),
        agent.dogstatsd_url()
    );
    let totals = run_example(Command::new(program), &agent)?;
    let arrived = agent.wait_for(ARRIVAL_LIMIT, |received| missing(received).is_empty());
    println!("\n{}", agent.report());
    if let Some(file) = picture {
        flamegraph::write(&agent.received(), file)?;
        eprintln!("{} {}", style::step("written"), file.display());
    }
    if arrived.is_err() {
        let missing = missing(&agent.received()).join("\n  ");
        return Err(format!("not all arrived:\n  {missing}\n{totals}").into());
    }
    complete(&totals)?;
    println!("{totals}");
    Ok(())
}

/// Builds the example, with the features that its package's tests have.
fn build_example() -> Outcome<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo
        .args(["build", "--package", "datadog", "--example", EXAMPLE])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(format!("cargo build: {}", output.status).into());
    }
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let program = messages
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .find(|message| message["target"]["name"] == EXAMPLE)
        .and_then(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    program.ok_or_else(|| format!("cargo built no program for the example {EXAMPLE}").into())
}

/// Runs the program with the agent as its receiver. Its output is passed on but for the line of totals, which is returned.
fn run_example(mut program: Command, agent: &LocalAgent) -> Outcome<String> {
    workspace::remove_datadog_variables(&mut program);
    let mut process = program
        .env("DD_TRACE_AGENT_URL", agent.url())
        .env("DD_DOGSTATSD_URL", agent.dogstatsd_url())
        .env("DD_LOGS_DIRECT_SUBMISSION_URL", agent.url())
        .env("DD_API_KEY", API_KEY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut totals = None;
    if let Some(output) = process.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            if line.starts_with(TOTALS) {
                totals = Some(line);
            } else {
                println!("{line}");
            }
        }
    }
    let status = process.wait()?;
    if !status.success() {
        return Err(format!("the example failed: {status}").into());
    }
    totals.ok_or_else(|| format!("the example printed no line that starts with `{TOTALS}`").into())
}

/// What should have arrived and did not, or was refused, in words.
fn missing(received: &Received) -> Vec<String> {
    let is_known = |span_id: u64| received.spans().any(|span| span.span_id == span_id);
    let nested = received.spans().any(|span| is_known(span.parent_id));
    let tagged = received
        .metrics()
        .iter()
        .any(|metric| !metric.tags.is_empty());
    let correlated = received.logs().iter().any(|log| {
        let mut spans = received.spans();
        spans.any(|span| {
            (log.trace_id(), log.span_id()) == (Some(span.trace_id), Some(span.span_id))
        })
    });
    let functions = received.profiles().iter().any(|profile| {
        let mut samples = profile.pprof().into_iter().flat_map(|pprof| &pprof.samples);
        samples.any(|sample| !sample.stack.is_empty())
    });
    let wanted = [
        (nested, "a span inside another span (POST /v0.4/traces)"),
        (tagged, "a metric with a tag (DogStatsD)"),
        (
            correlated,
            "a log record with the ids of a span that arrived (POST /api/v2/logs)",
        ),
        (
            functions,
            "a profile with call stacks (POST /profiling/v1/input)",
        ),
    ];
    let missing = wanted.iter().filter(|(arrived, _)| !arrived);
    let refused = received
        .refusals()
        .iter()
        .map(|refusal| format!("refused: {refusal}"));
    missing
        .map(|(_, what)| format!("missing: {what}"))
        .chain(refused)
        .collect()
}

/// Checks that the client itself says that all was delivered.
fn complete(totals: &str) -> Outcome {
    let [accepted, delivered, dropped] = numbers(totals).ok_or_else(|| {
        format!(
            "expected `{TOTALS}accepted N, delivered N, dropped N`, the example printed `{totals}`"
        )
    })?;
    if accepted == 0 || delivered != accepted || dropped > 0 {
        return Err(format!("the client did not deliver all that it accepted: {totals}").into());
    }
    Ok(())
}

fn numbers(totals: &str) -> Option<[u64; 3]> {
    let mut parts = totals.strip_prefix(TOTALS)?.split(", ");
    let mut number = |name: &str| parts.next()?.strip_prefix(name)?.trim().parse().ok();
    Some([
        number("accepted ")?,
        number("delivered ")?,
        number("dropped ")?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_got_nothing_misses_each_signal() {
        let agent = LocalAgent::start().unwrap();
        let missing = missing(&agent.received());
        assert_eq!(missing.len(), 4, "{missing:?}");
    }

    #[test]
    fn totals_must_add_up_without_losses() {
        assert!(complete("totals: accepted 12, delivered 12, dropped 0").is_ok());
        for bad in [
            "totals: accepted 12, delivered 11, dropped 1",
            "totals: accepted 12, delivered 11, dropped 0",
            "totals: accepted 0, delivered 0, dropped 0",
            "totals: none",
        ] {
            assert!(complete(bad).is_err(), "{bad}");
        }
    }
}
