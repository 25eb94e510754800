//! What the formats make of the same trace, together.

use proptest::prelude::*;

use super::*;
use crate::carried::{TraceTag, TraceTags, trace_tag};

pub(super) type Headers = Vec<(String, String)>;

pub(super) fn headers(pairs: &[(&str, &str)]) -> Headers {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

pub(super) fn looked_up(headers: &Headers) -> Found<'_> {
    let mut found = Found::default();
    found.look(headers, &Header::NAMES);
    found
}

pub(super) fn tags(pairs: &[(&str, &str)]) -> TraceTags {
    let owned = |(key, value): &(&str, &str)| trace_tag(key, value);
    pairs.iter().map(owned).collect()
}

fn write(
    propagation: &Propagation,
    carried: &Carried,
    request: &mut Headers,
) -> Option<PropagationError> {
    let mut lines = HeaderLines::default();
    let error = propagation.inject(&carried.outgoing(), &mut lines);
    lines.set(request);
    error
}

pub(super) fn value<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| &**value)
}

fn propagation(styles: &[PropagationStyle]) -> Propagation {
    Propagation {
        inject: styles.to_vec(),
        extract: styles.to_vec(),
        extract_first: false,
        names: Header::names(true),
        behavior: ExtractBehavior::Continue,
        tags_limit: 512,
    }
}

const ALL: [PropagationStyle; 5] = [
    PropagationStyle::Datadog,
    PropagationStyle::TraceContext,
    PropagationStyle::Baggage,
    PropagationStyle::B3,
    PropagationStyle::B3Multi,
];

const TWO_TRACES: [(&str, &str); 5] = [
    ("x-datadog-trace-id", "1"),
    ("x-datadog-parent-id", "2"),
    ("x-datadog-sampling-priority", "2"),
    (
        "traceparent",
        "00-00000000000000000000000000000007-0000000000000008-01",
    ),
    ("tracestate", "dd=s:2;p:0000000000000009,other=1"),
];

#[test]
fn conflicting_contexts_become_links() {
    let found = propagation(&ALL).extract(&headers(&TWO_TRACES)).unwrap();
    assert_eq!(
        (found.trace_id, found.span_id, found.priority),
        (1, 2, Some(2))
    );
    let link = &found.links[0];
    assert_eq!((link.trace_id, link.span_id, link.flags), (7, 8, Some(1)));
    assert_eq!(link.tracestate, "dd=s:2;p:0000000000000009,other=1");
    let reason = ("reason".into(), "terminated_context".to_owned());
    assert_eq!(link.attributes[0], reason);
    assert_eq!(link.attributes[1].1, "tracecontext");

    let mut first = propagation(&ALL);
    first.extract_first = true;
    assert!(
        first
            .extract(&headers(&TWO_TRACES))
            .unwrap()
            .links
            .is_empty()
    );
    let reversed = propagation(&[PropagationStyle::TraceContext, PropagationStyle::Datadog]);
    let found = reversed.extract(&headers(&TWO_TRACES)).unwrap();
    assert_eq!((found.trace_id, found.links[0].trace_id), (7, 1));
}

#[test]
fn the_w3c_parent_counts_within_one_trace() {
    let mut pairs = TWO_TRACES;
    pairs[3].1 = "00-00000000000000000000000000000001-0000000000000008-01";
    let found = propagation(&ALL).extract(&headers(&pairs)).unwrap();
    assert_eq!((found.span_id, found.last_datadog_span), (8, Some(9)));
    assert_eq!((&*found.tracestate, found.links.len()), ("other=1", 0));
    pairs[4].1 = "other=1";
    let found = propagation(&ALL).extract(&headers(&pairs)).unwrap();
    assert_eq!((found.span_id, found.last_datadog_span), (8, Some(2)));
}

#[test]
fn a_restart_links_to_what_came_and_keeps_the_baggage() {
    let mut restart = propagation(&ALL);
    restart.behavior = ExtractBehavior::Restart;
    let mut request = headers(&TWO_TRACES);
    request.push(("baggage".to_owned(), "user.id=7".to_owned()));
    let found = restart.extract(&request).unwrap();
    assert_eq!(
        (found.trace_id, found.span_id, found.priority),
        (0, 0, None)
    );
    assert_eq!(found.links.len(), 1);
    assert_eq!(
        found.links[0].attributes[0].1,
        "propagation_behavior_extract"
    );
    assert_eq!(
        (
            found.links[0].trace_id,
            found.links[0].attributes[1].1.as_str()
        ),
        (1, "datadog")
    );
    assert_eq!(found.baggage, [("user.id", "7")].into_iter().collect());
    restart.behavior = ExtractBehavior::Ignore;
    assert_eq!(restart.extract(&request), None);
    restart.behavior = ExtractBehavior::Restart;
    assert_eq!(restart.extract(&headers(&[])), None);
}

