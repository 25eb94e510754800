//! Traces across processes, as the agent sees them.

mod common;

use std::collections::HashMap;

use common::{LIMIT, config, named, start};
use datadog_config::{ExtractBehavior, PropagationStyle, SamplingRule};
use datadog_local_agent::LocalAgent;
use datadog_trace::{Span, SpanContext, SpanLink, Tracer};
use proptest::prelude::*;

type Headers = HashMap<String, String>;

fn headers<const N: usize>(pairs: [(&str, &str); N]) -> Headers {
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

#[test]
fn a_trace_goes_on_in_the_process_that_is_called() {
    let agent = LocalAgent::start().unwrap();
    let caller = start(config(&agent.url()).tracing_sample_rate(1.0));
    let callee = start(
        config(&agent.url())
            .service("stock")
            .tracing_sample_rate(0.0),
    );
    let mut request = Headers::new();
    let (trace_id, client_id);
    {
        let mut root = caller.trace("shop.request");
        root.set_baggage("user.id", "Zoë");
        let client = caller.trace("http.client");
        (trace_id, client_id) = (client.trace_id(), client.span_id());
        caller.inject(&mut request);
        let mut other = Headers::new();
        client.inject(&mut other);
        assert_eq!(request, other);
    }
    assert_eq!(request["x-datadog-trace-id"], (trace_id as u64).to_string());
    assert_eq!(request["x-datadog-sampling-priority"], "2");
    assert_eq!(
        request["traceparent"],
        format!("00-{trace_id:032x}-{client_id:016x}-01")
    );
    assert!(
        request["tracestate"]
            .starts_with(&format!("dd=s:2;p:{client_id:016x};t.dm:-3;t.ksr:1,ot=rv:"))
    );
    assert_eq!(request["baggage"], "user.id=Zo%C3%AB");

    let context = callee.extract(&request).unwrap();
    {
        let root = callee.trace_from(&context, "stock.request");
        assert_eq!(
            (root.trace_id(), root.baggage("user.id").as_deref()),
            (trace_id, Some("Zoë"))
        );
        let mut onward = Headers::new();
        callee.traced("inner", |span| {
            span.inject(&mut onward);
            assert_eq!(onward["x-datadog-parent-id"], span.span_id().to_string());
        });
        assert_eq!(onward["x-datadog-tags"], request["x-datadog-tags"]);
        assert_eq!(onward["baggage"], request["baggage"]);
        assert_eq!(onward["x-datadog-sampling-priority"], "2");
    }
    caller.flush(LIMIT);
    callee.flush(LIMIT);
    let spans = agent.spans();
    let root = named(&spans, "stock.request");
    assert_eq!((root.parent_id, root.trace_id_128()), (client_id, trace_id));
    assert_eq!(
        root.metrics["_sampling_priority_v1"], 2.0,
        "the caller decided"
    );
    assert_eq!(root.meta["_dd.p.dm"], "-3");
    assert_eq!(root.meta["baggage.user.id"], "Zoë");
    assert_eq!(root.metrics["_dd.top_level"], 1.0);
    assert!(!root.metrics.contains_key("_dd.rule_psr"));
}

#[test]
fn a_decision_is_made_when_it_is_told_and_not_later() {
    let agent = LocalAgent::start().unwrap();
    let rules = [SamplingRule::new(0.0).resource("GET /health")];
    let tracer = start(config(&agent.url()).tracing_sampling_rules(rules));
    let mut request = Headers::new();
    tracer.traced("late", |span| {
        tracer.inject(&mut request);
        span.set_resource("GET /health");
    });
    assert_eq!(request["x-datadog-sampling-priority"], "1");
    tracer.traced("early", |span| {
        span.set_resource("GET /health");
        tracer.traced("child", |_| tracer.inject(&mut request));
    });
    assert_eq!(request["x-datadog-sampling-priority"], "-1");
    assert!(!request["x-datadog-tags"].contains("_dd.p.dm"));
    assert!(request["traceparent"].ends_with("-00"));
    tracer.flush(LIMIT);
    let spans = agent.spans();
    assert_eq!(named(&spans, "late").metrics["_sampling_priority_v1"], 1.0);
    assert_eq!(
        named(&spans, "early").metrics["_sampling_priority_v1"],
        -1.0
    );
}

#[test]
fn what_came_reaches_the_agent() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let request = headers([
        ("X-Datadog-Trace-Id", "7"),
        ("X-Datadog-Parent-Id", "8"),
        ("X-Datadog-Sampling-Priority", "-1"),
        ("X-Datadog-Origin", "synthetics-browser"),
        (
            "X-Datadog-Tags",
            "_dd.p.usr.id=u7,_dd.p.tid=00000000000000zz",
        ),
        (
            "traceparent",
            "00-00000000000000000000000000000007-0000000000000009-00",
        ),
        ("tracestate", "dd=s:-1;p:000000000000000a,vendor=x"),
    ]);
    let context = tracer.extract(&request).unwrap();
    let mut onward = Headers::new();
    tracer.trace_from(&context, "request").inject(&mut onward);
    assert!(onward["tracestate"].ends_with(",vendor=x"));
    tracer.flush(LIMIT);
    let span = &agent.spans()[0];
    assert_eq!((span.trace_id, span.parent_id), (7, 9));
    assert_eq!(span.metrics["_sampling_priority_v1"], -1.0);
    for (key, value) in [
        ("_dd.origin", "synthetics-browser"),
        ("_dd.p.usr.id", "u7"),
        ("_dd.parent_id", "000000000000000a"),
        ("_dd.propagation_error", "malformed_tid 00000000000000zz"),
    ] {
        assert_eq!(span.meta.get(key).map(String::as_str), Some(value), "{key}");
    }
}

