//! `cargo xtask test`: all tests, those against Datadog's APM test agent, its Python clients, PostgreSQL and Redis among them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::python::Package;
use crate::servers::{self, IfMissing};
use crate::test_agent::{self, TestAgent};
use crate::{Outcome, style, workspace};

/// Datadog's Python client, in the version that our metrics are compared with.
const PYTHON_CLIENT: Package = Package {
    name: "datadog",
    version: "0.56.0",
    module: "datadog.dogstatsd",
};

/// Datadog's Python tracer, in the version that traces are sent through.
const PYTHON_TRACER: Package = Package {
    name: "ddtrace",
    version: "4.16.0",
    module: "ddtrace.version",
};

/// Benches without tests whose peers take minutes to build.
const HEAVY: [&str; 2] = ["trace-peers", "patch-peers"];

/// `args` go to `cargo test`, such as `--test apm_test_agent`.
pub(crate) fn run(args: &[String], if_missing: IfMissing) -> Outcome {
    let started = Instant::now();
    let python_with_client = PYTHON_CLIENT.install()?;
    let python_with_tracer = PYTHON_TRACER.install()?;
    let agent = TestAgent::start()?;
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--all-features", "--no-fail-fast"]);
    if !args
        .iter()
        .any(|arg| arg.starts_with("-p") || arg.starts_with("--package"))
    {
        cargo
            .arg("--workspace")
            .args(HEAVY.map(|package| format!("--exclude={package}")));
    }
    cargo
        .args(args)
        .env("APM_TEST_AGENT_URL", agent.url())
        .env("APM_TEST_AGENT_SOCKET", agent.socket())
        .env("DATADOGPY_PYTHON", python_with_client)
        .env("DDTRACE_PYTHON", python_with_tracer);
    let missing = servers::provide(&mut cargo, if_missing)?;
    eprintln!("{} all tests", style::step("running"));
    let (passed, tally) = run_and_count(cargo)?;
    let payloads = agent.payloads()?;
    let agent_log = agent.log().display();
    let mut told = format!(
        "{} passed, {} failed, {} ignored in {} test programs; ddapm-test-agent {} got {payloads} payloads; {:.0} s",
        tally.passed,
        tally.failed,
        tally.ignored,
        tally.programs,
        test_agent::VERSION,
        started.elapsed().as_secs_f64(),
    );
    if !missing.is_empty() {
        told.push_str("; not installed: ");
        told.push_str(&missing.join(", "));
    }
    if tally.programs == 0 {
        return Err("no test ran, see above".into());
    }
    if !passed {
        return Err(format!("{told} (its log: {agent_log})").into());
    }
    // With arguments, the user may have chosen other tests.
    if payloads == 0 && args.is_empty() {
        return Err(format!("no test sent anything to the APM test agent. {told}").into());
    }
    println!("{} {told}", style::good("xtask test:"));
    Ok(())
}

/// The sum of the closing lines of all test programs.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    programs: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Tally {
    /// Takes a line such as `test result: ok. 12 passed; 0 failed; 0 ignored; …`, and ignores all others.
    fn read(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        self.programs += 1;
        let Some((_, counts)) = result.split_once(". ") else {
            return;
        };
        for part in counts.split("; ") {
            let Some((count, what)) = part.split_once(' ') else {
                continue;
            };
            let count: u32 = count.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

/// Runs the tests, with their output passed on as it comes. Returns whether all passed.
fn run_and_count(mut tests: Command) -> Outcome<(bool, Tally)> {
    let mut process = tests.stdout(Stdio::piped()).spawn()?;
    let mut tally = Tally::default();
    if let Some(output) = process.stdout.take() {
        let mut stdout = std::io::stdout();
        for line in BufReader::new(output).split(b'\n') {
            let mut line = line?;
            tally.read(&String::from_utf8_lossy(&line));
            line.push(b'\n');
            stdout.write_all(&line)?;
        }
    }
    Ok((process.wait()?.success(), tally))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tally_is_the_sum_of_the_closing_lines() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "all doctests ran in 0.50s; merged doctests compilation took 0.45s",
        ] {
            tally.read(line);
        }
        let expected = Tally {
            programs: 2,
            passed: 13,
            failed: 2,
            ignored: 1,
        };
        assert_eq!(tally, expected);
    }
}
