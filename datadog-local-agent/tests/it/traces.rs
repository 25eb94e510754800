//! `/v0.4/traces`: what is kept of good payloads, and the reason for each kind of bad one.

use datadog_local_agent::{Attribute, LocalAgent};
use rmpv::Value;

use crate::client::{self, TRACE_HEADERS, map, one_chunk, packed, span};

#[test]
fn every_field_is_kept() {
    let agent = LocalAgent::start().unwrap();
    let link = map(&[
        ("trace_id", Value::from(5)),
        ("trace_id_high", Value::from(6)),
        ("span_id", Value::from(7)),
        ("attributes", map(&[("why", Value::from("retry"))])),
        ("tracestate", Value::from("dd=s:1")),
        ("flags", Value::from(0x8000_0001_u32)),
    ]);
    let attributes = map(&[
        (
            "text",
            map(&[("type", 0.into()), ("string_value", "x".into())]),
        ),
        (
            "yes",
            map(&[("type", 1.into()), ("bool_value", true.into())]),
        ),
        (
            "int",
            map(&[("type", 2.into()), ("int_value", (-3).into())]),
        ),
        (
            "half",
            map(&[("type", 3.into()), ("double_value", 0.5.into())]),
        ),
        (
            "list",
            map(&[
                ("type", 4.into()),
                (
                    "array_value",
                    map(&[(
                        "values",
                        Value::Array(vec![map(&[("type", 2.into()), ("int_value", 1.into())])]),
                    )]),
                ),
            ]),
        ),
    ]);
    let event = map(&[
        ("time_unix_nano", Value::from(9)),
        ("name", Value::from("cache miss")),
        ("attributes", attributes),
    ]);
    let meta = map(&[
        ("_dd.p.tid", "00000000000000ab".into()),
        ("events", "[]".into()),
    ]);
    let root = span(
        u64::MAX,
        0,
        &[
            ("type", "web".into()),
            ("error", 1.into()),
            ("meta", meta),
            (
                "metrics",
                map(&[("_sampling_priority_v1", 1.into()), ("ratio", 0.5.into())]),
            ),
            (
                "meta_struct",
                map(&[("appsec", Value::Binary(packed(&map(&[]))))]),
            ),
            ("span_links", Value::Array(vec![link])),
            ("span_events", Value::Array(vec![event])),
        ],
    );
    let body = one_chunk(&[root, span(2, u64::MAX, &[("meta", Value::Nil)])]);
    let answer = client::tcp(&agent).send("POST /v0.4/traces", &TRACE_HEADERS, &body);
    assert_eq!(answer.status, 200, "{}", answer.text());

    let [root, child] = agent.spans().try_into().unwrap();
    assert_eq!(root.trace_id_128(), 0xab_0000_0000_0000_0007);
    assert_eq!(child.trace_id_128(), root.trace_id_128());
    assert_eq!((root.span_id, root.parent_id), (u64::MAX, 0));
    assert_eq!(child.parent_id, u64::MAX);
    assert_eq!(
        (&*root.service, &*root.name, &*root.resource, &*root.type_),
        ("web", "work", "GET /", "web")
    );
    assert_eq!(
        (root.start_ns, root.duration_ns, root.error),
        (1_700_000_000_000_000_000, 1_500_000, 1)
    );
    assert_eq!(root.metrics["_sampling_priority_v1"], 1.0);
    assert_eq!(root.tag("ratio").as_deref(), Some("0.5"));
    assert_eq!(root.meta_struct["appsec"], packed(&map(&[])));
    assert_eq!(root.span_links[0].attributes["why"], "retry");
    assert_eq!(root.span_links[0].flags, 0x8000_0001);
    let attributes = &root.span_events[0].attributes;
    assert_eq!(attributes["int"], Attribute::Int(-3));
    assert_eq!(
        attributes["list"],
        Attribute::Array(vec![Attribute::Int(1)])
    );
    let chunk = &agent.traces()[0];
    assert_eq!(chunk.headers.get("X-Datadog-Trace-Count"), Some("1"));
    assert_eq!(chunk.root().map(|span| span.span_id), Some(u64::MAX));
}