#[test]
fn baggage_becomes_tags_as_it_is_asked_for() {
    let all = "baggage.User.Id,baggage.account.id,baggage.team,baggage.user.id";
    for (keys, tags) in [
        (None, "baggage.account.id,baggage.user.id"),
        (Some("team,user.id"), "baggage.team,baggage.user.id"),
        (Some("*"), all),
        (Some(""), ""),
    ] {
        let agent = LocalAgent::start().unwrap();
        let keys = keys.map(|keys| ("DD_TRACE_BAGGAGE_TAG_KEYS", keys));
        let tracer = start(config(&agent.url()).environment(keys));
        // With a trace, and on its own.
        let baggage = ("baggage", "user.id=u7,account.id=a8,team=t9,User.Id=x");
        let ids = [("x-datadog-trace-id", "7"), ("x-datadog-parent-id", "8")];
        for request in [headers([baggage, ids[0], ids[1]]), headers([baggage])] {
            let context = tracer.extract(&request).unwrap();
            let _request = tracer.trace_from(&context, "request");
            tracer.trace("child").finish();
        }
        tracer.flush(LIMIT);
        let spans = agent.spans();
        assert_eq!(spans.len(), 4);
        for span in &spans {
            let found = span.meta.keys().filter(|key| key.starts_with("baggage."));
            let found: Vec<&str> = found.map(String::as_str).collect();
            let expected = if span.name == "request" { tags } else { "" };
            assert_eq!(found.join(","), expected, "{keys:?}");
        }
    }
}

#[test]
fn links_to_contexts_tell_what_is_known_of_them() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()).tracing_sample_rate(0.0));
    let link = |request: Headers| {
        let context = tracer.extract(&request).unwrap();
        let link = SpanLink::to(&context);
        assert_eq!((link.trace_id, link.span_id), (7, 9));
        (link.flags, link.tracestate)
    };
    let parent = |flags| format!("00-00000000000000000000000000000007-0000000000000009-{flags}");
    let ids = [("x-datadog-trace-id", "7"), ("x-datadog-parent-id", "9")];
    assert_eq!(
        link(headers([
            ("traceparent", &parent("01")),
            ("tracestate", "dd=s:2;o:rum,vendor=x")
        ])),
        (Some(1), "dd=s:2;o:rum,vendor=x".to_owned())
    );
    assert_eq!(
        link(headers([("traceparent", &parent("00")), ids[0], ids[1]])),
        (None, String::new()),
        "no decision came with the ids of Datadog's own headers"
    );
    let priority = ("x-datadog-sampling-priority", "-1");
    assert_eq!(
        link(headers([ids[0], ids[1], priority])),
        (Some(0), "dd=s:-1".to_owned())
    );
    // A span of this process, before and after it is decided.
    let span = tracer.trace("here");
    let context = span.context().unwrap();
    assert_eq!(SpanLink::to(&context).flags, None);
    span.inject(&mut Headers::new());
    assert_eq!(SpanLink::to(&context).flags, Some(0));
}

