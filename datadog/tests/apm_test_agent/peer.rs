//! One trace over clients of different languages: this one, and `ddtrace` for Python.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use datadog::{DDClient, SignalKind};
use serde_json::{Value, json};

use crate::session::{LIMIT, Session};

type Headers = BTreeMap<String, String>;

#[test]
fn a_trace_goes_through_python_and_back() {
    let Some((session, mut python)) = start("a_trace_goes_through_python_and_back") else {
        return;
    };
    let (first, last) = (client(&session, "first"), client(&session, "last"));
    // As a browser test has begun it.
    let origin = Headers::from([
        ("x-datadog-trace-id".to_owned(), "1234567".to_owned()),
        ("x-datadog-parent-id".to_owned(), "89".to_owned()),
        ("x-datadog-sampling-priority".to_owned(), "2".to_owned()),
        ("x-datadog-origin".to_owned(), "synthetics".to_owned()),
        (
            "x-datadog-tags".to_owned(),
            "_dd.p.dm=-4,_dd.p.tid=640cfd8d00000000".to_owned(),
        ),
    ]);
    let mut to_python = Headers::new();
    {
        let mut span = first.trace_from(&first.extract(&origin).unwrap(), "first.work");
        span.set_baggage("user", "alice b");
        span.inject(&mut to_python);
    }
    let answer = python.ask(&to_python);
    assert_eq!(
        answer.baggage,
        [("user".to_owned(), "alice b".to_owned())].into()
    );
    serve(&last, &answer.headers, "last.work");
    finish(&[&first, &last], python);

    let spans = joined(&session, 3);
    let [first, python, last] =
        ["first.work", "python.work", "last.work"].map(|name| named(&spans, name));
    assert_eq!(python["parent_id"], first["span_id"]);
    assert_eq!(last["parent_id"], python["span_id"]);
    for span in [first, python, last] {
        assert_eq!(span["trace_id"], 1_234_567, "{span:#}");
        assert_eq!(span["metrics"]["_sampling_priority_v1"], 2.0, "{span:#}");
        for (tag, value) in [
            ("_dd.origin", "synthetics"),
            ("_dd.p.dm", "-4"),
            ("_dd.p.tid", "640cfd8d00000000"),
        ] {
            assert_eq!(span["meta"][tag], value, "{tag} of {span:#}");
        }
    }
}

#[test]
fn a_trace_goes_from_python_through_us_and_back() {
    let Some((session, mut python)) = start("a_trace_goes_from_python_through_us_and_back") else {
        return;
    };
    let middle = client(&session, "middle");
    let answer = python.ask(&Headers::new());
    let to_python = serve(&middle, &answer.headers, "middle.work");
    let back = python.ask(&to_python);
    assert_eq!(back.baggage, answer.baggage);
    assert_eq!(back.trace_id, answer.trace_id, "all 128 bits");
    finish(&[&middle], python);

    let spans = joined(&session, 3);
    let start = spans
        .iter()
        .find(|span| span["span_id"] == answer.span_id)
        .unwrap();
    let end = spans
        .iter()
        .find(|span| span["span_id"] == back.span_id)
        .unwrap();
    let middle = named(&spans, "middle.work");
    assert_eq!(middle["parent_id"], start["span_id"]);
    assert_eq!(end["parent_id"], middle["span_id"]);
    let maker = start["meta"]["_dd.p.dm"].as_str().unwrap();
    for span in [start, middle, end] {
        assert_eq!(span["metrics"]["_sampling_priority_v1"], 2.0, "{span:#}");
        assert_eq!(span["meta"]["_dd.p.dm"], maker, "{span:#}");
        assert_eq!(
            span["meta"]["_dd.p.tid"], start["meta"]["_dd.p.tid"],
            "{span:#}"
        );
    }
}

/// The agent's session and the Python service, if there is an agent.
fn start(test: &'static str) -> Option<(Session, Python)> {
    let session = Session::start(test)?;
    let [agent_url, _] = session.agent_urls();
    Some((session, Python::start(&agent_url)))
}

fn client(session: &Session, service: &str) -> DDClient {
    let [agent_url, _] = session.agent_urls();
    session.client(&agent_url, |config| config.service(service))
}

/// Goes on with the trace of a request, with one span. The headers of the span's own request.
fn serve(client: &DDClient, headers: &Headers, name: &'static str) -> Headers {
    let upstream = client.extract(headers).unwrap();
    let span = client.trace_from(&upstream, name);
    let mut sent = Headers::new();
    span.inject(&mut sent);
    sent
}

fn finish(clients: &[&DDClient], python: Python) {
    for client in clients {
        client.flush(LIMIT);
        // Perhaps before: Python takes its time to start.
        let traces = client.health().signal(SignalKind::Traces);
        assert_eq!(traces.delivered, 1, "{}", client.health());
    }
    python.end();
}

/// The spans of the session, which are of one trace.
fn joined(session: &Session, count: usize) -> Vec<Value> {
    let traces = session.traces();
    let lists = traces.iter().map(|trace| trace.as_array().unwrap());
    let spans: Vec<Value> = lists.flatten().cloned().collect();
    assert_eq!(spans.len(), count, "{traces:#?}");
    assert_eq!(traces.len(), 1, "{traces:#?}");
    spans
}

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    let span = spans.iter().find(|span| span["name"] == name);
    span.unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

/// A service in Python (`peer.py`).
struct Python {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What the service tells of its span.
struct Answer {
    headers: Headers,
    baggage: BTreeMap<String, String>,
    span_id: u64,
    trace_id: String,
}

impl Python {
    fn start(agent_url: &str) -> Self {
        let mut process = Command::new(interpreter())
            .args(["-I", "-c", include_str!("peer.py")])
            .env_clear()
            .env("DD_TRACE_AGENT_URL", agent_url)
            .env("DD_SERVICE", "python")
            .env("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "false")
            .env("DD_REMOTE_CONFIGURATION_ENABLED", "false")
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
    fn ask(&mut self, headers: &Headers) -> Answer {
        writeln!(self.requests, "{}", json!(headers)).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        let texts = |field: &str| -> BTreeMap<String, String> {
            let texts = answer[field].as_object().unwrap().iter();
            texts
                .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
                .collect()
        };
        Answer {
            headers: texts("headers"),
            baggage: texts("baggage"),
            span_id: answer["span_id"].as_u64().unwrap(),
            trace_id: answer["trace_id"].to_string(),
        }
    }

    /// Lets it send its spans and end.
    fn end(self) {
        let Self {
            mut process,
            requests,
            ..
        } = self;
        drop(requests);
        assert!(process.wait().unwrap().success());
    }
}

/// The Python that has `ddtrace`.
#[expect(
    clippy::disallowed_methods,
    reason = "how `cargo xtask test` says where it is"
)]
fn interpreter() -> PathBuf {
    std::env::var_os("DDTRACE_PYTHON").unwrap().into()
}
