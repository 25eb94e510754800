//! The intake endpoints for logs and metrics: good payloads, and the status and reason for each kind of bad one.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use datadog_local_agent::{LocalAgent, MetricKind, Via};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};

use crate::client;

const KEY: (&str, &str) = ("DD-API-KEY", "right");
const JSON: (&str, &str) = ("Content-Type", "application/json");
const GZIP: (&str, &str) = ("Content-Encoding", "gzip");
const DEFLATE: (&str, &str) = ("Content-Encoding", "deflate");

fn agent() -> LocalAgent {
    LocalAgent::builder().api_key("right").start().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64
}

/// Headers, body, and the status and reason expected.
type Case<'a> = (&'a [(&'a str, &'a str)], Vec<u8>, u16, &'a str);

/// Sends each case and compares status and reason of the refusal.
fn refused(line: &str, cases: Vec<Case<'_>>) {
    let agent = agent();
    let mut client = client::tcp(&agent);
    for (headers, body, status, reason) in cases {
        agent.clear();
        let answer = client.send(line, headers, &body);
        assert_eq!(answer.status, status, "{reason}: {}", answer.text());
        let [refusal] = agent.refusals().try_into().unwrap();
        assert_eq!(refusal.status, Some(status));
        assert!(
            refusal.reason.contains(reason),
            "wanted {reason}, got {refusal}"
        );
        assert!(agent.logs().is_empty() && agent.metrics().is_empty());
    }
}

#[test]
fn logs_are_kept_in_all_encodings() {
    let agent = agent();
    let mut client = client::tcp(&agent);
    let entry = json!({
        "message": "boom", "status": "error", "service": "web", "hostname": "h", "ddsource": "rust",
        "ddtags": "env:test,version:1", "dd.trace_id": "000000000000000100000000000000ff", "dd": {"span_id": "12"},
        "http": {"status_code": 500},
    });
    let list = json!([entry]).to_string();
    let packed = gzip(list.as_bytes());
    let answer = client.send("POST /api/v2/logs", &[KEY, JSON, GZIP], &packed);
    assert_eq!((answer.status, answer.text().as_str()), (202, "{}"));
    let packed = deflate(list.as_bytes());
    let charset = ("Content-Type", "application/json; charset=utf-8");
    let answer = client.send("POST /api/v2/logs?x=1", &[KEY, charset, DEFLATE], &packed);
    assert_eq!(answer.status, 202);
    let single = entry.to_string();
    client.send("POST /api/v2/logs", &[KEY, JSON], single.as_bytes());

    let logs = agent.logs();
    assert_eq!(logs.len(), 3);
    for log in &logs {
        assert_eq!(log, &logs[0]);
    }
    let log = &logs[0];
    assert_eq!(log.message, "boom");
    assert_eq!(log.status.as_deref(), Some("error"));
    assert_eq!(log.ddtags.as_deref(), Some("env:test,version:1"));
    assert_eq!((log.trace_id(), log.span_id()), (Some(255), Some(12)));
    assert_eq!(log.attribute("http.status_code"), Some(&json!(500)));
    assert_eq!(log.attribute("http.method"), None);
    assert!(!log.attributes.contains_key("message"));
}

#[test]
fn a_message_over_a_megabyte_is_cut() {
    let agent = agent();
    let message = format!("a{}", "é".repeat(500_000));
    let body = json!([{"message": message}]).to_string();
    let answer = client::tcp(&agent).send("POST /api/v2/logs", &[KEY, JSON], body.as_bytes());
    assert_eq!(answer.status, 202);
    // 1,000,001 bytes were sent; the last character does not fit.
    assert_eq!(agent.logs()[0].message.len(), 999_999);
}