#[test]
fn bad_spans_are_refused_with_the_place_and_the_reason() {
    let agent = LocalAgent::start().unwrap();
    let mut client = client::tcp(&agent);
    let cases: Vec<(&str, Value, &str)> = vec![
        ("trace_id", 0.into(), "from 1 to 2^64-1, got 0"),
        ("trace_id", Value::Nil, "field `trace_id` is missing"),
        (
            "span_id",
            "1".into(),
            "field `span_id`: expected an integer",
        ),
        (
            "parent_id",
            (-1).into(),
            "expected a non-negative integer, got -1",
        ),
        (
            "name",
            "".into(),
            "field `name`: expected a str, got an empty",
        ),
        ("service", Value::Nil, "field `service` is missing"),
        (
            "resource",
            5.into(),
            "field `resource`: expected a str, got 5",
        ),
        (
            "type",
            true.into(),
            "field `type`: expected a str, got bool",
        ),
        (
            "start",
            0.into(),
            "field `start`: expected a positive integer, got 0",
        ),
        (
            "start",
            u64::MAX.into(),
            "field `start`: expected a positive integer",
        ),
        (
            "duration",
            "long".into(),
            "field `duration`: expected a non-negative integer, got str",
        ),
        (
            "duration",
            (-1).into(),
            "expected a non-negative integer, got -1",
        ),
        (
            "duration",
            1.5.into(),
            "expected a non-negative integer, got 1.5",
        ),
        ("error", 2.into(), "field `error`: expected 0 or 1, got 2"),
        (
            "error",
            true.into(),
            "field `error`: expected 0 or 1, got bool",
        ),
        (
            "meta",
            Value::Array(vec![]),
            "field `meta`: expected a map, got list",
        ),
        (
            "meta",
            map(&[("k", 5.into())]),
            "field `meta`: key `k`: expected a str, got 5",
        ),
        (
            "meta",
            map(&[("k", "1".into()), ("k", "2".into())]),
            "field `meta`: key `k` comes twice",
        ),
        (
            "meta",
            Value::Map(vec![(1.into(), "x".into())]),
            "field `meta`: key: expected a str, got 1",
        ),
        (
            "meta",
            map(&[("events", "{}".into())]),
            "meta `events`: expected a JSON array",
        ),
        (
            "meta",
            map(&[("events", "[".into())]),
            "meta `events`: expected a JSON array, but it is not JSON",
        ),
        (
            "metrics",
            map(&[("k", "1".into())]),
            "key `k`: expected a finite number, got str",
        ),
        (
            "metrics",
            map(&[("k", f64::NAN.into())]),
            "key `k`: expected a finite number, got NaN",
        ),
        (
            "meta_struct",
            map(&[("k", "x".into())]),
            "field `meta_struct`: key `k`: expected bin, got str",
        ),
        (
            "meta_struct",
            map(&[("k", Value::Binary(packed(&1.into())))]),
            "key `k`: expected a packed map, got 1",
        ),
        (
            "span_links",
            Value::Array(vec![map(&[("trace_id", 1.into())])]),
            "field `span_links`: item 0: field `span_id` is missing",
        ),
        (
            "span_events",
            Value::Array(vec![map(&[
                ("time_unix_nano", 1.into()),
                ("name", "x".into()),
                (
                    "attributes",
                    map(&[("a", map(&[("type", 2.into()), ("int_value", "1".into())]))]),
                ),
            ])]),
            "key `a`: field `int_value`: expected an integer, got str",
        ),
        ("colour", "red".into(), "field `colour` is unknown"),
    ];
    for (field, value, reason) in &cases {
        agent.clear();
        let body = one_chunk(&[span(9, 0, &[]), span(1, 9, &[(field, value.clone())])]);
        let answer = client.send("POST /v0.4/traces", &TRACE_HEADERS, &body);
        assert_eq!(answer.status, 400, "{field} {value}");
        let [refusal] = agent.refusals().try_into().unwrap();
        let wanted = format!("chunk 0, span 1: {reason}");
        let known_place = refusal.reason.starts_with("chunk 0, span 1: ");
        assert!(
            known_place && refusal.reason.contains(reason),
            "wanted {wanted}, got {refusal}"
        );
        assert!(agent.spans().is_empty());
    }
}