#[test]
fn baggage_alone_is_something_to_go_on_with() {
    let request = headers(&[("baggage", "a=b")]);
    let found = propagation(&ALL).extract(&request).unwrap();
    assert_eq!((found.trace_id, found.baggage.len()), (0, 1));
    assert_eq!(
        propagation(&[PropagationStyle::Datadog]).extract(&request),
        None
    );
}

#[test]
fn a_style_that_is_named_several_times_counts_once() {
    let styles = ALL.repeat(3);
    let config = DDConfig::builder()
        .environment([("", "")])
        .propagation_style_inject(styles.clone())
        .propagation_style_extract(styles)
        .build()
        .unwrap();
    let propagation = Propagation::new(&config);
    assert_eq!(
        (&*propagation.inject, &*propagation.extract),
        (&ALL[..], &ALL[..])
    );
}

#[test]
fn nothing_is_written_without_a_trace() {
    let mut request = Headers::new();
    write(&propagation(&ALL), &Carried::default(), &mut request);
    assert!(request.is_empty());
}

fn tag() -> impl Strategy<Value = TraceTag> {
    ("_dd\\.p\\.[a-z]{2,8}", "[a-zA-Z0-9.:_-]{1,20}")
        .prop_filter("known ones have rules", |(key, _)| {
            !["_dd.p.dm", "_dd.p.tid"].contains(&&**key)
        })
        .prop_map(|(key, value)| trace_tag(&key, &value))
}

proptest! {
    #[test]
    fn what_is_written_can_be_read(
        trace_id in 1u128..,
        span_id in 1u64..,
        priority in -1i32..=2,
        origin in proptest::option::of("[a-z][a-z-]{0,20}"),
        tags in proptest::collection::vec(tag(), 0..4),
        baggage in proptest::collection::btree_map("[a-z.]{1,10}", "[^\\s][^\\r\\n]{0,20}[^\\s]", 0..5),
        style in 0usize..4,
    ) {
        prop_assume!(trace_id as u64 != 0);
        let mut seen = std::collections::HashSet::new();
        let mut tags: Vec<_> = tags.into_iter().filter(|(key, _)| seen.insert(key.clone())).collect();
        if priority > 0 {
            tags.push(trace_tag("_dd.p.dm", "-3"));
        }
        let carried = Carried {
            trace_id,
            span_id,
            priority: Some(priority),
            origin,
            tags: tags.into(),
            baggage: baggage.into_iter().collect(),
            ..Carried::default()
        };
        let style = ALL.into_iter().filter(|style| *style != PropagationStyle::Baggage).nth(style).unwrap();
        let both = propagation(&[style, PropagationStyle::Baggage]);
        let mut request = Headers::new();
        prop_assert_eq!(write(&both, &carried, &mut request), None);
        let mut found = Arc::unwrap_or_clone(both.extract(&request).unwrap());
        prop_assert_eq!(found.trace_id, trace_id);
        prop_assert_eq!(found.span_id, span_id);
        found.tags.sort();
        let mut expected = carried.clone();
        expected.tags.sort();
        prop_assert_eq!(&found.baggage, &expected.baggage);
        if [PropagationStyle::B3, PropagationStyle::B3Multi].contains(&style) {
            prop_assert_eq!(found.priority, Some(i32::from(priority > 0)));
        } else {
            prop_assert_eq!(&found.tags, &expected.tags);
            prop_assert_eq!((found.priority, found.origin), (expected.priority, expected.origin));
        }
    }

    #[test]
    fn no_header_does_harm(
        values in proptest::collection::vec(
            prop_oneof![
                any::<String>(),
                "[0-9a-fA-F=;:,~ %_-]{0,80}",
                "00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?",
                "dd=([a-z.]{1,4}:[ -~]{0,10};?){0,5}(,[a-z]=[ -~]{0,10}){0,40}",
                "(_dd\\.p\\.[a-z]{1,4}=[ -~]{0,10},?){0,5}",
                "([a-z]{1,3}=[^,]{0,10},?){0,80}",
                "[0-9]{1,25}",
            ],
            12,
        ),
    ) {
        let names = [
            "x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority", "x-datadog-origin",
            "x-datadog-tags", "traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled",
            "baggage",
        ];
        let pairs: Vec<(&str, &str)> = names.into_iter().zip(values.iter().map(|value| &**value)).collect();
        let all = propagation(&ALL);
        for style in ALL {
            let _ = propagation(&[style]).extract(&headers(&pairs));
        }
        if let Some(mut found) = all.extract(&headers(&pairs)).map(Arc::unwrap_or_clone) {
            found.span_id = found.span_id.max(1);
            let mut request = Headers::new();
            write(&all, &found, &mut request);
            for (name, value) in &request {
                prop_assert!(
                    value.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                    "{name}: {value}"
                );
            }
        }
    }
}
