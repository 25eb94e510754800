//! Profile uploads: multipart form, `event.json` and the pprof inside.

use std::io::Write;

use datadog_local_agent::{Label, LocalAgent};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::client::{self, Answer};

const BOUNDARY: &str = "xyz";

/// A protobuf field: its number with wire type 0.
fn number(field: u8, value: u64) -> Vec<u8> {
    let mut bytes = vec![field << 3];
    varint(value, &mut bytes);
    bytes
}

/// A protobuf field: its number with wire type 2.
fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    varint(value.len() as u64, &mut bytes);
    bytes.extend_from_slice(value);
    bytes
}

fn varint(mut value: u64, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// `main` calls `hot` and `cold`; `hot` takes 3 samples with span ids, `cold` 1 without.
fn pprof() -> Vec<u8> {
    let strings = [
        "",
        "cpu-time",
        "nanoseconds",
        "main",
        "hot",
        "cold",
        "src/main.rs",
        "local root span id",
    ];
    let function = |id: u64, name: u64| [number(1, id), number(2, name), number(4, 6)].concat();
    let location = |id: u64, line: u64| {
        let line = [number(1, id), number(2, line)].concat();
        [number(1, id), bytes(4, &line)].concat()
    };
    let label = [number(1, 7), number(3, u64::MAX)].concat();
    // Packed and unpacked repeated numbers: both are allowed.
    let hot = [bytes(1, &[2, 1]), bytes(2, &[30]), bytes(3, &label)].concat();
    let cold = [number(1, 3), number(1, 1), number(2, 10)].concat();
    let mut profile = bytes(1, &[number(1, 1), number(2, 2)].concat());
    for sample in [hot, cold] {
        profile.extend(bytes(2, &sample));
    }
    for id in 1..=3 {
        profile.extend(bytes(4, &location(id, 10 * id)));
        profile.extend(bytes(5, &function(id, id + 2)));
    }
    for string in strings {
        profile.extend(bytes(6, string.as_bytes()));
    }
    profile.extend(number(10, 60_000_000_000));
    profile
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn event() -> Value {
    json!({
        "version": "4", "family": "native", "attachments": ["profile.pprof"],
        "start": "2026-01-02T03:04:05Z", "end": "2026-01-02T03:05:05.5Z",
        "tags_profiler": "service:web,runtime-id:12:34", "endpoint_counts": {"GET /": 3}, "process_tags": "a:b",
        "info": {"profiler": {"activation": "manual"}},
    })
}

fn part(name: &str, file_name: &str, content_type: &str, content: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"\r\n{content_type}\r\n"
    );
    [head.as_bytes(), content, b"\r\n"].concat()
}

fn event_part(event: &Value) -> Vec<u8> {
    let json = "Content-Type: application/json\r\n";
    part("event", "event.json", json, event.to_string().as_bytes())
}

fn pprof_part(content: &[u8]) -> Vec<u8> {
    part("profile.pprof", "profile.pprof", "", content)
}

fn upload(agent: &LocalAgent, path: &str, parts: &[Vec<u8>]) -> Answer {
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let headers = [
        ("Content-Type", content_type.as_str()),
        ("DD-EVP-ORIGIN", "test"),
        ("DD-EVP-ORIGIN-VERSION", "1"),
        ("DD-API-KEY", "right"),
    ];
    let end = format!("--{BOUNDARY}--\r\n");
    let body = [parts.concat(), end.into_bytes()].concat();
    client::tcp(agent).send(&format!("POST {path}"), &headers, &body)
}

/// Uploads a good profile.
pub(crate) fn send_good(agent: &LocalAgent) {
    let parts = [event_part(&event()), pprof_part(&pprof())];
    assert_eq!(upload(agent, "/profiling/v1/input", &parts).status, 200);
}

#[test]
fn a_profile_is_decoded() {
    let agent = LocalAgent::start().unwrap();
    let mut event = event();
    event["attachments"] = json!(["profile.pprof", "notes.json"]);
    let parts = [
        event_part(&event),
        part("notes.json", "notes.json", "", b"{}"),
        pprof_part(&gzip(&pprof())),
    ];
    let answer = upload(&agent, "/profiling/v1/input", &parts);
    assert_eq!(answer.status, 200, "{}", answer.text());

    let [profile] = agent.profiles().try_into().unwrap();
    let event = &profile.event;
    assert_eq!(event.family, "native");
    assert_eq!(event.end_ns - event.start_ns, 60_500_000_000);
    assert_eq!(event.tag("service"), Some("web"));
    assert_eq!(event.tag("runtime-id"), Some("12:34"));
    assert_eq!(event.endpoint_counts["GET /"], 3);
    assert_eq!(event.other["info"]["profiler"]["activation"], "manual");
    assert_eq!(profile.attachments[0].bytes, b"{}");

    let pprof = profile.pprof().unwrap();
    assert_eq!(pprof.duration_ns, 60_000_000_000);
    let [hot, cold, main] = pprof.hottest("cpu-time").unwrap().try_into().unwrap();
    assert_eq!(
        (&*hot.function, hot.self_value, hot.total_value),
        ("hot", 30, 30)
    );
    assert_eq!((&*cold.function, cold.self_value), ("cold", 10));
    assert_eq!(
        (&*main.function, main.self_value, main.total_value),
        ("main", 0, 40)
    );
    assert_eq!(pprof.sum("cpu-time"), Some(40));
    assert_eq!(pprof.sum("wall-time"), None);
    let frame = &pprof.samples[0].stack[0];
    assert_eq!((&*frame.file, frame.line), ("src/main.rs", 20));
    let sums = pprof
        .sum_by_label("cpu-time", "local root span id")
        .unwrap();
    assert_eq!(
        sums.into_iter().collect::<Vec<_>>(),
        [(Label::Number(-1), 30)]
    );
    let in_span =
        |sample: &datadog_local_agent::Sample| sample.label("local root span id").is_some();
    let hottest = pprof.hottest_where("cpu-time", in_span).unwrap();
    assert!(hottest.iter().all(|cost| &*cost.function != "cold"));
}

#[test]
fn the_intakes_endpoint_wants_a_key() {
    let parts = [event_part(&event()), pprof_part(&pprof())];
    let agent = LocalAgent::builder().api_key("right").start().unwrap();
    assert_eq!(upload(&agent, "/api/v2/profile", &parts).status, 202);
    assert_eq!(agent.profiles().len(), 1);
    let agent = LocalAgent::builder().api_key("other").start().unwrap();
    assert_eq!(upload(&agent, "/api/v2/profile", &parts).status, 403);
    assert_eq!(upload(&agent, "/profiling/v1/input", &parts).status, 200);
}

#[test]
fn bad_events_are_refused() {
    let agent = LocalAgent::start().unwrap();
    let cases = [
        (
            "version",
            json!(4),
            "field `version`: expected a str, got 4",
        ),
        ("version", json!("3"), "expected \"4\", got `3`"),
        ("family", json!(""), "field `family`"),
        (
            "start",
            json!("2026-01-02 03:04:05"),
            "field `start`: expected a time like",
        ),
        (
            "end",
            json!("2026-01-02T03:04:04Z"),
            "field `end` is before `start`",
        ),
        (
            "tags_profiler",
            json!("service"),
            "expected key:value pairs, got `service`",
        ),
        (
            "tags_profiler",
            json!("a:b,,c:d"),
            "expected key:value pairs, got ``",
        ),
        (
            "attachments",
            json!("profile.pprof"),
            "field `attachments`: expected a list",
        ),
        (
            "attachments",
            json!(["x.pprof"]),
            "attachment `x.pprof` is named in event.json",
        ),
        (
            "attachments",
            json!([]),
            "attachment `profile.pprof`: the part is not named",
        ),
        (
            "endpoint_counts",
            json!({"a": -1}),
            "key `a`: expected a non-negative integer",
        ),
        ("info", json!("x"), "field `info`: expected a map"),
        ("service", json!("x"), "field `service` is unknown"),
    ];
    for (field, value, reason) in cases {
        agent.clear();
        let mut event = event();
        event[field] = value;
        let parts = [event_part(&event), pprof_part(&pprof())];
        let answer = upload(&agent, "/profiling/v1/input", &parts);
        assert_eq!(answer.status, 400, "{reason}");
        let refusal = agent.refusals()[0].clone();
        assert!(
            refusal.reason.contains(reason),
            "wanted {reason}, got {refusal}"
        );
        assert!(agent.profiles().is_empty());
    }
}

#[test]
fn bad_forms_are_refused() {
    let agent = LocalAgent::start().unwrap();
    let event = || event_part(&event());
    let json = "Content-Type: application/json\r\n";
    let cases = [
        (vec![pprof_part(&pprof())], "part `event` is missing"),
        (
            vec![part("event", "e.json", json, b"{}"), pprof_part(&pprof())],
            "expected the file name event.json, got `e.json`",
        ),
        (
            vec![part("event", "event.json", "", b"{}")],
            "expected the content type application/json",
        ),
        (vec![event(), event()], "part `event` comes twice"),
        (
            vec![event(), part("profile.pprof", "other", "", &pprof())],
            "attachment `profile.pprof`: its file name is `other`",
        ),
        (
            vec![event(), pprof_part(&[0x1f, 0x8b, 0, 0])],
            "attachment `profile.pprof`: not gzip",
        ),
        (vec![event(), pprof_part(&[0x28, 0xb5, 0x2f, 0xfd])], "zstd"),
        (
            vec![event(), pprof_part(b"\xff\xff")],
            "not a pprof protobuf",
        ),
        (vec![event(), pprof_part(b"")], "string_table: entry 0"),
        (vec![b"--xyz\r\nContent-Dis".to_vec()], "multipart"),
    ];
    for (parts, reason) in cases {
        agent.clear();
        let answer = upload(&agent, "/profiling/v1/input", &parts);
        assert_eq!(answer.status, 400, "{reason}");
        let refusal = agent.refusals()[0].clone();
        assert!(
            refusal.reason.contains(reason),
            "wanted {reason}, got {refusal}"
        );
    }
    let origin = [("DD-EVP-ORIGIN", "x"), ("DD-EVP-ORIGIN-VERSION", "1")];
    let mut client = client::tcp(&agent);
    let line = "POST /profiling/v1/input";
    assert_eq!(client.send(line, &origin, b"").status, 415);
    assert_eq!(client.send(line, &origin[..1], b"").status, 400);
}
