//! `--local`: the program beside a local agent, and what arrived there.

use std::process::{Command, ExitCode, ExitStatus};
use std::sync::mpsc;
use std::thread;

use datadog_config::{ConfigError, Origin};
use datadog_local_agent::LocalAgent;

use crate::counts::settle;
use crate::program::Program;
use crate::settings::{Settings, is_unset, row};
use crate::supervise::{self, Failure};
use crate::{announce, complain, ending, failed, live, write_error};

/// Without a key a client sends nothing to the intakes. This one has the form of a key.
const API_KEY: &str = "madeupbydatadogrunforlocalagent0";

/// What says where data goes, but for the addresses that we set.
const OTHER_ADDRESSES: [&str; 4] = [
    "DD_AGENT_HOST",
    "DD_TRACE_AGENT_PORT",
    "DD_DOGSTATSD_HOST",
    "DD_DOGSTATSD_PORT",
];

/// Runs the program, prints what arrived, and ends as the program did.
pub(crate) fn run(program: &Program, mut settings: Settings, show_config: bool) -> ExitCode {
    let agent = match LocalAgent::start() {
        Ok(agent) => agent,
        Err(error) => return failed(&error),
    };
    if let Err(error) = redirect(program, &mut settings, &agent) {
        return failed(&error);
    }
    announce(&settings, show_config);
    let name = program.name.to_string_lossy();
    let (url, dogstatsd) = (agent.url(), agent.dogstatsd_url());
    complain(&format!(
        "{name} sends to a local agent: {url} and {dogstatsd}"
    ));
    match watch(program.command(&settings.variables), &agent) {
        Ok(status) => {
            settle(&agent);
            // Reads what the sockets of DogStatsD still hold: no answer told the program when that was.
            let _ = agent.stop_listening();
            write_error(&format!("\n{}\n", agent.report()));
            complain(&format!("{name} ended: {status}"));
            // It has files to remove, and a signal would leave no time for that.
            drop(agent);
            ending::like(status)
        }
        Err(Failure::Program(error)) => program.refused(&error),
        Err(Failure::Ours(error)) => failed(&error),
    }
}

/// Runs the program with the live line beside it.
fn watch(command: Command, agent: &LocalAgent) -> Result<ExitStatus, Failure> {
    let (running, ended) = mpsc::channel();
    thread::scope(|scope| {
        let live = thread::Builder::new().name("live".to_owned());
        // Without a thread there is no line.
        let _ = live.spawn_scoped(scope, move || live::show(agent, &ended));
        let outcome = supervise::run(command);
        drop(running);
        outcome
    })
}

/// Makes the program send everything to `agent`, and says whose addresses that puts aside.
fn redirect(
    program: &Program,
    settings: &mut Settings,
    agent: &LocalAgent,
) -> Result<(), ConfigError> {
    let url = agent.url();
    let mut addresses = vec![
        ("DD_TRACE_AGENT_URL", url.clone()),
        ("DD_DOGSTATSD_URL", agent.dogstatsd_url()),
        ("DD_LOGS_DIRECT_SUBMISSION_URL", url.clone()),
        ("DD_METRICS_URL", url.clone()),
        ("DD_PROFILING_URL", url),
    ];
    let names: Vec<_> = addresses.iter().map(|(name, _)| *name).collect();
    let before = settings.config.describe();
    let set_by_user = names.iter().chain(&OTHER_ADDRESSES);
    for row in set_by_user.filter_map(|name| row(&before, name)) {
        if !is_unset(row) {
            let (option, value, origin) = (row.option, &row.value, row.origin);
            complain(&format!(
                "{option}={value} ({origin}) is not used because of --local"
            ));
        }
    }
    if settings.config.api_key().is_none() {
        addresses.push(("DD_API_KEY", API_KEY.to_owned()));
    }
    settings.add(&program.name, addresses)?;
    let after = settings.config.describe();
    for row in names.iter().filter_map(|name| row(&after, name)) {
        if row.origin != Origin::Env {
            let (option, value, origin) = (row.option, &row.value, row.origin);
            complain(&format!(
                "{option}={value} ({origin}) beats --local: not all will arrive here"
            ));
        }
    }
    Ok(())
}
