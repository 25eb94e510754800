//! `/v1.0/traces`: what is kept of good payloads, and the reason for each kind of bad one.

use datadog_local_agent::{Attribute, Endpoint, Fault, LocalAgent};
use rmpv::Value;

use crate::client::{self, TRACE_HEADERS, map, packed};

const LINE: &str = "POST /v1.0/traces";

/// A map with numbers as keys.
fn fields(fields: Vec<(u64, Value)>) -> Value {
    let pairs = fields.into_iter();
    Value::Map(
        pairs
            .map(|(field, value)| (Value::from(field), value))
            .collect(),
    )
}

fn list(values: Vec<Value>) -> Value {
    Value::Array(values)
}

/// Puts a field in the place of the one of the same number, or adds it; nil takes it away.
fn with(mut all: Vec<(u64, Value)>, field: u64, value: Value) -> Vec<(u64, Value)> {
    let at = all.iter().position(|(own, _)| *own == field);
    match (at, value.is_nil()) {
        (Some(at), true) => drop(all.remove(at)),
        (Some(at), false) => all[at].1 = value,
        (None, _) => all.push((field, value)),
    }
    all
}

fn trace_id(low: u8) -> Value {
    let mut bytes = vec![0; 16];
    (bytes[7], bytes[15]) = (0xab, low);
    Value::Binary(bytes)
}

fn span(changes: Vec<(u64, Value)>) -> Value {
    let span = vec![
        (1, "web".into()),
        (2, "work".into()),
        (3, "GET /".into()),
        (4, 9.into()),
        (5, 0.into()),
        (6, 1_700_000_000_000_000_000_u64.into()),
        (7, 1_500_000.into()),
        (8, false.into()),
        (9, list(vec![])),
    ];
    let changed = changes.into_iter();
    fields(changed.fold(span, |span, (field, value)| with(span, field, value)))
}

fn chunk(spans: Vec<Value>, changes: Vec<(u64, Value)>) -> Value {
    let chunk = vec![(1, 1.into()), (6, trace_id(7)), (4, list(spans))];
    let changed = changes.into_iter();
    fields(changed.fold(chunk, |chunk, (field, value)| with(chunk, field, value)))
}

fn payload(chunks: Vec<Value>, changes: Vec<(u64, Value)>) -> Vec<u8> {
    let payload = vec![
        (3, "rust".into()),
        (5, "0.1.0".into()),
        (6, "runtime".into()),
        (11, list(chunks)),
    ];
    let changed = changes.into_iter();
    let payload = changed.fold(payload, |all, (field, value)| with(all, field, value));
    packed(&fields(payload))
}

