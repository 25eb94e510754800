//! `datadog-local-agent`: a Datadog receiver to look at what a program sends, without an account.

use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use datadog_local_agent::{Builder, LocalAgent, Received};
use futures_util::future::select;
use tokio::signal::unix::{SignalKind, signal};

const HELP: &str = "\
Receives what Datadog clients send, checks it strictly, and shows it. No account, no agent.

Usage: datadog-local-agent [--http ADDR] [--dogstatsd ADDR] [--sockets DIR]

  --http ADDR       HTTP of the agent and of the intake   [default: 127.0.0.1:8126]
  --dogstatsd ADDR  DogStatsD over UDP                    [default: 127.0.0.1:8125]
  --sockets DIR     puts its Unix sockets there           [default: a new temporary directory]
  --help            shows this

ADDR is host:port, or :port for 127.0.0.1; port 0 takes a free one.
One line is printed for each batch that arrives. Ctrl-C prints the report and ends.
All that arrives is held in memory until then.
";

fn main() -> ExitCode {
    let builder = match parse(std::env::args().skip(1)) {
        Ok(Wanted::Run(builder)) => builder,
        Ok(Wanted::Help) => return finish(say(HELP)),
        Err(problem) => {
            complain(&format!("{problem}\nTry --help."));
            return ExitCode::from(2);
        }
    };
    match builder.start() {
        Ok(agent) => finish(run(&agent)),
        Err(error) => {
            let hint = match error.reason.kind() {
                io::ErrorKind::AddrInUse => {
                    "\nIs a Datadog Agent or another local agent running? Stop it, or choose other places: see --help."
                }
                _ => "",
            };
            complain(&format!("{error}{hint}"));
            ExitCode::FAILURE
        }
    }
}

/// Shows what arrives until Ctrl-C, then the report.
fn run(agent: &LocalAgent) -> io::Result<()> {
    let stopped = stop_signal()?;
    say(&format!(
        "HTTP       {} and {}\nDogStatsD  {}, {} and {}\nCtrl-C shows the report and ends.\n\n",
        agent.url(),
        agent.trace_socket().display(),
        agent.dogstatsd_url(),
        agent.dogstatsd_socket().display(),
        agent.dogstatsd_stream_socket().display(),
    ))?;
    let start = Instant::now();
    let mut seen = Seen::default();
    while stopped.try_recv().is_err() {
        let mut lines = Vec::new();
        let news = |got: &Received| {
            lines = seen.news(got);
            !lines.is_empty()
        };
        // The wait ends without news now and then, to look whether to stop.
        if agent.wait_for(Duration::from_millis(100), news).is_ok() {
            for line in lines {
                say(&format!(
                    "{:8.3} s  {line}\n",
                    start.elapsed().as_secs_f64()
                ))?;
            }
        }
    }
    say(&format!("\n{}", agent.report()))
}

/// Gets a message on Ctrl-C or SIGTERM.
fn stop_signal() -> io::Result<mpsc::Receiver<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let (stop, stopped) = mpsc::channel();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let (interrupt, terminate) = (pin!(interrupt.recv()), pin!(terminate.recv()));
            runtime.block_on(select(interrupt, terminate));
            // Fails only if nobody waits any more.
            let _ = stop.send(());
        })?;
    Ok(stopped)
}

/// How much of what was received has been shown.
#[derive(Default)]
struct Seen {
    spans: usize,
    metrics: usize,
    logs: usize,
    events: usize,
    checks: usize,
    profiles: usize,
    refusals: usize,
}

impl Seen {
    /// One line for all that is new and good, one for each new refusal.
    fn news(&mut self, got: &Received) -> Vec<String> {
        let mut pieces = Vec::new();
        let spans: Vec<_> = got.spans().skip(self.spans).collect();
        let names = spans.iter().map(|span| span.name.as_str());
        pieces.extend(piece(spans.len(), "span", names));
        let metrics = &got.metrics()[self.metrics..];
        let names = metrics.iter().map(|metric| metric.name.as_str());
        pieces.extend(piece(metrics.len(), "metric", names));
        let logs = &got.logs()[self.logs..];
        let messages = logs.iter().map(|log| log.message.as_str());
        pieces.extend(piece(logs.len(), "log", messages));
        let events = &got.events()[self.events..];
        let titles = events.iter().map(|event| event.title.as_str());
        pieces.extend(piece(events.len(), "event", titles));
        let checks = &got.service_checks()[self.checks..];
        let names = checks.iter().map(|check| check.name.as_str());
        pieces.extend(piece(checks.len(), "service check", names));
        let profiles = &got.profiles()[self.profiles..];
        let services = profiles
            .iter()
            .filter_map(|profile| profile.event.tag("service"));
        pieces.extend(piece(profiles.len(), "profile", services));
        let refusals = &got.refusals()[self.refusals..];
        let refused = refusals.iter().map(|refusal| format!("✗ {refusal}"));
        let mut lines = Vec::new();
        if !pieces.is_empty() {
            lines.push(pieces.join(" · "));
        }
        lines.extend(refused);
        *self = Self {
            spans: self.spans + spans.len(),
            metrics: got.metrics().len(),
            logs: got.logs().len(),
            events: got.events().len(),
            checks: got.service_checks().len(),
            profiles: got.profiles().len(),
            refusals: got.refusals().len(),
        };
        lines
    }
}

/// `3 spans: web.request, db.query, …`, each name once.
fn piece<'a>(count: usize, noun: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    const SHOWN: usize = 3;
    if count == 0 {
        return None;
    }
    let mut distinct: Vec<String> = Vec::new();
    for name in names {
        let name: String = name
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(40)
            .collect();
        if !distinct.contains(&name) {
            distinct.push(name);
        }
        if distinct.len() > SHOWN {
            "…".clone_into(&mut distinct[SHOWN]);
            break;
        }
    }
    let plural = if count == 1 { "" } else { "s" };
    Some(format!("{count} {noun}{plural}: {}", distinct.join(", ")))
}

enum Wanted {
    Run(Builder),
    Help,
}

/// Reads the arguments; the error says what is wrong with which.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut http = "127.0.0.1:8126".to_owned();
    let mut dogstatsd = "127.0.0.1:8125".to_owned();
    let mut sockets = None;
    while let Some(argument) = arguments.next() {
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let mut value = || {
            let value = inline.clone().or_else(|| arguments.next());
            value.ok_or_else(|| format!("{name} needs a value"))
        };
        match name {
            "--http" => http = value()?,
            "--dogstatsd" => dogstatsd = value()?,
            "--sockets" => sockets = Some(PathBuf::from(value()?)),
            "--help" | "-h" => return Ok(Wanted::Help),
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    let mut builder = LocalAgent::builder()
        .http_addr(address("--http", &http)?)
        .dogstatsd_addr(address("--dogstatsd", &dogstatsd)?);
    if let Some(sockets) = sockets {
        builder = builder.socket_dir(sockets);
    }
    Ok(Wanted::Run(builder))
}

fn address(name: &str, text: &str) -> Result<SocketAddr, String> {
    let whole = match text.strip_prefix(':') {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    let problem = || format!("{name} {text}: expected host:port or :port");
    let mut found = whole.to_socket_addrs().map_err(|_| problem())?;
    found.next().ok_or_else(problem)
}

/// Prints to standard output, which may be closed.
fn say(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

fn complain(text: &str) {
    // Nobody reads it, then.
    let _ = writeln!(io::stderr(), "datadog-local-agent: {text}");
}

fn finish(outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe went away: as good as done.
        Err(_) => ExitCode::FAILURE,
    }
}
