//! Both processes, a few requests, and what arrived of them: one trace for each, with its logs, and the metrics.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use datadog_local_agent::{LocalAgent, Span};

const LIMIT: Duration = Duration::from_secs(30);
const REQUESTS: usize = 3;

#[test]
fn each_request_is_one_trace_over_both_processes_with_its_logs_and_metrics() {
    let agent = LocalAgent::start().unwrap();
    let stock = Service::start(&agent, env!("CARGO_BIN_EXE_stock"), "stock", &[]);
    let stock_url = format!("http://{}", stock.address);
    let shop = Service::start(&agent, env!("CARGO_BIN_EXE_shop"), "shop", &[&stock_url]);
    for item in 1..=REQUESTS {
        let url = format!("http://{}/buy/{item}", shop.address);
        let mut answer = ureq::post(url).send_empty().unwrap();
        assert_eq!(
            answer.body_mut().read_to_string().unwrap(),
            item.to_string()
        );
    }
    // What is buffered is delivered before they end.
    shop.stop();
    stock.stop();

    let mut traces: BTreeMap<u128, Vec<Span>> = BTreeMap::new();
    for span in agent.spans() {
        traces.entry(span.trace_id_128()).or_default().push(span);
    }
    // The statement that makes the table belongs to no request.
    traces.retain(|_, spans| spans.iter().any(|span| span.type_ == "web"));
    assert_eq!(traces.len(), REQUESTS, "{}", agent.report());
    for spans in traces.values() {
        check_trace(spans);
        check_logs(&agent, spans);
    }
    check_metrics(&agent);
    assert!(agent.refusals().is_empty(), "{:?}", agent.refusals());
}

/// Service, name, resource and parent of each span.
fn check_trace(spans: &[Span]) {
    let parent = |span: &Span| {
        let parent = spans.iter().find(|other| other.span_id == span.parent_id);
        parent.map_or("-", |parent| &parent.name).to_owned()
    };
    let mut found: Vec<_> = spans
        .iter()
        .map(|span| (&*span.service, &*span.name, &*span.resource, parent(span)))
        .collect();
    found.sort();
    let insert = "INSERT INTO orders ( item ) VALUES ( ? )";
    let expected = [
        ("shop", "buy", "buy", "http.server.request".to_owned()),
        ("shop", "http.client.request", "GET", "buy".to_owned()),
        (
            "shop",
            "http.server.request",
            "POST /buy/{item}",
            "-".to_owned(),
        ),
        ("shop", "sqlite.query", insert, "buy".to_owned()),
        (
            "stock",
            "http.server.request",
            "GET /stock/{item}",
            "http.client.request".to_owned(),
        ),
    ];
    assert_eq!(found, expected);
    assert!(spans.iter().all(|span| span.error == 0));
}

/// The logs of both processes have the ids of spans of this trace.
fn check_logs(agent: &LocalAgent, spans: &[Span]) {
    let logs = agent.logs();
    let trace_id = spans[0].trace_id;
    let mut found: Vec<_> = logs
        .iter()
        .filter(|log| log.trace_id() == Some(trace_id))
        .map(|log| {
            let span = spans
                .iter()
                .find(|span| Some(span.span_id) == log.span_id());
            (
                &*log.message,
                span.map(|span| (&*span.service, &*span.name)),
            )
        })
        .collect();
    found.sort_unstable();
    let expected = [
        ("looked up", Some(("stock", "http.server.request"))),
        ("sold", Some(("shop", "buy"))),
    ];
    assert_eq!(found, expected);
}

/// The metrics of both processes have the tags of their services.
fn check_metrics(agent: &LocalAgent) {
    agent
        .wait_for(LIMIT, |got| {
            got.metric_sum("orders") == REQUESTS as f64
                && got.metric_values("http.server.request.duration").len() == 2 * REQUESTS
        })
        .unwrap();
    for order in agent.metrics_named("orders") {
        for tag in ["service:shop", "env:test", "shop:main"] {
            assert!(order.has_tag(tag), "{tag} in {order:?}");
        }
    }
    let durations = agent.metrics_named("http.server.request.duration");
    let of: HashSet<_> = durations
        .iter()
        .map(|metric| {
            (
                metric.has_tag("service:shop"),
                metric.has_tag("http.route:/buy/{item}"),
            )
        })
        .collect();
    assert_eq!(of, HashSet::from([(true, true), (false, false)]));
}

struct Service {
    process: Child,
    address: String,
}

impl Service {
    fn start(agent: &LocalAgent, program: &str, name: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(program)
            .arg("127.0.0.1:0")
            .args(arguments)
            .env_clear()
            .env("DD_SERVICE", name)
            .env("DD_ENV", "test")
            .env("DD_TRACE_AGENT_URL", agent.url())
            .env("DD_DOGSTATSD_URL", agent.dogstatsd_url())
            .env("DD_LOGS_DIRECT_SUBMISSION_URL", agent.url())
            .env("DD_API_KEY", "0123456789abcdef0123456789abcdef")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.next().unwrap().unwrap();
        Self { process, address }
    }

    /// As Ctrl-C does.
    fn stop(mut self) {
        let pid = self.process.id().to_string();
        let told = Command::new("kill").args(["-INT", &pid]).status().unwrap();
        assert!(told.success());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// The README shows all lines of the shop that have to do with Datadog, and says how many they are.
#[test]
fn the_readme_shows_every_line_that_datadog_takes() {
    let shop = include_str!("../src/main.rs");
    let code = shop
        .lines()
        .map(|line| line.trim().trim_end_matches(';'))
        .filter(|line| !line.starts_with("//"));
    // What is there for the sake of Datadog, by whatever crate.
    let ours = ["datadog", "client", "tracing", "middleware", "Middleware"];
    let is_ours = |line: &&str| ours.iter().any(|word| line.contains(word));
    let ours: Vec<&str> = code.filter(is_ours).collect();
    assert_eq!(
        ours.len(),
        9,
        "under ten, and the README says nine: {ours:#?}"
    );
    let readme = include_str!("../../../README.md");
    assert!(readme.contains("These nine are all its"));
    let (_, told) = readme.split_once("These nine are all its").unwrap();
    let told: Vec<&str> = told.split("```").nth(1).unwrap().lines().collect();
    let told = told.iter().map(|line| line.split("//").next().unwrap());
    // More follows in the program.
    let told = told.map(|line| line.trim().trim_end_matches(';'));
    let told: Vec<&str> = told.filter(|line| is_ours(line)).collect();
    // So the README's are compiled, too.
    for line in &ours {
        assert!(told.contains(line), "not in the README: {line}");
    }
    for line in told {
        assert!(ours.contains(&line), "only in the README: {line}");
    }
}
