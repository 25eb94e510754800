//! One trace over three processes, of this client and of `ddtrace` for Python in turns.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::service::{Answer, Headers, Service};
use crate::session::Session;

/// Starts a service by its name, the agent's URL, and its settings.
type Start = fn(&str, &str, &[(&str, &str)]) -> Service;

const NAMES: [&str; 3] = ["first", "middle", "last"];

/// All are written. With the defaults, Datadog's own headers are what is read.
const READ: [&[(&str, &str)]; 2] = [
    &[],
    &[("DD_TRACE_PROPAGATION_STYLE_EXTRACT", "tracecontext,baggage")],
];

#[test]
fn a_trace_goes_through_python_and_back() {
    a_trace_joins_up(
        "a_trace_goes_through_python_and_back",
        [Service::rust, Service::python, Service::rust],
    );
}

#[test]
fn a_trace_goes_from_python_through_us_and_back() {
    a_trace_joins_up(
        "a_trace_goes_from_python_through_us_and_back",
        [Service::python, Service::rust, Service::python],
    );
}

fn a_trace_joins_up(test: &'static str, start: [Start; 3]) {
    let Some(session) = Session::start(test) else {
        return;
    };
    let [agent_url, _] = session.agent_urls();
    for read in READ {
        let settings = [&[], read, read];
        let mut services =
            [0, 1, 2].map(|number| start[number](NAMES[number], &agent_url, settings[number]));
        // A trace that a browser test has begun, and one that the first service begins.
        let traces = [from_a_browser(), Headers::new()].map(|headers| pass(&mut services, headers));
        services.into_iter().for_each(Service::end);
        for (answers, is_from_browser) in traces.iter().zip([true, false]) {
            assert_headers_agree(answers);
            assert_spans_agree(&session, answers, !read.is_empty());
            if is_from_browser {
                assert_browser_is_heard(answers);
            }
        }
        assert_eq!(session.traces().len(), 2, "{:#?}", session.traces());
        session.clear();
    }
}

fn from_a_browser() -> Headers {
    let headers = [
        ("x-datadog-trace-id", "1234567"),
        ("x-datadog-parent-id", "89"),
        ("x-datadog-sampling-priority", "2"),
        ("x-datadog-origin", "synthetics"),
        (
            "x-datadog-tags",
            "_dd.p.dm=-4,_dd.p.tid=640cfd8d00000000,_dd.p.usr.id=YWxpY2U=",
        ),
    ];
    headers
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Sends a request to the first service, its request to the second one, and so on.
fn pass(services: &mut [Service; 3], mut headers: Headers) -> [Answer; 3] {
    services.each_mut().map(|service| {
        let answer = service.ask(&headers);
        headers.clone_from(&answer.headers);
        answer
    })
}

/// The first service made the trace out to be this.
fn assert_browser_is_heard([first, ..]: &[Answer; 3]) {
    assert_eq!(first.trace_id, "640cfd8d00000000000000000012d687");
    let expected = [
        ("_dd.p.dm", "-4"),
        ("_dd.p.tid", "640cfd8d00000000"),
        ("_dd.p.usr.id", "YWxpY2U="),
    ];
    assert_eq!(propagated(first), expected.into());
    assert_eq!(first.headers["x-datadog-origin"], "synthetics");
}

/// What the first service tells the second one, the last one would tell the next.
fn assert_headers_agree(answers: &[Answer; 3]) {
    let [first, ..] = answers;
    let tags = propagated(first);
    assert!(
        tags.contains_key("_dd.p.dm") && tags.contains_key("_dd.p.tid"),
        "{tags:?}"
    );
    for answer in answers {
        let headers = &answer.headers;
        assert_eq!(answer.trace_id, first.trace_id, "all 128 bits");
        assert_eq!(headers["x-datadog-sampling-priority"], "2", "{headers:?}");
        assert_eq!(propagated(answer), tags, "{headers:?}");
        assert_eq!(
            headers.get("x-datadog-origin"),
            first.headers.get("x-datadog-origin"),
        );
        assert_eq!(
            answer.baggage,
            [("user".to_owned(), "alice b".to_owned())].into()
        );
        assert_eq!(headers["baggage"], "user=alice%20b");
    }
}

/// The spans that arrived are of one trace, each the child of the one before, and of one mind about it.
fn assert_spans_agree(session: &Session, answers: &[Answer; 3], by_tracecontext: bool) {
    let traces = session.traces();
    let has_first = |trace: &&Value| {
        let mut spans = trace.as_array().unwrap().iter();
        spans.any(|span| span["span_id"] == answers[0].span_id)
    };
    let trace = traces.iter().find(has_first).unwrap();
    assert_eq!(trace.as_array().unwrap().len(), 3, "{trace:#}");
    let spans = answers.each_ref().map(|answer| {
        let mut spans = trace.as_array().unwrap().iter();
        spans
            .find(|span| span["span_id"] == answer.span_id)
            .unwrap()
    });
    for (span, name) in spans.iter().zip(NAMES) {
        assert_eq!(span["name"], format!("{name}.work"), "{span:#}");
        assert_eq!(span["metrics"]["_sampling_priority_v1"], 2.0, "{span:#}");
        let origin = answers[0].headers.get("x-datadog-origin");
        let found = span["meta"]["_dd.origin"].as_str();
        assert_eq!(found, origin.map(String::as_str), "{span:#}");
        for (tag, value) in propagated(&answers[0]) {
            assert_eq!(span["meta"][tag], value, "{tag} of {span:#}");
        }
    }
    for [parent, child] in [[spans[0], spans[1]], [spans[1], spans[2]]] {
        assert_eq!(child["parent_id"], parent["span_id"]);
        if by_tracecontext {
            let id = format!("{:016x}", parent["span_id"].as_u64().unwrap());
            assert_eq!(child["meta"]["_dd.parent_id"], id, "{child:#}");
        }
    }
}

/// The tags `_dd.p.*` that a service sends on.
fn propagated(answer: &Answer) -> BTreeMap<&str, &str> {
    let tags = answer.headers["x-datadog-tags"].split(',');
    tags.map(|tag| tag.split_once('=').unwrap()).collect()
}
