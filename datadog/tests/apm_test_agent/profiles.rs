//! A profile arrives, and a reader that is not ours finds the program's hot function in it.

use std::collections::{HashMap, HashSet};
use std::io::Read;

use libdd_profiling_protobuf::prost_impls::{Message, Profile, Sample, ValueType};
use serde_json::{Value, json};

use crate::session::{LIMIT, Request, Session};

#[test]
fn a_profile_names_the_hot_function() {
    let Some(session) = Session::start("a_profile_names_the_hot_function") else {
        return;
    };
    for agent_url in session.agent_urls() {
        a_profile_arrives(&session, &agent_url);
        session.clear();
    }
}

fn a_profile_arrives(session: &Session, agent_url: &str) {
    let client = session.client(agent_url, |config| config);
    client.profiling_start();
    // The worker starts the sampler before it answers this.
    assert!(client.flush(LIMIT).complete);
    the_hot_function_of_this_test();
    client.profiling_stop();
    let report = client.flush(LIMIT);
    assert_eq!(
        (report.delivered, report.dropped.total()),
        (1, 0),
        "{agent_url}: {report}"
    );

    let requests = session.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let parts = multipart(&requests[0]);

    let event: Value = serde_json::from_slice(&parts["event"]).unwrap();
    assert_eq!(event["version"], "4");
    let tags: Vec<&str> = event["tags_profiler"]
        .as_str()
        .unwrap()
        .split(',')
        .collect();
    for tag in ["service:shop", "env:conformance", "version:1.2.3"] {
        assert!(tags.contains(&tag), "{tag} in {tags:?}");
    }
    let profile = profile(&parts, &event);
    let (hot, all) = cpu_time_in(&profile, "the_hot_function_of_this_test");
    assert!(all >= 100_000_000, "only {all} ns were sampled");
    assert!(hot * 2 > all, "{hot} of {all} ns are in the hot function");
}

#[test]
fn samples_carry_the_ids_of_the_spans_that_arrived() {
    let Some(session) = Session::start("samples_carry_the_ids_of_the_spans_that_arrived") else {
        return;
    };
    let client = session.client(&session.agent_urls()[0], |config| {
        config.profiling_endpoint_count_enabled(true)
    });
    client.profiling_start();
    assert!(client.flush(LIMIT).complete);
    let mut root = client.trace("web.request");
    root.set_type("web").set_resource("GET /cart");
    client.traced("work", |_| the_hot_function_of_this_test());
    root.finish();
    client.profiling_stop();
    assert!(client.flush(LIMIT).complete);

    let traces = session.traces();
    let mut spans = traces.iter().flat_map(|trace| trace.as_array().unwrap());
    let named = |name: &str| spans.clone().find(|span| span["name"] == name).unwrap();
    let (root, work) = (named("web.request"), named("work"));
    assert_eq!(root["metrics"]["_dd.profiling.enabled"], 1.0);
    assert!(spans.all(|span| span["trace_id"] == root["trace_id"]));

    let requests = session.requests();
    let upload = requests.iter().find(|request| request.url.ends_with(PATH));
    let parts = multipart(upload.unwrap());
    let event: Value = serde_json::from_slice(&parts["event"]).unwrap();
    assert_eq!(event["endpoint_counts"], json!({"GET /cart": 1}));
    let profile = profile(&parts, &event);
    let text = |index: i64| &*profile.string_table[usize::try_from(index).unwrap()];
    let hot = locations_in(&profile, "the_hot_function_of_this_test");
    let is_hot = |sample: &&Sample| sample.location_ids.iter().any(|id| hot.contains(id));
    let samples: Vec<_> = profile.samples.iter().filter(is_hot).collect();
    assert!(!samples.is_empty());
    for sample in samples {
        let label = |key: &str| sample.labels.iter().find(|label| text(label.key) == key);
        let number = |key| json!(label(key).unwrap().num as u64);
        assert_eq!(number("span id"), work["span_id"]);
        assert_eq!(number("local root span id"), root["span_id"]);
        let endpoint = label("trace endpoint").unwrap();
        assert_eq!(text(endpoint.str), "GET /cart");
    }
}

