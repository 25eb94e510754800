//! Any spans arrive as the same, whatever the format that they are sent in.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, UNIX_EPOCH};

use datadog_local_agent::{LocalAgent, TraceChunk};
use proptest::prelude::*;

use super::*;
use crate::batch::Batch;
use crate::carried::Carried;
use crate::event::{EventValue, SpanEvent};
use crate::link::SpanLink;
use crate::sample::Decision;
use crate::span_data::SpanData;
use crate::ticks::Ticks;

static AGENT: LazyLock<LocalAgent> = LazyLock::new(|| LocalAgent::start().unwrap());

/// Those that are fields in v1.0 among them.
const KEYS: [&str; 14] = [
    "a",
    "b",
    "env",
    "version",
    "component",
    "span.kind",
    "language",
    "runtime-id",
    "_dd.origin",
    "_dd.p.dm",
    "_sampling_priority_v1",
    "_dd.base_service",
    "http.url",
    "process_id",
];

fn config() -> DDConfig {
    let config = DDConfig::builder()
        .environment([("", "")])
        .service("web")
        .env("prod")
        .version("1.2.3")
        .tags([("team", "checkout"), ("component", "net/http")])
        .hostname("here")
        .report_hostname(true)
        .git_commit_sha("0123456789012345678901234567890123456789");
    config.build().unwrap()
}

/// Of an agent that takes events as they are.
fn encoder() -> Encoder {
    let mut encoder = Encoder::new(&config());
    encoder.native_events = true;
    encoder
}

fn payload(encoder: &mut Encoder, protocol: TraceProtocol, chunks: &mut [Chunk]) -> Payload {
    let mut filling = encoder.start(protocol);
    for chunk in chunks {
        encoder.add(&mut filling, chunk);
    }
    encoder.close(filling, true).unwrap()
}

/// What a strict receiver makes of it.
fn received(
    agent: &LocalAgent,
    path: &str,
    payload: &Payload,
) -> Vec<Vec<datadog_local_agent::Span>> {
    agent.clear();
    let address = agent.url().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = payload.body().len();
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\nDatadog-Meta-Tracer-Version: 1\r\n"
    );
    for (name, value) in payload.headers() {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    stream.write_all(payload.body()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let chunks = agent.traces().into_iter();
    chunks.map(|TraceChunk { spans, .. }| spans).collect()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-c]{1,2}",
        Just("server".to_owned()),
        Just("Server".to_owned()),
        Just("-4".to_owned()),
        ".{0,40}",
        "[a-z]{250,300}",
    ]
}

#[derive(Clone, Debug)]
enum Tag {
    Text(String),
    Number(f64),
}

fn tag() -> impl Strategy<Value = Tag> {
    prop_oneof![
        3 => text().prop_map(Tag::Text),
        1 => any::<f64>().prop_map(Tag::Number),
    ]
}

fn single() -> impl Strategy<Value = EventValue> {
    prop_oneof![
        text().prop_map(|text| EventValue::Text(text.into())),
        any::<bool>().prop_map(EventValue::Bool),
        any::<i64>().prop_map(EventValue::Int),
        (-1e9..1e9).prop_map(EventValue::Double),
    ]
}

fn event() -> impl Strategy<Value = SpanEvent> {
    let value = prop_oneof![
        single(),
        prop::collection::vec(single(), 0..4).prop_map(EventValue::List)
    ];
    let attributes = prop::collection::btree_map("[a-c]{1,2}", value, 0..4);
    ("[a-c]{1,3}", any::<u32>(), attributes).prop_map(|(name, seconds, attributes)| {
        let time = UNIX_EPOCH + Duration::from_secs(seconds.into());
        let event = SpanEvent::new(name).at(time);
        let attributes = attributes.into_iter();
        attributes.fold(event, |event, (key, value)| event.attribute(key, value))
    })
}

fn link() -> impl Strategy<Value = SpanLink> {
    let attributes = prop::collection::btree_map("[a-c]{1,2}", text(), 0..3);
    (
        any::<u64>(),
        1..u64::MAX,
        1..u64::MAX,
        attributes,
        text(),
        any::<Option<u8>>(),
    )
        .prop_map(
            |(high, low, span_id, attributes, tracestate, flags)| SpanLink {
                trace_id: u128::from(high) << 64 | u128::from(low),
                span_id,
                attributes: attributes
                    .into_iter()
                    .map(|(key, value)| (key.into(), value))
                    .collect(),
                tracestate,
                flags,
            },
        )
}

prop_compose! {
    fn span()(
        names in (text(), text(), text(), prop::option::of(text())),
        parent_id in 0..3_u64,
        times in (1..u64::MAX / 4, 0..u64::MAX / 4),
        marks in any::<(bool, bool)>(),
        tags in prop::collection::vec((prop::sample::select(&KEYS[..]), tag()), 0..8),
        links in prop::collection::vec(link(), 0..3),
        events in prop::collection::vec(event(), 0..3),
        with_struct in any::<bool>(),
    ) -> SpanData {
        let mut span = SpanData {
            parent_id,
            name: names.0.into(),
            service: Some(names.1.into()),
            resource: Some(names.2.into()),
            span_type: names.3.map(Into::into),
            error: marks.0,
            top_level: marks.1,
            ..SpanData::default()
        };
        for (key, tag) in tags {
            match tag {
                Tag::Text(text) => span.tags.set_text(key.into(), &text),
                Tag::Number(number) => span.tags.set_number(key.into(), number),
            }
        }
        let extras = span.extras();
        (extras.start_ns, extras.end_ns) = (Some(times.0), Some(times.0 + times.1));
        (extras.links, extras.events) = (links, events);
        if with_struct {
            extras.structs.push(("a struct".into(), vec![0x81, 0xa1, b'a', 1]));
            extras.kept_alone = Some((0.5, Some(2.0)));
        }
        span
    }
}

