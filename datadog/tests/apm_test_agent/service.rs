//! Services in processes of their own, one span a request: of this client, and of `ddtrace` for Python.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use datadog::{DDClient, DDConfig, SignalKind};
use serde_json::{Value, json};

use crate::session::LIMIT;

pub(crate) type Headers = BTreeMap<String, String>;

/// Set for the process that is a service of this client.
const IS_SERVICE: &str = "APM_TEST_SERVICE";

/// A running service.
pub(crate) struct Service {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What a service tells of the span of one request.
pub(crate) struct Answer {
    /// Those of the request that the span made.
    pub(crate) headers: Headers,
    pub(crate) baggage: Headers,
    pub(crate) span_id: u64,
    /// As 32 hexadecimal digits.
    pub(crate) trace_id: String,
}

impl Service {
    /// One of `ddtrace` (`peer.py`).
    pub(crate) fn python(name: &str, agent_url: &str, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(interpreter());
        command.args(["-I", "-c", include_str!("peer.py")]);
        Self::start(command, name, agent_url, settings)
    }

    /// One of this client: this program again, with [`as_a_service`] alone.
    pub(crate) fn rust(name: &str, agent_url: &str, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "service::as_a_service", "--nocapture"]);
        Self::start(command, name, agent_url, settings)
    }

    fn start(mut command: Command, name: &str, agent_url: &str, settings: &[(&str, &str)]) -> Self {
        let mut process = command
            .env_clear()
            .env(IS_SERVICE, "yes")
            .env("DD_SERVICE", name)
            .env("DD_TRACE_AGENT_URL", agent_url)
            .env("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "false")
            .env("DD_REMOTE_CONFIGURATION_ENABLED", "false")
            .envs(settings.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            requests: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    /// Sends one request.
    pub(crate) fn ask(&mut self, headers: &Headers) -> Answer {
        writeln!(self.requests, "{}", json!(headers)).unwrap();
        let mut line = String::new();
        // The test harness has its say too.
        while !line.starts_with('{') {
            line.clear();
            let read = self.answers.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended without an answer");
        }
        let answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        Answer {
            headers: texts(&answer["headers"]),
            baggage: texts(&answer["baggage"]),
            span_id: answer["span_id"].as_u64().unwrap(),
            trace_id: answer["trace_id"].as_str().unwrap().to_owned(),
        }
    }

    /// Lets it send its spans and end.
    pub(crate) fn end(self) {
        let Self {
            mut process,
            requests,
            mut answers,
        } = self;
        drop(requests);
        // It must not be left with nobody to write to.
        std::io::copy(&mut answers, &mut std::io::sink()).unwrap();
        assert!(process.wait().unwrap().success());
    }
}

/// Does something only where [`Service::rust`] starts this program; then the same as `peer.py`.
#[test]
fn as_a_service() {
    if !is_service() {
        return;
    }
    let client = DDClient::new(DDConfig::builder().build().unwrap()).unwrap();
    let mut requests = 0;
    for line in std::io::stdin().lines() {
        let headers = texts(&serde_json::from_str(&line.unwrap()).unwrap());
        println!("{}", serve(&client, &headers));
        requests += 1;
    }
    client.flush(LIMIT);
    // Perhaps before: the others take their time.
    let traces = client.health().signal(SignalKind::Traces);
    assert_eq!(traces.delivered, requests, "{}", client.health());
}

fn serve(client: &DDClient, headers: &Headers) -> Value {
    let name = format!("{}.work", client.config().service());
    let mut span = match client.extract(headers) {
        Some(upstream) => client.trace_from(&upstream, name),
        None => client.trace(name),
    };
    if headers.is_empty() {
        span.set_tag("manual.keep", true);
    }
    if span.baggage("user").is_none() {
        span.set_baggage("user", "alice b");
    }
    let mut sent = Headers::new();
    span.inject(&mut sent);
    let user = span.baggage("user").map(|user| ("user", user));
    json!({
        "headers": sent,
        "baggage": BTreeMap::from_iter(user),
        "span_id": span.span_id(),
        "trace_id": format!("{:032x}", span.trace_id()),
    })
}

fn texts(object: &Value) -> Headers {
    let texts = object.as_object().unwrap().iter();
    texts
        .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "how the test says so")]
fn is_service() -> bool {
    env::var_os(IS_SERVICE).is_some()
}

/// The Python that has `ddtrace`.
#[expect(
    clippy::disallowed_methods,
    reason = "how `cargo xtask test` says where it is"
)]
fn interpreter() -> PathBuf {
    env::var_os("DDTRACE_PYTHON").unwrap().into()
}