#[test]
fn baggage_can_be_read_listed_and_taken_out() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let request = headers([("baggage", "a=1,b=2")]);
    let caller = tracer.extract(&request).unwrap();
    assert_eq!(caller.baggage("b").as_deref(), Some("2"));
    assert_eq!(caller.baggage("c"), None);
    assert_eq!(caller.baggage_items(), [pair("a", "1"), pair("b", "2")]);
    let mut root = tracer.trace_from(&caller, "root");
    root.set_baggage("c", "3").remove_baggage("a");
    root.remove_baggage("unknown");
    let child = tracer.trace("child");
    let left = [pair("b", "2"), pair("c", "3")];
    assert_eq!(child.baggage_items(), left);
    let context = child.context().unwrap();
    assert_eq!(
        (context.baggage("a"), context.baggage_items()),
        (None, left.to_vec())
    );
    let mut onward = Headers::new();
    child.inject(&mut onward);
    assert_eq!(onward["baggage"], "b=2,c=3");
    assert_eq!(
        caller.baggage_items().len(),
        2,
        "what came stays what it was"
    );
    assert!(Span::none().baggage_items().is_empty());
}

#[test]
fn conflicts_and_restarts_become_links() {
    let agent = LocalAgent::start().unwrap();
    let request = headers([
        ("x-datadog-trace-id", "7"),
        ("x-datadog-parent-id", "8"),
        ("x-datadog-sampling-priority", "1"),
        (
            "traceparent",
            "00-0000000000000abc0000000000000009-000000000000000a-01",
        ),
        ("tracestate", "dd=s:1,vendor=x"),
        ("baggage", "k=v"),
    ]);
    let tracer = start(config(&agent.url()));
    let context = tracer.extract(&request).unwrap();
    tracer.trace_from(&context, "continued").finish();
    tracer.flush(LIMIT);
    let restarting =
        start(config(&agent.url()).propagation_behavior_extract(ExtractBehavior::Restart));
    let context = restarting.extract(&request).unwrap();
    let span = restarting.trace_from(&context, "restarted");
    assert_eq!(span.baggage("k").as_deref(), Some("v"));
    span.finish();
    restarting.flush(LIMIT);
    let ignoring =
        start(config(&agent.url()).propagation_behavior_extract(ExtractBehavior::Ignore));
    assert!(ignoring.extract(&request).is_none());

    let spans = agent.spans();
    let continued = named(&spans, "continued");
    assert_eq!((continued.trace_id, continued.parent_id), (7, 8));
    let link = &continued.span_links[0];
    assert_eq!(
        (link.trace_id, link.trace_id_high, link.span_id, link.flags),
        (9, 0xabc, 10, 1 << 31 | 1)
    );
    assert_eq!(link.tracestate, "dd=s:1,vendor=x");
    assert_eq!(link.attributes["reason"], "terminated_context");
    let restarted = named(&spans, "restarted");
    assert_eq!(restarted.parent_id, 0);
    assert_ne!(restarted.trace_id, 7);
    assert_eq!(restarted.metrics["_sampling_priority_v1"], 1.0);
    assert_eq!(restarted.meta["_dd.p.dm"], "-0");
    assert_eq!(restarted.span_links.len(), 1);
    assert_eq!(
        restarted.span_links[0].attributes["reason"],
        "propagation_behavior_extract"
    );
    assert_eq!(restarted.span_links[0].trace_id, 7);
}

#[test]
fn formats_are_an_option() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(
        config(&agent.url())
            .propagation_style_inject([PropagationStyle::B3, PropagationStyle::B3Multi])
            .propagation_style_extract([PropagationStyle::B3]),
    );
    let mut request = Headers::new();
    tracer.traced("client", |_| tracer.inject(&mut request));
    let mut names: Vec<&str> = request.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["b3", "x-b3-sampled", "x-b3-spanid", "x-b3-traceid"]);
    assert!(tracer.extract(&request).is_some());
    request.remove("b3");
    assert!(tracer.extract(&request).is_none());
    let silent = start(config(&agent.url()).propagation_style([PropagationStyle::None]));
    request.clear();
    silent.traced("client", |_| silent.inject(&mut request));
    assert!(request.is_empty());
    tracer.inject(&mut request);
    assert!(request.is_empty(), "there is no active span");
}