#[test]
fn every_field_is_kept() {
    let agent = LocalAgent::start().unwrap();
    // Texts so far: 1 rust, 2 0.1.0, 3 runtime, 4 origin, 5 web, 6 work, 7 GET /.
    let attributes = list(vec![
        "text".into(),
        1.into(),
        5.into(),
        "number".into(),
        3.into(),
        0.5.into(),
        "struct".into(),
        5.into(),
        Value::Binary(packed(&map(&[("a", 1.into())]))),
        "empty".into(),
        1.into(),
        0.into(),
    ]);
    let link = fields(vec![
        (1, trace_id(5)),
        (2, 6.into()),
        (3, list(vec!["why".into(), 1.into(), "retry".into()])),
        (4, "dd=s:1".into()),
        (5, 0x8000_0001_u32.into()),
    ]);
    let values = list(vec![4.into(), (-3).into(), 2.into(), true.into()]);
    let event = fields(vec![
        (1, 9.into()),
        (2, "cache miss".into()),
        (3, list(vec!["values".into(), 6.into(), values])),
    ]);
    let whole = span(vec![
        (8, true.into()),
        (9, attributes),
        (10, 5.into()),
        (11, list(vec![link])),
        (12, list(vec![event])),
        (13, "prod".into()),
        (14, 2.into()),
        (15, "hyper".into()),
        (16, 3.into()),
    ]);
    let second = span(vec![
        (1, 5.into()),
        (2, 6.into()),
        (3, 7.into()),
        (4, 10.into()),
        (5, 9.into()),
    ]);
    // Fields come in the order of these lists, and so do the texts.
    let chunk = fields(vec![
        (1, 2.into()),
        (2, "synthetics".into()),
        (6, trace_id(7)),
        (7, 4.into()),
        (4, list(vec![whole, second])),
    ]);
    let body = payload(vec![chunk], vec![]);
    let answer = client::tcp(&agent).send(LINE, &TRACE_HEADERS, &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["rate_by_service"]["service:,env:"], 1.0);

    let [first, second] = agent.spans().try_into().unwrap();
    assert_eq!((first.trace_id, first.trace_id_high), (7, 0xab));
    assert_eq!((second.trace_id, second.trace_id_high), (7, 0xab));
    assert_eq!((first.error, second.error), (1, 0));
    assert_eq!((&*first.type_, &*second.service), ("web", "web"));
    for (tag, value) in [
        ("text", "web"),
        ("empty", ""),
        ("number", "0.5"),
        ("env", "prod"),
        ("version", "0.1.0"),
        ("component", "hyper"),
        ("span.kind", "client"),
        ("language", "rust"),
        ("runtime-id", "runtime"),
        ("_dd.origin", "synthetics"),
        ("_dd.p.dm", "-4"),
        ("_dd.p.tid", "00000000000000ab"),
        ("_sampling_priority_v1", "2"),
    ] {
        assert_eq!(first.tag(tag).as_deref(), Some(value), "{tag}");
    }
    assert!(second.meta.is_empty() && second.metrics.is_empty());
    assert_eq!(
        first.meta_struct["struct"],
        packed(&map(&[("a", 1.into())]))
    );
    let link = &first.span_links[0];
    assert_eq!(
        (link.trace_id, link.trace_id_high, link.span_id),
        (5, 0xab, 6)
    );
    assert_eq!(link.attributes["why"], "retry");
    assert_eq!((&*link.tracestate, link.flags), ("dd=s:1", 0x8000_0001));
    let event = &first.span_events[0];
    assert_eq!((&*event.name, event.time_unix_nano), ("cache miss", 9));
    assert_eq!(
        event.attributes["values"],
        Attribute::Array(vec![Attribute::Int(-3), Attribute::Bool(true)])
    );
}

