//! `/v0.6/stats`: what is kept of good payloads, and the reason for each kind of bad one.

use datadog_local_agent::LocalAgent;
use rmpv::Value;

use crate::client::{self, map, packed};

const HEADERS: [(&str, &str); 1] = [("Content-Type", "application/msgpack")];

/// A sketch with these counts in the bins from 100 up.
fn sketch(counts: &[f64]) -> Value {
    let mut bytes = vec![0x0a, 9, 0x09];
    bytes.extend_from_slice(&(1.01f64 / 0.99).to_le_bytes());
    if !counts.is_empty() {
        let len = counts.len() as u8 * 8;
        bytes.extend_from_slice(&[0x12, len + 5, 0x12, len]);
        counts
            .iter()
            .for_each(|count| bytes.extend_from_slice(&count.to_le_bytes()));
        bytes.extend_from_slice(&[0x18, 0xc8, 0x01]);
    }
    Value::Binary(bytes)
}

type Fields = Vec<(&'static str, Value)>;

fn group() -> Fields {
    vec![
        ("Service", "web".into()),
        ("Name", "web.request".into()),
        ("Resource", "GET /".into()),
        ("Synthetics", false.into()),
        ("IsTraceRoot", 1.into()),
        ("PeerTags", Value::Array(vec!["db.name:x".into()])),
        ("Hits", 3.into()),
        ("Errors", 1.into()),
        ("TopLevelHits", 2.into()),
        ("Duration", 30.into()),
        ("OkSummary", sketch(&[1.0, 0.0, 1.0])),
        ("ErrorSummary", sketch(&[1.0])),
    ]
}

fn bucket(groups: Vec<Fields>) -> Fields {
    let groups = groups.iter().map(|fields| map(fields)).collect();
    vec![
        ("Start", 20.into()),
        ("Duration", 10.into()),
        ("Stats", Value::Array(groups)),
    ]
}

fn payload(bucket: &Fields) -> Fields {
    vec![
        ("Hostname", "".into()),
        ("Env", "test".into()),
        ("Version", "".into()),
        ("Lang", "rust".into()),
        ("TracerVersion", "1".into()),
        ("RuntimeID", "id".into()),
        ("Sequence", 1.into()),
        ("Service", "web".into()),
        ("Stats", Value::Array(vec![map(bucket)])),
    ]
}

fn with(mut fields: Fields, name: &'static str, value: Value) -> Fields {
    fields.retain(|(known, _)| *known != name);
    fields.push((name, value));
    fields
}

fn without(mut fields: Fields, name: &str) -> Fields {
    fields.retain(|(known, _)| *known != name);
    fields
}

fn post(agent: &LocalAgent, payload: &Fields) -> (u16, String) {
    let body = packed(&map(payload));
    let answer = client::tcp(agent).send("POST /v0.6/stats", &HEADERS, &body);
    (answer.status, answer.text())
}

#[test]
fn what_is_good_is_kept() {
    let agent = LocalAgent::start().unwrap();
    let (status, text) = post(&agent, &payload(&bucket(vec![group()])));
    assert_eq!((status, &*text), (200, "OK\n"));
    let payload = &agent.stats()[0];
    assert_eq!((&*payload.env, payload.buckets[0].start_ns), ("test", 20));
    let group = &agent.stats_groups()[0];
    assert_eq!((group.hits, group.errors, group.ok.count()), (3, 1, 2.0));
    assert_eq!(group.key.is_trace_root, Some(true));
    assert_eq!(group.key.peer_tags, ["db.name:x"]);
    let middle = |bin: i32| (1.01f64 / 0.99).powi(bin) * 1.01;
    let close = |value: Option<f64>, wanted: f64| (value.unwrap() / wanted - 1.0).abs() < 1e-9;
    assert!(close(group.ok.quantile(0.0), middle(100)));
    assert!(close(group.ok.quantile(1.0), middle(102)));
    assert!((group.ok.relative_accuracy() - 0.01).abs() < 1e-9);
    let report = agent.report().to_string();
    assert!(
        report.contains("Trace statistics") && report.contains("GET /"),
        "{report}"
    );
}

#[test]
fn what_is_bad_is_refused_with_the_reason() {
    let agent = LocalAgent::start().unwrap();
    let of = |group: Fields| payload(&bucket(vec![group]));
    for (payload, reason) in [
        (
            without(of(group()), "RuntimeID"),
            "field `RuntimeID` is missing",
        ),
        (with(of(group()), "Sequence", 0.into()), "field `Sequence`"),
        (
            with(of(group()), "Extra", 0.into()),
            "field `Extra` is unknown",
        ),
        (payload(&bucket(vec![])), "it has no groups"),
        (payload(&bucket(vec![group(), group()])), "comes twice"),
        (
            payload(&with(bucket(vec![group()]), "Start", 21.into())),
            "no multiple",
        ),
        (
            of(with(group(), "Errors", 4.into())),
            "4, but there are 3 hits",
        ),
        (
            of(with(group(), "OkSummary", sketch(&[1.0]))),
            "it holds 1 spans instead of 2",
        ),
        (
            of(with(group(), "OkSummary", sketch(&[3.0, -1.0]))),
            "a count of -1",
        ),
        (
            of(with(group(), "ErrorSummary", Value::Binary(vec![]))),
            "no mapping",
        ),
        (
            of(with(group(), "ErrorSummary", Value::Binary(vec![7]))),
            "not a DDSketch",
        ),
        (
            of(with(group(), "IsTraceRoot", 3.into())),
            "expected 0, 1 or 2",
        ),
        (
            of(with(group(), "GRPCStatusCode", "OK".into())),
            "a number as text",
        ),
        (of(with(group(), "Resource", "".into())), "field `Resource`"),
        (of(without(group(), "Hits")), "field `Hits` is missing"),
    ] {
        let (status, text) = post(&agent, &payload);
        assert_eq!(status, 400, "{reason}");
        assert!(text.contains(reason), "{text} should say {reason}");
    }
    let answer =
        client::tcp(&agent).send("POST /v0.6/stats", &[("Content-Type", "text/plain")], b"x");
    assert_eq!(answer.status, 415);
    assert!(agent.stats().is_empty());
}

#[test]
fn info_can_be_changed_and_its_state_tells() {
    let agent = LocalAgent::start().unwrap();
    let ask = || client::tcp(&agent).send("GET /info", &[], b"");
    let before = ask();
    assert_eq!(before.json()["client_drop_p0s"], false);
    agent.set_info([("client_drop_p0s", true.into()), ("more", "x".into())]);
    let after = ask();
    assert_eq!(
        (&after.json()["client_drop_p0s"], &after.json()["more"]),
        (&true.into(), &"x".into())
    );
    let state = |answer: &client::Answer| answer.header("datadog-agent-state").map(str::to_owned);
    assert_ne!(state(&before), state(&after));
}