#[test]
fn tags_that_do_not_fit_are_left_out_and_noted() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()).x_datadog_tags_max_length(20));
    let mut request = Headers::new();
    tracer.traced("client", |_| tracer.inject(&mut request));
    assert!(!request.contains_key("x-datadog-tags"));
    tracer.flush(LIMIT);
    assert_eq!(
        agent.spans()[0].meta["_dd.propagation_error"],
        "inject_max_size"
    );
}

#[test]
fn ids_from_elsewhere_are_a_context_too() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()).tracing_sample_rate(1.0));
    for (kept, priority) in [(Some(false), 0.0), (Some(true), 1.0), (None, 2.0)] {
        let context = SpanContext::from_ids(5 << 64 | 6, 7, kept);
        tracer.trace_from(&context, "request").finish();
        tracer.flush(LIMIT);
        let span = &agent.spans()[0];
        assert_eq!((span.trace_id_128(), span.parent_id), (5 << 64 | 6, 7));
        assert_eq!(span.metrics["_sampling_priority_v1"], priority);
        agent.clear();
    }
}

#[test]
fn a_context_of_another_client_is_that_of_another_process() {
    let agent = LocalAgent::start().unwrap();
    let one = start(config(&agent.url()));
    let other = start(config(&agent.url()).service("other"));
    let root = one.trace("one");
    let context = root.context().unwrap();
    other.trace_from(&context, "other").finish();
    root.finish();
    one.flush(LIMIT);
    other.flush(LIMIT);
    let spans = agent.spans();
    let (one, other) = (named(&spans, "one"), named(&spans, "other"));
    assert_eq!(
        (other.trace_id, other.parent_id),
        (one.trace_id, one.span_id)
    );
    assert_eq!(agent.traces().len(), 2);
}

#[test]
fn no_threshold_goes_on_with_a_decision_of_the_program() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    let parent = "00-0000000000000000000000000000000a-000000000000000b-01";
    let state = "dd=s:1,a=1,ot=rv:ffffffffffffff;th:8,b=2";
    let decided = tracer.extract(&headers([("traceparent", parent), ("tracestate", state)]));
    let undecided = tracer.extract(&headers([
        ("x-datadog-trace-id", "10"),
        ("x-datadog-parent-id", "11"),
        ("traceparent", parent),
        ("tracestate", state),
    ]));
    let (whole, without) = (
        "a=1,ot=rv:ffffffffffffff;th:8,b=2",
        "a=1,ot=rv:ffffffffffffff,b=2",
    );
    for (upstream, decide, others) in [
        (&decided, None, whole),
        (&decided, Some("manual.keep"), without),
        (&decided, Some("manual.drop"), without),
        (&undecided, None, whole),
        (&undecided, Some("manual.keep"), without),
        (&undecided, Some("manual.drop"), without),
    ] {
        let mut span = tracer.trace_from(upstream.as_ref().unwrap(), "request");
        if let Some(key) = decide {
            span.set_tag(key, true);
        }
        let mut goes = Headers::new();
        span.inject(&mut goes);
        let (_, sent) = goes["tracestate"].split_once(',').unwrap();
        assert_eq!(sent, others, "{decide:?}");
    }
}

#[test]
fn an_origin_that_is_too_long_does_not_go_on() {
    let agent = LocalAgent::start().unwrap();
    let tracer = start(config(&agent.url()));
    for (len, goes_on) in [(128, true), (129, false), (100_000, false)] {
        let origin = "o".repeat(len);
        let state = format!("dd=s:1;o:{origin}");
        for came in [
            headers([
                ("x-datadog-trace-id", "10"),
                ("x-datadog-parent-id", "11"),
                ("x-datadog-origin", &origin),
            ]),
            headers([
                (
                    "traceparent",
                    "00-0000000000000000000000000000000a-000000000000000b-01",
                ),
                ("tracestate", &state),
            ]),
        ] {
            let span = tracer.trace_from(&tracer.extract(&came).unwrap(), "request");
            let mut goes = Headers::new();
            tracer.inject(&mut goes);
            drop(span);
            assert_eq!(goes.contains_key("x-datadog-origin"), goes_on, "{len}");
            let bytes: usize = goes.values().map(String::len).sum();
            assert!(bytes < 1_000, "{goes:?}");
        }
    }
}