#[test]
fn bad_payloads_are_refused_with_the_place_and_the_reason() {
    let agent = LocalAgent::start().unwrap();
    let mut client = client::tcp(&agent);
    let of_span = |field: u64, value: Value| {
        payload(
            vec![chunk(vec![span(vec![(field, value)])], vec![])],
            vec![],
        )
    };
    let of_chunk = |field: u64, value: Value| {
        payload(
            vec![chunk(vec![span(vec![])], vec![(field, value)])],
            vec![],
        )
    };
    let of_payload = |field: u64, value: Value| {
        payload(
            vec![chunk(vec![span(vec![])], vec![])],
            vec![(field, value)],
        )
    };
    let attributes = |values: Vec<Value>| of_span(9, list(values));
    let at = "field 11: chunk 0: field 4: span 0: ";
    let cases: Vec<(Vec<u8>, String)> = vec![
        (packed(&list(vec![])), "expected a map, got list".into()),
        (
            packed(&map(&[("a", 1.into())])),
            "field: expected a non-negative".into(),
        ),
        (
            of_payload(1, list(vec![])),
            "field 1: texts have to stand".into(),
        ),
        (of_payload(12, 1.into()), "field 12: it is unknown".into()),
        (of_payload(3, Value::Nil), "field 3 is missing".into()),
        (of_payload(11, Value::Nil), "field 11 is missing".into()),
        (
            of_payload(6, 0.into()),
            "field 6: expected text, got an empty one".into(),
        ),
        (
            of_chunk(5, true.into()),
            "field 11: chunk 0: field 5: it is the agent's".into(),
        ),
        (
            of_chunk(6, Value::Binary(vec![1; 8])),
            "field 6: expected 16 bytes, got 8".into(),
        ),
        (
            of_chunk(6, Value::Binary(vec![0; 16])),
            "the lower half of a trace id is zero".into(),
        ),
        (
            of_chunk(7, "-4".into()),
            "field 7: expected a 32-bit integer, got str".into(),
        ),
        (of_chunk(4, list(vec![])), "it has no spans".into()),
        (of_chunk(9, 1.into()), "field 9: it is unknown".into()),
        (
            of_span(1, 99.into()),
            format!("{at}field 1: there is no text 99 yet, only 3"),
        ),
        (
            of_span(1, "".into()),
            format!("{at}field 1: the empty text has to be the number 0"),
        ),
        (
            of_span(1, "rust".into()),
            format!("{at}field 1: a text that came before"),
        ),
        (
            of_span(2, 0.into()),
            format!("{at}field 2: expected text, got an empty one"),
        ),
        (of_span(4, Value::Nil), format!("{at}field 4 is missing")),
        (
            of_span(8, 1.into()),
            format!("{at}field 8: expected a bool, got 1"),
        ),
        (
            of_span(16, 6.into()),
            format!("{at}field 16: expected a number from 1 to 5, got 6"),
        ),
        (
            of_span(17, 6.into()),
            format!("{at}field 17: it is unknown"),
        ),
        (
            attributes(vec!["k".into(), 1.into()]),
            format!("{at}field 9: key `k`: its type or value is missing"),
        ),
        (
            attributes(vec!["k".into(), 8.into(), 1.into()]),
            format!("{at}field 9: key `k`: 8 is not an attribute type here"),
        ),
        (
            attributes(vec!["k".into(), 3.into(), f64::NAN.into()]),
            format!("{at}field 9: key `k`: expected a finite number, got NaN"),
        ),
        (
            attributes(vec![
                "k".into(),
                1.into(),
                0.into(),
                7.into(),
                3.into(),
                1.into(),
            ]),
            format!("{at}field 9: key `k`: it comes twice"),
        ),
        (
            of_span(11, list(vec![fields(vec![(1, trace_id(1))])])),
            format!("{at}field 11: span link 0: field 1 or 2 is missing"),
        ),
        (
            of_span(12, list(vec![fields(vec![(1, 1.into())])])),
            format!("{at}field 12: span event 0: field 2 is missing"),
        ),
    ];
    for (body, reason) in cases {
        agent.clear();
        let answer = client.send(LINE, &TRACE_HEADERS, &body);
        assert_eq!(answer.status, 400, "{reason}");
        let [refusal] = agent.refusals().try_into().unwrap();
        assert!(
            refusal.reason.contains(&reason),
            "wanted {reason}, got {refusal}"
        );
        assert!(agent.spans().is_empty());
    }
    let wrong = ("X-Datadog-Trace-Count", "2");
    let headers = [TRACE_HEADERS[0], TRACE_HEADERS[1], wrong];
    let body = payload(vec![chunk(vec![span(vec![])], vec![])], vec![]);
    assert_eq!(client.send(LINE, &headers, &body).status, 400);
    assert_eq!(client.send(LINE, &TRACE_HEADERS, &body).status, 200);
}

#[test]
fn it_is_listed_by_choice_and_a_busy_agent_says_so() {
    let agent = LocalAgent::start().unwrap();
    let mut client = client::tcp(&agent);
    let mut listed = || {
        let info = client.send("GET /info", &[], b"").json();
        info["endpoints"]
            .as_array()
            .unwrap()
            .contains(&"/v1.0/traces".into())
    };
    assert!(!listed());
    agent.set_info([("endpoints", serde_json::json!(["/v1.0/traces"]))]);
    assert!(listed());
    // Unlike v0.4 it never hides that.
    agent.fail_next(1, Endpoint::TracesV10, Fault::Status(429));
    assert_eq!(client.send(LINE, &TRACE_HEADERS, b"").status, 429);
}