#[test]
fn bad_chunks_are_refused() {
    let agent = LocalAgent::start().unwrap();
    let mut client = client::tcp(&agent);
    let tid = |text: &str| [("meta", map(&[("_dd.p.tid", text.into())]))];
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "not msgpack"),
        (vec![0x92, 1], "not msgpack"),
        (
            packed(&map(&[])),
            "expected a list of trace chunks, got map",
        ),
        (
            packed(&Value::Array(vec![1.into()])),
            "chunk 0: expected a list of spans, got 1",
        ),
        (one_chunk(&[]), "chunk 0: it has no spans"),
        (
            one_chunk(&["x".into()]),
            "chunk 0, span 0: expected a map, got str",
        ),
        (
            [one_chunk(&[span(1, 0, &[])]), vec![0]].concat(),
            "1 bytes follow the end",
        ),
        (
            one_chunk(&[span(1, 0, &[]), span(2, 1, &[("trace_id", 8.into())])]),
            "chunk 0: span 1 has trace id 8, span 0 has 7",
        ),
        (
            one_chunk(&[span(1, 0, &[]), span(1, 0, &[])]),
            "chunk 0: span id 1 comes twice",
        ),
        (
            one_chunk(&[span(1, 0, &tid("ab"))]),
            "`_dd.p.tid`: expected 16 lower-case hexadecimal digits, got `ab`",
        ),
        (
            one_chunk(&[
                span(1, 0, &tid("00000000000000ab")),
                span(2, 1, &tid("00000000000000ac")),
            ]),
            "chunk 0: span 1: meta `_dd.p.tid` differs from that of span 0",
        ),
    ];
    for (body, reason) in cases {
        agent.clear();
        let answer = client.send("POST /v0.4/traces", &TRACE_HEADERS, &body);
        assert_eq!(answer.status, 400, "{reason}");
        let refusal = agent.refusals()[0].reason.clone();
        assert!(refusal.contains(reason), "wanted {reason}, got {refusal}");
    }
}

#[test]
fn bad_headers_are_refused() {
    let agent = LocalAgent::start().unwrap();
    let mut client = client::tcp(&agent);
    let body = one_chunk(&[span(1, 0, &[])]);
    let [content_type, version, count] = TRACE_HEADERS;
    let json = ("Content-Type", "application/json");
    let wrong = ("X-Datadog-Trace-Count", "2");
    let text = ("X-Datadog-Trace-Count", "many");
    let cases = [
        (vec![version, count], 415, "header Content-Type"),
        (vec![json, version, count], 415, "got application/json"),
        (
            vec![content_type, count],
            400,
            "Datadog-Meta-Tracer-Version",
        ),
        (
            vec![content_type, version],
            400,
            "X-Datadog-Trace-Count is missing",
        ),
        (
            vec![content_type, version, wrong],
            400,
            "says 2, but the body has 1",
        ),
        (vec![content_type, version, text], 400, "got `many`"),
    ];
    for (headers, status, reason) in cases {
        agent.clear();
        let answer = client.send("POST /v0.4/traces", &headers, &body);
        let refusal = agent.refusals()[0].clone();
        assert_eq!((answer.status, refusal.status), (status, Some(status)));
        assert!(refusal.reason.contains(reason), "{refusal}");
        assert!(answer.text().contains(reason));
    }
}