#[test]
fn bad_logs_are_refused() {
    let good = || br#"[{"message":"x"}]"#.to_vec();
    let over = json!([{"message": "x".repeat(5_000_000)}]).to_string();
    let many = Value::Array(vec![json!({"message": "x"}); 1001]).to_string();
    refused(
        "POST /api/v2/logs",
        vec![
            (&[JSON], good(), 401, "DD-API-KEY is missing"),
            (
                &[JSON, ("DD-API-KEY", "")],
                good(),
                401,
                "DD-API-KEY is missing",
            ),
            (&[JSON, ("DD-API-KEY", "x")], good(), 403, "wrong key"),
            (&[KEY], good(), 415, "header Content-Type"),
            (
                &[KEY, JSON, ("Content-Encoding", "br")],
                good(),
                415,
                "got br",
            ),
            (&[KEY, JSON, GZIP], good(), 400, "not gzip"),
            (&[KEY, JSON], b"nope".to_vec(), 400, "not JSON"),
            (&[KEY, JSON], b"".to_vec(), 400, "not JSON"),
            (
                &[KEY, JSON],
                b"[1]".to_vec(),
                400,
                "entry 0: expected an object, got a number",
            ),
            (
                &[KEY, JSON],
                b"[{}]".to_vec(),
                400,
                "entry 0: field `message` is missing",
            ),
            (
                &[KEY, JSON],
                br#"[{"message":"x"},{"message":5}]"#.to_vec(),
                400,
                "entry 1: field `message`: expected a string, got a number",
            ),
            (
                &[KEY, JSON],
                br#"[{"message":"x","ddtags":["a"]}]"#.to_vec(),
                400,
                "field `ddtags`: expected a string, got an array",
            ),
            (&[KEY, JSON], many.into_bytes(), 413, "1001 entries"),
            (
                &[KEY, JSON],
                over.clone().into_bytes(),
                413,
                "5000000 bytes",
            ),
            (
                &[KEY, JSON, GZIP],
                gzip(over.as_bytes()),
                413,
                "5000000 bytes",
            ),
        ],
    );
}

#[test]
fn without_a_set_key_any_key_is_right() {
    let agent = LocalAgent::start().unwrap();
    let body = br#"{"message":"x"}"#;
    let mut client = client::tcp(&agent);
    let line = "POST /api/v2/logs";
    assert_eq!(
        client.send(line, &[JSON, ("DD-API-KEY", "z")], body).status,
        202
    );
    assert_eq!(client.send(line, &[JSON], body).status, 401);
}

#[test]
fn series_become_one_metric_a_point() {
    let agent = agent();
    let now = now();
    let body = json!({"series": [
        {"metric": "hits", "type": 1, "interval": 10, "tags": ["env:test"], "unit": "hit", "source_type_name": "rust",
         "metadata": {"origin": {}}, "resources": [{"type": "host", "name": "h"}],
         "points": [{"timestamp": now, "value": 2}, {"timestamp": now - 10, "value": 3.5}]},
        {"metric": "speed", "type": 2, "interval": 10, "points": [{"timestamp": now, "value": 1}]},
        {"metric": "depth", "type": 3, "points": [{"timestamp": now, "value": -1}]},
        {"metric": "what", "points": [{"timestamp": now, "value": 0}]},
    ]});
    let answer = client::unix(&agent).send(
        "POST /api/v2/series",
        &[KEY, JSON, GZIP],
        &gzip(body.to_string().as_bytes()),
    );
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(answer.json(), json!({"errors": []}));

    assert_eq!(agent.metric_sum("hits"), 5.5);
    assert_eq!(agent.metric_sum("speed"), 10.0);
    assert_eq!(agent.metric_values("depth"), [-1.0]);
    let hits = &agent.metrics_named("hits")[0];
    assert_eq!((hits.kind, hits.via), (MetricKind::Count, Via::Series));
    assert_eq!((hits.timestamp, hits.interval), (Some(now), Some(10)));
    assert_eq!(hits.host.as_deref(), Some("h"));
    assert!(hits.has_tag("env:test"));
    assert_eq!(agent.metrics_named("what")[0].kind, MetricKind::Unspecified);
}