prop_compose! {
    fn chunk()(
        trace_id in (any::<u64>(), 1..u64::MAX),
        mut spans in prop::collection::vec(span(), 1..5),
        priority in any::<Option<i32>>(),
        maker in prop::option::of(prop::sample::select(&["-0", "-4", "-11", "-04", "4", "-", "-99999999999"][..])),
        origin in prop::option::of("[a-z]{1,9}"),
        root in 0..5_usize,
    ) -> Chunk {
        let mut batch = Batch::default();
        for (at, span) in spans.iter_mut().enumerate() {
            span.span_id = at as u64 + 1;
            span.is_local_root = at == root;
            batch.push(span, Ticks::ZERO);
        }
        let tags = maker.map(|maker| ("_dd.p.dm".into(), maker.into()));
        Chunk {
            trace_id: u128::from(trace_id.0) << 64 | u128::from(trace_id.1),
            upstream: Some(Arc::new(Carried {
                origin,
                tags: tags.into_iter().chain([("_dd.p.other".into(), "x".into())]).collect(),
                last_datadog_span: Some(7),
                baggage: [("user.id", "u")].into_iter().collect(),
                ..Carried::default()
            })),
            decision: Decision { priority, agent_rate: Some(0.25), ..Decision::default() },
            spans: batch,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 128 }) })]

    #[test]
    fn all_formats_tell_the_same(mut chunks in prop::collection::vec(chunk(), 1..4)) {
        let agent = &*AGENT;
        let mut encoder = encoder();
        let v1 = payload(&mut encoder, TraceProtocol::V10, &mut chunks);
        let v04 = payload(&mut encoder, TraceProtocol::V04, &mut chunks);
        prop_assert!(is_v1(&v1) && !is_v1(&v04));
        prop_assert_eq!(v1.headers(), v04.headers());
        prop_assert_eq!(
            received(agent, "/v1.0/traces", &v1),
            received(agent, "/v0.4/traces", &v04)
        );

        encoder.native_events = false;
        let v04 = payload(&mut encoder, TraceProtocol::V04, &mut chunks);
        let stepped_down = to_v04(&v1).unwrap();
        prop_assert!(!is_v1(&stepped_down));
        prop_assert_eq!(stepped_down.headers(), v04.headers());
        prop_assert_eq!(
            received(agent, "/v0.4/traces", &stepped_down),
            received(agent, "/v0.4/traces", &v04)
        );
    }

    #[test]
    fn what_was_cut_short_or_changed_is_not_stepped_down_to_garbage(
        mut chunks in prop::collection::vec(chunk(), 1..3),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = payload(&mut encoder(), TraceProtocol::V10, &mut chunks);
        let length = cut.index(whole.body().len());
        let cut = Payload::new(whole.body()[..length].to_vec(), Headers::new(), 1);
        prop_assert!(to_v04(&cut).is_none());
    }
}

#[test]
fn a_payload_knows_nothing_of_the_one_before() {
    let chunk = || Chunk {
        trace_id: 1,
        upstream: None,
        decision: Decision::default(),
        spans: {
            let mut spans = Batch::default();
            let mut span = SpanData {
                span_id: 1,
                ..SpanData::default()
            };
            span.extras().start_ns = Some(1);
            span.extras().end_ns = Some(2);
            span.tags.set_text("http.url".into(), "/cart");
            span.tags.set_number("items".into(), 3.5);
            spans.push(&mut span, Ticks::ZERO);
            spans
        },
    };
    let mut encoder = encoder();
    for protocol in [TraceProtocol::V10, TraceProtocol::V04] {
        let nothing = encoder.start(protocol);
        assert!(encoder.close(nothing, true).is_none());
        let first = payload(&mut encoder, protocol, &mut [chunk()]);
        let second = payload(&mut encoder, protocol, &mut [chunk()]);
        assert_eq!(first.body(), second.body());
        assert_eq!(to_v04(&first).is_some(), is_v1(&first));
        // In the memory of the one before, which outlives a payload of nothing, but is not kept for a small one for long.
        let bytes = first.body().to_vec();
        let mut used = first.into_body();
        used.reserve(8 * bytes.len());
        let place = used.as_ptr();
        encoder.reuse(used);
        encoder.last_bytes = 4 * bytes.len();
        let nothing = encoder.start(protocol);
        assert!(encoder.close(nothing, true).is_none());
        let third = payload(&mut encoder, protocol, &mut [chunk()]);
        assert_eq!((third.body(), third.body().as_ptr()), (&*bytes, place));
        encoder.reuse(third.into_body());
        let fourth = payload(&mut encoder, protocol, &mut [chunk()]);
        assert_eq!(fourth.body(), bytes);
        assert!(fourth.into_body().capacity() < 4 * bytes.len());
    }
}