/// The lines of a request, in which headers may come several times.
type Lines = Vec<(String, String)>;

/// The headers of a span that goes on with these, without its own id; only what does not belong to a trace where a new
/// one begins.
fn passed_on(tracer: &Tracer, lines: &Lines) -> Option<Lines> {
    let upstream = tracer.extract(lines)?;
    let span = tracer.trace_from(&upstream, "request");
    let mut sent = Lines::new();
    span.inject(&mut sent);
    sent.retain(|(name, _)| upstream.trace_id() != 0 || name == "baggage");
    let id = span.span_id();
    for (_, value) in &mut sent {
        *value = value
            .replace(&format!("{id:016x}"), "ID")
            .replace(&id.to_string(), "ID");
    }
    Some(sent)
}

/// Of one trace, in each format.
const OF_A_TRACE: [(&str, &str); 11] = [
    ("x-datadog-trace-id", "10"),
    ("x-datadog-parent-id", "11"),
    ("x-datadog-sampling-priority", "2"),
    ("x-datadog-origin", "rum"),
    ("x-datadog-tags", "_dd.p.dm=-4"),
    (
        "traceparent",
        "00-0000000000000000000000000000000a-000000000000000b-01",
    ),
    ("b3", "000000000000000a-000000000000000b-1"),
    ("x-b3-traceid", "000000000000000a"),
    ("x-b3-spanid", "000000000000000b"),
    ("x-b3-sampled", "1"),
    ("x-b3-flags", "1"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lists_may_come_in_several_lines(
        members in proptest::collection::vec("[a-z]{2}[0-9]=[a-z0-9]{1,5}", 1..40),
        items in proptest::collection::vec("[a-z]{1,3} ?= ?[a-z%0-9]{1,5}(;p=1)?", 1..70),
        cuts in proptest::collection::vec(any::<bool>(), 70),
    ) {
        let agent = LocalAgent::start().unwrap();
        let tracer = start(config(&agent.url()));
        let request = |lists: [Vec<String>; 2]| -> Lines {
            let mut request = vec![OF_A_TRACE[5]];
            let [states, baggage] = &lists;
            request.extend(states.iter().map(|line| ("tracestate", &**line)));
            request.extend(baggage.iter().map(|line| ("baggage", &**line)));
            let owned = request.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            owned.collect()
        };
        let several = |list: &[String]| {
            let mut lines: Vec<String> = Vec::new();
            for (part, cut) in list.iter().zip(&cuts) {
                match lines.last_mut() {
                    Some(line) if !cut => *line = format!("{line},{part}"),
                    _ => lines.push(part.clone()),
                }
            }
            lines
        };
        let one = passed_on(&tracer, &request([vec![members.join(",")], vec![items.join(",")]]));
        let other = passed_on(&tracer, &request([several(&members), several(&items)]));
        prop_assert!(one.as_ref().is_some_and(|sent| sent.iter().any(|(name, _)| name == "baggage")));
        prop_assert_eq!(one, other);
    }

    #[test]
    fn what_can_not_come_twice_is_none_if_it_does(
        twice in 0..OF_A_TRACE.len(),
        other in proptest::option::of("[0-9a-z=-]{0,20}"),
        at in 0..=OF_A_TRACE.len(),
        style in 0..5usize,
    ) {
        let agent = LocalAgent::start().unwrap();
        let all = [
            PropagationStyle::Datadog,
            PropagationStyle::TraceContext,
            PropagationStyle::B3,
            PropagationStyle::B3Multi,
        ];
        let styles = all.get(style).map_or(&all[..], std::slice::from_ref);
        let config = config(&agent.url()).propagation_style_extract(styles.iter().copied());
        let tracer = start(config);
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut lines: Lines = OF_A_TRACE.map(owned).into();
        let (name, value) = OF_A_TRACE[twice];
        lines.insert(at, owned((name, other.as_deref().unwrap_or(value))));
        let mut without = lines.clone();
        without.retain(|(known, _)| known != name);
        prop_assert_eq!(passed_on(&tracer, &lines), passed_on(&tracer, &without));
    }
}