#[test]
fn bad_series_are_refused() {
    let series = |change: &[(&str, Value)]| {
        let mut series =
            json!({"metric": "m", "type": 3, "points": [{"timestamp": now(), "value": 1}]});
        for (field, value) in change {
            series[*field] = value.clone();
        }
        json!({"series": [series]}).to_string().into_bytes()
    };
    let point = |timestamp: i64| json!([{"timestamp": timestamp, "value": 1}]);
    let tags: Vec<_> = (0..101).map(|at| format!("t{at}")).collect();
    let right = [KEY, JSON];
    refused(
        "POST /api/v2/series",
        vec![
            (&[JSON], series(&[]), 401, "DD-API-KEY"),
            (
                &[KEY, JSON, ("Content-Encoding", "zstd1")],
                series(&[]),
                415,
                "got zstd1",
            ),
            (&right, vec![b' '; 512_001], 413, "512000"),
            (
                &[KEY, JSON, GZIP],
                gzip(&vec![b' '; 5_242_881]),
                413,
                "5242880",
            ),
            (&right, b"{}".to_vec(), 400, "field `series` is missing"),
            (
                &right,
                series(&[("metric", json!("1m"))]),
                400,
                "series 0: field `metric`: name `1m`",
            ),
            (
                &right,
                series(&[("metric", json!("a-b"))]),
                400,
                "name `a-b` has a '-'",
            ),
            (
                &right,
                series(&[("type", json!(4))]),
                400,
                "field `type`: expected 0 to 3, got 4",
            ),
            (
                &right,
                series(&[("type", json!(1))]),
                400,
                "field `interval` is missing",
            ),
            (
                &right,
                series(&[("points", json!([]))]),
                400,
                "field `points`: it is empty",
            ),
            (
                &right,
                series(&[("points", json!([[1, 2]]))]),
                400,
                "points`: item 0: expected a map",
            ),
            (
                &right,
                series(&[("points", point(now() - 3700))]),
                400,
                "more than an hour ago",
            ),
            (
                &right,
                series(&[("points", point(now() + 700))]),
                400,
                "more than ten minutes ahead",
            ),
            (
                &right,
                series(&[("tags", json!(["9"]))]),
                400,
                "tag `9` does not start",
            ),
            (&right, series(&[("tags", json!(tags))]), 400, "101 tags"),
            (
                &right,
                series(&[("extra", json!(1))]),
                400,
                "field `extra` is unknown",
            ),
        ],
    );
}

#[test]
fn distribution_points_are_kept_with_all_values() {
    let agent = agent();
    let body = json!({"series": [{
        "metric": "latency", "type": "distribution", "host": "h", "tags": ["env:test"],
        "points": [[now(), [1, 2.5]], [now(), [3]]],
    }]});
    let answer = client::tcp(&agent).send(
        "POST /api/v1/distribution_points",
        &[KEY, JSON, DEFLATE],
        &deflate(body.to_string().as_bytes()),
    );
    assert_eq!(answer.json(), json!({"status": "ok"}));
    assert_eq!(agent.metric_values("latency"), [1.0, 2.5, 3.0]);
    let metric = &agent.metrics()[0];
    assert_eq!(
        (metric.kind, metric.via),
        (MetricKind::Distribution, Via::DistributionPoints)
    );
}

#[test]
fn bad_distribution_points_are_refused() {
    let body = |points: Value| {
        json!({"series": [{"metric": "m", "points": points}]})
            .to_string()
            .into_bytes()
    };
    let right = [KEY, JSON];
    let typed = json!({"series": [{"metric": "m", "type": "gauge", "points": []}]});
    refused(
        "POST /api/v1/distribution_points",
        vec![
            (&[KEY, JSON, GZIP], gzip(b"{}"), 415, "got gzip"),
            (&right, body(json!([])), 400, "it is empty"),
            (
                &right,
                body(json!([[now()]])),
                400,
                "expected a time and its values",
            ),
            (
                &right,
                body(json!([[now(), []]])),
                400,
                "a point without values",
            ),
            (
                &right,
                body(json!([[now(), 1]])),
                400,
                "expected a list of values, got 1",
            ),
            (
                &right,
                body(json!([[now(), ["x"]]])),
                400,
                "expected a finite number, got str",
            ),
            (
                &right,
                body(json!([[5, [1]]])),
                400,
                "more than an hour ago",
            ),
            (
                &right,
                typed.to_string().into_bytes(),
                400,
                "expected distribution, got `gauge`",
            ),
        ],
    );
}