/// Where uploads go.
const PATH: &str = "/profiling/v1/input";

/// The profile among the parts of an upload.
fn profile(parts: &HashMap<String, Vec<u8>>, event: &Value) -> Profile {
    let attachments = event["attachments"].as_array().unwrap();
    let mut names = attachments.iter().map(|name| name.as_str().unwrap());
    let pprof = names.find(|name| name.ends_with(".pprof")).unwrap();
    Profile::decode(&*unpacked(&parts[pprof])).unwrap()
}

/// A second or so of work: counted, not timed, so that it is as much where other programs want the processor too.
#[inline(never)]
fn the_hot_function_of_this_test() -> u64 {
    let mut state = 1u64;
    let mut rounds = 50_000_000;
    while rounds > 0 {
        state = std::hint::black_box(state.rotate_left(5) ^ 0x9e37_79b9);
        rounds -= 1;
    }
    state
}

/// The CPU time of the samples with a function of this name on their stack, and that of all samples, in nanoseconds.
fn cpu_time_in(profile: &Profile, name: &str) -> (i64, i64) {
    let text = |index: i64| &*profile.string_table[usize::try_from(index).unwrap()];
    let is_cpu_time =
        |kind: &ValueType| (text(kind.r#type), text(kind.unit)) == ("cpu-time", "nanoseconds");
    let value = profile.sample_types.iter().position(is_cpu_time).unwrap();
    let named_locations = locations_in(profile, name);
    let (mut hot, mut all) = (0, 0);
    for sample in &profile.samples {
        all += sample.values[value];
        if sample
            .location_ids
            .iter()
            .any(|id| named_locations.contains(id))
        {
            hot += sample.values[value];
        }
    }
    (hot, all)
}

/// The locations in functions of this name.
fn locations_in(profile: &Profile, name: &str) -> HashSet<u64> {
    let text = |index: i64| &*profile.string_table[usize::try_from(index).unwrap()];
    let named_functions: HashSet<u64> = profile
        .functions
        .iter()
        .filter(|function| text(function.name).contains(name))
        .map(|function| function.id)
        .collect();
    profile
        .locations
        .iter()
        .filter(|location| {
            location
                .lines
                .iter()
                .any(|line| named_functions.contains(&line.function_id))
        })
        .map(|location| location.id)
        .collect()
}

/// The parts of a multipart body by name (RFC 7578).
fn multipart(request: &Request) -> HashMap<String, Vec<u8>> {
    assert!(request.url.ends_with(PATH), "{request:?}");
    let kind = request.header("Content-Type");
    let (_, boundary) = kind
        .split_once("boundary=")
        .unwrap_or_else(|| panic!("{kind}"));
    let delimiter = format!("\r\n--{}", boundary.trim_matches('"'));
    // The first delimiter has no line before it.
    let body = [b"\r\n", &*request.body()].concat();
    let mut parts = HashMap::new();
    let mut rest = after(&body, delimiter.as_bytes()).unwrap();
    while !rest.starts_with(b"--") {
        let next = after(rest, delimiter.as_bytes()).expect("a closing delimiter");
        let part = &rest[..rest.len() - next.len() - delimiter.len()];
        let content = after(part, b"\r\n\r\n").expect("an empty line after the headers");
        let headers = String::from_utf8_lossy(&part[..part.len() - content.len()]);
        let (_, name) = headers
            .split_once(" name=\"")
            .unwrap_or_else(|| panic!("{headers}"));
        let (name, _) = name.split_once('"').unwrap();
        parts.insert(name.to_owned(), content.to_vec());
        rest = next;
    }
    parts
}

/// What comes after the first `needle`.
fn after<'a>(bytes: &'a [u8], needle: &[u8]) -> Option<&'a [u8]> {
    let at = bytes
        .windows(needle.len())
        .position(|window| window == needle)?;
    Some(&bytes[at + needle.len()..])
}

fn unpacked(gzip: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(gzip)
        .read_to_end(&mut plain)
        .unwrap();
    plain
}