#[test]
fn a_chunked_body_is_refused() {
    let agent = LocalAgent::start().unwrap();
    let mut client = client::tcp(&agent);
    let body = one_chunk(&[span(1, 0, &[])]);
    let chunked = [
        format!("{:x}\r\n", body.len()).as_bytes(),
        &body,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    let headers = [&TRACE_HEADERS[..], &[("Transfer-Encoding", "chunked")]].concat();
    client
        .write("POST /v0.4/traces", &headers, &chunked)
        .unwrap();
    assert_eq!(client.read_answer().unwrap().status, 400);
    assert!(
        agent.refusals()[0]
            .reason
            .contains("Content-Length is missing")
    );
}

#[test]
fn more_than_25_megabytes_are_answered_413() {
    let agent = LocalAgent::start().unwrap();
    let mut client = client::unix(&agent);
    let body = vec![0; 25 * 1024 * 1024 + 1];
    let answer = client.send("POST /v0.4/traces", &TRACE_HEADERS, &body);
    assert_eq!(answer.status, 413);
    // The connection is still good.
    let body = one_chunk(&[span(1, 0, &[])]);
    let answer = client.send("POST /v0.4/traces", &TRACE_HEADERS, &body);
    assert_eq!(answer.status, 200);
}

#[test]
fn other_paths_and_methods_are_refused() {
    let agent = LocalAgent::start().unwrap();
    let mut client = client::tcp(&agent);
    assert_eq!(client.send("POST /v0.5/traces", &[], b"").status, 404);
    assert_eq!(client.send("GET /v0.4/traces", &[], b"").status, 405);
    assert_eq!(client.send("POST /info", &[], b"").status, 405);
    let places: Vec<_> = agent.refusals().into_iter().map(|got| got.place).collect();
    assert_eq!(
        places,
        ["POST /v0.5/traces", "GET /v0.4/traces", "POST /info"]
    );
}

#[test]
fn answers_carry_the_agents_headers_and_the_rates() {
    let agent = LocalAgent::builder()
        .rate_by_service([("service:web,env:test", 0.25)])
        .start()
        .unwrap();
    let mut client = client::tcp(&agent);
    let body = one_chunk(&[span(1, 0, &[])]);

    let first = client.send("POST /v0.4/traces", &TRACE_HEADERS, &body);
    let rates = serde_json::json!({"rate_by_service": {"service:web,env:test": 0.25}});
    assert_eq!(first.json(), rates);
    assert!(first.header("datadog-agent-version").is_some());
    assert_eq!(first.header("datadog-rates-payload-version"), None);

    let asking = |version| {
        [
            &TRACE_HEADERS[..],
            &[("Datadog-Rates-Payload-Version", version)],
        ]
        .concat()
    };
    let second = client.send("POST /v0.4/traces", &asking("unknown"), &body);
    assert_eq!(second.json(), rates);
    let version = second.header("datadog-rates-payload-version").unwrap();
    let third = client.send("POST /v0.4/traces", &asking(version), &body);
    assert_eq!(third.text(), "{}");

    agent.set_rate_by_service([("service:web,env:test", 1.0)]);
    let fourth = client.send("POST /v0.4/traces", &asking(version), &body);
    assert_eq!(
        fourth.json()["rate_by_service"]["service:web,env:test"],
        1.0
    );
    assert_ne!(
        fourth.header("datadog-rates-payload-version"),
        Some(version)
    );
}

#[test]
fn v03_takes_the_same_and_answers_without_rates() {
    let agent = LocalAgent::start().unwrap();
    let body = one_chunk(&[span(1, 0, &[])]);
    let mut client = client::unix(&agent);
    let answer = client.send("PUT /v0.3/traces", &TRACE_HEADERS, &body);
    assert_eq!((answer.status, answer.text()), (200, "OK\n".to_owned()));
    assert_eq!(agent.spans().len(), 1);
    let broken = client.send("POST /v0.3/traces", &TRACE_HEADERS, &body[1..]);
    assert_eq!(broken.status, 400);
    assert_eq!((agent.spans().len(), agent.refusals().len()), (1, 1));
}

#[test]
fn info_tells_what_the_agent_serves() {
    let agent = LocalAgent::start().unwrap();
    let mut client = client::unix(&agent);
    let answer = client.send("GET /info", &[], b"");
    let info = answer.json();
    assert_eq!(info["config"]["statsd_port"], agent.dogstatsd_addr().port());
    let endpoints = info["endpoints"].as_array().unwrap();
    assert!(endpoints.contains(&"/v0.4/traces".into()));
    let state = answer.header("datadog-agent-state").unwrap();
    let again = client.send("GET /info", &[], b"");
    assert_eq!(again.header("datadog-agent-state"), Some(state));
}
